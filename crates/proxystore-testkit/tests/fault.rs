//! The fault-injecting connector is transparent until told otherwise, and then does what it is told.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod memory;

use std::sync::Arc;
use std::time::Duration;

use memory::{Bug, harness};
use proxystore_core::{Bytes, Connector, Error, ErrorKind, Key, Payload, PutOptions};
use proxystore_testkit::fault::{Fault, FaultConnector, Op};
use tokio::time::{Instant, timeout};

proxystore_testkit::conformance!(connector = FaultConnector::new(harness(Bug::None).connector().clone()));

fn faulty() -> Arc<FaultConnector> {
    FaultConnector::new(harness(Bug::None).connector().clone())
}

fn cut() -> Error {
    Error::new(ErrorKind::Unavailable, "the cable is cut").transient()
}

async fn put(connector: &FaultConnector, value: &'static [u8]) -> Key {
    let key = connector.new_key(Default::default()).unwrap();
    connector.put(&key, value.into(), &PutOptions::default()).await.unwrap();
    key
}

async fn get(connector: &FaultConnector, key: &Key) -> Result<Option<Bytes>, ErrorKind> {
    let got = connector.get(key).await;
    got.map(|object| object.map(Payload::into_bytes)).map_err(|error| error.kind())
}

#[tokio::test]
async fn counts_each_operation() {
    let connector = faulty();
    let key = put(&connector, b"a").await;
    for _ in 0..3 {
        connector.get(&key).await.unwrap();
    }
    connector.get_many(&[key.clone(), key.clone()]).await;
    connector.evict(&key).await.unwrap();
    assert_eq!(connector.calls(Op::Put), 1);
    assert_eq!(connector.calls(Op::Get), 3);
    assert_eq!(connector.calls(Op::GetMany), 1, "a batch counts once");
    assert_eq!(connector.calls(Op::Take), 0);
    assert_eq!(connector.total(), 6);
}

#[tokio::test]
async fn fails_the_nth_call_only() {
    let connector = faulty();
    let key = put(&connector, b"a").await;
    connector.nth(Op::Get, 2, Fault::Fail(cut()));
    assert!(get(&connector, &key).await.is_ok());
    assert_eq!(get(&connector, &key).await, Err(ErrorKind::Unavailable));
    assert!(get(&connector, &key).await.is_ok());
    connector.next(Op::Get, Fault::Fail(cut()));
    assert!(get(&connector, &key).await.is_err());
    assert!(get(&connector, &key).await.is_ok());
}

#[tokio::test]
async fn fails_every_call_until_healed() {
    let connector = faulty();
    let key = put(&connector, b"a").await;
    connector.every(Op::Evict, Fault::Fail(cut()));
    assert!(connector.evict(&key).await.is_err());
    assert!(connector.evict(&key).await.is_err());
    assert!(get(&connector, &key).await.unwrap().is_some(), "a failed call does nothing");
    connector.heal();
    connector.evict(&key).await.unwrap();
    assert_eq!(get(&connector, &key).await, Ok(None));
}

#[tokio::test]
async fn fails_after_the_write() {
    let connector = faulty();
    let key = connector.new_key(Default::default()).unwrap();
    connector.every(Op::Put, Fault::FailAfter(cut().with_kind(ErrorKind::Ambiguous)));
    let put = connector.put(&key, b"a"[..].into(), &PutOptions::default()).await;
    assert_eq!(put.unwrap_err().kind(), ErrorKind::Ambiguous);
    assert!(get(&connector, &key).await.unwrap().is_some(), "the write happened");
}

#[tokio::test]
async fn batches_go_wrong_item_by_item() {
    let connector = faulty();
    let keys = [put(&connector, b"abc").await, put(&connector, b"abd").await];
    connector.next(Op::GetMany, Fault::Fail(cut()));
    assert!(connector.get_many(&keys).await.iter().all(Result::is_err));
    connector.next(Op::GetMany, Fault::Truncate(2));
    let cut: Vec<_> = connector.get_many(&keys).await.into_iter().map(|it| it.unwrap().unwrap()).collect();
    assert_eq!(cut, [Payload::from(&b"ab"[..]), Payload::from(&b"ab"[..])]);
}

#[tokio::test(start_paused = true)]
async fn hangs_until_released() {
    let connector = faulty();
    let key = put(&connector, b"a").await;
    connector.every(Op::Get, Fault::Hang);
    let task = tokio::spawn({
        let (connector, key) = (connector.clone(), key.clone());
        async move { get(&connector, &key).await }
    });
    connector.reached(Op::Get, 1).await;
    let mut task = task;
    assert!(timeout(Duration::from_secs(3_600), &mut task).await.is_err(), "it hangs");
    connector.release();
    assert!(task.await.unwrap().unwrap().is_some());
    assert!(
        timeout(Duration::from_secs(1), get(&connector, &key)).await.is_err(),
        "the next call hangs again"
    );
}

#[tokio::test(start_paused = true)]
async fn delays() {
    let connector = faulty();
    let key = put(&connector, b"a").await;
    connector.next(Op::Get, Fault::Delay(Duration::from_secs(7)));
    let start = Instant::now();
    assert!(get(&connector, &key).await.unwrap().is_some());
    assert_eq!(start.elapsed().as_secs(), 7);
}

#[tokio::test]
async fn damages_objects() {
    let connector = faulty();
    let (key, other) = (put(&connector, b"abc").await, put(&connector, b"xyz").await);
    connector.next(Op::Get, Fault::Flip(1));
    assert_eq!(get(&connector, &key).await, Ok(Some(Bytes::from_static(b"acc"))));
    connector.next(Op::Get, Fault::Truncate(2));
    assert_eq!(get(&connector, &key).await, Ok(Some(Bytes::from_static(b"ab"))));
    connector.next(Op::Get, Fault::OtherKey(other));
    assert_eq!(get(&connector, &key).await, Ok(Some(Bytes::from_static(b"xyz"))));
    assert_eq!(get(&connector, &key).await, Ok(Some(Bytes::from_static(b"abc"))), "what is stored is whole");
    connector.next(Op::Put, Fault::Truncate(1));
    let torn = put(&connector, b"abc").await;
    assert_eq!(get(&connector, &torn).await, Ok(Some(Bytes::from_static(b"a"))), "damaged on its way in");
}

#[tokio::test]
async fn chance_follows_the_seed() {
    async fn pattern(seed: u64) -> Vec<bool> {
        let connector = faulty();
        let key = put(&connector, b"a").await;
        connector.sometimes(Op::Get, 0.3, seed, Fault::Fail(cut()));
        let mut failed = Vec::new();
        for _ in 0..200 {
            failed.push(get(&connector, &key).await.is_err());
        }
        failed
    }
    let first = pattern(1).await;
    let failures = first.iter().filter(|failed| **failed).count();
    assert!((30..90).contains(&failures), "{failures} of 200 failed, 60 were asked for");
    assert_eq!(first, pattern(1).await);
    assert_ne!(first, pattern(2).await);
}
