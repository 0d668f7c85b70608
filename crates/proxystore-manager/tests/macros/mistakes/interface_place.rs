use proxystore_manager::interface;

struct Plain;

#[interface]
impl Plain {}

#[interface]
trait Generic<T> {
    fn get(&self) -> u8;
}

#[interface]
trait NotOnlyMethods {
    type Item;
    const SIZE: usize;
    async fn items(&self) -> Vec<u8> {
        Vec::new()
    }
    fn count(&self) -> usize {
        0
    }
}

#[interface]
trait Knows {
    fn merge(&mut self, other: Self);
    #[ctor]
    fn make() -> Plain;
}

fn main() {}
