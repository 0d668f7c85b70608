use proxystore_manager::object;

struct Opaque(u8);

struct Answers;

#[object]
impl Answers {
    fn give(&self) -> Opaque {
        Opaque(0)
    }
}

fn main() {}
