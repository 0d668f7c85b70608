//! What a store does, over every connector.

use std::sync::Arc;
use std::time::Duration;

use proxystore::{
    Bytes, Error, ErrorKind, Key, Mode, Payload, Proxy, ProxyLocker, ProxyOr, PutOptions, Raw, Registry,
    Store,
};
use proxystore_testkit::cancel::{eventually, poll_and_drop};
use proxystore_testkit::fault::{Fault, Op};

use crate::stores::{self, backends};

fn reopened<T>(proxy: &Proxy<T>) -> Proxy<T> {
    postcard::from_bytes(&postcard::to_allocvec(proxy).unwrap()).unwrap()
}

#[tokio::test]
async fn objects_by_key() {
    for backend in backends().await {
        let store = backend.store("objects").await;
        let key = store.put(&vec![1u32, 2, 3]).await.unwrap();
        assert!(store.exists(&key).await.unwrap() && !store.is_cached(&key));
        assert_eq!(*store.get::<Vec<u32>>(&key).await.unwrap().unwrap(), [1, 2, 3]);
        assert!(store.is_cached(&key));
        store.evict(&key).await.unwrap();
        store.evict(&key).await.unwrap();
        assert!(!store.is_cached(&key) && !store.exists(&key).await.unwrap());
        assert!(store.get::<Vec<u32>>(&key).await.unwrap().is_none());
        let missing =
            store.proxy_from_key::<Vec<u32>, proxystore::Postcard>(key).resolve_async().await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Missing);
        assert_eq!(missing.context("store"), Some("objects"));
    }
}

#[tokio::test]
async fn batches_report_each_item() {
    for backend in backends().await {
        let store = Store::builder("batch")
            .shared_connector(backend.connector.clone())
            .max_object(100)
            .build()
            .await
            .unwrap();
        let values: Vec<String> =
            (0..1000).map(|i| if i % 10 == 3 { "x".repeat(200) } else { format!("value {i}") }).collect();
        let put = store.put_many(&values).await;
        for (i, result) in put.iter().enumerate() {
            match result {
                Ok(_) => assert_ne!(i % 10, 3),
                Err(error) => assert_eq!((error.kind(), i % 10), (ErrorKind::TooLarge, 3)),
            }
        }
        let mut keys: Vec<Key> = put.into_iter().flatten().collect();
        assert_eq!(keys.len(), 900);
        keys.insert(500, Key::random().unwrap());
        let got = store.get_many::<String>(&keys).await;
        assert!(got[500].as_ref().unwrap().is_none());
        assert_eq!(**got[0].as_ref().unwrap().as_ref().unwrap(), "value 0");
        assert_eq!(**got[900].as_ref().unwrap().as_ref().unwrap(), "value 999");
        let number = store.put(&1u8).await.unwrap();
        keys.push(number);
        let got = store.get_many::<String>(&keys).await;
        assert_eq!(got.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::TypeMismatch);
        assert_eq!(got.iter().filter(|result| result.is_err()).count(), 1);
        assert!(store.evict_many(&keys).await.iter().all(Result::is_ok));
        assert!(
            store.get_many::<String>(&keys[..500]).await.iter().all(|got| got.as_ref().unwrap().is_none())
        );
        assert!(store.get_many::<String>(&[]).await.is_empty() && store.put_many::<u8>(&[]).await.is_empty());

        let proxies = store.proxy_many(["a", "b"].map(String::from)).await;
        for (proxy, text) in proxies.into_iter().zip(["a", "b"]) {
            let proxy = proxy.unwrap();
            assert_eq!(proxy.get().map(String::as_str), Some(text));
            assert_eq!(store.get::<String>(proxy.factory().key()).await.unwrap().unwrap().as_str(), text);
        }
    }
}

#[tokio::test]
async fn bytes_come_back_whole_and_from_memory_without_a_copy() {
    for backend in backends().await {
        let store = Store::builder("raw")
            .shared_connector(backend.connector.clone())
            .cache_objects(0)
            .build()
            .await
            .unwrap();
        let body = Bytes::from((0..10_000_000u32).map(|i| i as u8).collect::<Vec<_>>());
        let proxy = store.proxy(body.clone()).codec::<Raw>().populate(false).await.unwrap();
        let same = proxy.resolve_async().await.unwrap();
        assert_eq!(same, &body);
        assert_eq!(proxy.factory().length(), 10_000_000);
        if backend.scheme == "local" {
            assert_eq!(same.as_ptr(), body.as_ptr());
        }
    }
}

#[tokio::test]
async fn proxies_are_born_resolved_unless_told_otherwise() {
    let (store, spy) = stores::local().await.spied("populate").await;
    let proxy = store.proxy(String::from("here")).await.unwrap();
    assert_eq!(proxy.get().map(String::as_str), Some("here"));
    assert!(!store.proxy(1).populate(false).await.unwrap().is_resolved());
    let locked: ProxyLocker<u8> = store.locked_proxy(1u8).await.unwrap();
    assert_eq!(spy.calls(Op::Get), 0);
    assert_eq!(locked.unlock().resolve_async().await.unwrap(), &1);
}

#[tokio::test]
async fn an_ephemeral_object_reaches_exactly_one_reader() {
    for backend in backends().await {
        let store = backend.store("ephemeral").await;
        let registry = Registry::new();
        registry.register(&store).unwrap();
        for _ in 0..20 {
            let proxy = store.proxy(7u32).ephemeral().await.unwrap();
            assert!(!proxy.is_resolved());
            let mut readers = Vec::new();
            for _ in 0..8 {
                let proxy = registry.bind(reopened(&proxy)).await.unwrap();
                readers.push(tokio::spawn(async move { proxy.resolve_async().await.copied() }));
            }
            let mut got = 0;
            for reader in readers {
                match reader.await.unwrap() {
                    Ok(value) => got += value,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Missing, "{error}"),
                }
            }
            assert_eq!(got, 7, "{}", backend.scheme);
            assert!(!store.exists(proxy.factory().key()).await.unwrap());
        }
    }
}

#[tokio::test]
async fn an_ephemeral_object_survives_a_wrong_reader_and_a_dropped_one() {
    for backend in backends().await {
        let (store, spy) = backend.spied("careful").await;
        let proxy = store.proxy(String::from("precious")).ephemeral().await.unwrap();
        let reference = postcard::to_allocvec(&proxy).unwrap();
        let registry = Registry::new();
        registry.register(&store).unwrap();

        let wrong: Proxy<u64> = registry.bind(postcard::from_bytes(&reference).unwrap()).await.unwrap();
        assert_eq!(wrong.resolve_async().await.unwrap_err().kind(), ErrorKind::TypeMismatch);
        assert_eq!(spy.calls(Op::Take), 0, "it was taken before its type was checked");

        // The object is another one than the reference says: it is put back.
        let other = store.put(&1u64).await.unwrap();
        let payload = backend.connector.get(&other).await.unwrap().unwrap();
        let key = proxy.factory().key().clone();
        let original = backend.connector.get(&key).await.unwrap().unwrap();
        backend.connector.put(&key, payload, &PutOptions::default()).await.unwrap();
        assert_eq!(proxy.resolve_async().await.unwrap_err().kind(), ErrorKind::Corrupt);
        assert!(backend.connector.exists(&key).await.unwrap(), "a refused object is lost");
        backend.connector.put(&key, original, &PutOptions::default()).await.unwrap();

        // Whoever asks first leaves while the object is on its way; the next one has it.
        spy.next(Op::Take, Fault::Delay(Duration::from_millis(20)));
        assert!(poll_and_drop(proxy.resolve_async(), 1).await.is_none());
        assert_eq!(proxy.resolve_async().await.unwrap(), "precious", "{}", backend.scheme);
        assert!(!backend.connector.exists(&key).await.unwrap());
    }
}

#[tokio::test]
async fn objects_expire_by_the_backend() {
    for backend in backends().await {
        let store = backend.store("ttl").await;
        let proxy = store.proxy(1u8).ttl(Duration::from_millis(30)).populate(false).await.unwrap();
        let stays = store.put(&1u8).ttl(Duration::from_secs(3600)).await.unwrap();
        let gone = async || !store.exists(proxy.factory().key()).await.unwrap();
        eventually(Duration::from_secs(10), gone).await;
        assert_eq!(proxy.resolve_async().await.unwrap_err().kind(), ErrorKind::Missing);
        assert!(store.exists(&stays).await.unwrap());
    }
}

#[tokio::test]
async fn small_values_travel_themselves() {
    let store = stores::local().await.store("offload").await;
    let small = store.offload(vec![1u8; 100]).above(1000).await.unwrap();
    let large = store.offload(vec![1u8; 10_000]).above(1000).await.unwrap();
    assert!(matches!(small, ProxyOr::Value(_)) && matches!(large, ProxyOr::Proxy(_)));
    let text = serde_json::to_string(&large).unwrap();
    assert!(text.len() < 400, "{text}");
    Registry::global().register(&store).unwrap();
    let received: ProxyOr<Vec<u8>> = serde_json::from_str(&text).unwrap();
    assert_eq!(received.resolve_async().await.unwrap().len(), 10_000);
}

#[tokio::test]
async fn torn_altered_and_foreign_objects_are_corrupt() {
    for backend in backends().await {
        let (store, spy) = backend.spied("corrupt").await;
        let key = store.put(&String::from("content")).await.unwrap();
        for fault in
            [Fault::Truncate(85), Fault::Truncate(10), Fault::Flip(85), Fault::Flip(50), Fault::Flip(10)]
        {
            spy.next(Op::Get, fault.clone());
            let error = store.get::<String>(&key).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{fault:?}");
        }
        let other = store.put(&String::from("other")).await.unwrap();
        spy.next(Op::Get, Fault::OtherKey(other));
        assert_eq!(store.get::<String>(&key).await.unwrap_err().kind(), ErrorKind::Corrupt);
        let foreign = Key::parse("foreign").unwrap();
        let bytes = Payload::from(vec![1; 500]);
        backend
            .connector
            .put(&foreign, bytes, &PutOptions { mode: Mode::Create, ..PutOptions::default() })
            .await
            .unwrap();
        assert_eq!(store.get::<String>(&foreign).await.unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(*store.get::<String>(&key).await.unwrap().unwrap(), "content");
        assert!(!store.is_cached(&foreign));
    }
}

#[tokio::test]
async fn an_outage_is_never_absence_and_is_not_remembered() {
    for backend in backends().await {
        let (store, spy) = backend.spied("outage").await;
        let proxy = store.proxy(5u8).populate(false).await.unwrap();
        spy.next(Op::Get, Fault::Fail(Error::new(ErrorKind::Unavailable, "down").transient()));
        let error = proxy.resolve_async().await.unwrap_err();
        assert!(error.kind() == ErrorKind::Unavailable && error.is_transient(), "{error}");
        assert_eq!(error.context("scheme"), Some(backend.scheme));
        assert_eq!(proxy.resolve_async().await.unwrap(), &5);
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_hangs_ends_at_its_deadline() {
    let backend = stores::local().await;
    let (_, spy) = backend.spied("hang").await;
    let store = Store::builder("hang")
        .shared_connector(spy.clone())
        .timeout(Duration::from_secs(9))
        .build()
        .await
        .unwrap();
    let key = store.put(&1u8).await.unwrap();
    spy.every(Op::Get, Fault::Hang);
    spy.every(Op::Put, Fault::Hang);
    let start = tokio::time::Instant::now();
    assert_eq!(store.get::<u8>(&key).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(store.put(&1u8).await.unwrap_err().kind(), ErrorKind::Ambiguous);
    assert_eq!(start.elapsed().as_secs(), 18);
}

#[tokio::test]
async fn a_closed_store_says_so_and_deletes_nothing() {
    for backend in backends().await {
        let (store, second) = (backend.store("closing").await, backend.uri.clone());
        let proxy = store.proxy(1u8).populate(false).await.unwrap();
        store.close().await.unwrap();
        store.close().await.unwrap();
        for error in [
            store.put(&1u8).await.map(drop),
            store.get::<u8>(proxy.factory().key()).await.map(drop),
            store.exists(proxy.factory().key()).await.map(drop),
            store.evict(proxy.factory().key()).await,
            proxy.resolve_async().await.map(drop),
            store.put_many(&[1u8]).await.remove(0).map(drop),
        ] {
            assert_eq!(error.unwrap_err().kind(), ErrorKind::Closed);
        }
        proxystore::install(proxystore::Trust::Registered);
        let again = Store::builder("again").uri(&second).build().await.unwrap();
        assert_eq!(again.get::<u8>(proxy.factory().key()).await.unwrap().as_deref(), Some(&1));
    }
}

#[tokio::test]
async fn opening_a_uri_twice_gives_one_store_whatever_its_spelling() {
    proxystore::install(proxystore::Trust::Registered);
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let link = root.join("link");
    std::fs::create_dir(root.join("data")).unwrap();
    std::os::unix::fs::symlink(root.join("data"), &link).unwrap();
    let store = Store::open(format!("file://{}/data", root.display())).await.unwrap();
    let same = Store::open(format!("file://{}", link.display())).await.unwrap();
    assert_eq!(store.name(), same.name());
    let proxy = same.proxy(3u8).populate(false).await.unwrap();
    assert!(store.get::<u8>(proxy.factory().key()).await.unwrap().is_some());
    let received: Proxy<u8> = reopened(&proxy);
    assert_eq!(received.resolve_async().await.unwrap(), &3);
    store.close().await.unwrap();
    assert_eq!(reopened(&proxy).resolve_async().await.unwrap_err().kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn puts_that_are_dropped_at_any_point_harm_nobody() {
    for backend in backends().await {
        let (store, spy) = backend.spied("dropped").await;
        let store = Arc::new(store);
        for polls in 0..6 {
            spy.next(Op::Put, Fault::Delay(Duration::from_millis(1)));
            drop(poll_and_drop(store.put(&polls).into_future(), polls).await);
            spy.heal();
            let key = store.put(&polls).await.unwrap();
            drop(poll_and_drop(store.get::<usize>(&key).into_future(), polls).await);
            drop(poll_and_drop(store.evict(&Key::random().unwrap()), polls).await);
            assert_eq!(store.get::<usize>(&key).await.unwrap().as_deref(), Some(&polls));
        }
    }
}

#[tokio::test]
async fn metrics_tell_what_happened() {
    let store = stores::local().await.store("metrics").await;
    let key = store.put(&vec![0u8; 1000]).codec::<Raw>().await.unwrap();
    for _ in 0..3 {
        store.get::<Vec<u8>>(&key).codec::<Raw>().await.unwrap();
    }
    store.get::<u8>(&key).await.unwrap_err();
    let metrics = store.metrics();
    assert_eq!(metrics.counters["store.get.cache_misses"], 2);
    assert_eq!(metrics.counters["store.get.cache_hits"], 2);
    assert_eq!(metrics.counters["store.errors"], 1);
    assert_eq!(metrics.attributes["store.put.object_size"], 1000);
    assert_eq!(metrics.times["store.get"].count, 4);
    assert_eq!(metrics.times["store.get.connector"].count, 2);
    assert_eq!(metrics.times["store.put"].count, 1);
    let put = &metrics.times["store.put"];
    assert!(put.min <= put.p50 && put.p50 <= put.max && put.last == put.max);
    assert!(!metrics.times.contains_key("store.evict"));
}
