use std::sync::Arc;

use proxystore_core::{Capabilities, Connector, ConnectorInfo, Mode, Payload, PutOptions, async_trait};
use proxystore_local::LocalConnector;

use super::*;

/// A backend of which the tests ask one thing.
#[derive(Debug)]
struct Plain {
    inner: LocalConnector,
    info: ConnectorInfo,
    /// What each put must be.
    asks: fn(&PutOptions) -> bool,
}

#[async_trait]
impl Connector for Plain {
    fn info(&self) -> &ConnectorInfo {
        &self.info
    }

    async fn put(&self, key: &Key, value: Payload, options: &PutOptions) -> Result<()> {
        assert!((self.asks)(options), "{options:?} for {key}");
        self.inner.put(key, value, options).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Payload>> {
        self.inner.get(key).await
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        self.inner.exists(key).await
    }

    async fn touch(&self, key: &Key, ttl: Duration) -> Result<bool> {
        self.inner.touch(key, ttl).await
    }

    async fn evict(&self, key: &Key) -> Result<()> {
        self.inner.evict(key).await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

async fn plain(create: bool, ttl: bool, asks: fn(&PutOptions) -> bool) -> Store {
    let inner = LocalConnector::new().unwrap();
    let mut info = inner.info().clone();
    info.capabilities = Capabilities { create, ttl, ..info.capabilities };
    Store::builder("plain").shared_connector(Arc::new(Plain { inner, info, asks })).build().await.unwrap()
}

#[tokio::test]
async fn whatever_is_put_has_an_end() {
    let store = plain(true, true, |options| options.ttl.is_some()).await;
    let proxy = store.proxy(1u8).ttl(TTL).await.unwrap();
    let mut owned = into_owned(proxy).await.unwrap();
    owned.update(2).await.unwrap();
    let clone = owned.clone_object().await.unwrap();
    owned.lend(async |lent| lent.resolve_async().await.copied()).await.unwrap().unwrap();
    owned.lend_mut(async |mut lent| lent.update(3).await).await.unwrap().unwrap();
    let handover = clone.hand_over().await.unwrap();
    assert_eq!(handover.claim().await.unwrap().resolve_async().await.unwrap(), &2);
    assert_eq!(owned.resolve_async().await.unwrap(), &3);
}

#[tokio::test]
async fn what_a_backend_cannot_do_is_said_before_anything_is_done() {
    for (create, ttl) in [(false, false), (true, false), (false, true)] {
        cannot(plain(create, ttl, |options| options.mode == Mode::Overwrite).await).await;
    }
}

async fn cannot(store: Store) {
    let mut owned = store.owned_proxy(1u8).await.unwrap();
    owned.update(2).await.unwrap();
    assert_eq!(owned.clone_object().await.unwrap().resolve_async().await.unwrap(), &2);
    assert_eq!(owned.lend(async |_| ()).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(owned.lend_mut(async |_| ()).await.unwrap_err().kind(), ErrorKind::Unsupported);
    let kept = owned.hand_over().await.unwrap_err();
    assert_eq!(kept.error.kind(), ErrorKind::Unsupported);
    let key = kept.owner.key().clone();
    assert_eq!(kept.owner.evict().await.evicted, 1);
    assert!(!store.exists(&key).await.unwrap());

    let proxy = store.proxy(1u8).await.unwrap();
    assert_eq!(into_owned(proxy.clone()).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(store.exists(proxy.factory().key()).await.unwrap());
}

#[tokio::test]
async fn times_that_are_too_short_are_refused() {
    let store = Store::builder("short").connector(LocalConnector::new().unwrap()).build().await.unwrap();
    let short = Duration::from_millis(99);
    assert_eq!(store.owned_proxy(1u8).ttl(short).await.unwrap_err().kind(), ErrorKind::Config);
    let owned = store.owned_proxy(1u8).await.unwrap();
    let kept = owned.hand_over_within(short).await.unwrap_err();
    assert_eq!(kept.error.kind(), ErrorKind::Config);
    assert_eq!(kept.owner.resolve_async().await.unwrap(), &1);
}

#[tokio::test]
async fn tags_and_populate_hold_for_updates() {
    let store = Store::builder("manners").connector(LocalConnector::new().unwrap()).build().await.unwrap();
    let mut owned = store.owned_proxy(1u8).tags(["near"]).populate(true).await.unwrap();
    owned.update(2).await.unwrap();
    assert_eq!(owned.get(), Some(&2));
    assert_eq!(owned.manner.tags, Tags::from(["near".to_owned()]));
    let owned = owned.hand_over().await.unwrap().claim().await.unwrap();
    assert_eq!(owned.manner.tags, Tags::from(["near".to_owned()]));
    assert_eq!(owned.manner.ttl, TTL);
    assert!(format!("{owned:?}").starts_with("OwnedProxy(Proxy"));
}

#[tokio::test]
async fn all_of_it_moves_between_threads() {
    fn moves<T: Send>(value: T) -> T {
        value
    }
    let store = Store::builder("threads").connector(LocalConnector::new().unwrap()).build().await.unwrap();
    let mut owned = moves(moves(store.owned_proxy(1u8).into_future()).await.unwrap());
    moves(owned.borrow_mut().update(2)).await.unwrap();
    moves(owned.lend(async |lent| lent.resolve_async().await.copied())).await.unwrap().unwrap();
    moves(owned.lend_mut(async |mut lent| lent.update(3).await)).await.unwrap().unwrap();
    drop(moves(owned.borrow().resolve_async()));
    drop(moves(owned.clone_object()));
    let handover = moves(owned.hand_over()).await.unwrap();
    assert_eq!(moves(handover.claim()).await.unwrap().get(), None);
    drop(moves(into_owned(store.proxy(1u8).await.unwrap())));
}
