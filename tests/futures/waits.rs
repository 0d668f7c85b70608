//! How waiting goes on and ends when notifications, answers, time or stores are lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use proxystore::{
    Connector, ConnectorInfo, Error, ErrorKind, Key, Payload, Proxy, PutOptions, Result, Store, Watch,
    async_trait,
};
use proxystore_testkit::fault::{Fault, FaultConnector, Op};

use super::{SECOND, ms, resolve};
use crate::stores::{Backend, backends, local};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What the paused clock says a wait took, and how it ended.
async fn timed(proxy: &Proxy<u64>) -> (Duration, ErrorKind) {
    let start = tokio::time::Instant::now();
    let error = proxy.resolve_async().await.unwrap_err();
    (start.elapsed(), error.kind())
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_exact_whatever_the_interval() {
    let backend = local().await;
    let (store, spy) = backend.spied("exact").await;
    // The lease is counted by this clock, and its beats by the real one.
    let future = || store.future::<u64>().lease(DAY);
    for (interval, timeout) in [(500, 10), (0, 50), (1, 60_000), (7, 7), (3_600_000, 5000)] {
        let future = future().interval(ms(interval)).interval_limit(DAY).timeout(ms(timeout)).await.unwrap();
        let proxy = future.proxy();
        assert_eq!(timed(&proxy).await, (ms(timeout), ErrorKind::Timeout), "{interval} {timeout}");
        let clones: Vec<_> = (0..10).map(|_| proxy.clone()).collect();
        for ended in join_all(clones.iter().map(timed)).await {
            assert_eq!(ended, (ms(timeout), ErrorKind::Timeout), "one clone after the other");
        }
    }
    // The time that looking takes counts, and is cut off.
    spy.every(Op::Get, Fault::Delay(ms(700)));
    let future = future().timeout(SECOND).await.unwrap();
    assert_eq!(timed(&future.proxy()).await, (SECOND, ErrorKind::Timeout));
}

#[tokio::test(start_paused = true)]
async fn a_wait_looks_as_often_as_it_was_told() {
    let backend = local().await;
    let (store, spy) = backend.spied("looks").await;
    let request = store.future::<u64>().lease(DAY).timeout(ms(10_000)).jitter(false);
    let future = request.interval(ms(100)).backoff_factor(3.0).interval_limit(ms(1000)).await.unwrap();
    let waiting: Vec<_> = (0..1000).map(|_| resolve(future.proxy())).collect();
    for task in waiting {
        assert_eq!(task.await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    }
    // At 100, 400, 1300, 2300, … 9300 ms: one call for a thousand who wait.
    assert_eq!(spy.calls(Op::GetMany), 11);
    assert_eq!((spy.calls(Op::Get), spy.calls(Op::Watch)), (2, 1));
    tokio::time::sleep(DAY).await;
    assert_eq!(spy.calls(Op::GetMany), 11, "it goes on though nobody waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_while_the_subscription_is_made_is_seen() {
    for backend in backends().await {
        let (store, spy) = backend.spied("between").await;
        let future = store.future::<u64>().interval(DAY).interval_limit(DAY).jitter(false).await.unwrap();
        spy.next(Op::Watch, Fault::Hang);
        let waiting = resolve(future.proxy());
        spy.reached(Op::Watch, 1).await;
        future.set(&7).await.unwrap();
        assert!(!waiting.is_finished());
        spy.release();
        assert_eq!(waiting.await.unwrap().unwrap(), 7, "{}", backend.scheme);
    }
}

/// Hears nothing.
#[derive(Debug)]
struct Deaf(Arc<dyn Connector>);

#[async_trait]
impl Connector for Deaf {
    fn info(&self) -> &ConnectorInfo {
        self.0.info()
    }

    async fn put(&self, key: &Key, value: Payload, options: &PutOptions) -> Result<()> {
        self.0.put(key, value, options).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Payload>> {
        self.0.get(key).await
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        self.0.exists(key).await
    }

    async fn evict(&self, key: &Key) -> Result<()> {
        self.0.evict(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Vec<Result<Option<Payload>>> {
        self.0.get_many(keys).await
    }

    async fn touch(&self, key: &Key, ttl: Duration) -> Result<bool> {
        self.0.touch(key, ttl).await
    }

    async fn watch(&self, _: &Key) -> Result<Watch> {
        Ok(Watch::never())
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}

async fn deaf(backend: &Backend) -> Store {
    let connector: Arc<dyn Connector> = Arc::new(Deaf(backend.connector.clone()));
    Store::builder("deaf").shared_connector(connector).build().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_notifications_cost_a_tick_at_most() {
    const WAITS: usize = 2000;
    for backend in backends().await {
        let store = deaf(&backend).await;
        let futures = join_all((0..WAITS).map(|_| store.future::<u64>().into_future())).await;
        let futures: Vec<_> = futures.into_iter().map(Result::unwrap).collect();
        let waiting: Vec<_> = futures
            .iter()
            .map(|future| {
                let result = future.result();
                tokio::spawn(async move { result.await.map(|found| (*found, Instant::now())) })
            })
            .collect();
        tokio::time::sleep(2 * SECOND).await; // until they look once a second only
        let mut late = Vec::new();
        for ((task, future), n) in waiting.into_iter().zip(futures).zip(0u64..) {
            future.set(&n).await.unwrap();
            let set = Instant::now();
            late.push(async move {
                let (found, woken) = task.await.unwrap().unwrap();
                assert_eq!(found, n);
                woken.saturating_duration_since(set)
            });
        }
        let latest = join_all(late).await.into_iter().max().unwrap();
        assert!(latest <= ms(1200), "{}: {latest:?}", backend.scheme);
        assert!(latest > ms(100), "{}: {latest:?}: notifications were not lost", backend.scheme);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_waited_through_and_is_no_absence() {
    for backend in backends().await {
        let (store, spy) = backend.spied("outage").await;
        let down = || {
            let error = Error::new(ErrorKind::Unavailable, "down").transient();
            spy.every(Op::Get, Fault::Fail(error.clone()));
            spy.every(Op::GetMany, Fault::Fail(error.clone()));
            spy.every(Op::Watch, Fault::Fail(error));
        };
        down();
        let future = store.future::<u64>().timeout(ms(100)).await.unwrap();
        let error = resolve(future.proxy()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}: {error}", backend.scheme);
        spy.heal();
        let error = resolve(future.proxy()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{}: {error}", backend.scheme);

        let future = store.future::<u64>().await.unwrap();
        down();
        let waiting = resolve(future.proxy());
        future.set(&7).await.unwrap();
        tokio::time::sleep(ms(50)).await;
        assert!(!waiting.is_finished());
        spy.heal();
        assert_eq!(waiting.await.unwrap().unwrap(), 7, "{}", backend.scheme);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_will_not_pass_ends_a_wait_at_once() {
    for backend in backends().await {
        let store = backend.store("final").await;
        let future = store.future::<u64>().await.unwrap();
        let waiting = resolve(future.proxy());
        let garbage = Payload::from(vec![7u8; 200]);
        store.connector().put(future.key(), garbage, &PutOptions::default()).await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Corrupt, "{}", backend.scheme);

        let future = store.future::<u64>().await.unwrap();
        let waiting = [resolve(future.proxy()), resolve(future.proxy())];
        tokio::time::sleep(ms(20)).await;
        let start = Instant::now();
        store.close().await.unwrap();
        for task in waiting {
            let error = task.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed, "{}: {error}", backend.scheme);
        }
        assert_eq!(resolve(future.proxy()).await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
        assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_one_to_leave_ends_the_wait() {
    for backend in backends().await {
        let spy = FaultConnector::new(Arc::new(Deaf(backend.connector.clone())));
        let store = Store::builder("left").shared_connector(spy.clone()).build().await.unwrap();
        let future = store.future::<u64>().interval_limit(ms(5)).await.unwrap();
        let mut waiting: Vec<_> = (0..100).map(|_| resolve(future.proxy())).collect();
        let patient = waiting.pop().unwrap();
        spy.reached(Op::GetMany, 3).await;
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
        let looks = spy.calls(Op::GetMany);
        spy.reached(Op::GetMany, looks + 3).await;
        patient.abort();
        assert!(patient.await.is_err() && join_all(waiting).await.iter().all(Result::is_err));
        tokio::time::sleep(ms(50)).await; // whatever was under way
        let looks = spy.calls(Op::GetMany);
        tokio::time::sleep(ms(100)).await;
        assert_eq!(spy.calls(Op::GetMany), looks, "{}", backend.scheme);

        // A get asks now, and does not wait with those who do.
        let waiting = resolve(future.proxy());
        spy.reached(Op::GetMany, looks + 1).await;
        assert!(store.get::<u64>(future.key()).await.unwrap().is_none());
        future.set(&7).await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), 7);
    }
}
