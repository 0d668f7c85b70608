//! Connections that break: calls run once, in order, and nothing is lost or left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use proxystore_manager::builtin::List;
use proxystore_manager::{CallError, Limits, Manager, RemoteErrorKind};
use tokio::io::DuplexStream;
use tokio_util::sync::CancellationToken;

use crate::common::{Counter, CounterProxy, limits, objects};

/// A client whose connection breaks when it is told to.
pub(crate) struct Fragile {
    pub(crate) client: Manager,
    current: Arc<std::sync::Mutex<CancellationToken>>,
    pub(crate) opened: Arc<AtomicUsize>,
    /// While it is set, there is no way to the manager.
    pub(crate) cut: Arc<AtomicBool>,
}

impl Fragile {
    pub(crate) async fn new(manager: &Manager) -> Self {
        let current: Arc<std::sync::Mutex<CancellationToken>> = Arc::default();
        let opened: Arc<AtomicUsize> = Arc::default();
        let cut: Arc<AtomicBool> = Arc::default();
        let key = manager.authkey().unwrap();
        let open = {
            let (manager, current, opened, cut) =
                (manager.clone(), current.clone(), opened.clone(), cut.clone());
            move || {
                let (manager, current, opened, cut) =
                    (manager.clone(), current.clone(), opened.clone(), cut.clone());
                async move {
                    if cut.load(Ordering::SeqCst) {
                        return Err(std::io::ErrorKind::ConnectionRefused.into());
                    }
                    opened.fetch_add(1, Ordering::SeqCst);
                    let (near, between) = tokio::io::duplex(1 << 10);
                    let (onward, far) = tokio::io::duplex(1 << 10);
                    manager.serve_stream(far).map_err(std::io::Error::other)?;
                    let token = CancellationToken::new();
                    *current.lock().unwrap() = token.clone();
                    tokio::spawn(forward(between, onward, token));
                    Ok(near)
                }
            }
        };
        let client = Manager::connect_over(open, key).await.unwrap();
        Self { client, current, opened, cut }
    }

    pub(crate) fn break_now(&self) {
        self.current.lock().unwrap().cancel();
    }
}

/// Carries bytes both ways until it is broken, in the middle of a message as a rule.
async fn forward(mut a: DuplexStream, mut b: DuplexStream, broken: CancellationToken) {
    tokio::select! {
        () = broken.cancelled() => {}
        _ = tokio::io::copy_bidirectional(&mut a, &mut b) => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_run_once_although_the_connection_breaks_a_hundred_times() {
    let limits = Limits { lease: Duration::from_secs(10), ..limits() };
    let manager = Manager::builder().register::<Counter>().limits(limits).in_process().unwrap();
    let fragile = Arc::new(Fragile::new(&manager).await);
    let counter = CounterProxy::create(&fragile.client, 0).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let breaker = tokio::spawn({
        let (fragile, done) = (fragile.clone(), done.clone());
        async move {
            for broken in 1..=100 {
                fragile.break_now();
                while fragile.opened.load(Ordering::SeqCst) <= broken {
                    tokio::task::yield_now().await;
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            done.store(true, Ordering::SeqCst);
        }
    });
    let mut calls = 0;
    let mut sums = Vec::new();
    let mut flight = FuturesUnordered::new();
    while !done.load(Ordering::SeqCst) || !flight.is_empty() {
        while !done.load(Ordering::SeqCst) && flight.len() < 32 {
            calls += 1;
            let counter = counter.clone();
            flight.push(async move {
                let child = counter.child(1).await.unwrap();
                counter.keep(child).await.unwrap();
                counter.add(1).await
            });
        }
        if let Some(sum) = flight.next().await {
            sums.push(sum.unwrap());
        }
    }
    breaker.await.unwrap();
    // Each addition counted once: the results are the numbers up to their count, none missing and none twice.
    sums.sort_unstable();
    assert_eq!(sums, Vec::from_iter(1..=calls));
    assert!(fragile.opened.load(Ordering::SeqCst) >= 101);
    assert_eq!(counter.kept().await.unwrap().len(), calls as usize);
    counter.forget().await.unwrap();
    objects(&manager, 1).await;
    drop(counter);
    objects(&manager, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_run_once_or_say_that_they_may_have_although_the_session_is_lost_again_and_again() {
    let limits = Limits { lease: Duration::from_millis(200), ..limits() };
    let manager = Manager::builder().limits(limits).in_process().unwrap();
    let fragile = Arc::new(Fragile::new(&manager).await);
    let list = List::<u64>::get_or_create(&fragile.client, "calls").await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let breaker = tokio::spawn({
        let (fragile, done) = (fragile.clone(), done.clone());
        async move {
            for broken in 1..=100 {
                let outage = broken % 10 == 0;
                fragile.cut.store(outage, Ordering::SeqCst);
                let opened = fragile.opened.load(Ordering::SeqCst);
                fragile.break_now();
                if outage {
                    // For longer than the lease: the session is lost, and what was on its way with it.
                    tokio::time::sleep(Duration::from_millis(400)).await;
                    fragile.cut.store(false, Ordering::SeqCst);
                }
                while fragile.opened.load(Ordering::SeqCst) == opened {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            done.store(true, Ordering::SeqCst);
        }
    });
    let mut calls = 0..;
    let mut outcomes = Vec::new();
    let mut flight = FuturesUnordered::new();
    while !done.load(Ordering::SeqCst) || !flight.is_empty() {
        while !done.load(Ordering::SeqCst) && flight.len() < 32 {
            let (list, call) = (list.clone(), calls.next().unwrap());
            flight.push(async move { (call, list.push(&call).await) });
        }
        outcomes.extend(flight.next().await);
    }
    breaker.await.unwrap();
    let mut ran = vec![0; outcomes.len()];
    let home: List<u64> = manager.lookup("calls").await.unwrap();
    home.get_value().await.unwrap().into_iter().for_each(|call| ran[call as usize] += 1);
    let mut unknown = 0;
    for (call, outcome) in outcomes {
        let ran = ran[call as usize];
        match outcome {
            Ok(()) => assert_eq!(ran, 1, "{call} is done"),
            Err(error) if error.kind().may_have_run() => {
                assert!(ran <= 1, "{call} ran {ran} times: {error}");
                unknown += 1;
            }
            Err(error) => assert_eq!(ran, 0, "{call}: {error}"),
        }
    }
    assert!(unknown > 0);
}

#[tokio::test]
async fn calls_go_out_again_in_their_order() {
    let manager = Manager::builder().register::<Counter>().limits(limits()).in_process().unwrap();
    let fragile = Fragile::new(&manager).await;
    let counter = CounterProxy::create(&fragile.client, 0).await.unwrap();
    for _ in 0..20 {
        counter.add(-counter.get().await.unwrap()).await.unwrap();
        fragile.break_now();
        let sums = futures_util::future::join_all((0..50).map(|_| counter.add(1))).await;
        let sums: Vec<_> = sums.into_iter().map(Result::unwrap).collect();
        assert_eq!(sums, Vec::from_iter(1..=50));
    }
}

#[tokio::test]
async fn a_call_that_is_cancelled_while_the_connection_is_down_leaves_nothing() {
    let manager = Manager::builder().register::<Counter>().limits(limits()).in_process().unwrap();
    let fragile = Fragile::new(&manager).await;
    let counter = CounterProxy::create(&fragile.client, 0).await.unwrap();
    for _ in 0..20 {
        let child = counter.child(1);
        let mut child = std::pin::pin!(child);
        let _ = futures_util::poll!(&mut child);
        tokio::task::yield_now().await;
        fragile.break_now();
    }
    assert_eq!(counter.get().await, Ok(0));
    objects(&manager, 1).await;
}

#[tokio::test]
async fn when_the_lease_is_over_a_call_says_whether_it_may_have_run() {
    let manager = Manager::builder().register::<Counter>().limits(limits()).in_process().unwrap();
    let fragile = Fragile::new(&manager).await;
    let counter = CounterProxy::create(&fragile.client, 0).await.unwrap();
    fragile.client.publish("counter", &counter).await.unwrap();
    let sent = counter.sleep_then_add(300);
    let cut = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        fragile.cut.store(true, Ordering::SeqCst);
        fragile.break_now();
        tokio::time::sleep(Duration::from_millis(5)).await;
        counter.add(1).await
    };
    let (sent, unsent) = futures_util::future::join(sent, cut).await;
    assert_eq!(sent.unwrap_err().kind(), RemoteErrorKind::MayHaveRun);
    let CallError::Remote(unsent) = unsent.unwrap_err() else { panic!("an error of the way") };
    assert!(!unsent.kind().may_have_run(), "{unsent}");
    // The object is still there for others, and for this proxy as soon as there is a way.
    fragile.cut.store(false, Ordering::SeqCst);
    assert_eq!(counter.get().await, Ok(1));
    assert_eq!(counter.add(1).await, Ok(2));
}
