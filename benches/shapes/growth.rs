//! Whether an operation costs more where there are many objects: the same store with a thousand of them, and with a
//! million.

use proxystore::{Bytes, Key, Store};
use proxystore_benches::{Race, Suite};
use proxystore_testkit::redis::RedisServer;

use crate::ours;

const FEW: usize = 1_000;
const LITTLE: usize = 10;
/// What does not grow may still be measured so much longer.
const NOISE: f64 = 1.25;

pub(crate) fn measure(suite: &mut Suite) {
    pair(suite, "local", &["local:///few".into(), "local:///many".into()]);
    if let Ok(dir) = tempfile::tempdir_in("/dev/shm") {
        let place = |name: &str| format!("file://{}/{name}", dir.path().display());
        pair(suite, "file-memory", &[place("few"), place("many")]);
    }
    let servers = suite.block_on(async { (RedisServer::start().await, RedisServer::start().await) });
    if let (Some(few), Some(many)) = servers {
        pair(suite, "redis", &[few.uri(), many.uri()]);
    }
}

fn pair(suite: &mut Suite, scheme: &str, [few, many]: &[String; 2]) {
    let count = if suite.is_quick() { 100 * FEW } else { 1_000 * FEW };
    let open = |uri: &str, name: &str, objects: usize| {
        let store = ours::open(suite, &format!("{name}-{scheme}"), uri);
        let keys: Vec<Key> = (0..objects / FEW)
            .flat_map(|_| ours::held_many(suite, store, ours::value(LITTLE), FEW))
            .cloned()
            .collect();
        (store, keys)
    };
    let (few, few_keys) = open(few, "few", FEW);
    let (many, many_keys) = open(many, "many", count);
    let value: &'static Bytes = ours::value(LITTLE);
    // Every one of them, in an order that no cache of the processor foresees.
    let race = |shape: &str, run| Race::new("growth", &format!("{scheme} {shape}"), run);
    let get = race("get", any(many, many_keys)).against("a thousand", any(few, few_keys));
    suite.run(get.within("P13", "a thousand", NOISE));
    let put = race("put", ours::put(many, value)).against("a thousand", ours::put(few, value));
    suite.run(put.within("P13", "a thousand", NOISE));
    suite.block_on(async {
        few.close().await.expect("a close");
        many.close_and_clear().await.expect("a close");
    });
}

fn any(store: &'static Store, keys: Vec<Key>) -> proxystore_benches::Run {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let keys = ours::keep(keys);
    let next = ours::keep(AtomicUsize::new(0));
    proxystore_benches::once(move || async move {
        let at = next.fetch_add(7_919, Ordering::Relaxed) % keys.len();
        store.get::<Bytes>(&keys[at]).codec::<proxystore::Raw>().await.expect("a get").expect("an object")
    })
}
