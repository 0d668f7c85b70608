//! `multi://`: what the way to a child costs, beside the child by itself.

use proxystore_benches::{Race, Suite};

use crate::ours;

const ALONE: &str = "the child alone";

pub(crate) fn measure(suite: &mut Suite) {
    let uri = "multi://small,large?small=local:///small&small.max=65536&large=local:///large";
    let both = ours::open(suite, "multi", uri);
    let alone = ours::open(suite, "alone", "local:///alone");
    for &size in ours::sizes(suite) {
        let value = ours::value(size);
        let (key, other) = (ours::held(suite, both, value), ours::held(suite, alone, value));
        let race = |shape: &str, run| Race::new("multi", shape, run).bytes(size);
        suite.run(race("put", ours::put(both, value)).against(ALONE, ours::put(alone, value)));
        suite.run(race("get", ours::get(both, key)).against(ALONE, ours::get(alone, other)));
    }
}
