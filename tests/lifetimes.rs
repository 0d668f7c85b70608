//! Objects live as long as what they are attached to, over every connector.

mod leases;
mod processes;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proxystore::{
    Connector, ConnectorInfo, Error, ErrorKind, Key, Lease, Lifetime, Mode, Payload, Process, Proxy, ProxyOr,
    PutOptions, Scope, Store, async_trait, shutdown,
};
use proxystore_testkit::cancel::{eventually, poll_and_drop};
use proxystore_testkit::fault::{Fault, FaultConnector, Op};
use tokio::time::{Instant, sleep};

use crate::stores::{self, backends};

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(20);

/// Waits until the object is gone.
async fn goes(store: &Store, key: &Key) {
    eventually(LONG, || async { !store.exists(key).await.unwrap() }).await;
}

async fn gone(store: &Store, keys: impl IntoIterator<Item = &Key>) -> bool {
    for key in keys {
        if store.exists(key).await.unwrap() {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn a_scope_evicts_what_is_attached_to_it() {
    for backend in backends().await {
        let store = backend.store("scoped").await;
        let scope = Scope::new();
        let mut keys = vec![store.put(&1).lifetime(&scope).await.unwrap()];
        keys.extend(store.put_many(&[2, 3]).lifetime(&scope).await.into_iter().map(Result::unwrap));
        let proxies = store.proxy_many([4, 5]).lifetime(&scope).await;
        keys.extend(proxies.iter().map(|proxy| proxy.as_ref().unwrap().factory().key().clone()));
        let proxy = store.proxy(6).lifetime(&scope).populate(false).await.unwrap();
        assert!(!proxy.is_resolved());
        keys.push(proxy.factory().key().clone());
        let ProxyOr::Proxy(large) = store.offload(vec![7u8; 10]).above(1).lifetime(&scope).await.unwrap()
        else {
            panic!("it is large")
        };
        keys.push(large.factory().key().clone());
        keys.push(store.put(&8).await.unwrap());
        scope.add_key(&store, keys.last().unwrap()).await.unwrap();
        let added = store.proxy(9).await.unwrap();
        scope.add_proxy(&added).await.unwrap();
        keys.push(added.factory().key().clone());
        let kept = store.put(&10).await.unwrap();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 9);
        assert!(!scope.done());

        // Somebody else has evicted one.
        store.evict(&keys[0]).await.unwrap();
        let evictions = scope.end().await;
        assert_eq!((evictions.evicted, evictions.gone, evictions.failed, evictions.pending), (8, 1, 0, 0));
        assert!(evictions.is_complete() && evictions.error.is_none());
        assert!(gone(&store, &keys).await && store.exists(&kept).await.unwrap());
        assert_eq!(proxy.resolve_async().await.unwrap_err().kind(), ErrorKind::Missing);

        assert!(scope.done());
        assert_eq!(scope.end().await.evicted, 0);
    }
}

#[tokio::test]
async fn what_has_ended_refuses_before_anything_is_put() {
    let backend = stores::local().await;
    let (store, spy) = backend.spied("ended").await;
    let scope = Scope::new();
    let key = store.put(&0).await.unwrap();
    scope.end().await;
    let lease = Lease::new(Duration::ZERO).unwrap();
    let before = spy.total();
    assert_eq!(store.put(&1).lifetime(&scope).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(store.proxy(1).lifetime(&scope).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(store.proxy(1).lifetime(&lease).await.unwrap_err().kind(), ErrorKind::Expired);
    for result in store.put_many(&[1, 2]).lifetime(&scope).await {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed);
    }
    for result in store.proxy_many([1, 2]).lifetime(&lease).await {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Expired);
    }
    assert_eq!(store.offload(1).above(0).lifetime(&scope).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(scope.add_key(&store, &key).await.unwrap_err().kind(), ErrorKind::Closed);
    let proxy = store.proxy_from_key::<i32, proxystore::Postcard>(key);
    assert_eq!(lease.add_proxy(&proxy).await.unwrap_err().kind(), ErrorKind::Expired);
    assert_eq!(spy.total(), before, "something was asked of the backend");
}

#[tokio::test]
async fn a_lifetime_that_ends_during_a_put_leaves_nothing() {
    let backend = stores::local().await;
    let (store, faulty) = backend.spied("race").await;
    let scope = Arc::new(Scope::new());
    faulty.next(Op::Put, Fault::Delay(Duration::from_millis(100)));
    let put = tokio::spawn({
        let (store, scope) = (store.clone(), scope.clone());
        async move { store.put(&1).lifetime(&*scope).await }
    });
    eventually(LONG, || async { faulty.calls(Op::Put) == 1 }).await;
    let evictions = scope.end().await;
    assert_eq!((evictions.evicted, evictions.gone), (0, 1));
    let error = put.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    let key: Key = error.context("key").unwrap().parse().unwrap();
    eventually(LONG, || async { faulty.calls(Op::EvictMany) == 2 }).await;
    assert!(gone(&store, [&key]).await);
}

#[tokio::test]
async fn a_dropped_scope_and_a_dropped_put_leave_nothing() {
    for backend in backends().await {
        let (store, faulty) = backend.spied("dropped").await;
        let scope = Scope::new();
        let key = store.put(&1).lifetime(&scope).await.unwrap();
        // The write happens, and nobody waits for it any more.
        faulty.next(Op::Put, Fault::FailAfter(Error::new(ErrorKind::Ambiguous, "lost")));
        let error = store.put(&2).lifetime(&scope).await.unwrap_err();
        let lost: Key = error.context("key").unwrap().parse().unwrap();
        assert!(store.exists(&lost).await.unwrap());
        drop(scope);
        for key in [key, lost] {
            goes(&store, &key).await;
        }
    }
}

/// A connector that makes trouble about one of its objects while it is stubborn.
#[derive(Debug)]
struct Stubborn {
    inner: Arc<dyn Connector>,
    key: Key,
    trouble: fn() -> proxystore::Result<()>,
    stubborn: AtomicBool,
}

impl Stubborn {
    fn about(&self, key: &Key) -> proxystore::Result<()> {
        if *key == self.key && self.stubborn.load(Ordering::Relaxed) { (self.trouble)() } else { Ok(()) }
    }
}

#[async_trait]
impl Connector for Stubborn {
    fn info(&self) -> &ConnectorInfo {
        self.inner.info()
    }

    async fn put(&self, key: &Key, value: Payload, options: &PutOptions) -> proxystore::Result<()> {
        self.inner.put(key, value, options).await
    }

    async fn get(&self, key: &Key) -> proxystore::Result<Option<Payload>> {
        self.inner.get(key).await
    }

    async fn exists(&self, key: &Key) -> proxystore::Result<bool> {
        self.inner.exists(key).await
    }

    async fn evict(&self, key: &Key) -> proxystore::Result<()> {
        self.about(key)?;
        self.inner.evict(key).await
    }

    async fn touch(&self, key: &Key, ttl: Duration) -> proxystore::Result<bool> {
        self.about(key)?;
        self.inner.touch(key, ttl).await
    }

    async fn close(&self) -> proxystore::Result<()> {
        self.inner.close().await
    }
}

async fn stubborn(trouble: fn() -> proxystore::Result<()>) -> (Store, Arc<Stubborn>) {
    let inner = stores::local().await.connector;
    let key = Key::random().unwrap();
    let options = PutOptions { mode: Mode::Create, ..PutOptions::default() };
    inner.put(&key, Payload::from(vec![1]), &options).await.unwrap();
    let stubborn = Arc::new(Stubborn { inner, key, trouble, stubborn: AtomicBool::new(false) });
    (Store::builder("stubborn").shared_connector(stubborn.clone()).build().await.unwrap(), stubborn)
}

async fn end_with_one_that_stays(
    trouble: fn() -> proxystore::Result<()>,
) -> (Store, Arc<Stubborn>, proxystore::Evictions) {
    let (store, stubborn) = stubborn(trouble).await;
    let scope = Scope::new();
    let before = store.put_many(&[1, 2, 3]).lifetime(&scope).await;
    scope.add_key(&store, &stubborn.key).await.unwrap();
    stubborn.stubborn.store(true, Ordering::Relaxed);
    let after = store.put_many(&[4, 5, 6]).lifetime(&scope).await;
    let evictions = scope.end().await;
    let keys: Vec<Key> = before.into_iter().chain(after).map(Result::unwrap).collect();
    assert!(gone(&store, &keys).await);
    (store, stubborn, evictions)
}

#[tokio::test]
async fn one_that_cannot_be_evicted_yet_hides_no_other_and_is_tried_again() {
    let busy = || Err(Error::new(ErrorKind::Unavailable, "busy").transient());
    let (store, stubborn, evictions) = end_with_one_that_stays(busy).await;
    assert_eq!((evictions.evicted, evictions.pending, evictions.failed), (6, 1, 0));
    assert_eq!(evictions.error.unwrap().context("key"), Some(stubborn.key.as_str()));
    assert!(store.exists(&stubborn.key).await.unwrap());
    stubborn.stubborn.store(false, Ordering::Relaxed);
    goes(&store, &stubborn.key).await;
}

#[tokio::test]
async fn one_that_can_never_be_evicted_hides_no_other() {
    let denied = || Err(Error::new(ErrorKind::Denied, "not yours"));
    let (store, stubborn, evictions) = end_with_one_that_stays(denied).await;
    assert_eq!((evictions.evicted, evictions.pending, evictions.failed), (6, 0, 1));
    let error = evictions.error.unwrap();
    assert_eq!((error.kind(), error.context("store")), (ErrorKind::Denied, Some("stubborn")));
    assert!(store.exists(&stubborn.key).await.unwrap());
}

#[tokio::test]
async fn a_connector_that_panics_stops_nothing() {
    let (store, stubborn) = stubborn(|| panic!("as planned")).await;
    let scope = Scope::with_ttl(Duration::from_millis(400));
    scope.add_key(&store, &stubborn.key).await.unwrap();
    stubborn.stubborn.store(true, Ordering::Relaxed);
    let key = store.put(&1).lifetime(&scope).await.unwrap();
    sleep(Duration::from_millis(900)).await;
    assert!(store.exists(&key).await.unwrap(), "one was not renewed any more");
    // By now the one that it panics about has expired; it is evicted all the same.
    let evictions = scope.end().await;
    assert_eq!((evictions.evicted, evictions.pending), (0, 2));
    assert_eq!(evictions.error.unwrap().kind(), ErrorKind::Unexpected);
    stubborn.stubborn.store(false, Ordering::Relaxed);
    goes(&store, &key).await;
    assert!(store.close().await.unwrap().is_complete());
}

#[tokio::test]
async fn a_backend_that_hangs_keeps_an_end_waiting_once() {
    let backend = stores::local().await;
    let (store, faulty) = backend.spied("hangs").await;
    let scope = Scope::new();
    let keys = store.put_many(&(0..600).collect::<Vec<u32>>()).lifetime(&scope).await;
    let keys: Vec<Key> = keys.into_iter().map(Result::unwrap).collect();
    faulty.every(Op::EvictMany, Fault::Hang);
    let start = Instant::now();
    let evictions = scope.end().await;
    assert!(start.elapsed() < Duration::from_secs(15), "once for each batch: {:?}", start.elapsed());
    assert_eq!((evictions.pending, evictions.error.unwrap().kind()), (600, ErrorKind::Timeout));
    faulty.heal();
    faulty.release();
    for key in &keys {
        goes(&store, key).await;
    }
}

#[tokio::test]
async fn a_dropped_attaching_leaves_the_object_attached_and_renewed() {
    let backend = stores::local().await;
    let (store, faulty) = backend.spied("dropped-attaching").await;
    let ttl = Duration::from_millis(300);
    let scope = Scope::with_ttl(ttl);
    let key = store.put(&1).ttl(ttl).await.unwrap();
    faulty.next(Op::Touch, Fault::Hang);
    poll_and_drop(scope.add_key(&store, &key), 1).await;
    assert_eq!(faulty.calls(Op::Touch), 1, "it was not dropped during the touch");
    sleep(3 * ttl).await;
    assert!(store.exists(&key).await.unwrap());
    assert_eq!(scope.end().await.evicted, 1);
}

#[tokio::test]
async fn a_scope_keeps_its_objects_however_short_its_ttl() {
    let store = stores::local().await.store("short").await;
    let scope = Scope::with_ttl(Duration::ZERO);
    let key = store.put(&1).lifetime(&scope).await.unwrap();
    sleep(Duration::from_millis(500)).await;
    assert!(store.exists(&key).await.unwrap());
}

#[tokio::test]
async fn the_process_ends_with_shutdown_and_begins_anew() {
    let store = stores::local().await.store("static").await;
    for round in 0..2 {
        let key = store.put(&round).lifetime(&Process).await.unwrap();
        assert!(!Process.done());
        let dropped = Scope::new();
        let also = store.put(&round).lifetime(&dropped).await.unwrap();
        drop(dropped);
        let evictions = shutdown(Duration::from_secs(5)).await;
        assert!(evictions.evicted >= 1 && evictions.is_complete(), "{evictions:?}");
        assert!(gone(&store, [&key, &also]).await);
    }
}

#[tokio::test]
async fn shutdown_ends_at_its_deadline_and_says_what_is_pending() {
    let backend = stores::local().await;
    let (store, faulty) = backend.spied("hanging").await;
    let key = store.put(&1).lifetime(&Process).await.unwrap();
    faulty.every(Op::EvictMany, Fault::Hang);
    let start = Instant::now();
    let evictions = shutdown(Duration::from_millis(200)).await;
    assert!(evictions.pending >= 1 && !evictions.is_complete(), "{evictions:?}");
    assert!(start.elapsed() < Duration::from_secs(2));
    faulty.heal();
    faulty.release();
    goes(&store, &key).await;
}

/// A clock that is paused for a test is the test's, and not the backend's.
#[tokio::test(start_paused = true)]
async fn close_and_shutdown_wait_by_the_clock_of_the_background() {
    for name in ["closes", "shuts-down"] {
        let backend = stores::local().await;
        let (store, faulty) = backend.spied(name).await;
        let scope = Scope::new();
        store.put(&1).lifetime(&scope).await.unwrap();
        faulty.next(Op::EvictMany, Fault::Delay(Duration::from_millis(200)));
        drop(scope);
        let evictions = match name {
            "closes" => store.close().await.unwrap(),
            _ => shutdown(Duration::from_secs(5)).await,
        };
        assert!(evictions.is_complete() && evictions.evicted == 1, "{name}: {evictions:?}");
    }
}

#[tokio::test]
async fn a_store_that_closes_tells_the_latest_error() {
    let backend = stores::local().await;
    let (store, faulty) = backend.spied("latest").await;
    let scope = Scope::new();
    let key = store.put(&1).lifetime(&scope).await.unwrap();
    faulty.next(Op::EvictMany, Fault::Fail(Error::new(ErrorKind::Unavailable, "busy").transient()));
    assert_eq!(scope.end().await.pending, 1);
    goes(&store, &key).await;

    let scope = Scope::new();
    store.put(&2).lifetime(&scope).await.unwrap();
    faulty.next(Op::Exists, Fault::Delay(Duration::from_millis(200)));
    faulty.next(Op::EvictMany, Fault::Fail(Error::new(ErrorKind::Denied, "not yours")));
    drop(scope);
    let evictions = store.close().await.unwrap();
    assert_eq!((evictions.failed, evictions.error.map(|error| error.kind())), (1, Some(ErrorKind::Denied)));
}

#[tokio::test]
async fn a_closed_store_waits_for_its_evictions_and_can_be_cleared() {
    proxystore::install(proxystore::Trust::Registered);
    for backend in backends().await {
        let store = backend.store("closing").await;
        let scope = Scope::new();
        for result in store.put_many(&(0..500).collect::<Vec<u32>>()).lifetime(&scope).await {
            result.unwrap();
        }
        let kept = store.put(&1).await.unwrap();
        drop(scope);
        let evictions = store.close().await.unwrap();
        assert!(evictions.is_complete() && evictions.evicted <= 500, "{evictions:?}");
        assert_eq!(store.exists(&kept).await.unwrap_err().kind(), ErrorKind::Closed);

        let again = Store::builder("again").uri(&backend.uri).build().await.unwrap();
        assert!(again.exists(&kept).await.unwrap(), "closing deletes nothing");
        again.close_and_clear().await.unwrap();
        let again = Store::builder("again").uri(&backend.uri).build().await.unwrap();
        assert!(!again.exists(&kept).await.unwrap());
    }
}

/// Renewals that fail twice in a row, over and over, cost a live holder nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_holder_loses_nothing_by_two_lost_renewals() {
    for backend in backends().await {
        let (store, faulty) = backend.spied("renewed").await;
        let (scope, lease) =
            (Scope::with_ttl(Duration::from_secs(1)), Lease::new(Duration::from_secs(3600)).unwrap());
        let mut keys = Vec::new();
        for i in 0..50 {
            keys.push(store.put(&i).lifetime(&scope).await.unwrap());
        }
        keys.push(store.put(&50).lifetime(&lease).await.unwrap());
        let busy = || Error::new(ErrorKind::Unavailable, "busy").transient();
        for round in 0..4 {
            // All of the next two rounds of renewals.
            for _ in 0..100 {
                faulty.next(Op::Touch, Fault::Fail(busy()));
            }
            sleep(Duration::from_secs(1)).await;
            assert!(faulty.calls(Op::Touch) > 100 * round, "nothing was renewed");
        }
        for key in &keys {
            assert!(store.exists(key).await.unwrap(), "{}: an object is lost", backend.scheme);
        }
        assert_eq!(scope.end().await.evicted, 50);
    }
}

/// A proxy that comes from elsewhere can be attached, too.
#[tokio::test]
async fn a_received_proxy_is_attached_where_its_store_is_found() {
    let backend = stores::local().await;
    let store = backend.store("received").await;
    let sent = postcard::to_allocvec(&store.proxy(1).await.unwrap()).unwrap();
    let received: Proxy<i32> = postcard::from_bytes(&sent).unwrap();
    let scope = Scope::new();
    assert_eq!(scope.add_proxy(&received).await.unwrap_err().kind(), ErrorKind::Denied);
    let _registered = proxystore::Registry::global().scoped(&store);
    scope.add_proxy(&received).await.unwrap();
    assert_eq!(scope.end().await.evicted, 1);
    assert_eq!(received.resolve_async().await.unwrap_err().kind(), ErrorKind::Missing);
}

#[tokio::test]
async fn an_unknown_fault_connector_is_no_excuse() {
    // The connector in hand is the background's, too: what it does not know, nobody renews.
    let backend = stores::local().await;
    let faulty = FaultConnector::new(backend.connector.clone());
    faulty.every(Op::Touch, Fault::Fail(Error::new(ErrorKind::Closed, "over")));
    let store = Store::builder("over").shared_connector(faulty.clone()).build().await.unwrap();
    let scope = Scope::with_ttl(Duration::from_millis(200));
    let key = store.put(&1).lifetime(&scope).await.unwrap();
    sleep(Duration::from_millis(400)).await;
    assert!(gone(&store, [&key]).await, "an object that is not renewed stays");
    assert_eq!(faulty.calls(Op::Touch), 1, "a closed connector was asked again");
}
