use proxystore_manager::object;

struct Plain;

#[object(value)]
impl Plain {}

struct Mute;

#[object(display)]
impl Mute {}

fn main() {}
