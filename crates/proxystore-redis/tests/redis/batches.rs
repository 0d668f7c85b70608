//! Many objects at a time, some of which fail.

use proxystore_core::{Connector, ErrorKind, Key, Mode, Payload, PutOptions};
use proxystore_testkit::redis::RedisServer;
use proxystore_testkit::sample;

use crate::{connect, key, raw};

#[tokio::test]
async fn failing_items_are_reported_singly() {
    let Some(server) = RedisServer::start().await else { return };
    let connector = connect(&server.uri()).await.unwrap();
    let keys: Vec<Key> = (0..1_000).map(|i| key(&format!("k/{i}"))).collect();
    let foreign = |i: usize| i % 100 == 7;
    for (i, key) in keys.iter().enumerate().filter(|(i, _)| foreign(*i)) {
        raw(server.port(), &["rpush", &format!("proxystore:{key}"), &i.to_string()]).await;
    }
    let create = PutOptions { mode: Mode::Create, ..PutOptions::default() };
    let items = keys.iter().enumerate().map(|(i, key)| (key.clone(), sample::make(i as u64, 100 + i).into()));
    for (i, result) in connector.put_many(items.collect(), &create).await.into_iter().enumerate() {
        match result {
            Ok(()) => assert!(!foreign(i), "{i}"),
            Err(error) => {
                assert!(foreign(i) && error.kind() == ErrorKind::Exists, "{i}: {error}");
                assert_eq!(error.context("key"), Some(keys[i].as_str()));
            }
        }
    }
    for (i, result) in connector.get_many(&keys).await.into_iter().enumerate() {
        match result {
            Ok(object) => assert_eq!(sample::seed(object.unwrap()), Ok(i as u64)),
            Err(error) => {
                assert!(foreign(i) && error.kind() == ErrorKind::Corrupt, "{i}: {error}");
                assert_eq!(error.context("key"), Some(keys[i].as_str()));
            }
        }
    }
    let single = connector.get(&keys[7]).await.unwrap_err();
    assert_eq!(single.kind(), ErrorKind::Corrupt, "{single}");
    assert!(connector.evict_many(&keys).await.into_iter().all(|result| result.is_ok()));
    assert!(connector.get_many(&keys).await.into_iter().all(|result| result.unwrap().is_none()));
}

/// Chunks are bounded by bytes as well as by count, and small objects lie beside large ones.
#[tokio::test]
async fn sizes_may_differ_by_far() {
    let Some(server) = RedisServer::start().await else { return };
    let connector = connect(&server.uri()).await.unwrap();
    let sizes = [0, 1, 20 << 20, 65_535, 65_536, 65_537, 3 << 20, 7 << 20, 9 << 20, 16];
    let keys: Vec<Key> = (0..60).map(|i| key(&format!("s{i}"))).collect();
    let object = |i: usize| sample::make(i as u64, sizes[i % sizes.len()]);
    let items =
        keys.iter().enumerate().map(|(i, key)| (key.clone(), Payload::new(object(i).slice(..0), object(i))));
    assert!(connector.put_many(items.collect(), &Default::default()).await.into_iter().all(|r| r.is_ok()));
    for (i, got) in connector.get_many(&keys).await.into_iter().enumerate() {
        assert!(got.unwrap().unwrap().into_bytes() == object(i), "{i}");
        assert!(connector.get(&keys[i]).await.unwrap().unwrap().into_bytes() == object(i), "{i}");
    }
}

#[tokio::test]
async fn an_outage_fails_every_item() {
    let Some(mut server) = RedisServer::start().await else { return };
    let connector = connect(&server.uri()).await.unwrap();
    let keys: Vec<Key> = (0..1_000).map(|i| key(&format!("k{i}"))).collect();
    server.kill();
    for result in connector.get_many(&keys).await {
        assert!(crate::is_outage(&result.unwrap_err()));
    }
    let items = keys.iter().map(|key| (key.clone(), vec![1].into())).collect();
    for result in connector.put_many(items, &Default::default()).await {
        assert!(crate::is_outage(&result.unwrap_err()));
    }
}
