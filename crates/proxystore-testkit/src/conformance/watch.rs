//! Watches: hints that come most of the time, and never decide.

use std::time::Duration;

use futures_util::future::join_all;
use proxystore_core::Key;
use tokio::time::{sleep, timeout};

use super::{Harness, Outcome, put};
use crate::sample;

/// How long a wake-up may take.
const WAKE: Duration = Duration::from_secs(5);

/// Watches `key`, puts it by the other connector, and says whether the watch woke.
async fn wakes(h: &Harness, key: &Key) -> bool {
    let mut watch = h.connector().watch(key).await.expect("watch");
    put(h.other(), key, sample::make(1, 100)).await;
    timeout(WAKE, watch.wake()).await.is_ok()
}

/// Most of the time: at most one of ten is missed.
async fn mostly_wakes(h: &Harness, what: &str, keys: Vec<Key>) {
    let mut missed = 0;
    for key in &keys {
        missed += u32::from(!wakes(h, key).await);
        assert!(missed <= 1, "a watch did not wake on {what}");
    }
}

/// A watch of a key that is not there wakes when another connector puts it.
pub async fn wakes_on_put(h: &Harness) -> Outcome {
    h.needs(h.capabilities().watch, "watch")?;
    mostly_wakes(h, "the put of a missing key", h.keys(10)).await;
    Ok(())
}

/// A watch wakes when another connector replaces the object.
pub async fn wakes_on_overwrite(h: &Harness) -> Outcome {
    h.needs(h.capabilities().watch, "watch")?;
    let keys = h.keys(10);
    for key in &keys {
        h.put(key, sample::make(2, 100)).await;
    }
    mostly_wakes(h, "an overwrite", keys).await;
    Ok(())
}

/// All watches of a key wake, those of several tasks too.
pub async fn wakes_all(h: &Harness) -> Outcome {
    h.needs(h.capabilities().watch, "watch")?;
    let mut missed = 0;
    for _ in 0..3 {
        let key = h.key();
        let watches = join_all((0..8).map(|_| h.connector().watch(&key))).await;
        put(h.other(), &key, sample::make(3, 100)).await;
        let woken = join_all(watches.into_iter().map(|watch| async move {
            let mut watch = watch.expect("watch");
            timeout(WAKE, watch.wake()).await.is_ok()
        }));
        missed += woken.await.into_iter().filter(|woken| !woken).count();
        assert!(missed <= 2, "{missed} watches of one key did not wake");
    }
    Ok(())
}

/// Subscribe, check, wait for the watch or a tick: this loop never misses an object, whenever it is put. It holds
/// for connectors without watches too.
pub async fn wait_loop_never_misses(h: &Harness) -> Outcome {
    let rounds = (0..50u64).map(|round| async move {
        let key = h.key();
        let put_later = async {
            // Before, during and after the subscription.
            sleep(Duration::from_micros(round * 200)).await;
            put(h.other(), &key, sample::make(round, 100)).await;
        };
        let wait = async {
            loop {
                let mut watch = h.connector().watch(&key).await.expect("watch");
                if let Some(object) = h.get(&key).await {
                    return object;
                }
                let _ = timeout(Duration::from_millis(100), watch.wake()).await;
            }
        };
        let ((), object) = tokio::join!(put_later, wait);
        assert_eq!(sample::seed(object), Ok(round), "the object that was waited for");
    });
    timeout(Duration::from_secs(30), join_all(rounds)).await.expect("50 waiting loops end");
    Ok(())
}

/// Many watches, dropped before and after they woke, leave the connector as it was.
pub async fn dropped_watches(h: &Harness) -> Outcome {
    let (key, keys) = (h.key(), h.keys(100));
    for round in 0..5 {
        let same = join_all((0..100).map(|_| h.connector().watch(&key))).await;
        let others = join_all(keys.iter().map(|key| h.connector().watch(key))).await;
        for (i, watch) in same.into_iter().chain(others).enumerate() {
            let mut watch = watch.expect("watch");
            if i % 10 == 0 {
                let _ = timeout(Duration::from_micros(10), watch.wake()).await;
            }
        }
        h.put(&key, sample::make(round, 10)).await;
        h.put(&keys[0], sample::make(round, 10)).await;
        assert!(h.get(&key).await.is_some(), "an object is not got after watches of it were dropped");
    }
    if h.capabilities().watch {
        mostly_wakes(h, "a put after many dropped watches", h.keys(5)).await;
    }
    Ok(())
}
