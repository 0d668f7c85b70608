use proxystore_manager::{interface, object};

struct A;

#[object(name = "a")]
impl A {}

#[object(typeid = A)]
impl A {}

#[object(typeid = "")]
impl A {}

#[object(value, typeid = "a", value)]
impl A {}

#[object(crate = "not a path")]
impl A {}

#[interface(typeid("a"))]
trait B {}

fn main() {}
