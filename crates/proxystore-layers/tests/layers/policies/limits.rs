//! How much is in flight.

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

/// Gets that look for their objects hold requests, puts that wait for them hold bytes.
#[tokio::test(start_paused = true)]
async fn gets_and_puts_do_not_wait_for_each_other() {
    let second = Duration::from_secs(1);
    let slow = Slow { search: second, ..Slow::new(MIB as u64, 1, second) };
    let limit = Limit::new(2, 2 * MIB as u64);
    let store = around(Arc::new(slow), Policies { limit: Some(limit), ..Policies::standard() });
    let (key, options) = (key(), PutOptions::default());
    let start = Instant::now();
    let gets = begun!(join_all((0..2).map(|_| store.get(&key))));
    let puts = begun!(join_all((0..2).map(|_| store.put(&key, large(), &options))));
    let (gets, puts) = tokio::join!(gets, puts);
    assert!(gets.into_iter().all(|got| got.is_ok()) && puts.into_iter().all(|put| put.is_ok()));
    assert!(start.elapsed() < 10 * second, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_get_that_waits_for_bytes_is_no_request_and_has_no_deadline_yet() {
    // One after the other, each takes 12 of the 15 seconds of an attempt, without a report.
    let slow = Slow { reports: false, ..Slow::new(MIB as u64, 1, Duration::from_secs(12)) };
    let policies = Policies {
        limit: Some(Limit::new(2, MIB as u64).patience(Duration::from_secs(60))),
        timeout: Some(Timeout::default()),
        ..Policies::none()
    };
    let store = around(Arc::new(slow), policies);
    let key = key();
    let gets = begun!(join_all((0..3).map(|_| store.get(&key))));
    assert_eq!(store.policy().limit.as_ref().unwrap().waiting(), 2);
    assert!(store.exists(&key).await.unwrap(), "there is a request left for it");
    assert!(gets.await.into_iter().all(|got| got.is_ok()));
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
