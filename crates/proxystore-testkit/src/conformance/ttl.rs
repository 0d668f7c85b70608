//! Times to live: objects go on their own, neither early nor never.

use std::time::{Duration, Instant};

use proxystore_core::{ErrorKind, Key, PutOptions};
use tokio::time::sleep;

use super::{Harness, Outcome, creating};
use crate::cancel::eventually;
use crate::sample;

/// A time to live that a test can wait for.
const TTL: Duration = Duration::from_millis(400);
/// One that it never sees the end of.
const LONG: Duration = Duration::from_secs(600);
/// How late an object may go.
const LATE: Duration = Duration::from_secs(10);
/// What the clocks of backend and test may differ by.
const CLOCK: Duration = Duration::from_millis(5);

/// Waits until `key`, whose time of `TTL` began after `start`, is gone, and checks that it was there until then.
async fn goes(h: &Harness, key: &Key, start: Instant) {
    eventually(TTL + LATE, || async {
        let there = h.get(key).await.is_some();
        assert!(
            there || start.elapsed() + CLOCK >= TTL,
            "the object went after {:?} of {TTL:?}",
            start.elapsed()
        );
        !there
    })
    .await;
}

/// An object is there for its time, then it is absent for every operation.
pub async fn expires(h: &Harness) -> Outcome {
    h.needs(h.capabilities().ttl, "ttl")?;
    let (key, start) = (h.key(), Instant::now());
    h.put_for(&key, sample::make(1, 1_000), TTL).await;
    goes(h, &key, start).await;
    assert!(!h.connector().exists(&key).await.expect("exists"), "an expired object exists");
    assert!(
        !h.other().exists(&key).await.expect("exists"),
        "an expired object exists for the other connector"
    );
    let many = h.connector().get_many(std::slice::from_ref(&key)).await;
    assert!(matches!(&many[..], [Ok(None)]), "get_many of an expired object gives {many:?}");
    assert!(!h.connector().touch(&key, LONG).await.expect("touch"), "touch revives an expired object");
    assert!(h.get(&key).await.is_none(), "an expired object is back after a touch");
    Ok(())
}

/// `exists` turns false on its own, without a get in between.
pub async fn exists_turns_false(h: &Harness) -> Outcome {
    h.needs(h.capabilities().ttl, "ttl")?;
    let key = h.key();
    h.put_for(&key, sample::make(2, 10), TTL).await;
    eventually(TTL + LATE, || async { !h.connector().exists(&key).await.expect("exists") }).await;
    Ok(())
}

/// Batches carry the time to live.
pub async fn batches_expire(h: &Harness) -> Outcome {
    h.needs(h.capabilities().ttl, "ttl")?;
    let (keys, start) = (h.keys(20), Instant::now());
    let items = keys.iter().map(|key| (key.clone(), sample::make(3, 10).into())).collect();
    let options = PutOptions { ttl: Some(TTL), ..PutOptions::default() };
    for result in h.connector().put_many(items, &options).await {
        result.expect("put_many with a ttl");
    }
    for key in &keys {
        goes(h, key, start).await;
    }
    Ok(())
}

/// An expired key is free: it can be created.
pub async fn create_over_expired(h: &Harness) -> Outcome {
    h.needs(h.capabilities().ttl, "ttl")?;
    h.needs(h.capabilities().create, "create")?;
    let key = h.key();
    let options = PutOptions { ttl: Some(TTL), ..creating() };
    h.connector().put(&key, sample::make(4, 10).into(), &options).await.expect("create with a ttl");
    eventually(TTL + LATE, || async {
        match h.create(&key, sample::make(5, 20)).await {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::Exists => false,
            Err(error) => panic!("create over an object that expires: {error}"),
        }
    })
    .await;
    assert!(h.get(&key).await == Some(sample::make(5, 20)), "the new object is not got");
    sleep(TTL * 2).await;
    assert!(h.get(&key).await.is_some(), "the new object took over the time of the old one");
    Ok(())
}

/// Without a time to live an object stays, and an overwrite takes the time of the former object away.
pub async fn stays_without_ttl(h: &Harness) -> Outcome {
    h.needs(h.capabilities().ttl, "ttl")?;
    let (plain, overwritten, long, short) = (h.key(), h.key(), h.key(), h.key());
    h.put(&plain, sample::make(6, 10)).await;
    h.put_for(&overwritten, sample::make(7, 10), TTL).await;
    h.put(&overwritten, sample::make(8, 10)).await;
    h.put_for(&long, sample::make(9, 10), Duration::from_secs(100 * 365 * 24 * 3600)).await;
    let start = Instant::now();
    h.put_for(&short, sample::make(10, 10), TTL).await;
    goes(h, &short, start).await;
    sleep(TTL).await;
    assert!(h.get(&plain).await.is_some(), "an object without a ttl went");
    assert!(
        h.get(&overwritten).await == Some(sample::make(8, 10)),
        "an overwrite without a ttl kept the old ttl"
    );
    assert!(h.get(&long).await.is_some(), "an object with a ttl of a century went");
    Ok(())
}

/// A touch gives more time.
pub async fn touch_extends(h: &Harness) -> Outcome {
    h.needs(h.capabilities().ttl, "ttl")?;
    let mut ttl = TTL;
    // On a machine that stalls between put and touch, the object is gone: try again with more time.
    let key = loop {
        let (key, start) = (h.key(), Instant::now());
        h.put_for(&key, sample::make(11, 10), ttl).await;
        if h.connector().touch(&key, LONG).await.expect("touch") {
            break key;
        }
        assert!(start.elapsed() + CLOCK >= ttl, "touch of an object that is there gives false");
        ttl *= 2;
    };
    sleep(ttl * 2).await;
    assert!(h.get(&key).await.is_some(), "an object went in spite of a touch");
    Ok(())
}

/// A touch gives less time, also to an object that had no end.
pub async fn touch_shortens(h: &Harness) -> Outcome {
    h.needs(h.capabilities().ttl, "ttl")?;
    for ttl in [None, Some(LONG)] {
        let key = h.key();
        let options = PutOptions { ttl, ..PutOptions::default() };
        h.connector().put(&key, sample::make(12, 10).into(), &options).await.expect("put");
        let start = Instant::now();
        assert!(h.connector().touch(&key, TTL).await.expect("touch"), "touch of an object gives false");
        goes(h, &key, start).await;
    }
    Ok(())
}

/// A touch of what is not there is `false` and creates nothing.
pub async fn touch_of_missing(h: &Harness) -> Outcome {
    h.needs(h.capabilities().ttl, "ttl")?;
    let key = h.key();
    assert!(!h.connector().touch(&key, LONG).await.expect("touch"), "touch of a missing key gives true");
    assert!(h.get(&key).await.is_none(), "touch created an object");
    Ok(())
}

/// Where the backend does not enforce times, asking for one is `Unsupported` and stores nothing.
pub async fn unsupported_is_said(h: &Harness) -> Outcome {
    h.needs(!h.capabilities().ttl, "lack of ttl")?;
    let key = h.key();
    let options = PutOptions { ttl: Some(LONG), ..PutOptions::default() };
    let put = h.connector().put(&key, sample::make(13, 10).into(), &options).await;
    assert_eq!(put.expect_err("put with a ttl").kind(), ErrorKind::Unsupported, "put with a ttl");
    assert!(h.get(&key).await.is_none(), "a refused put stored the object");
    let touch = h.connector().touch(&key, LONG).await;
    assert_eq!(touch.expect_err("touch").kind(), ErrorKind::Unsupported, "touch");
    Ok(())
}
