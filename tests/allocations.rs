//! Decoding a reference costs next to nothing and does nothing, whatever stands in it.

#![allow(clippy::unwrap_used, reason = "a failed expectation is what a test reports")]

use std::alloc::System;
use std::time::Duration;

use proxystore::{KeyRing, Postcard, Proxy, Raw, Registry, Rights, SecretKey, Store, Trust};
use proxystore_testkit::tcp_proxy::TcpProxy;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MUTATIONS: u64 = 1_000_000;
const MOST_BYTES: usize = 64 << 10;

/// A small generator of pseudo-random numbers: the mutations are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

/// Flips, overwrites, inserts, removes, repeats or cuts, once to four times.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.next(4) {
        let at = random.next(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
        match random.next(6) {
            _ if bytes.is_empty() => bytes.push(random.next(256) as u8),
            0 => bytes[at] ^= 1 << random.next(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'/', b'.'][random.next(8)],
            2 => bytes.insert(at, random.next(256) as u8),
            3 => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            _ => bytes.extend_from_within(at..),
        }
    }
}

#[test]
fn a_million_altered_references_do_nothing() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let target = runtime.block_on(TcpProxy::start(([127, 0, 0, 1], 9).into()));
    let dir = tempfile::tempdir().unwrap();
    proxystore::install(Trust::Any); // the worst case: a resolve would connect

    let references: Vec<Vec<u8>> = runtime.block_on(async {
        let store =
            Store::builder("images").uri(format!("file://{}", dir.path().display())).build().await.unwrap();
        let proxy = store.proxy(vec![1u8; 100]).await.unwrap();
        let named = Store::builder("images")
            .shared_connector(store.connector().clone())
            .embed_uri(false)
            .build()
            .await
            .unwrap();
        let by_name = named.proxy_from_key::<String, Raw>("some/key".parse().unwrap());
        let keys = KeyRing::new(SecretKey::random("k1").unwrap());
        let signed = Store::builder("images")
            .shared_connector(store.connector().clone())
            .sign(keys)
            .build()
            .await
            .unwrap();
        let signed = signed.proxy(vec![1u8]).await.unwrap();
        let hour = Some(Duration::from_secs(3600));
        let limited: Proxy<Vec<u8>> = Proxy::new(signed.factory().limited(Rights::READ, hour).unwrap());
        let file = serde_json::to_string(&proxy).unwrap();
        let uri = format!("redis://{}/0", target.addr());
        let redis = file.replace(&format!("file://{}", dir.path().display()), &uri);
        let redis_proxy: Proxy<Vec<u8>> = serde_json::from_str(&redis).unwrap();
        vec![
            postcard::to_allocvec(&proxy).unwrap(),
            postcard::to_allocvec(&by_name).unwrap(),
            postcard::to_allocvec(&redis_proxy).unwrap(),
            postcard::to_allocvec(&limited).unwrap(),
            serde_json::to_vec(&limited).unwrap(),
            file.into_bytes(),
            redis.into_bytes(),
        ]
    });
    let before = std::fs::read_dir(dir.path()).unwrap().count();

    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut decoded, mut refused, mut most) = (0u64, 0u64, 0usize);
    let mut bytes = Vec::with_capacity(4096);
    for i in 0..MUTATIONS {
        let original = &references[i as usize % references.len()];
        bytes.clear();
        bytes.extend_from_slice(original);
        mutate(&mut bytes, &mut random);
        let region = Region::new(ALLOCATOR);
        let readable = original[0] == b'{';
        let proxy: Option<Proxy<Vec<u8>, Postcard>> =
            if readable { serde_json::from_slice(&bytes).ok() } else { postcard::from_bytes(&bytes).ok() };
        let change = region.change();
        most = most.max(change.bytes_allocated);
        match proxy {
            Some(proxy) => {
                decoded += 1;
                assert!(!proxy.is_resolved());
            }
            None => refused += 1,
        }
    }
    assert!(decoded > MUTATIONS / 100 && refused > MUTATIONS / 2, "{decoded} decoded, {refused} refused");
    assert!(most <= MOST_BYTES, "one decode allocated {most} bytes");
    assert_eq!(target.connections(), 0);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), before);
    assert!(Registry::global().get_store("images").is_none());
}

#[test]
fn a_cached_object_costs_no_allocation() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connector = proxystore::local::LocalConnector::named("cached");
        let store = Store::builder("cached").connector(connector).build().await.unwrap();
        let key = store.put(&vec![7u64; 100]).await.unwrap();
        let loaded = store.get::<Vec<u64>>(&key).await.unwrap().unwrap();
        let mut free = 0;
        for _ in 0..1000 {
            let region = Region::new(ALLOCATOR);
            let hit = store.get::<Vec<u64>>(&key).await.unwrap().unwrap();
            free += usize::from(region.change().allocations == 0);
            assert!(std::sync::Arc::ptr_eq(&hit, &loaded));
        }
        // The cache does its housekeeping at times, and other threads have their own business.
        assert!(free > 900, "{free} of 1000 hits were free of allocations");
    });
}
