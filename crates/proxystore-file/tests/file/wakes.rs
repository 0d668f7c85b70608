//! Watches across connectors, runtimes and directories that go.

use std::time::{Duration, Instant};

use proxystore_core::{Connector, Key, PutOptions};
use tokio::time::timeout;

use super::{Place, creating, key, open};

const WAKE: Duration = Duration::from_secs(5);

fn long_key() -> Key {
    key(&format!("{}/{}", "x".repeat(200), "y".repeat(200)))
}

#[tokio::test]
async fn a_watch_wakes_for_every_way_a_key_changes() {
    let place = Place::new().await;
    let second = place.again().await;
    for k in [key("k"), key("a/b"), long_key()] {
        for options in [creating(), PutOptions::default()] {
            let mut watch = place.connector.watch(&k).await.unwrap();
            second.put(&k, vec![1; 100].into(), &options).await.unwrap();
            timeout(WAKE, watch.wake()).await.unwrap_or_else(|_| panic!("no wake of {k}"));
        }
    }
    let mut watch = place.connector.watch(&key("k")).await.unwrap();
    second.evict(&key("k")).await.unwrap();
    timeout(WAKE, watch.wake()).await.expect("a wake when an object goes");
}

#[tokio::test]
async fn a_watch_wakes_within_milliseconds() {
    let place = Place::new().await;
    let second = place.again().await;
    let mut times = Vec::new();
    for i in 0..50 {
        let k = key(&format!("k{i}"));
        let mut watch = place.connector.watch(&k).await.unwrap();
        second.put(&k, vec![1].into(), &PutOptions::default()).await.unwrap();
        let start = Instant::now();
        timeout(WAKE, watch.wake()).await.unwrap();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    println!("wakes after the put has returned: median {:?}, slowest {:?}", times[25], times[49]);
    assert!(times[25] < Duration::from_millis(50), "{times:?}");
}

#[tokio::test]
async fn other_keys_of_the_directory_do_not_wake() {
    let place = Place::new().await;
    // 300 keys share 256 directories, so some are in that of `k`.
    let mut watch = place.connector.watch(&key("k")).await.unwrap();
    for i in 0..2_000 {
        place
            .connector
            .put(&key(&format!("other{i}")), vec![1].into(), &PutOptions::default())
            .await
            .unwrap();
    }
    assert!(timeout(Duration::from_millis(50), watch.wake()).await.is_err(), "a wake for nothing");
    place.connector.put(&key("k"), vec![1].into(), &PutOptions::default()).await.unwrap();
    timeout(WAKE, watch.wake()).await.unwrap();
}

#[test]
fn watches_outlive_the_runtime_of_the_first() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let place = first.block_on(Place::new());
    let mut early = first.block_on(place.connector.watch(&key("k"))).unwrap();
    drop(first);
    let second = runtime();
    second.block_on(async {
        let connector = open(&place.root()).await;
        let mut late = connector.watch(&key("k")).await.unwrap();
        connector.put(&key("k"), vec![1].into(), &PutOptions::default()).await.unwrap();
        timeout(WAKE, late.wake()).await.unwrap();
        timeout(WAKE, early.wake()).await.unwrap();
    });
}

#[tokio::test]
async fn a_directory_that_goes_wakes_those_who_wait() {
    let place = Place::new().await;
    let mut watch = place.connector.watch(&key("k")).await.unwrap();
    std::fs::remove_dir_all(place.root()).unwrap();
    timeout(WAKE, watch.wake()).await.unwrap();
}
