use std::rc::Rc;

use proxystore_manager::object;

struct Waits;

#[object]
impl Waits {
    async fn wait(&self) {
        let local = Rc::new(0_u8);
        std::future::ready(()).await;
        drop(local);
    }
}

fn main() {}
