use proxystore_manager::object;

struct Answers;

#[object]
impl Answers {
    #[ctor]
    fn nothing() {}

    #[ctor]
    fn number() -> u8 {
        0
    }

    fn borrowed(&self) -> &str {
        ""
    }

    fn inside(&self) -> Option<&u8> {
        None
    }

    fn shown(&self) -> impl std::fmt::Display {
        0
    }

    fn io(&self) -> std::io::Result<u8> {
        Ok(0)
    }
}

fn main() {}
