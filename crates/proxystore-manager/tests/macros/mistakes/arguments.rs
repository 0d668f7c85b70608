#![allow(unused_variables)]

use proxystore_manager::{Context, object};

struct Asked;

#[object]
impl Asked {
    fn pattern(&self, (left, right): (u8, u8)) {}

    fn nameless(&self, _: u8) {}

    fn opaque(&self, text: impl Into<String>) {}

    fn changed(&self, list: &mut Vec<u8>) {}

    fn fixed(&self, name: &'static str) {}

    fn inside(&self, names: Vec<&str>) {}

    fn lifetime(&self, name: std::borrow::Cow<'_, str>) {}

    fn contexts(&self, one: &Context, two: &Context) {}

    fn many(&self, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: u8, m: u8) {}
}

fn main() {}
