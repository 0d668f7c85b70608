//! Large objects, memory, and who waits for whom.

use std::time::{Duration, Instant};

use proxystore_core::{Connector, ErrorKind, Payload};
use proxystore_testkit::redis::RedisServer;
use proxystore_testkit::sample;

use crate::{connect, get, key, put};

/// A small get takes its own time while a large object is on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_objects_overtake_large_ones() {
    let Some(server) = RedisServer::start().await else { return };
    let connector = connect(&format!("{}?timeout=20s", server.uri())).await.unwrap();
    put(&*connector, "small", sample::make(1, 100)).await.unwrap();
    put(&*connector, "large", sample::make(2, 300 << 20)).await.unwrap();
    let large = {
        let connector = connector.clone();
        tokio::spawn(async move { get(&*connector, "large").await.unwrap().unwrap().len() })
    };
    let mut during = Vec::new();
    while !large.is_finished() {
        let start = Instant::now();
        assert_eq!(get(&*connector, "small").await.unwrap().unwrap().len(), 100);
        during.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(large.await.unwrap(), 300 << 20);
    during.sort();
    // The server itself is busy for a while with handing out 300 MiB; on one connection each would have waited.
    assert!(during.len() > 10, "only {} small gets during the large one", during.len());
    let median = during[during.len() / 2];
    assert!(median < Duration::from_millis(100), "a small get took {median:?}");
}

#[tokio::test]
async fn a_full_server_is_full() {
    let Some(server) = RedisServer::with(&["--maxmemory", "8mb", "--maxmemory-policy", "noeviction"]).await
    else {
        return;
    };
    let connector = connect(&server.uri()).await.unwrap();
    assert!(connector.warnings().is_empty(), "{:?}", connector.warnings());
    let mut full = None;
    for i in 0..20 {
        if let Err(error) = put(&*connector, &format!("k{i}"), vec![0; 1 << 20]).await {
            full = Some((i, error));
            break;
        }
    }
    let (i, error) = full.expect("8 MiB hold less than 20 MiB");
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert!(get(&*connector, &format!("k{i}")).await.unwrap().is_none());
    let items = vec![(key("a"), Payload::from(vec![0; 1 << 20]))];
    let many = connector.put_many(items, &Default::default()).await.pop().unwrap();
    assert_eq!(many.unwrap_err().kind(), ErrorKind::Full);
    assert!(get(&*connector, "k0").await.unwrap().is_some());
}

#[tokio::test]
async fn a_policy_that_drops_objects_is_warned_of() {
    for (policy, limit, says) in [
        ("allkeys-lru", "64mb", Some("any object")),
        ("volatile-ttl", "64mb", Some("objects with a time to live")),
        ("noeviction", "64mb", None),
        ("allkeys-lru", "0", None),
    ] {
        let Some(server) = RedisServer::with(&["--maxmemory", limit, "--maxmemory-policy", policy]).await
        else {
            return;
        };
        let connector = connect(&server.uri()).await.unwrap();
        match (connector.warnings(), says) {
            ([], None) => {}
            ([warning], Some(says)) => {
                assert!(warning.contains(says) && warning.contains(policy), "{warning}");
            }
            (warnings, _) => panic!("{policy} {limit}: {warnings:?}"),
        }
    }
}

#[tokio::test]
async fn above_the_maximum_is_refused_before_it_is_sent() {
    let Some(server) = RedisServer::start().await else { return };
    let connector = connect(&server.uri()).await.unwrap();
    let max = connector.info().capabilities.max_value as usize;
    // Zeroed pages that nobody touches cost nothing.
    let error = put(&*connector, "a", vec![0; max + 1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    let items = vec![(key("a"), vec![0; max + 1].into()), (key("b"), vec![1].into())];
    let results = connector.put_many(items, &Default::default()).await;
    assert_eq!(results[0].as_ref().unwrap_err().kind(), ErrorKind::TooLarge);
    assert!(results[1].is_ok());
}
