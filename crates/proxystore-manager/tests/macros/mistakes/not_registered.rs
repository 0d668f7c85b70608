use proxystore_manager::{Manager, interface};

#[interface]
trait Api {
    fn get(&self) -> u8;
}

struct Server;

impl Api for Server {
    fn get(&self) -> u8 {
        0
    }
}

fn main() {
    let _ = Manager::builder().register::<Server>();
}
