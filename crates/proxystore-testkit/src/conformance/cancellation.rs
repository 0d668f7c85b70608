//! Futures dropped at each of their await points: keys stay whole, and the connector stays usable.

use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use proxystore_core::{Key, Payload, PutOptions};
use tokio::time::timeout;

use super::{Harness, Outcome};
use crate::cancel::poll_and_drop;
use crate::sample;

/// An operation is dropped after 0 to this many polls.
const POLLS: usize = 12;
/// How long the connector may take for one object after a drop.
const USABLE: Duration = Duration::from_secs(20);
/// The object in place before, and the one that a dropped write brings.
const OLD: u64 = 1;
const NEW: u64 = 2;

/// Large enough that no single read or write does it.
fn large(h: &Harness, seed: u64) -> Payload {
    sample::make(seed, h.fitting(&[300_000, 1_000, 16]).next().unwrap_or(0)).into()
}

async fn usable(h: &Harness) {
    let round_trip = async {
        let key = h.key();
        h.put(&key, sample::make(3, 100)).await;
        assert!(h.get(&key).await == Some(sample::make(3, 100)), "after a drop, get gives something else");
        h.connector().evict(&key).await.expect("evict");
    };
    timeout(USABLE, round_trip).await.unwrap_or_else(|_| panic!("after a drop, the connector hangs"));
}

/// Which objects a key may hold after a drop.
async fn holds(h: &Harness, key: &Key, allowed: &[Option<u64>], what: &str) {
    let get = timeout(USABLE, h.connector().get(key)).await;
    let got = get.unwrap_or_else(|_| panic!("after a dropped {what}, get hangs"));
    let got = got.unwrap_or_else(|error| panic!("after a dropped {what}, get fails: {error}"));
    let seed = got.map(|object| {
        sample::seed(object).unwrap_or_else(|why| panic!("after a dropped {what}, the object is {why}"))
    });
    assert!(
        allowed.contains(&seed),
        "after a dropped {what}, the key holds {seed:?} and not one of {allowed:?}"
    );
}

/// Drops `operation` on a key that holds the old object, after each number of polls, and checks what it left.
async fn sweep<F: Future>(h: &Harness, what: &str, allowed: &[Option<u64>], operation: impl Fn(Key) -> F) {
    for polls in 0..=POLLS {
        let key = h.key();
        h.put(&key, large(h, OLD)).await;
        let completed = poll_and_drop(operation(key.clone()), polls).await.is_some();
        holds(h, &key, allowed, what).await;
        usable(h).await;
        if completed {
            break;
        }
    }
}

/// A dropped put leaves the old object or the new one.
pub async fn put_dropped(h: &Harness) -> Outcome {
    let (options, allowed) = (PutOptions::default(), [Some(OLD), Some(NEW)]);
    let put = async |key: Key| h.connector().put(&key, large(h, NEW), &options).await;
    sweep(h, "put", &allowed, put).await;
    let many = async |key: Key| {
        let items = vec![(key, large(h, NEW)), (h.key(), large(h, NEW)), (h.key(), large(h, NEW))];
        h.connector().put_many(items, &options).await
    };
    sweep(h, "put_many", &allowed, many).await;
    Ok(())
}

/// A dropped put of a free key leaves the new object or none.
pub async fn first_put_dropped(h: &Harness) -> Outcome {
    let mut modes = vec![PutOptions::default()];
    if h.capabilities().create {
        modes.push(super::creating());
    }
    for options in modes {
        for polls in 0..=POLLS {
            let key = h.key();
            let put = h.connector().put(&key, large(h, NEW), &options);
            let completed = poll_and_drop(put, polls).await.is_some();
            holds(h, &key, &[None, Some(NEW)], "first put").await;
            usable(h).await;
            if completed {
                break;
            }
        }
    }
    Ok(())
}

/// A dropped read changes nothing.
pub async fn reads_dropped(h: &Harness) -> Outcome {
    let allowed = [Some(OLD)];
    sweep(h, "get", &allowed, async |key: Key| h.connector().get(&key).await).await;
    sweep(h, "exists", &allowed, async |key: Key| h.connector().exists(&key).await).await;
    sweep(h, "get_many", &allowed, async |key: Key| {
        h.connector().get_many(&[h.key(), key.clone(), key]).await
    })
    .await;
    sweep(h, "watch", &allowed, async |key: Key| h.connector().watch(&key).await).await;
    if h.capabilities().ttl {
        let hour = Duration::from_secs(3_600);
        sweep(h, "touch", &allowed, async |key: Key| h.connector().touch(&key, hour).await).await;
    }
    Ok(())
}

/// A dropped evict or take leaves the object or nothing.
pub async fn removals_dropped(h: &Harness) -> Outcome {
    let allowed = [Some(OLD), None];
    sweep(h, "evict", &allowed, async |key: Key| h.connector().evict(&key).await).await;
    sweep(h, "evict_many", &allowed, async |key: Key| h.connector().evict_many(&[h.key(), key]).await).await;
    if h.capabilities().take {
        sweep(h, "take", &allowed, async |key: Key| h.connector().take(&key).await).await;
    }
    Ok(())
}

/// A hundred operations under way at once, all dropped: no connection, permit or lock stays behind.
pub async fn many_dropped_at_once(h: &Harness) -> Outcome {
    let key = h.key();
    h.put(&key, large(h, OLD)).await;
    for polls in [1, 2, 3, 5] {
        let gets = (0..50).map(|_| poll_and_drop(h.connector().get(&key), polls));
        let puts = (0..50).map(|_| async move {
            let key = h.key();
            poll_and_drop(h.connector().put(&key, large(h, NEW), &PutOptions::default()), polls).await;
        });
        tokio::join!(join_all(gets), join_all(puts));
        holds(h, &key, &[Some(OLD)], "crowd").await;
        usable(h).await;
    }
    Ok(())
}
