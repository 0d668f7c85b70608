//! What stays true when types, connectors and runtimes misbehave.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use proxystore::{
    Capabilities, Connector, ConnectorInfo, Error, ErrorKind, Key, Payload, Proxy, PutOptions, Result, Store,
    async_trait,
};
use proxystore_core::{Factory, Place, Stage, Transform};
use proxystore_testkit::fault::{Fault, FaultConnector, Op};
use serde::{Deserialize, Serialize};

use crate::stores::{self, backends};

fn down() -> Fault {
    Fault::Fail(Error::new(ErrorKind::Unavailable, "down"))
}

/// Its decoding panics.
#[derive(Debug, Serialize, Deserialize)]
#[serde(from = "u32")]
struct Unlucky(u32);

impl From<u32> for Unlucky {
    fn from(number: u32) -> Self {
        assert!(number != 13, "unlucky");
        Self(number)
    }
}

#[tokio::test]
async fn a_type_whose_decoding_panics_loses_nothing() {
    let backend = stores::local().await;
    let (store, spy) = backend.spied("unlucky").await;
    let proxy = store.proxy(Unlucky(13)).ephemeral().await.unwrap();
    let key = proxy.factory().key().clone();
    assert_eq!(proxy.resolve_async().await.unwrap_err().kind(), ErrorKind::Codec);
    assert!(store.exists(&key).await.unwrap(), "an object that cannot be decoded is lost");
    assert_eq!(store.get::<Unlucky>(&key).await.unwrap_err().kind(), ErrorKind::Codec);
    assert_eq!(spy.calls(Op::Get), 1, "it is loaded again and again");
    let seven = store.put(&Unlucky(7)).await.unwrap();
    let got = store.get_many::<Unlucky>(&[key, seven]).await;
    assert_eq!(got[0].as_ref().unwrap_err().kind(), ErrorKind::Codec);
    assert_eq!(got[1].as_ref().unwrap().as_ref().unwrap().0, 7);
}

#[tokio::test]
async fn an_object_that_cannot_be_put_back_is_told_by_its_first_error() {
    let (store, spy) = stores::local().await.spied("back").await;
    let proxy = store.proxy(Unlucky(13)).ephemeral().await.unwrap();
    spy.next(Op::Put, down());
    let error = proxy.resolve_async().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Codec);
    assert_eq!(error.context("not_put_back"), Some("backend unavailable"));
}

/// A connector that has no `take`, and leaves out the last answer of a batch.
#[derive(Debug)]
struct Poor(Arc<dyn Connector>, ConnectorInfo);

impl Poor {
    async fn open() -> Arc<dyn Connector> {
        let inner = stores::local().await.connector;
        let ConnectorInfo { uri, capabilities, .. } = inner.info().clone();
        let info = ConnectorInfo::new(uri, Capabilities { take: false, ..capabilities });
        Arc::new(Self(inner, info))
    }
}

fn most<T>(mut answers: Vec<T>) -> Vec<T> {
    answers.pop();
    answers
}

#[async_trait]
impl Connector for Poor {
    fn info(&self) -> &ConnectorInfo {
        &self.1
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

    async fn put_many(&self, items: Vec<(Key, Payload)>, options: &PutOptions) -> Vec<Result<()>> {
        most(self.0.put_many(items, options).await)
    }

    async fn get_many(&self, keys: &[Key]) -> Vec<Result<Option<Payload>>> {
        most(self.0.get_many(keys).await)
    }

    async fn evict_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        most(self.0.evict_many(keys).await)
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}

#[tokio::test]
async fn a_value_in_hand_is_not_thrown_away_because_its_object_stays() {
    let spy = FaultConnector::new(Poor::open().await);
    let store = Store::builder("hand").shared_connector(spy.clone()).build().await.unwrap();
    let proxy = store.proxy(7u8).ephemeral().await.unwrap();
    spy.next(Op::Evict, down());
    assert_eq!(proxy.resolve_async().await.unwrap(), &7);
    assert!(!store.is_cached(proxy.factory().key()));
}

/// Changes nothing.
#[derive(Debug)]
struct Idle;

impl Transform for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn stage(&self) -> Stage {
        Stage::Compress
    }

    fn seal(&self, _: &Place<'_>, value: Payload) -> Result<Payload> {
        Ok(value)
    }

    fn open(&self, _: &Place<'_>, value: Payload) -> Result<Payload> {
        Ok(value)
    }
}

#[tokio::test]
async fn an_answer_that_is_left_out_is_neither_success_nor_absence() {
    let plain = Store::builder("plain").shared_connector(Poor::open().await).build().await.unwrap();
    let changed = Store::builder("changed").shared_connector(Poor::open().await).transform(Idle).build();
    for store in [plain, changed.await.unwrap()] {
        let kinds = |found: Vec<Option<ErrorKind>>| {
            assert_eq!(found, [None, None, Some(ErrorKind::Unexpected)], "{store:?}");
        };
        kinds(store.put_many(&[1u8, 2, 3]).await.iter().map(|r| r.as_ref().err().map(Error::kind)).collect());
        let mut keys = Vec::new();
        for value in [1u8, 2, 3] {
            keys.push(store.put(&value).await.unwrap());
        }
        let got = store.get_many::<u8>(&keys).await;
        kinds(got.iter().map(|r| r.as_ref().err().map(Error::kind)).collect());
        kinds(store.evict_many(&keys).await.iter().map(|r| r.as_ref().err().map(Error::kind)).collect());
    }
}

#[tokio::test]
async fn what_is_read_while_it_is_taken_is_not_cached() {
    for backend in backends().await {
        let (store, spy) = backend.spied("taken").await;
        let proxy = store.proxy(7u8).ephemeral().await.unwrap();
        let key = proxy.factory().key();
        spy.next(Op::Take, Fault::Hang);
        let taking = tokio::spawn({
            let proxy = proxy.clone();
            async move { proxy.resolve_async().await.copied() }
        });
        spy.reached(Op::Take, 1).await;
        assert_eq!(store.get::<u8>(key).await.unwrap().as_deref(), Some(&7));
        spy.release();
        assert_eq!(taking.await.unwrap().unwrap(), 7);
        assert!(store.get::<u8>(key).await.unwrap().is_none(), "{}: it is gone", backend.scheme);
    }
}

#[tokio::test]
async fn a_late_waiter_does_not_end_the_next_take() {
    let (store, spy) = stores::local().await.spied("late").await;
    let proxy = store.proxy(7u8).ephemeral().await.unwrap();
    let take = || -> std::pin::Pin<Box<dyn Future<Output = Result<Arc<u8>>> + Send + '_>> {
        proxy.factory().resolve_async()
    };
    spy.next(Op::Take, down());
    spy.nth(Op::Take, 2, Fault::Hang);
    let (first, mut late) = (take(), take());
    assert!((&mut late).now_or_never().is_none());
    first.await.unwrap_err();
    let mut second = take();
    assert!((&mut second).now_or_never().is_none());
    spy.reached(Op::Take, 2).await;
    late.await.unwrap_err();
    drop(second);
    spy.release();
    assert_eq!(*take().await.unwrap(), 7);
    assert_eq!(spy.calls(Op::Take), 2, "the take under way was ended");
}

#[test]
fn a_runtime_that_stands_still_keeps_no_ephemeral_proxy() {
    let runtime = |paused| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(paused).build().unwrap()
    };
    let standing = runtime(false);
    let (proxy, _waits) = standing.block_on(async {
        let (store, spy) = stores::local().await.spied("still").await;
        let proxy: Proxy<u8> = store.proxy(7u8).ephemeral().await.unwrap();
        spy.next(Op::Take, Fault::Hang);
        let waiting = proxy.clone();
        let mut waits = Box::pin(async move { waiting.factory().resolve_async().await as Result<Arc<u8>> });
        assert!((&mut waits).now_or_never().is_none());
        spy.reached(Op::Take, 1).await;
        (proxy, waits)
    });
    // It may be driven again, and then the object has arrived: whoever asks now does not know.
    let found: Result<Arc<u8>> = runtime(true).block_on(async {
        let resolve = proxy.factory().resolve_async();
        tokio::time::timeout(Duration::from_secs(3600), resolve).await.expect("it waits for ever")
    });
    assert_eq!(found.unwrap_err().kind(), ErrorKind::Ambiguous);
}
