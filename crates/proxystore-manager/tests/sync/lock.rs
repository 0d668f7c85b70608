//! `Lock`.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use proxystore_manager::sync::{LockProxy, SyncError};
use proxystore_manager::{CallError, RemoteErrorKind};
use tokio::time::{Instant, timeout};

use crate::common::{Fragile, SECOND, builder, objects, pair, settle};

const NOT_HELD: CallError<SyncError> = CallError::App(SyncError::NotHeld);

#[tokio::test]
async fn only_one_holds_it_and_fencing_numbers_grow() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let lock = LockProxy::create(manager).await.unwrap();
        let (inside, last) = (Arc::<AtomicUsize>::default(), Arc::<AtomicU64>::default());
        let holders = (0..50).map(|_| {
            let (lock, inside, last) = (lock.clone(), inside.clone(), last.clone());
            tokio::spawn(async move {
                let guard = lock.acquire().await.unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                assert!(last.swap(guard.fence(), Ordering::SeqCst) < guard.fence());
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                guard.release().await.unwrap();
            })
        });
        join_all(holders.collect::<Vec<_>>()).await.into_iter().for_each(|holder| holder.unwrap());
    }
    objects(&manager, 0).await;
}

#[tokio::test]
async fn fencing_numbers_are_above_those_of_a_manager_that_ran_before() {
    let (manager, _client) = pair().await;
    let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let guard = LockProxy::create(&manager).await.unwrap().acquire().await.unwrap();
    // Many more than one process could have given out until then.
    assert!(u128::from(guard.fence()) >= before.as_micros());
}

#[tokio::test(start_paused = true)]
async fn who_waits_first_goes_first() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let lock = LockProxy::create(manager).await.unwrap();
        let guard = lock.acquire().await.unwrap();
        let waiting = (0..20).map(|_| async { lock.acquire().await.unwrap().fence() });
        let (fences, ()) = futures_util::future::join(join_all(waiting), async {
            settle().await;
            drop(guard);
        })
        .await;
        assert!(fences.is_sorted(), "{fences:?}");
        assert_eq!(fences.iter().collect::<HashSet<_>>().len(), 20);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_may_have_a_time() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let lock = LockProxy::create(manager).await.unwrap();
        let guard = lock.acquire_within(Duration::ZERO).await.unwrap().unwrap();
        assert!(lock.acquire_within(Duration::ZERO).await.unwrap().is_none());
        let start = Instant::now();
        assert!(lock.acquire_within(SECOND).await.unwrap().is_none());
        assert_eq!(lock.acquire_detached(Some(SECOND)).await, Ok(None));
        assert!((2 * SECOND..3 * SECOND).contains(&start.elapsed()), "{:?}", start.elapsed());
        guard.release().await.unwrap();
        assert!(lock.acquire_within(SECOND).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn releasing_what_is_not_held_is_an_error() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let lock = LockProxy::create(manager).await.unwrap();
        assert_eq!(lock.release().await, Err(NOT_HELD));
        let guard = lock.acquire().await.unwrap();
        // A guard's lock is its own.
        assert_eq!(lock.release().await, Err(NOT_HELD));
        guard.clone().release().await.unwrap();
        assert_eq!(guard.release().await, Err(NOT_HELD));
        assert!(lock.acquire_detached(None).await.unwrap().is_some());
        assert_eq!(lock.release().await, Ok(()));
        assert_eq!(lock.release().await, Err(NOT_HELD));
    }
}

#[tokio::test(start_paused = true)]
async fn who_releases_late_does_not_take_it_from_the_next() {
    let (manager, _client) = pair().await;
    let lock = LockProxy::create(&manager).await.unwrap();
    let guard = lock.acquire().await.unwrap();
    let clone = guard.clone();
    guard.release().await.unwrap();
    let next = lock.acquire().await.unwrap();
    drop(clone);
    settle().await;
    assert!(lock.acquire_within(SECOND).await.unwrap().is_none());
    drop(next);
    assert!(lock.acquire_within(SECOND).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_leaves_the_queue() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let lock = LockProxy::create(manager).await.unwrap();
        let guard = lock.acquire().await.unwrap();
        timeout(SECOND, lock.acquire()).await.unwrap_err();
        timeout(SECOND, lock.acquire_detached(None)).await.unwrap_err();
        guard.release().await.unwrap();
        assert!(lock.acquire_within(SECOND).await.unwrap().is_some());
    }
    objects(&manager, 0).await;
}

/// Dropped after each number of polls: before it is sent, while it waits, when it is granted, when the result is there.
#[tokio::test(start_paused = true)]
async fn a_grant_that_nobody_receives_goes_to_the_next() {
    let (manager, client) = pair().await;
    let other = Fragile::new(&manager).await.client;
    for (name, manager) in [("home", &manager), ("away", &client)] {
        let lock = LockProxy::get_or_create(manager, name).await.unwrap();
        let same: LockProxy = other.lookup(name).await.unwrap();
        for pauses in 0..60 {
            let guard = same.acquire().await.unwrap();
            let mut first = Box::pin(lock.acquire());
            let mut second = Box::pin(lock.acquire_detached(None));
            for _ in 0..5 {
                assert!(futures_util::poll!(&mut first).is_pending());
                assert!(futures_util::poll!(&mut second).is_pending());
                tokio::task::yield_now().await;
            }
            drop(guard);
            for _ in 0..pauses {
                tokio::task::yield_now().await;
            }
            drop(first);
            for _ in 0..pauses {
                tokio::task::yield_now().await;
            }
            drop(second);
            let next = timeout(5 * SECOND, same.acquire()).await;
            next.unwrap_or_else(|_| panic!("after {pauses} steps")).unwrap().release().await.unwrap();
        }
        manager.unpublish(name).await.unwrap();
    }
    objects(&manager, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_is_cut_off_loses_it_with_its_lease_and_its_wait_too() {
    let (manager, client) = pair().await;
    let fragile = Fragile::new(&manager).await;
    let lock = LockProxy::get_or_create(&client, "lock").await.unwrap();
    let same: LockProxy = fragile.client.lookup("lock").await.unwrap();
    let guard = same.acquire().await.unwrap();
    let waiting = tokio::spawn({
        let same = same.clone();
        async move { same.acquire_detached(None).await }
    });
    settle().await;
    fragile.cut();
    let next = timeout(5 * SECOND, lock.acquire()).await.unwrap().unwrap();
    assert!(next.fence() > guard.fence());
    let CallError::Remote(lost) = guard.release().await.unwrap_err() else { panic!("an error of the way") };
    assert!(matches!(lost.kind(), RemoteErrorKind::MayHaveRun | RemoteErrorKind::ConnectionLost), "{lost}");
    waiting.await.unwrap().unwrap_err();
    // Nobody else is in the queue.
    next.release().await.unwrap();
    assert!(lock.acquire_within(Duration::ZERO).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn it_survives_a_break_of_the_connection() {
    let manager = builder().in_process().unwrap();
    let fragile = Fragile::new(&manager).await;
    let lock = LockProxy::create(&fragile.client).await.unwrap();
    let mut fences = Vec::new();
    for _ in 0..20 {
        let guard = lock.acquire().await.unwrap();
        fences.push(guard.fence());
        let next = tokio::spawn({
            let lock = lock.clone();
            async move { lock.acquire().await.unwrap() }
        });
        settle().await;
        fragile.break_now();
        guard.release().await.unwrap();
        fragile.break_now();
        let next = next.await.unwrap();
        fences.push(next.fence());
        fragile.break_now();
        next.release().await.unwrap();
    }
    assert!(fences.is_sorted(), "{fences:?}");
    drop(lock);
    objects(&manager, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_guard_can_be_handed_on() {
    let (manager, client) = pair().await;
    let lock = LockProxy::create(&client).await.unwrap();
    let guard = lock.acquire().await.unwrap();
    // As it would go over a socket.
    let letter = serde_json::to_string(&guard).unwrap();
    drop(guard);
    settle().await;
    assert!(lock.acquire_within(SECOND).await.unwrap().is_none());
    let guard: proxystore_manager::sync::Guard = serde_json::from_str(&letter).unwrap();
    guard.release().await.unwrap();
    assert!(lock.acquire_within(SECOND).await.unwrap().is_some());
    let _ = manager;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_wait() {
    let (manager, client) = pair().await;
    let lock = LockProxy::create(&client).await.unwrap();
    let guard = lock.acquire().await.unwrap();
    let waiting =
        join_all((0..1000).map(|_| async { lock.acquire().await.unwrap().release().await.unwrap() }));
    let release = async {
        settle().await;
        guard.release().await.unwrap();
    };
    timeout(60 * SECOND, futures_util::future::join(waiting, release)).await.unwrap();
    drop(lock);
    objects(&manager, 0).await;
}

/// Its own lock was released by somebody else, and the next one has it.
#[tokio::test(start_paused = true)]
async fn who_never_received_it_does_not_take_it_from_the_next() {
    let (manager, client) = pair().await;
    let fragile = Fragile::new(&manager).await;
    let lock = LockProxy::get_or_create(&client, "lock").await.unwrap();
    let same: LockProxy = fragile.client.lookup("lock").await.unwrap();
    let guard = lock.acquire().await.unwrap();
    let lost = tokio::spawn(async move { same.acquire_detached(None).await });
    settle().await;
    fragile.cut();
    guard.release().await.unwrap();
    lock.release().await.unwrap();
    assert!(lock.acquire_detached(None).await.unwrap().is_some());
    lost.await.unwrap().unwrap_err();
    assert!(lock.acquire_within(5 * SECOND).await.unwrap().is_none());
}
