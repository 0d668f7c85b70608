//! What a user of the library does with one object, or with many.

use std::sync::OnceLock;

use futures_util::future::join_all;
use proxystore::{Bytes, Key, Raw, Store};
use proxystore_benches::{Run, Suite, once, timed};
use proxystore_testkit::sample;

/// The objects of a batch.
pub(crate) const MANY: usize = 1_000;
/// The tasks that get at the same time.
pub(crate) const FAN: usize = 1_024;

/// For the length of the program.
pub(crate) fn keep<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// The sizes that are measured.
pub(crate) fn sizes(suite: &Suite) -> &'static [usize] {
    if suite.is_quick() {
        &[1 << 10, 1 << 20, 100 << 20]
    } else {
        &[10, 1 << 10, 10 << 10, 100 << 10, 1 << 20, 10 << 20, 100 << 20]
    }
}

/// An object of this size, in memory that is touched.
pub(crate) fn value(size: usize) -> &'static Bytes {
    static LARGEST: OnceLock<Bytes> = OnceLock::new();
    keep(LARGEST.get_or_init(|| sample::make(1, 100 << 20)).slice(..size))
}

/// A store that reads everything from its backend.
pub(crate) fn open(suite: &Suite, name: &str, uri: &str) -> &'static Store {
    let store = Store::builder(name).uri(uri).cache_objects(0).populate(false).register();
    keep(suite.block_on(store.build()).expect("a store"))
}

pub(crate) fn put(store: &'static Store, value: &'static Bytes) -> Run {
    timed(
        move || async move { store.put(value).codec::<Raw>().await.expect("a put") },
        move |keys| async move { drop(store.evict_many(&keys).await) },
    )
}

pub(crate) fn proxy(store: &'static Store, value: &'static Bytes) -> Run {
    timed(
        move || async move { store.proxy(value.clone()).codec::<Raw>().await.expect("a proxy") },
        move |proxies| async move {
            let keys: Vec<Key> = proxies.iter().map(|proxy| proxy.factory().key().clone()).collect();
            drop(store.evict_many(&keys).await);
        },
    )
}

/// An object that is there.
pub(crate) fn held(suite: &Suite, store: &'static Store, value: &'static Bytes) -> &'static Key {
    keep(suite.block_on(async { store.put(value).codec::<Raw>().await }).expect("a put"))
}

pub(crate) fn get(store: &'static Store, key: &'static Key) -> Run {
    once(
        move || async move { store.get::<Bytes>(key).codec::<Raw>().await.expect("a get").expect("an object") },
    )
}

/// A get of what is not there.
pub(crate) fn miss(store: &'static Store) -> Run {
    let key = keep(Key::random().expect("randomness"));
    once(move || async move { store.get::<Bytes>(key).codec::<Raw>().await.expect("a get").is_none() })
}

pub(crate) fn resolve(store: &'static Store, key: &'static Key) -> Run {
    once(move || async move {
        let proxy = store.proxy_from_key::<Bytes, Raw>(key.clone());
        proxy.resolve_async().await.expect("a target").len()
    })
}

pub(crate) fn put_many(store: &'static Store, value: &'static Bytes) -> Run {
    let values = keep(vec![value.clone(); MANY]);
    timed(
        move || async move { store.put_many(values).codec::<Raw>().await },
        move |batches| async move {
            let keys: Vec<Key> = batches.into_iter().flatten().map(|key| key.expect("a put")).collect();
            drop(store.evict_many(&keys).await);
        },
    )
}

/// Objects that are there.
pub(crate) fn held_many(
    suite: &Suite,
    store: &'static Store,
    value: &'static Bytes,
    count: usize,
) -> &'static [Key] {
    let values = vec![value.clone(); count];
    let keys = suite.block_on(async { store.put_many(&values).codec::<Raw>().await });
    keep(keys.into_iter().map(|key| key.expect("a put")).collect::<Vec<_>>())
}

pub(crate) fn get_many(store: &'static Store, keys: &'static [Key]) -> Run {
    once(move || async move {
        let got = store.get_many::<Bytes>(keys).codec::<Raw>().await;
        assert!(got.iter().all(|one| matches!(one, Ok(Some(_)))), "a get of the batch failed");
        got
    })
}

/// Each object by a get of its own, all at the same time.
pub(crate) fn get_each(store: &'static Store, keys: &'static [Key]) -> Run {
    once(move || async move {
        let gets = keys.iter().map(|key| async { store.get::<Bytes>(key).codec::<Raw>().await });
        let got = join_all(gets).await;
        assert!(got.iter().all(|one| matches!(one, Ok(Some(_)))), "a get failed");
        got
    })
}
