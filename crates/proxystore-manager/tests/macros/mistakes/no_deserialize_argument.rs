#![allow(unused_variables)]

use proxystore_manager::object;

#[derive(serde::Serialize)]
struct OneWay(u8);

struct Asked;

#[object]
impl Asked {
    fn take(&mut self, number: u8, one_way: OneWay) -> u8 {
        0
    }
}

fn main() {}
