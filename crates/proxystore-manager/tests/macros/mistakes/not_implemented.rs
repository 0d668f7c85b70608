use proxystore_manager::{Object, interface};

#[interface]
trait Api {
    fn get(&self) -> u8;
}

struct Server;

impl Object for Server {
    type Proxy = ApiProxy;
}

fn main() {}
