use futures_util::stream::Stream;
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

    fn items(&self) -> impl Stream<Item = u8> + use<> {
        futures_util::stream::empty()
    }

    fn io(&self) -> std::io::Result<u8> {
        Ok(0)
    }
}

fn main() {}
