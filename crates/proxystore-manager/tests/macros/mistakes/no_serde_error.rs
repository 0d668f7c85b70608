use proxystore_manager::interface;

struct Opaque(u8);

#[interface]
trait Answers {
    async fn give(&mut self) -> Result<u8, Opaque>;
}

fn main() {}
