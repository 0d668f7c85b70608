//! Concurrent operations on one key and on many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use proxystore_core::{Bytes, Payload};

use super::{Harness, Outcome, get, put};
use crate::sample;

/// A get that races an evict gives the whole object or nothing, and never an error.
pub async fn evict_racing_get(h: &Harness) -> Outcome {
    for round in 0..200 {
        let (key, len) = (h.key(), if round % 10 == 0 { 200_000 } else { 5_000 });
        let len = h.fitting(&[len, 1_000, 20]).next().unwrap_or(0);
        h.put(&key, sample::make(round, len)).await;
        let getters = (0..4).map(|i| {
            let (connector, key) = ([h.connector(), h.other()][i % 2].clone(), key.clone());
            tokio::spawn(async move { connector.get(&key).await })
        });
        let getters: Vec<_> = getters.collect();
        h.connector().evict(&key).await.expect("evict");
        for getter in getters {
            let got = getter.await.expect("a getter");
            let got = got.unwrap_or_else(|error| panic!("a get that raced an evict failed: {error}"));
            if let Some(object) = got {
                assert_eq!(sample::seed(object), Ok(round), "a get that raced an evict");
            }
        }
        assert!(h.get(&key).await.is_none(), "an evicted object is there");
    }
    Ok(())
}

/// A get that races overwrites always gives one of the written objects, whole; never nothing.
pub async fn overwrite_racing_get(h: &Harness) -> Outcome {
    let key = h.key();
    h.put(&key, sample::make(0, 1_000)).await;
    let done = Arc::new(AtomicBool::new(false));
    let readers = (0..4).map(|i| {
        let (connector, key) = ([h.connector(), h.other()][i % 2].clone(), key.clone());
        let done = done.clone();
        tokio::spawn(async move {
            while !done.load(Ordering::SeqCst) {
                let got = get(&connector, &key).await.expect("an object, while it is overwritten");
                let seed =
                    sample::seed(got).unwrap_or_else(|why| panic!("a get that raced an overwrite: {why}"));
                assert!(seed <= 300, "an object that nobody has put");
                tokio::task::yield_now().await;
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    let sizes: Vec<_> = h.fitting(&[100_000, 1_000, 40, 30_000]).collect();
    for seed in 1..=300 {
        h.put(&key, sample::make(seed, sizes[seed as usize % sizes.len()])).await;
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.expect("a reader");
    }
    assert_eq!(sample::seed(h.get(&key).await.unwrap_or_default()), Ok(300), "the last overwrite holds");
    Ok(())
}

/// Concurrent overwrites of one key leave one of them, whole.
pub async fn overwrites_racing(h: &Harness) -> Outcome {
    for _ in 0..20 {
        let key = h.key();
        let writers = (0..8).map(|i| {
            let (connector, key) = ([h.connector(), h.other()][i % 2].clone(), key.clone());
            tokio::spawn(async move { put(&connector, &key, sample::make(i as u64, 500 * (i + 1))).await })
        });
        for writer in join_all(writers).await {
            writer.expect("a writer");
        }
        let last = sample::seed(h.get(&key).await.expect("an object after overwrites"));
        assert!(last.as_ref().is_ok_and(|seed| *seed < 8), "after racing overwrites: {last:?}");
    }
    Ok(())
}

/// 200 tasks with mixed operations on their own keys and on shared ones do not disturb each other.
pub async fn mixed_tasks(h: &Harness) -> Outcome {
    let shared = h.keys(8);
    for (i, key) in shared.iter().enumerate() {
        h.put(key, sample::make(i as u64, 2_000)).await;
    }
    let tasks = (0..200u64).map(|i| {
        let connector = [h.connector(), h.other()][i as usize % 2].clone();
        let (mine, shared) = (h.key(), shared.clone());
        tokio::spawn(async move {
            for round in 0..5u64 {
                let value = sample::make(i * 100 + round, 100 + (i as usize * 37) % 3_000);
                put(&connector, &mine, value.clone()).await;
                assert!(get(&connector, &mine).await == Some(value), "a task's own object is another");
                let at = (i + round) as usize % shared.len();
                let got = get(&connector, &shared[at]).await.unwrap_or_default();
                assert_eq!(sample::seed(got), Ok(at as u64), "a shared object");
                let keys = [shared[at].clone(), mine.clone()];
                let many = connector.get_many(&keys).await.into_iter();
                let many: Vec<_> = many.map(|it| it.expect("get_many").map(Payload::into_bytes)).collect();
                assert!(many.iter().all(Option::is_some), "get_many misses an object that is there");
                if round % 2 == 1 {
                    connector.evict(&mine).await.expect("evict");
                    assert!(
                        !connector.exists(&mine).await.expect("exists"),
                        "a task's evicted object exists"
                    );
                    assert!(get(&connector, &mine).await.is_none(), "a task's evicted object is there");
                }
            }
            (mine, sample::make(i * 100 + 4, 100 + (i as usize * 37) % 3_000))
        })
    });
    for task in join_all(tasks).await {
        let (key, value): (_, Bytes) = task.expect("a task");
        assert!(h.get(&key).await == Some(value), "after all tasks, a key holds another object");
    }
    Ok(())
}
