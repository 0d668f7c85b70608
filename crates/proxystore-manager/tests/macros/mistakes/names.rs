use proxystore_manager::object;

struct Twice;

#[object]
impl Twice {
    fn get(&self) -> u8 {
        0
    }

    #[rename = "get"]
    fn fetch(&self) -> u8 {
        1
    }
}

struct Taken;

#[object]
impl Taken {
    #[ctor]
    fn new() -> Self {
        Self
    }

    fn create(&self) {}
}

struct Collision;

#[object]
impl Collision {
    #[rename = "costarring"]
    fn one(&self) {}

    #[rename = "liquid"]
    fn other(&self) {}
}

fn main() {}
