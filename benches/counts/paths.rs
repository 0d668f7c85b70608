//! The hot paths that are counted.

use std::hint::black_box;

use proxystore::{Bytes, Codec, Key, Postcard, Proxy, Raw, Store};
use proxystore_testkit::sample;
use tokio::runtime::Runtime;

/// Something that is done so many times.
pub(crate) struct Path<'a> {
    pub(crate) name: String,
    pub(crate) work: Box<dyn Fn(u64) + 'a>,
}

/// All that stays on one thread, and is so the same each time.
pub(crate) fn pure(runtime: &Runtime) -> Vec<Path<'_>> {
    let cached = open(runtime, "cached", "local:///cached", 16);
    let key = held(runtime, &cached, 1024);
    let proxy: Proxy<Bytes, Raw> =
        runtime.block_on(async { cached.proxy(sample::make(1, 1024)).codec().await }).expect("a proxy");
    let bytes = postcard::to_allocvec(&proxy).expect("a reference");
    let read: Proxy<Bytes, Raw> = postcard::from_bytes(&bytes).expect("a reference");
    let numbers: Vec<u64> = (0..1_000).collect();
    let encoded = Postcard::encode(&numbers).expect("an encoding");
    let mut paths = vec![
        path("resolved proxy, get", move |times| {
            (0..times).for_each(|_| assert!(black_box(&proxy).get().is_some()));
        }),
        path("cache hit", move |times| runtime.block_on(get(&cached, &key, times))),
        path("reference, encode", move |times| {
            (0..times).for_each(|_| drop(black_box(postcard::to_allocvec(black_box(&read)))));
        }),
        path("reference, decode", move |times| {
            let decode = |bytes: &[u8]| postcard::from_bytes::<Proxy<Bytes, Raw>>(bytes);
            (0..times).for_each(|_| drop(black_box(decode(black_box(&bytes)))));
        }),
        path("1,000 numbers, encode", move |times| {
            (0..times).for_each(|_| drop(black_box(Postcard::encode(black_box(&numbers)))));
        }),
        path("1,000 numbers, decode", move |times| {
            let decode = |bytes: &Bytes| <Postcard as Codec<Vec<u64>>>::decode(bytes.clone());
            (0..times).for_each(|_| drop(black_box(decode(black_box(&encoded)))));
        }),
    ];
    paths.extend(of_a_store(runtime, "local", "local:///counted"));
    paths
}

/// Get, put and resolve of 1 KiB from a backend.
pub(crate) fn of_a_store<'a>(runtime: &'a Runtime, name: &str, uri: &str) -> [Path<'a>; 4] {
    let store = open(runtime, &format!("counted-{name}"), uri, 0);
    let (key, value) = (held(runtime, &store, 1024), sample::make(1, 1024));
    let stores = [store.clone(), store.clone(), store.clone(), store];
    let [getting, putting, proxying, resolving] = stores;
    let found = key.clone();
    let other = value.clone();
    [
        path(format!("{name}, get"), move |times| runtime.block_on(get(&getting, &found, times))),
        path(format!("{name}, put and evict"), move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    let key = putting.put(&value).codec::<Raw>().await.expect("a put");
                    putting.evict(&key).await.expect("an evict");
                }
            });
        }),
        path(format!("{name}, proxy and evict"), move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    let proxy = proxying.proxy(other.clone()).codec::<Raw>().await.expect("a proxy");
                    proxying.evict(proxy.factory().key()).await.expect("an evict");
                }
            });
        }),
        path(format!("{name}, resolve"), move |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    let proxy = resolving.proxy_from_key::<Bytes, Raw>(key.clone());
                    black_box(proxy.resolve_async().await.expect("a target"));
                }
            });
        }),
    ]
}

fn path<'a>(name: impl Into<String>, work: impl Fn(u64) + 'a) -> Path<'a> {
    Path { name: name.into(), work: Box::new(work) }
}

fn open(runtime: &Runtime, name: &str, uri: &str, cached: u64) -> Store {
    let store = Store::builder(name).uri(uri).cache_objects(cached).build();
    runtime.block_on(store).expect("a store")
}

fn held(runtime: &Runtime, store: &Store, size: usize) -> Key {
    let value = sample::make(1, size);
    runtime.block_on(async { store.put(&value).codec::<Raw>().await }).expect("a put")
}

async fn get(store: &Store, key: &Key, times: u64) {
    for _ in 0..times {
        black_box(store.get::<Bytes>(key).codec::<Raw>().await.expect("a get").expect("an object"));
    }
}
