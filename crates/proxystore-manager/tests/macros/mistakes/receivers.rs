#![allow(unused_variables)]

use proxystore_manager::object;

struct Taken;

#[object]
impl Taken {
    fn finish(self) {}

    fn shared(self: std::sync::Arc<Self>) {}

    unsafe fn trust(&self) {}

    fn generic<T: Clone>(&self, value: T) {}

    fn borrowed<'a>(&'a self) {}
}

fn main() {}
