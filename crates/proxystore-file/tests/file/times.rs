//! Expiry against puts, touches, creates and sweeps.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proxystore_core::{Connector, ConnectorConfig, Key, Origin, PutOptions};
use proxystore_file::{FileConfig, FileConnector};
use proxystore_testkit::cancel::eventually;
use proxystore_testkit::sample;
use rustix::fs::{FlockOperation, flock};

use super::{Place, creating, files, key};

const NOW: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(600);

fn lasting(ttl: Duration) -> PutOptions {
    PutOptions { ttl: Some(ttl), ..PutOptions::default() }
}

/// Sweeps without pause until dropped.
struct Sweeper {
    done: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<u64>,
}

impl Sweeper {
    fn start(connector: FileConnector) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let stop = done.clone();
        let task = tokio::spawn(async move {
            let mut objects = 0;
            while !stop.load(Ordering::Relaxed) {
                objects += connector.sweep().await.unwrap().objects;
            }
            objects
        });
        Self { done, task }
    }

    /// How many objects it removed.
    async fn stop(self) -> u64 {
        self.done.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

#[tokio::test]
async fn an_expired_object_is_absent_before_any_sweep_and_gone_after() {
    let place = Place::new().await;
    let connector = &place.connector;
    // The sweep that comes with opening is over when an expired object stays.
    let long = key(&format!("{}/{}", "x".repeat(200), "y".repeat(200)));
    for k in [key("k"), long] {
        connector.put(&k, vec![1].into(), &lasting(NOW)).await.unwrap();
        assert!(place.get(&k).await.is_none());
        assert!(!connector.exists(&k).await.unwrap());
        assert!(!connector.touch(&k, LONG).await.unwrap());
        assert!(connector.take(&k).await.unwrap().is_none());
        connector.put(&k, vec![2].into(), &lasting(LONG)).await.unwrap();
        assert!(connector.touch(&k, NOW).await.unwrap());
        assert!(place.get(&k).await.is_none());
        connector.put(&k, vec![3].into(), &creating()).await.unwrap();
        assert!(connector.touch(&k, Duration::MAX).await.unwrap());
        assert_eq!(place.get(&k).await.unwrap(), vec![3]);
        connector.put(&k, vec![4].into(), &lasting(NOW)).await.unwrap();
    }
    connector.put(&key("stays"), vec![5].into(), &lasting(LONG)).await.unwrap();
    eventually(Duration::from_secs(20), || async {
        connector.sweep().await.unwrap();
        files(&place.root()).len() == 3
    })
    .await;
    assert!(place.get(&key("stays")).await.is_some());
    let shards = fs::read_dir(place.root()).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir());
    let below = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap()).count();
    assert_eq!(below, 1, "the directories of long keys go when they are empty");
}

#[tokio::test]
async fn the_sweeper_works_on_its_own_and_ends_with_the_connector() {
    let place = Place::new().await;
    let config = FileConfig { root: place.root(), sweep: Duration::from_millis(5), ..FileConfig::default() };
    let sweeping = config.clone().connect(Origin::Program).await.unwrap();
    place.connector.put(&key("k"), vec![1].into(), &lasting(NOW)).await.unwrap();
    eventually(Duration::from_secs(20), || async { files(&place.root()).len() == 2 }).await;
    sweeping.close().await.unwrap();
    assert!(sweeping.sweep().await.is_err());
    // What a dead process left is removed when the next one opens the store.
    place.connector.close().await.unwrap();
    let reference = config.clone().connect(Origin::Reference).await.unwrap();
    reference.put(&key("k"), vec![1].into(), &lasting(NOW)).await.unwrap();
    let config = FileConfig { sweep: LONG, ..config };
    let _opened = config.connect(Origin::Program).await.unwrap();
    eventually(Duration::from_secs(20), || async { files(&place.root()).len() == 2 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_put_is_lost_to_a_sweep() {
    let place = Place::new().await;
    let sweeper = Sweeper::start(place.again().await);
    let long = key(&format!("{}/{}", "x".repeat(200), "y".repeat(200)));
    let keys = [key("a"), key("b"), long];
    for round in 0..700u64 {
        let k = &keys[round as usize % keys.len()];
        place.connector.put(k, vec![0].into(), &lasting(NOW)).await.unwrap();
        if round % 7 == 0 {
            tokio::time::sleep(Duration::from_micros(500 * (round % 5))).await;
        }
        let options = if round % 2 == 0 { creating() } else { PutOptions::default() };
        place.connector.put(k, sample::make(round, 100).into(), &options).await.unwrap();
        tokio::task::yield_now().await;
        let got = place.connector.get(k).await.unwrap().unwrap_or_else(|| panic!("put {round} was lost"));
        assert_eq!(sample::seed(got), Ok(round));
    }
    assert!(sweeper.stop().await > 0, "the sweeper never had anything to do");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_touch_is_lost_to_a_sweep() {
    let place = Place::new().await;
    let sweeper = Sweeper::start(place.again().await);
    let (mut touched, mut late) = (0, 0);
    for round in 0..300u64 {
        let k = key(&format!("k{}", round % 4));
        place.connector.put(&k, vec![1].into(), &lasting(Duration::from_millis(3))).await.unwrap();
        tokio::time::sleep(Duration::from_micros(round % 60 * 100)).await;
        if place.connector.touch(&k, LONG).await.unwrap() {
            touched += 1;
            tokio::task::yield_now().await;
            assert!(place.get(&k).await.is_some(), "an object is gone after a touch in round {round}");
        } else {
            late += 1;
            assert!(place.get(&k).await.is_none(), "an object is back in round {round}");
        }
    }
    sweeper.stop().await;
    assert!(touched > 10 && late > 10, "{touched} touched, {late} late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_create_over_an_expired_object_wins() {
    let place = Place::new().await;
    let sweeper = Sweeper::start(place.again().await);
    let (first, second) = (Arc::new(place.again().await), Arc::new(place.again().await));
    for round in 0..100 {
        let k: Key = key(&format!("k{}", round % 3));
        first.evict(&k).await.unwrap();
        first.put(&k, vec![1].into(), &lasting(NOW)).await.unwrap();
        let creators = (0..16u64).map(|i| {
            let (connector, k) = ([&first, &second][i as usize % 2].clone(), k.clone());
            tokio::spawn(async move {
                connector.put(&k, sample::make(i, 100).into(), &creating()).await.is_ok().then_some(i)
            })
        });
        let won =
            futures_util::future::join_all(creators).await.into_iter().filter_map(|winner| winner.unwrap());
        let winners: Vec<_> = won.collect();
        let got = place.connector.get(&k).await.unwrap().expect("an object that was created");
        assert_eq!(winners, [sample::seed(got).unwrap()]);
    }
    sweeper.stop().await;
}

/// The directory of `key`'s shard, locked as another process would.
async fn locked(place: &Place, key: &Key, how: FlockOperation) -> fs::File {
    let shard = fs::File::open(place.file(key).parent().unwrap()).unwrap();
    eventually(Duration::from_secs(5), || async { flock(&shard, how).is_ok() }).await;
    shard
}

/// Whether `operation` waits while `lock` is held, and ends when it is not.
async fn waits<T>(lock: fs::File, operation: impl Future<Output = proxystore_core::Result<T>>) -> T {
    let mut operation = std::pin::pin!(operation);
    let early = tokio::time::timeout(Duration::from_millis(30), &mut operation).await;
    assert!(early.is_err(), "the operation did not wait for the lock");
    drop(lock);
    operation.await.unwrap()
}

#[tokio::test]
async fn who_publishes_waits_for_who_removes_and_readers_for_nobody() {
    let place = Place::new().await;
    let (k, connector, options) = (key("k"), &place.connector, PutOptions::default());
    connector.put(&k, vec![1].into(), &options).await.unwrap();
    let lock = async || locked(&place, &k, FlockOperation::NonBlockingLockExclusive).await;
    waits(lock().await, connector.put(&k, vec![2].into(), &options)).await;
    assert!(waits(lock().await, connector.touch(&k, LONG)).await);
    assert!(waits(lock().await, connector.take(&k)).await.is_some());
    connector.put(&k, vec![3].into(), &options).await.unwrap();
    let held = lock().await;
    assert_eq!(place.get(&k).await.unwrap(), vec![3]);
    assert!(connector.exists(&k).await.unwrap());
    connector.evict(&k).await.unwrap();
    drop(held);
}

#[tokio::test]
async fn who_removes_waits_for_who_publishes() {
    let place = Place::new().await;
    let (k, connector) = (key("k"), &place.connector);
    connector.sweep().await.unwrap();
    let lock = async || locked(&place, &k, FlockOperation::NonBlockingLockShared).await;
    connector.put(&k, vec![1].into(), &lasting(LONG)).await.unwrap();
    assert!(waits(lock().await, connector.take(&k)).await.is_some());
    for create in [false, true] {
        // The sweep that comes with opening may be under way still; it waits as well.
        connector.put(&k, vec![1].into(), &lasting(LONG)).await.unwrap();
        let held = lock().await;
        assert!(connector.touch(&k, NOW).await.unwrap(), "who publishes does not wait for its like");
        if create {
            waits(held, connector.put(&k, vec![2].into(), &creating())).await;
        } else {
            waits(held, connector.sweep()).await;
        }
    }
    assert_eq!(place.get(&k).await.unwrap(), vec![2]);
}

#[tokio::test]
async fn a_lock_that_is_never_released_times_out() {
    let place = Place::new().await;
    let k = key("k");
    place.connector.put(&k, vec![1].into(), &PutOptions::default()).await.unwrap();
    let _lock = locked(&place, &k, FlockOperation::NonBlockingLockExclusive).await;
    let error = place.connector.put(&k, vec![3].into(), &PutOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), proxystore_core::ErrorKind::Timeout, "{error}");
    assert!(error.is_transient());
    assert_eq!(place.get(&k).await.unwrap(), vec![1]);
    assert_eq!(super::temps(&place.root()), 0);
}
