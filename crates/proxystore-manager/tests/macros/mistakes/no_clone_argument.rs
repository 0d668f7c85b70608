#![allow(unused_variables)]

use proxystore_manager::object;

#[derive(serde::Serialize, serde::Deserialize)]
struct Unique(u8);

struct Asked;

#[object]
impl Asked {
    fn take(&self, unique: &Unique) {}
}

fn main() {}
