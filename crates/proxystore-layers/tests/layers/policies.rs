//! Policies around a connector that misbehaves, in paused time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use proxystore_core::{
    Backoff, Connector, Error, ErrorKind, Key, Mode, Payload, Policy, PutOptions, Transfer, WithPolicy,
};
use proxystore_layers::{Limit, Policies, Retry, RetryBudget, Timeout};
use proxystore_local::LocalConnector;
use proxystore_testkit::cancel::poll_and_drop;
use proxystore_testkit::fault::{Fault, FaultConnector, Op};
use tokio::time::{Instant, advance, timeout};

use crate::slow::Slow;

const CREATE: PutOptions =
    PutOptions { mode: Mode::Create, ttl: None, tags: std::collections::BTreeSet::new() };

fn faulty() -> Arc<FaultConnector> {
    FaultConnector::new(Arc::new(LocalConnector::new().unwrap()))
}

fn around<P: Policy>(inner: Arc<dyn Connector>, policy: P) -> WithPolicy<P> {
    WithPolicy::new(inner, policy, "test")
}

fn busy() -> Error {
    Error::new(ErrorKind::Unavailable, "the cable is cut").transient()
}

fn lost() -> Error {
    Error::new(ErrorKind::Ambiguous, "the reply is lost")
}

fn value() -> Payload {
    Payload::from(vec![1; 100])
}

fn key() -> Key {
    Key::random().unwrap()
}

mod retry {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_fails_in_passing_is_repeated_with_growing_delays() {
        let inner = faulty();
        let store = around(inner.clone(), Retry::default());
        for failures in 0..4 {
            let before = inner.calls(Op::Exists);
            for i in 0..failures {
                inner.nth(Op::Exists, before + 1 + i, Fault::Fail(busy()));
            }
            let start = Instant::now();
            assert!(!store.exists(&key()).await.unwrap());
            assert_eq!(inner.calls(Op::Exists) - before, failures + 1);
            // At most 50 + 100 + 200 ms, and at least a millisecond each.
            let nominal = Duration::from_millis(50 * ((1 << failures) - 1));
            assert!(start.elapsed() <= nominal + Duration::from_millis(3), "{:?}", start.elapsed());
            assert!(start.elapsed() >= Duration::from_millis(failures));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_error_says_how_often() {
        let inner = faulty();
        inner.every(Op::Get, Fault::Fail(busy()));
        let error = around(inner.clone(), Retry::default()).get(&key()).await.unwrap_err();
        assert_eq!((error.kind(), error.context("attempts")), (ErrorKind::Unavailable, Some("4")));
        assert_eq!(inner.calls(Op::Get), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_for_good_is_not_repeated() {
        for kind in
            [ErrorKind::Denied, ErrorKind::Corrupt, ErrorKind::Full, ErrorKind::TooLarge, ErrorKind::Closed]
        {
            let inner = faulty();
            inner.every(Op::Get, Fault::Fail(Error::new(kind, "no")));
            let error = around(inner.clone(), Retry::default()).get(&key()).await.unwrap_err();
            assert_eq!((error.kind(), inner.calls(Op::Get)), (kind, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_reply_of_a_write_is_settled() {
        let inner = faulty();
        let store = around(inner.clone(), Retry::default());
        let (ours, theirs) = (key(), key());
        inner.next(Op::Put, Fault::FailAfter(lost()));
        store.put(&ours, value(), &CREATE).await.expect("the object that is there is ours");
        assert_eq!(inner.calls(Op::Put), 2);

        // Somebody was faster, and then our reply is lost.
        inner.put(&theirs, Payload::from(vec![2; 100]), &CREATE).await.unwrap();
        inner.next(Op::Put, Fault::Fail(busy()));
        let error = store.put(&theirs, value(), &CREATE).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists);
        // Without a fault, `Exists` is said at once.
        let calls = inner.calls(Op::Get);
        assert_eq!(store.put(&ours, value(), &CREATE).await.unwrap_err().kind(), ErrorKind::Exists);
        assert_eq!(inner.calls(Op::Get), calls);

        inner.next(Op::Put, Fault::FailAfter(lost()));
        store.put(&ours, value(), &PutOptions::default()).await.expect("an overwrite may happen twice");
        inner.next(Op::Evict, Fault::FailAfter(lost()));
        store.evict(&ours).await.expect("an evict may happen twice");
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_cannot_be_settled_is_ambiguous() {
        let inner = faulty();
        let store = around(inner.clone(), Retry::default());
        inner.every(Op::Put, Fault::FailAfter(lost()));
        let error = store.put(&key(), value(), &PutOptions::default()).await.unwrap_err();
        assert_eq!((error.kind(), inner.calls(Op::Put)), (ErrorKind::Ambiguous, 4));

        // The first attempt may have happened, whatever surely did not happen after it.
        for last in [busy(), Error::new(ErrorKind::Full, "full")] {
            let inner = faulty();
            inner.every(Op::Put, Fault::Fail(last));
            inner.next(Op::Put, Fault::FailAfter(lost()));
            let store = around(inner.clone(), Retry::default());
            let error = store.put(&key(), value(), &PutOptions::default()).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.context("before")),
                (ErrorKind::Ambiguous, Some("the reply is lost"))
            );
        }

        // The object of the first attempt is gone before the second looks.
        let inner = faulty();
        let store = around(inner.clone(), Retry::default());
        let taken = key();
        inner.next(Op::Put, Fault::FailAfter(lost()));
        inner.next(Op::Get, Fault::OtherKey(key()));
        let error = store.put(&taken, value(), &CREATE).await.map(|()| "put");
        // One look finds nothing; the next attempt finds its own object.
        assert_eq!(error.unwrap(), "put");
    }

    #[tokio::test(start_paused = true)]
    async fn a_take_without_a_reply_is_never_repeated() {
        let inner = faulty();
        let store = around(inner.clone(), Retry::default());
        let key = key();
        store.put(&key, value(), &PutOptions::default()).await.unwrap();
        inner.next(Op::Take, Fault::Fail(busy()));
        inner.nth(Op::Take, 2, Fault::FailAfter(lost()));
        // The first attempt did not happen, so it was repeated; the second may have.
        assert_eq!(store.take(&key).await.unwrap_err().kind(), ErrorKind::Ambiguous);
        assert_eq!(inner.calls(Op::Take), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_backend_is_not_stormed() {
        let inner = faulty();
        inner.every(Op::Get, Fault::Fail(busy()));
        let store = around(inner.clone(), Retry::default().budget(RetryBudget::new(20, 5.0)));
        let asks = (0..1_000).map(|_| async { store.get(&key()).await.unwrap_err() });
        let errors = join_all(asks).await;
        assert!(inner.calls(Op::Get) <= 1_000 + 21 + 5, "{}", inner.calls(Op::Get));
        assert!(errors.iter().any(|error| error.to_string().contains("repeats none of them")));
        // With time the budget is there again.
        advance(Duration::from_secs(60)).await;
        let before = inner.calls(Op::Get);
        store.get(&key()).await.unwrap_err();
        assert_eq!(inner.calls(Op::Get) - before, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn one_deadline_holds_all_attempts() {
        let inner = faulty();
        let backoff = Backoff { timeout: Duration::from_secs(5), ..Backoff::default() };
        let policies = Policies {
            retry: Some(Retry::new(100, backoff)),
            timeout: Some(Timeout::new(Duration::from_secs(2))),
            ..Policies::none()
        };
        let store = around(inner.clone(), policies);
        inner.every(Op::Get, Fault::Hang);
        inner.every(Op::Evict, Fault::Hang);
        let start = Instant::now();
        let read = store.get(&key()).await.unwrap_err();
        assert_eq!(read.kind(), ErrorKind::Timeout, "{read}");
        assert_eq!(start.elapsed().as_secs(), 5);
        assert_eq!(inner.calls(Op::Get), 3);
        assert_eq!(store.evict(&key()).await.unwrap_err().kind(), ErrorKind::Ambiguous);
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_batch_only_what_failed_in_passing_is_repeated() {
        let store = around(Arc::new(Slow::new(0, 0, Duration::ZERO)), Retry::default());
        let keys: Vec<_> = (0..6).map(|_| key()).collect();
        let got = store.get_many(&keys).await;
        let said: Vec<_> = got
            .into_iter()
            .map(|result| result.map(|found| found.unwrap().into_bytes()[0]).map_err(|error| error.kind()))
            .collect();
        assert_eq!(said, [Err(ErrorKind::Corrupt), Ok(99), Ok(2), Ok(99), Ok(4), Ok(99)]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_batch_of_creates_our_own_are_told() {
        let inner = faulty();
        let store = around(inner.clone(), Retry::default());
        let keys: Vec<_> = (0..3).map(|_| key()).collect();
        inner.put(&keys[1], Payload::from(vec![9]), &CREATE).await.unwrap();
        let batch = inner.calls(Op::PutMany) + 1;
        inner.nth(Op::PutMany, batch, Fault::FailAfter(lost()));
        let items = keys.iter().map(|key| (key.clone(), value())).collect();
        let kinds: Vec<_> =
            store.put_many(items, &CREATE).await.into_iter().map(|r| r.map_err(|e| e.kind())).collect();
        assert_eq!(kinds, [Ok(()), Err(ErrorKind::Exists), Ok(())]);
    }
}

mod deadlines {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_operation_ends() {
        let inner = faulty();
        for op in
            [Op::Put, Op::Get, Op::Exists, Op::Evict, Op::Touch, Op::Take, Op::Watch, Op::GetMany, Op::Close]
        {
            inner.every(op, Fault::Hang);
        }
        let store = around(inner, Timeout::default());
        let (key, second) = (key(), Duration::from_secs(1));
        let start = Instant::now();
        let options = PutOptions::default();
        let ended = [
            store.put(&key, value(), &options).await.unwrap_err(),
            store.evict(&key).await.unwrap_err(),
            store.touch(&key, second).await.unwrap_err(),
            store.take(&key).await.unwrap_err(),
            store.get(&key).await.unwrap_err(),
            store.exists(&key).await.unwrap_err(),
            store.watch(&key).await.unwrap_err(),
            store.get_many(std::slice::from_ref(&key)).await.remove(0).unwrap_err(),
            store.close().await.unwrap_err(),
        ];
        let kinds: Vec<_> = ended.iter().map(Error::kind).collect();
        let (write, read) = (ErrorKind::Ambiguous, ErrorKind::Timeout);
        let wanted = [write, write, write, write, read, read, read, read, read];
        assert_eq!(kinds, wanted);
        assert!(!ended[3].is_transient(), "a take must not be made again");
        let each = start.elapsed() / 9;
        assert!(each >= 15 * second && each < 16 * second, "{each:?}");
    }

    async fn time(slow: Slow) -> (Duration, bool) {
        let start = Instant::now();
        let got = around(Arc::new(slow), Timeout::default()).get(&key()).await;
        (start.elapsed(), got.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn deadlines_grow_with_the_size() {
        // 80 MiB may take 10 s more than the 15.
        let silent = |pause| Slow { reports: false, ..Slow::new(80 << 20, 1, Duration::from_secs(pause)) };
        assert_eq!(time(silent(24)).await.1, true);
        let (after, arrived) = time(silent(26)).await;
        assert!(!arrived && after.as_secs() == 25, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_moves_is_not_cut_off_and_what_stops_is() {
        // 100 seconds for one MiB.
        assert_eq!(time(Slow::new(1 << 20, 10, Duration::from_secs(10))).await.1, true);
        let (after, arrived) = time(Slow::new(1 << 20, 2, Duration::from_secs(40))).await;
        assert!(!arrived && after.as_secs() == 15, "{after:?}");
    }

    #[tokio::test]
    async fn what_is_too_large_is_not_fetched() {
        let store = around(Arc::new(Slow::new(1 << 30, 1, Duration::from_secs(600))), Timeout::default());
        let limited = Transfer::new(1 << 20);
        let error = limited.scope(store.get(&key())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    }
}

mod limits {
    use super::*;

    const MIB: usize = 1 << 20;

    fn large() -> Payload {
        Payload::from(vec![0; MIB])
    }

    /// Polls `future` once, so that it has begun.
    macro_rules! begun {
        ($future:expr) => {{
            let mut future = Box::pin($future);
            assert!(future.as_mut().now_or_never().is_none());
            future
        }};
    }

    #[tokio::test(start_paused = true)]
    async fn requests_wait_in_the_order_of_asking() {
        let inner = faulty();
        inner.every(Op::Exists, Fault::Hang);
        let store = around(inner.clone(), Limit::new(2, 1 << 30));
        let key = key();
        let (_first, _second) = (begun!(store.exists(&key)), begun!(store.exists(&key)));
        let third = begun!(store.evict(&key));
        let fourth = begun!(store.evict(&key));
        assert_eq!((inner.calls(Op::Exists), inner.calls(Op::Evict)), (2, 0));
        assert_eq!(store.policy().waiting(), 2);
        inner.release();
        let ((), ()) = (_first.await.map(drop).unwrap(), third.await.unwrap());
        assert_eq!(inner.calls(Op::Evict), 1);
        fourth.await.unwrap();
        assert_eq!(store.policy().waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_wait_and_small_objects_pass() {
        let inner = faulty();
        let store = around(inner.clone(), Limit::new(100, 2 * MIB as u64));
        let options = PutOptions::default();
        inner.every(Op::Put, Fault::Hang);
        let (a, b, c) = (key(), key(), key());
        let first = begun!(store.put(&a, large(), &options));
        let second = begun!(store.put(&b, large(), &options));
        let third = begun!(store.put(&c, large(), &options));
        assert_eq!((inner.calls(Op::Put), store.policy().waiting()), (2, 1));
        assert_eq!(store.policy().bytes_in_flight(), 2 * MIB as u64);
        // Neither reads nor small objects wait for bytes.
        assert!(store.get(&a).await.unwrap().is_none());
        let small = begun!(store.put(&a, value(), &options));
        assert_eq!(inner.calls(Op::Put), 3);
        drop((first, small));
        let third = begun!(third); // polled again, it has room
        assert_eq!((inner.calls(Op::Put), store.policy().waiting()), (4, 0));
        drop((second, third));
        assert_eq!(store.policy().bytes_in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_larger_than_all_of_the_limit_goes_alone() {
        let store = around(faulty(), Limit::new(100, 10 << 10));
        store.put(&key(), large(), &PutOptions::default()).await.unwrap();
        assert_eq!(store.policy().bytes_in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_bytes_of_a_get_count_as_soon_as_they_are_known() {
        let slow = Slow::new(MIB as u64, 1, Duration::from_secs(10));
        let store = around(Arc::new(slow), Limit::new(100, 2 * MIB as u64));
        let key = key();
        let start = Instant::now();
        let gets = begun!(join_all((0..4).map(|_| store.get(&key))));
        assert_eq!(store.policy().bytes_in_flight(), 2 * MIB as u64);
        gets.await.into_iter().for_each(|got| assert!(got.is_ok()));
        // Two at a time.
        assert_eq!(start.elapsed().as_secs(), 20);
        assert_eq!(store.policy().bytes_in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_that_nothing_happened() {
        let inner = faulty();
        inner.every(Op::Exists, Fault::Hang);
        let store = around(inner.clone(), Limit::new(1, 1 << 30).patience(Duration::from_secs(3)));
        let key = key();
        let _first = begun!(store.exists(&key));
        let error = store.evict(&key).await.unwrap_err();
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Timeout, false), "{error}");
        assert_eq!(inner.calls(Op::Evict), 0);
        // A close waits for nobody.
        timeout(Duration::from_secs(1), store.close()).await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_calls_give_back_what_they_held_and_what_they_waited_for() {
        let inner = faulty();
        let store = around(
            inner.clone(),
            Policies { limit: Some(Limit::new(2, 2 * MIB as u64)), ..Policies::standard() },
        );
        let options = PutOptions::default();
        for polls in 0..8 {
            inner.every(Op::Put, Fault::Hang);
            let key = key();
            let puts = (0..20).map(|_| {
                poll_and_drop(timeout(Duration::from_millis(1), store.put(&key, large(), &options)), polls)
            });
            join_all(puts).await;
            inner.heal();
            let limit = store.policy().limit.as_ref().unwrap();
            assert_eq!((limit.waiting(), limit.bytes_in_flight()), (0, 0));
            store.put(&key, large(), &options).await.unwrap();
        }
    }
}
