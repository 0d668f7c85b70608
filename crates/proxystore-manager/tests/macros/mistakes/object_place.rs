use proxystore_manager::object;

#[object]
struct Structure;

struct Generic<T>(T);

#[object]
impl<T> Generic<T> {}

struct Shown;

#[object]
impl std::fmt::Display for Shown {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

mod inner {
    pub struct Deep;
}

#[object]
impl inner::Deep {}

#[object]
impl [Shown] {}

fn main() {}
