//! `Condition`.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use proxystore_manager::CallError;
use proxystore_manager::sync::{ConditionProxy, Guard, LockProxy, SyncError};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::common::{Fragile, SECOND, objects, pair, settle};

const NOT_HELD: CallError<SyncError> = CallError::App(SyncError::NotHeld);

/// Waits in a task. Says whether it was notified, and when it had the lock again.
async fn waiter(condition: &ConditionProxy, timeout: Option<Duration>) -> JoinHandle<(bool, u64)> {
    let guard = condition.acquire().await.unwrap();
    let condition = condition.clone();
    let waiter = tokio::spawn(async move {
        let woken = condition.wait(guard, timeout).await.unwrap();
        let fence = woken.guard.fence();
        woken.guard.release().await.unwrap();
        (woken.in_time, fence)
    });
    settle().await;
    waiter
}

async fn notify(condition: &ConditionProxy, count: u32) {
    let guard = condition.acquire().await.unwrap();
    condition.notify(&guard, count).await.unwrap();
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn notify_wakes_as_many_as_it_says_first_come_first_served() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let condition = ConditionProxy::create(manager).await.unwrap();
        notify(&condition, 5).await; // Nobody waits, and nobody will remember.
        let mut waiters = Vec::new();
        for _ in 0..6 {
            waiters.push(waiter(&condition, None).await);
        }
        let done =
            |waiters: &[JoinHandle<_>]| waiters.iter().map(JoinHandle::is_finished).collect::<Vec<_>>();
        notify(&condition, 1).await;
        settle().await;
        assert_eq!(done(&waiters), [true, false, false, false, false, false]);
        notify(&condition, 2).await;
        settle().await;
        assert_eq!(done(&waiters), [true, true, true, false, false, false]);
        let guard = condition.acquire().await.unwrap();
        condition.notify_all(&guard).await.unwrap();
        settle().await;
        // They are awake, and wait for the lock.
        assert_eq!(done(&waiters), [true, true, true, false, false, false]);
        let last = guard.fence();
        guard.release().await.unwrap();
        let woken: Vec<_> = join_all(waiters).await.into_iter().map(Result::unwrap).collect();
        assert!(woken.iter().all(|(in_time, _)| *in_time));
        let fences: Vec<_> = woken.iter().map(|(_, fence)| *fence).collect();
        assert!(fences.is_sorted() && fences[2] < last && last < fences[3], "{fences:?}");
    }
    objects(&manager, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_has_a_time_and_brings_the_lock_back() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let condition = ConditionProxy::create(manager).await.unwrap();
        let guard = condition.acquire().await.unwrap();
        let before = guard.fence();
        let woken = condition.wait(guard, Some(SECOND)).await.unwrap();
        assert!(!woken.in_time && woken.guard.fence() > before);
        assert!(condition.acquire_within(SECOND).await.unwrap().is_none());
        condition.notify(&woken.guard, 1).await.unwrap();
        woken.guard.release().await.unwrap();
        assert!(condition.acquire_within(SECOND).await.unwrap().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_and_notifying_without_the_lock_are_errors() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let condition = ConditionProxy::create(manager).await.unwrap();
        let other = ConditionProxy::create(manager).await.unwrap();
        let guard = condition.acquire().await.unwrap();
        assert_eq!(other.notify(&guard, 1).await, Err(NOT_HELD));
        assert_eq!(other.notify_all(&guard).await, Err(NOT_HELD));
        assert_eq!(other.wait(guard.clone(), None).await.unwrap_err(), NOT_HELD);
        let late = guard.clone();
        guard.release().await.unwrap();
        assert_eq!(condition.notify(&late, 1).await, Err(NOT_HELD));
        assert_eq!(condition.notify_all(&late).await, Err(NOT_HELD));
        assert_eq!(condition.wait(late, None).await.unwrap_err(), NOT_HELD);
    }
}

#[tokio::test(start_paused = true)]
async fn the_predicate_of_wait_for_runs_here() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let condition = ConditionProxy::create(manager).await.unwrap();
        let state = AtomicU32::new(0);
        let asked = AtomicU32::new(0);
        let is_four = || {
            asked.fetch_add(1, Ordering::SeqCst);
            let state = &state;
            async move { Ok(state.load(Ordering::SeqCst) == 4) }
        };
        let change = async {
            for _ in 0..4 {
                settle().await;
                let guard = condition.acquire().await.unwrap();
                state.fetch_add(1, Ordering::SeqCst);
                condition.notify(&guard, 1).await.unwrap();
                guard.release().await.unwrap();
            }
        };
        let guard = condition.acquire().await.unwrap();
        let (woken, ()) = join(condition.wait_for(guard, Some(60 * SECOND), is_four), change).await;
        assert!(woken.unwrap().in_time);
        assert_eq!(asked.load(Ordering::SeqCst), 5);
        let guard = condition.acquire().await.unwrap();
        let never = condition.wait_for(guard, Some(SECOND), async || Ok(false)).await.unwrap();
        assert!(!never.in_time);
        assert!(condition.acquire_within(SECOND).await.unwrap().is_none());
        let failed = condition.wait_for(never.guard, None, async || Err(NOT_HELD)).await;
        assert_eq!(failed.unwrap_err(), NOT_HELD);
        assert!(condition.acquire_within(SECOND).await.unwrap().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn several_conditions_may_share_a_lock() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let lock = LockProxy::create(manager).await.unwrap();
        let (full, empty) = (lock.condition().await.unwrap(), lock.condition().await.unwrap());
        let (one, two) = (waiter(&full, Some(60 * SECOND)).await, waiter(&empty, Some(60 * SECOND)).await);
        let guard: Guard = lock.acquire().await.unwrap();
        full.notify_all(&guard).await.unwrap();
        guard.release().await.unwrap();
        settle().await;
        assert!(one.is_finished() && !two.is_finished());
        assert!(one.await.unwrap().0 && !two.await.unwrap().0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_off_while_it_waits_leaves_the_line() {
    let (manager, client) = pair().await;
    let fragile = Fragile::new(&manager).await;
    let condition = ConditionProxy::get_or_create(&client, "condition").await.unwrap();
    let same: ConditionProxy = fragile.client.lookup("condition").await.unwrap();
    let lost = tokio::spawn({
        let guard = same.acquire().await.unwrap();
        async move { same.wait(guard, None).await }
    });
    settle().await;
    let waiter = waiter(&condition, None).await;
    fragile.cut();
    lost.await.unwrap().unwrap_err();
    tokio::time::sleep(SECOND).await;
    notify(&condition, 1).await;
    assert!(timeout(5 * SECOND, waiter).await.unwrap().unwrap().0);
}

#[tokio::test(start_paused = true)]
async fn a_wait_outlives_connections() {
    let (manager, _client) = pair().await;
    let fragile = Fragile::new(&manager).await;
    let condition = ConditionProxy::get_or_create(&manager, "condition").await.unwrap();
    let same: ConditionProxy = fragile.client.lookup("condition").await.unwrap();
    let waiter = waiter(&same, None).await;
    for _ in 0..5 {
        fragile.break_now();
        settle().await;
    }
    notify(&condition, 1).await;
    fragile.break_now();
    assert!(timeout(5 * SECOND, waiter).await.unwrap().unwrap().0);
    assert!(condition.acquire_within(SECOND).await.unwrap().is_some());
}

/// Its lease is not over when it is notified: so the notification is lost with it, unless it is passed on.
#[tokio::test(start_paused = true)]
async fn a_notification_that_nobody_receives_goes_to_the_next() {
    let (manager, client) = pair().await;
    let fragile = Fragile::new(&manager).await;
    let condition = ConditionProxy::get_or_create(&client, "condition").await.unwrap();
    let same: ConditionProxy = fragile.client.lookup("condition").await.unwrap();
    let lost = tokio::spawn({
        let guard = same.acquire().await.unwrap();
        async move { same.wait(guard, None).await }
    });
    settle().await;
    let waiter = waiter(&condition, None).await;
    fragile.cut();
    notify(&condition, 1).await;
    settle().await;
    assert!(!waiter.is_finished());
    assert!(timeout(5 * SECOND, waiter).await.unwrap().unwrap().0);
    lost.await.unwrap().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_leaves_the_lock_free_and_passes_its_notification_on() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let condition = ConditionProxy::create(manager).await.unwrap();
        for pauses in 0..40 {
            let guard = condition.acquire().await.unwrap();
            let mut dropped = Box::pin(condition.wait(guard, None));
            assert!(futures_util::poll!(&mut dropped).is_pending());
            settle().await;
            let waiter = waiter(&condition, Some(60 * SECOND)).await;
            let guard = condition.acquire().await.unwrap();
            condition.notify(&guard, 1).await.unwrap();
            guard.release().await.unwrap();
            for _ in 0..pauses {
                tokio::task::yield_now().await;
            }
            drop(dropped);
            assert!(timeout(5 * SECOND, waiter).await.unwrap().unwrap().0, "after {pauses} steps");
        }
    }
    objects(&manager, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_while_it_waits_for_the_lock_passes_its_notification_on() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let condition = ConditionProxy::create(manager).await.unwrap();
        let guard = condition.acquire().await.unwrap();
        let mut dropped = Box::pin(condition.wait(guard, None));
        assert!(futures_util::poll!(&mut dropped).is_pending());
        settle().await;
        let waiter = waiter(&condition, Some(60 * SECOND)).await;
        let guard = condition.acquire().await.unwrap();
        condition.notify(&guard, 1).await.unwrap();
        settle().await;
        drop(dropped);
        settle().await;
        guard.release().await.unwrap();
        assert!(timeout(5 * SECOND, waiter).await.unwrap().unwrap().0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_notification_is_not_passed_on_to_who_came_after_it() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let condition = ConditionProxy::create(manager).await.unwrap();
        let guard = condition.acquire().await.unwrap();
        let mut dropped = Box::pin(condition.wait(guard, None));
        assert!(futures_util::poll!(&mut dropped).is_pending());
        settle().await;
        let guard = condition.acquire().await.unwrap();
        let late = {
            let condition = condition.clone();
            tokio::spawn(async move { waiter(&condition, Some(60 * SECOND)).await.await.unwrap() })
        };
        settle().await;
        condition.notify(&guard, 1).await.unwrap();
        settle().await;
        // Now the late one has the lock and waits, and the other one gets the lock back.
        guard.release().await.unwrap();
        settle().await;
        drop(dropped);
        assert!(!late.await.unwrap().0);
    }
}
