//! Large objects, memory, and who waits for whom.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proxystore_core::{Connector, ErrorKind, Payload, Result, Room, Transfer, async_trait};
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

/// What the caller does not take is not fetched, whichever way the connector learns of its size.
#[tokio::test]
async fn what_is_not_taken_is_not_fetched() {
    let Some(server) = RedisServer::start().await else { return };
    let connector = connect(&server.uri()).await.unwrap();
    put(&*connector, "large", sample::make(1, 8 << 20)).await.unwrap();
    // The first by a connection that is idle, the next ones by the shared one, until there is an idle one again.
    for round in 0..3 {
        let transfer = Transfer::new(1 << 20);
        let error = transfer.clone().scope(get(&*connector, "large")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{round}: {error}");
        assert_eq!(transfer.progress(), 0, "{round}");
    }
    for _ in 0..3 {
        let transfer = Transfer::new(0);
        let object = transfer.clone().scope(get(&*connector, "large")).await.unwrap().unwrap();
        assert_eq!(sample::seed(object), Ok(1));
        assert!(transfer.progress() >= 8 << 20, "a transfer is told of what moves");
    }
}

/// In a batch that goes by a connection for large objects, only what is too large is refused.
#[tokio::test]
async fn what_is_not_taken_leaves_the_rest_of_its_batch() {
    let Some(server) = RedisServer::start().await else { return };
    let connector = connect(&server.uri()).await.unwrap();
    let keys: Vec<_> = (0..20).map(|i| key(&format!("k{i}"))).collect();
    for (i, key) in keys.iter().enumerate() {
        let size = if i == 7 { 100_000 } else { 100 };
        connector.put(key, vec![1; size].into(), &Default::default()).await.unwrap();
    }
    for (i, got) in Transfer::new(1000).scope(connector.get_many(&keys)).await.into_iter().enumerate() {
        match got {
            Ok(object) => assert!(i != 7 && object.unwrap().len() == 100, "{i}"),
            Err(error) => assert!(i == 7 && error.kind() == ErrorKind::TooLarge, "{i}: {error}"),
        }
    }
}

/// Room for one at a time, and that once somebody has seen to it.
struct Narrow(tokio::sync::Semaphore);

#[async_trait]
impl Room for Narrow {
    async fn make(&self, _: u64) -> Result<()> {
        self.0.acquire().await.unwrap().forget();
        Ok(())
    }
}

/// Who waits for room holds no connection meanwhile.
#[tokio::test]
async fn waiting_for_room_holds_no_connection() {
    let Some(server) = RedisServer::start().await else { return };
    let connector = connect(&format!("{}?bulk=1", server.uri())).await.unwrap();
    put(&*connector, "large", sample::make(1, 8 << 20)).await.unwrap();
    let room = Arc::new(Narrow(tokio::sync::Semaphore::new(0)));
    let transfer = Transfer::new(0);
    let _within = transfer.within(room.clone());
    let waiting = {
        let (connector, transfer) = (connector.clone(), transfer.clone());
        tokio::spawn(async move { transfer.scope(get(&*connector, "large")).await })
    };
    proxystore_testkit::cancel::eventually(Duration::from_secs(5), || async { transfer.is_waiting() }).await;
    put(&*connector, "other", sample::make(2, 8 << 20)).await.unwrap();
    assert_eq!(sample::seed(get(&*connector, "other").await.unwrap().unwrap()), Ok(2));
    room.0.add_permits(1);
    assert_eq!(sample::seed(waiting.await.unwrap().unwrap().unwrap()), Ok(1));
}
