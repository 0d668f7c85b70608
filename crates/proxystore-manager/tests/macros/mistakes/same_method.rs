use proxystore_manager::{Interfaces, Manager, Object, interface};

#[interface]
trait Door {
    fn open(&self);
}

#[interface]
trait Bottle {
    fn open(&self);
}

struct Both;

impl Door for Both {
    fn open(&self) {}
}

impl Bottle for Both {
    fn open(&self) {}
}

impl Object for Both {
    type Proxy = DoorProxy;

    fn interfaces() -> Interfaces<Self> {
        Interfaces::none().and::<BottleProxy>()
    }
}

fn main() {
    _ = Manager::builder().register::<Both>();
}
