//! Calls: results, errors, order, cancellation, panics; through a session and at home.

use std::time::Duration;

use futures_util::future::{join, join_all};
use proxystore_manager::{CallError, Manager, ObjectProxy, RemoteError, RemoteErrorKind};
use tokio::time::{Instant, timeout};

use crate::common::{Counter, CounterProxy, Overflow, client, limits, objects, pair};

fn kind<T: std::fmt::Debug>(result: Result<T, RemoteError>) -> RemoteErrorKind {
    result.unwrap_err().kind()
}

#[tokio::test]
async fn methods_return_results_and_errors_of_their_own() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let counter = CounterProxy::create(manager, 40).await.unwrap();
        assert_eq!(counter.add(2).await, Ok(42));
        assert_eq!(counter.get().await, Ok(42));
        assert_eq!(counter.add(1_000_000).await, Err(CallError::App(Overflow(1_000_000))));
        assert_eq!(CounterProxy::checked(manager, 101).await, Err(CallError::App(Overflow(100))));
    }
    objects(&manager, 0).await;
}

#[tokio::test]
async fn methods_are_called_by_name() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let counter = CounterProxy::create(manager, 40).await.unwrap();
        let sum = counter.base().call_method::<_, i64, Overflow>("add", &(2,)).await;
        assert_eq!(sum, Ok(42));
        let wrong = counter.base().call_method::<_, i64, Overflow>("add", &("two",)).await;
        assert_eq!(wrong.unwrap_err().remote().unwrap().kind(), RemoteErrorKind::BadArguments);
        let missing = counter.base().call_method::<_, i64, Overflow>("audit", &()).await;
        assert_eq!(missing.unwrap_err().remote().unwrap().kind(), RemoteErrorKind::NoSuchMethod);
    }
}

#[tokio::test]
async fn the_text_and_the_value_are_those_of_the_object() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let counter = CounterProxy::create(manager, 7).await.unwrap();
        assert_eq!(counter.base().display().await, "Counter(7)");
        let value: serde_json::Value = counter.base().get_value().await.unwrap();
        assert_eq!(value, serde_json::json!({ "count": 7 }));
        assert!(format!("{counter:?}").contains("test.Counter"), "{counter:?}");
    }
}

#[tokio::test]
async fn an_exclusive_method_is_alone() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let counter = CounterProxy::create(manager, 0).await.unwrap();
        join_all((0..200).map(|_| counter.add(1))).await.into_iter().for_each(|sum| assert!(sum.is_ok()));
        assert_eq!(counter.get().await, Ok(200));
    }
}

#[tokio::test]
async fn calls_begin_in_the_order_in_which_they_are_made() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let counter = CounterProxy::create(manager, 0).await.unwrap();
        let sums = join_all((0..100).map(|_| counter.add(1))).await;
        let sums: Vec<_> = sums.into_iter().map(Result::unwrap).collect();
        assert_eq!(sums, Vec::from_iter(1..=100));
        let (_, read) = join(counter.add(1), counter.get()).await;
        assert_eq!(read, Ok(101));
    }
}

#[tokio::test(start_paused = true)]
async fn shared_methods_run_together() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let counter = CounterProxy::create(manager, 0).await.unwrap();
        let start = Instant::now();
        join_all((0..50).map(|_| counter.sleep(100))).await;
        assert!(start.elapsed() < Duration::from_millis(300), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_shared_method_ends_with_its_caller_and_an_exclusive_one_does_not() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let counter = CounterProxy::create(manager, 0).await.unwrap();
        let soon = Duration::from_millis(20);
        timeout(soon, counter.sleep(60_000)).await.unwrap_err();
        timeout(soon, counter.sleep_or_not(60_000)).await.unwrap_err();
        timeout(soon, counter.sleep_then_add(60)).await.unwrap_err();
        // A shared one behind it, which waits for its end.
        assert_eq!(counter.get().await, Ok(1));
    }
}

#[tokio::test]
async fn a_call_that_waits_for_its_turn_does_not_begin_without_its_caller() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let counter = CounterProxy::create(manager, 0).await.unwrap();
        let first = counter.sleep_then_add(100);
        let second = timeout(Duration::from_millis(20), counter.add(5));
        let (first, second) = join(first, second).await;
        first.unwrap();
        second.unwrap_err();
        assert_eq!(counter.get().await, Ok(1));
    }
}

#[tokio::test]
async fn a_panic_is_an_error_and_poisons_what_was_being_changed() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let counter = CounterProxy::create(manager, 3).await.unwrap();
        assert_eq!(kind(counter.explode().await), RemoteErrorKind::Panicked);
        assert_eq!(counter.get().await, Ok(3));
        assert_eq!(kind(counter.explode_exclusively().await), RemoteErrorKind::Panicked);
        assert_eq!(kind(counter.get().await), RemoteErrorKind::Poisoned);
    }
    objects(&manager, 0).await;
}

#[tokio::test]
async fn what_a_panic_says_is_told_by_managers_that_reveal_it() {
    for reveals in [false, true] {
        let builder = Manager::builder().register::<Counter>().limits(limits());
        let manager = if reveals { builder.reveal_panics() } else { builder }.in_process().unwrap();
        let counter = CounterProxy::create(&client(&manager).await, 3).await.unwrap();
        let error = counter.explode().await.unwrap_err();
        let told = error.message().starts_with("as asked, at ") && error.message().contains("common.rs:");
        assert_eq!((told, error.message().is_empty()), (reveals, !reveals), "{error}");
        // Which call of which manager it was is told in any case.
        assert_eq!(error.manager(), Some(counter.base().manager()));
        assert!(error.call().is_some());
    }
}

#[tokio::test]
async fn waiting_for_oneself_is_an_error() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let counter = CounterProxy::create(manager, 3).await.unwrap();
        let recursed = counter.recurse(counter.clone()).await;
        assert_eq!(recursed.unwrap_err(), CallError::App(RemoteErrorKind::Reentrant.into()));
        // A shared method may not wait for an exclusive one of the same object, either.
        let met = counter.meet(counter.clone()).await;
        assert_eq!(met.unwrap_err(), CallError::App(RemoteErrorKind::Reentrant.into()));
        let other = CounterProxy::create(manager, 4).await.unwrap();
        assert_eq!(counter.meet(other).await, Ok(4));
    }
}

#[tokio::test]
async fn a_result_that_reaches_nobody_is_undone() {
    let (manager, client) = pair().await;
    let slow = CounterProxy::create(&client, 0).await.unwrap();
    let back = CounterProxy::create(&client, 0).await.unwrap();
    // It waits for its turn, and is cancelled when its result is on the way at the earliest.
    let mut taken = 0;
    while taken < 3 {
        let take = slow.take(back.clone());
        let mut take = std::pin::pin!(take);
        assert!(futures_util::poll!(&mut take).is_pending());
        // The call goes out and comes back, and nobody looks.
        while slow.base().call_method::<_, i64, ()>("get", &()).await.unwrap() == taken {}
        taken += 1;
    }
    let undone = async {
        while back.get().await.unwrap() < 3 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(5), undone).await.unwrap();
    let _ = manager;
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let (manager, client) = pair().await;
    let counter = CounterProxy::create(&client, 0).await.unwrap();
    let text = "x".repeat(17 << 20);
    assert_eq!(kind(counter.echo(text.clone()).await), RemoteErrorKind::TooLarge);
    let text = "x".repeat(15 << 20);
    assert_eq!(counter.echo(text.clone()).await, Ok(text));
    let home = CounterProxy::create(&manager, 0).await.unwrap();
    let text = "x".repeat(17 << 20);
    assert_eq!(home.echo(text.clone()).await, Ok(text));
}

#[tokio::test]
async fn two_clients_share_an_object() {
    let (manager, first) = pair().await;
    let second = client(&manager).await;
    let counter = CounterProxy::create(&first, 1).await.unwrap();
    first.publish("counter", &counter).await.unwrap();
    let same: CounterProxy = second.lookup("counter").await.unwrap();
    assert_eq!(same, counter);
    same.add(1).await.unwrap();
    assert_eq!(counter.get().await, Ok(2));
    let taken = second.publish("counter", &same).await;
    assert_eq!(kind(taken), RemoteErrorKind::NameTaken);
    let known = CounterProxy::get_or_create(&second, "counter", 100).await.unwrap();
    assert_eq!(known, counter);
    let fresh = CounterProxy::get_or_create(&second, "other", 100).await.unwrap();
    assert_eq!(fresh.get().await, Ok(100));
    drop((counter, same, known, fresh));
    objects(&manager, 2).await;
    assert!(first.unpublish("counter").await.unwrap() && !first.unpublish("counter").await.unwrap());
    assert_eq!(kind(first.lookup::<CounterProxy>("counter").await), RemoteErrorKind::NoSuchName);
    objects(&manager, 1).await;
}
