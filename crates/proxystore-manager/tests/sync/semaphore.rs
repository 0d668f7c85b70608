//! `Semaphore`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use proxystore_manager::CallError;
use proxystore_manager::sync::{SemaphoreProxy, SyncError};
use tokio::time::timeout;

use crate::common::{Fragile, SECOND, objects, pair, settle};

const TOO_MANY: CallError<SyncError> = CallError::App(SyncError::TooMany);

#[tokio::test(start_paused = true)]
async fn as_many_hold_it_as_it_has_permits() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let semaphore = SemaphoreProxy::bounded(manager, 3).await.unwrap();
        let (inside, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let holders = (0..30).map(|_| async {
            let permit = semaphore.acquire().await.unwrap();
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            settle().await;
            inside.fetch_sub(1, Ordering::SeqCst);
            permit.release().await.unwrap();
        });
        join_all(holders).await;
        assert_eq!(most.load(Ordering::SeqCst), 3);
    }
    objects(&manager, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_bounded_one_never_has_more_permits_than_at_first() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let semaphore = SemaphoreProxy::bounded(manager, 3).await.unwrap();
        assert_eq!(semaphore.release(1).await, Err(TOO_MANY));
        let _guard = semaphore.acquire().await.unwrap();
        // Not even the one that belongs to somebody.
        assert_eq!(semaphore.release(1).await, Err(TOO_MANY));
        for _ in 0..2 {
            assert_eq!(semaphore.acquire_detached(None).await, Ok(true));
        }
        assert_eq!(semaphore.acquire_detached(Some(Duration::ZERO)).await, Ok(false));
        // All or nothing.
        assert_eq!(semaphore.release(3).await, Err(TOO_MANY));
        assert_eq!(semaphore.release(2).await, Ok(()));
        assert_eq!(semaphore.release(1).await, Err(TOO_MANY));
    }
}

#[tokio::test(start_paused = true)]
async fn another_gets_permits_by_release() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let semaphore = SemaphoreProxy::create(manager, 0).await.unwrap();
        assert!(semaphore.acquire_within(SECOND).await.unwrap().is_none());
        semaphore.release(2).await.unwrap();
        let permits = [semaphore.acquire().await.unwrap(), semaphore.acquire().await.unwrap()];
        assert_eq!(semaphore.acquire_detached(Some(SECOND)).await, Ok(false));
        drop(permits);
        assert_eq!(semaphore.acquire_detached(Some(SECOND)).await, Ok(true));
    }
}

#[tokio::test(start_paused = true)]
async fn releasing_many_wakes_many() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let semaphore = SemaphoreProxy::create(manager, 0).await.unwrap();
        let waiting = join_all((0..4).map(|_| semaphore.acquire_detached(Some(SECOND))));
        let release = async {
            settle().await;
            semaphore.release(3).await.unwrap();
        };
        let (woken, ()) = futures_util::future::join(waiting, release).await;
        assert_eq!(woken, [Ok(true), Ok(true), Ok(true), Ok(false)]);
    }
}

#[tokio::test(start_paused = true)]
async fn it_has_the_permits_again_of_a_holder_that_is_cut_off() {
    let (manager, client) = pair().await;
    let fragile = Fragile::new(&manager).await;
    let semaphore = SemaphoreProxy::get_or_bounded(&client, "semaphore", 2).await.unwrap();
    let same: SemaphoreProxy = fragile.client.lookup("semaphore").await.unwrap();
    let held = [same.acquire().await.unwrap(), same.acquire().await.unwrap()];
    fragile.cut();
    for _ in 0..2 {
        assert_eq!(timeout(5 * SECOND, semaphore.acquire_detached(None)).await.unwrap(), Ok(true));
    }
    drop(held);
    assert_eq!(semaphore.acquire_detached(Some(SECOND)).await, Ok(false));
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_nobody_receives_goes_to_the_next() {
    let (_manager, client) = pair().await;
    let semaphore = SemaphoreProxy::bounded(&client, 1).await.unwrap();
    for pauses in 0..40 {
        let mut first = Box::pin(semaphore.acquire_detached(None));
        let mut second = Box::pin(semaphore.acquire());
        assert!(
            futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut second).is_pending()
        );
        for _ in 0..pauses {
            tokio::task::yield_now().await;
        }
        drop((first, second));
        let next = timeout(5 * SECOND, semaphore.acquire()).await;
        next.unwrap_or_else(|_| panic!("after {pauses} steps")).unwrap().release().await.unwrap();
    }
}

/// Nobody knows which permit it was that somebody else gave back.
#[tokio::test(start_paused = true)]
async fn a_permit_that_nobody_receives_is_not_mistaken_for_another() {
    let (manager, client) = pair().await;
    for bounded in [true, false] {
        let name = if bounded { "bounded" } else { "unbounded" };
        let semaphore = if bounded {
            SemaphoreProxy::get_or_bounded(&client, name, 2).await.unwrap()
        } else {
            SemaphoreProxy::get_or_create(&client, name, 2).await.unwrap()
        };
        let fragile = Fragile::new(&manager).await;
        let same: SemaphoreProxy = fragile.client.lookup(name).await.unwrap();
        let held = [semaphore.acquire().await.unwrap(), semaphore.acquire().await.unwrap()];
        let lost = tokio::spawn(async move { same.acquire_detached(None).await });
        settle().await;
        fragile.cut();
        drop(held);
        settle().await;
        assert_eq!(semaphore.acquire_detached(Some(Duration::ZERO)).await, Ok(true));
        assert_eq!(semaphore.acquire_detached(Some(Duration::ZERO)).await, Ok(false));
        semaphore.release(1).await.unwrap();
        lost.await.unwrap().unwrap_err();
        tokio::time::sleep(SECOND).await;
        for expected in [true, true, false] {
            assert_eq!(semaphore.acquire_detached(Some(Duration::ZERO)).await, Ok(expected));
        }
    }
}
