use futures_util::stream::{Stream, iter};
use proxystore_manager::object;

struct Items(Vec<u8>);

#[object]
impl Items {
    fn items(&self) -> impl Stream<Item = u8> {
        iter(self.0.clone())
    }

    fn of_what(&self) -> impl Stream + use<> {
        iter(self.0.clone())
    }

    fn lent(&self) -> impl Stream<Item = &'static u8> + use<> {
        iter([])
    }
}

fn main() {}
