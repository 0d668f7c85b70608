#![allow(unused_variables)]

use proxystore_manager::object;

struct Opaque(u8);

struct Asked;

#[object]
impl Asked {
    fn take(&self, number: u8, opaque: Vec<Opaque>) {}

    #[ctor]
    fn new(opaque: Opaque) -> Self {
        Self
    }
}

fn main() {}
