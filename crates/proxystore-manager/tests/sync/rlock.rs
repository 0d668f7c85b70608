//! `RLock`.

use std::time::Duration;

use proxystore_manager::CallError;
use proxystore_manager::sync::{Holder, RLockProxy, SyncError};
use tokio::time::timeout;

use crate::common::{Fragile, SECOND, objects, pair, settle};

const NOT_HELD: CallError<SyncError> = CallError::App(SyncError::NotHeld);

#[tokio::test(start_paused = true)]
async fn its_holder_may_acquire_it_again_and_others_wait_for_the_last_release() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let lock = RLockProxy::create(manager).await.unwrap();
        let (me, other) = (Holder::new().unwrap(), Holder::new().unwrap());
        let outer = lock.acquire(me).await.unwrap();
        let inner = lock.acquire(me).await.unwrap();
        assert!(inner.fence() > outer.fence());
        assert!(lock.acquire_detached(me, None).await.unwrap().is_some());
        outer.release().await.unwrap();
        assert!(lock.acquire_within(other, SECOND).await.unwrap().is_none());
        inner.release().await.unwrap();
        assert_eq!(lock.acquire_detached(other, Some(Duration::ZERO)).await, Ok(None));
        lock.release(me).await.unwrap();
        assert!(lock.acquire_within(other, SECOND).await.unwrap().is_some());
    }
    objects(&manager, 0).await;
}

#[tokio::test(start_paused = true)]
async fn only_its_holder_releases_it_and_only_as_often_as_it_acquired() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let lock = RLockProxy::create(manager).await.unwrap();
        let (me, other) = (Holder::new().unwrap(), Holder::new().unwrap());
        assert_eq!(lock.release(me).await, Err(NOT_HELD));
        lock.acquire_detached(me, None).await.unwrap();
        lock.acquire_detached(me, None).await.unwrap();
        assert_eq!(lock.release(other).await, Err(NOT_HELD));
        assert_eq!((lock.release(me).await, lock.release(me).await), (Ok(()), Ok(())));
        assert_eq!(lock.release(me).await, Err(NOT_HELD));
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_waits_twice_gets_it_twice() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let lock = RLockProxy::create(manager).await.unwrap();
        let (me, before, between) = (Holder::new().unwrap(), Holder::new().unwrap(), Holder::new().unwrap());
        let guard = lock.acquire(before).await.unwrap();
        let acquire = |holder| {
            let lock = lock.clone();
            tokio::spawn(async move { lock.acquire(holder).await.unwrap() })
        };
        let mut waiting = Vec::new();
        for holder in [me, between, me] {
            waiting.push(acquire(holder));
            settle().await;
        }
        guard.release().await.unwrap();
        settle().await;
        // The second of mine needs no turn of its own: the first would wait for it in vain.
        let done: Vec<_> = waiting.iter().map(|waiting| waiting.is_finished()).collect();
        assert_eq!(done, [true, false, true]);
        drop((waiting.remove(0).await.unwrap(), waiting.remove(1).await.unwrap()));
        drop(timeout(5 * SECOND, waiting.remove(0)).await.unwrap().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn two_processes_may_be_one_holder_and_the_end_of_one_is_not_the_end_of_both() {
    let (manager, client) = pair().await;
    let fragile = Fragile::new(&manager).await;
    let lock = RLockProxy::get_or_create(&client, "lock").await.unwrap();
    let same: RLockProxy = fragile.client.lookup("lock").await.unwrap();
    let (me, other) = (Holder::new().unwrap(), Holder::new().unwrap());
    let _theirs = same.acquire(me).await.unwrap();
    let mine = lock.acquire(me).await.unwrap();
    fragile.cut();
    assert!(lock.acquire_within(other, 5 * SECOND).await.unwrap().is_none());
    drop(mine);
    assert!(lock.acquire_within(other, 5 * SECOND).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_a_holder_never_received_is_not_mistaken_for_what_it_has_released() {
    let (manager, client) = pair().await;
    let fragile = Fragile::new(&manager).await;
    let lock = RLockProxy::get_or_create(&client, "lock").await.unwrap();
    let same: RLockProxy = fragile.client.lookup("lock").await.unwrap();
    let (me, other) = (Holder::new().unwrap(), Holder::new().unwrap());
    let guard = lock.acquire(other).await.unwrap();
    let lost = tokio::spawn(async move { same.acquire_detached(me, None).await });
    settle().await;
    fragile.cut();
    drop(guard);
    settle().await;
    assert!(lock.acquire_detached(me, Some(Duration::ZERO)).await.unwrap().is_some());
    lock.release(me).await.unwrap();
    lost.await.unwrap().unwrap_err();
    assert!(lock.acquire_within(other, 5 * SECOND).await.unwrap().is_some());
}
