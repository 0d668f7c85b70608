//! Typed objects over one connector.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::join;
use proxystore_core::{Connector, Error, ErrorKind, Key, Operation, Origin, Result, Transfer, Uri};
use tokio::sync::Notify;

use crate::background::aside::{Again, Aside};
use crate::background::reaper::Reaper;
use crate::builder::{Named, StoreBuilder};
use crate::cache::{Cache, Forget};
use crate::envelope;
use crate::grant::Signer;
use crate::metrics::{Counter, Metrics, Recorder, Timer};
use crate::reference::Identity;
use crate::{Evictions, Registry, StoreConfig, rt};

/// How long closing waits for evictions.
const PATIENCE: Duration = Duration::from_secs(5);

/// Objects of any type over one connector, and proxies of them. A handle: clones are the same store.
///
/// ```
/// # use proxystore_store::{Proxy, Registry, Store};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
/// # Registry::global().install(proxystore_local::DRIVER);
/// let store = Store::open("local:///images").await?;
/// let proxy = store.proxy(vec![1u8, 2, 3]).await?;
///
/// let text = serde_json::to_string(&proxy).unwrap();   // a reference, which travels anywhere
/// let received: Proxy<Vec<u8>> = serde_json::from_str(&text).unwrap();
/// assert_eq!(received.resolve_async().await?, &[1, 2, 3]);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    config: StoreConfig,
    identity: Identity,
    connector: Arc<dyn Connector>,
    cache: Arc<Cache>,
    recorder: Recorder,
    signer: Option<Signer>,
    reaper: Reaper,
    aside: Aside,
    closed: AtomicBool,
    closing: Notify,
}

impl Store {
    /// Opens the store at `uri` with all defaults, and registers it, so that references to it resolve in this process.
    ///
    /// Its name follows from the place, so that two processes which open the same URI mean the same store; opening it
    /// again gives the same handle. It stays open until [`close`](Self::close).
    ///
    /// Errors: `Config` if the URI is wrong, or the place is open with other credentials or options; `Unsupported` if
    /// no driver is installed for its scheme, and whatever connecting reports. Dropping the future leaves nothing
    /// behind.
    pub async fn open(uri: impl AsRef<str>) -> Result<Self> {
        let registry = Registry::global();
        let uri: Uri = uri.as_ref().parse()?;
        if let Some(store) = registry.at(registry.identity(&uri)?) {
            return store.opened_alike(&uri);
        }
        let connector = registry.connect(&uri, &[], Origin::Program).await?;
        let place = &connector.info().uri;
        // The place may have several names, such as a path with a symbolic link in it.
        if let Some(store) = registry.at(Identity::of(place)) {
            return store.opened_alike(&uri);
        }
        let name = Self::name_of(place);
        let connector = registry.with_policies(connector, &name);
        let origin = Origin::Program;
        let again = Again { registry: registry.clone(), uri: uri.clone(), transforms: Vec::new(), origin };
        let store = Self::over(connector, StoreConfig::new(name, uri), None, Some(again));
        match registry.register(&store) {
            Ok(()) => Ok(store),
            // Somebody opened it at the same time.
            Err(error) => registry.get_store(store.name()).ok_or(error),
        }
    }

    /// The name that follows from a place.
    pub(crate) fn name_of(place: &Uri) -> String {
        format!("{}-{:?}", place.scheme().replace('+', "-"), Identity::of(place))
    }

    /// This store, if a program that opens `uri` gets from it what it asks for.
    fn opened_alike(self, uri: &Uri) -> Result<Self> {
        let opened = &self.0.config.uri;
        let credentials = |uri: &Uri| Uri::new("").with_credentials_of(uri);
        if credentials(opened) == credentials(uri) && opened.option_pairs().eq(uri.option_pairs()) {
            return Ok(self);
        }
        Err(Error::new(ErrorKind::Config, "this place is open already, with other credentials or options")
            .with("store", self.name())
            .with("uri", uri)
            .hint("use the store that is open, or open another under a name of its own by `Store::builder`"))
    }

    /// Opens a store of this name step by step:
    /// `Store::builder("images").uri("file:///data").register().build().await?`.
    pub fn builder(name: impl Into<String>) -> Named {
        Named(name.into())
    }

    /// Opens a store as a config says. Not registered unless the builder is told to.
    pub fn from_config(config: StoreConfig) -> StoreBuilder {
        StoreBuilder::of(config)
    }

    pub(crate) fn over(
        connector: Arc<dyn Connector>,
        config: StoreConfig,
        signer: Option<Signer>,
        again: Option<Again>,
    ) -> Self {
        Self(Arc::new(Inner {
            identity: Identity::of(&connector.info().uri),
            cache: Cache::new(&config.name, config.cache.objects, config.cache.bytes),
            recorder: Recorder::new(&config.name),
            signer,
            reaper: Reaper::default(),
            aside: Aside::new(&connector, again),
            closed: AtomicBool::new(false),
            closing: Notify::new(),
            connector,
            config,
        }))
    }

    /// The store's name.
    pub fn name(&self) -> &str {
        &self.0.config.name
    }

    /// How to open this store again.
    pub fn config(&self) -> &StoreConfig {
        &self.0.config
    }

    /// The connector, for what a store does not offer.
    pub fn connector(&self) -> &Arc<dyn Connector> {
        &self.0.connector
    }

    /// What this process has done with the store: counters, sizes and times with percentiles.
    pub fn metrics(&self) -> Metrics {
        self.0.recorder.snapshot()
    }

    /// Whether the object is in the cache, as some type: a get of that type and codec finds it there, without I/O.
    pub fn is_cached(&self, key: &Key) -> bool {
        self.0.cache.contains(key)
    }

    /// Whether the backend has the object now. The cache is not asked.
    pub async fn exists(&self, key: &Key) -> Result<bool> {
        let start = Instant::now();
        let exists = self.call(Operation::Exists, 0, |connector| connector.exists(key));
        let result = in_span!("proxystore.exists", self.name(), Some(key), exists);
        self.done(Timer::Exists, start, "exists", Some(key), result)
    }

    /// Removes the object, here and in the backend; other processes may have it in their caches. Removing what is not
    /// there is no error. If the future is dropped, the object may stay, and is not in this cache.
    pub async fn evict(&self, key: &Key) -> Result<()> {
        let start = Instant::now();
        let result = {
            let _forgets = Forget::new(&self.0.cache, std::slice::from_ref(key));
            let evict = self.call(Operation::Evict, 0, |connector| connector.evict(key));
            in_span!("proxystore.evict", self.name(), Some(key), evict)
        };
        self.done(Timer::Evict, start, "evict", Some(key), result)
    }

    /// [`evict`](Self::evict) for many, with one result per key, in order.
    pub async fn evict_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        let start = Instant::now();
        let _forgets = Forget::new(&self.0.cache, keys);
        let evict =
            self.call_many(Operation::EvictMany, keys.len(), 0, |connector| connector.evict_many(keys));
        let results = evict.await;
        self.0.recorder.time(Timer::EvictMany, start);
        self.each("evict", keys, results)
    }

    /// Closes the store: no operation begins any more, evictions that are under way in the background are waited for
    /// (five seconds at most), the connector is closed and the cache forgotten, and the store leaves the global
    /// registry. Idempotent, and deletes no object: see [`close_and_clear`](Self::close_and_clear). Later operations, on
    /// every clone and by every proxy of this handle, fail with `Closed`, and so do those that wait for a future.
    ///
    /// Says what came of the evictions; what is pending is left to its ttl. What has an owner or a lifetime is not
    /// renewed any more. If the future is dropped, the store is closed all the same, and its connector may be open.
    pub async fn close(&self) -> Result<Evictions> {
        self.0.closed.store(true, Ordering::Release);
        self.0.closing.notify_waiters();
        Registry::global().unregister(self);
        self.0.cache.clear();
        let evictions = self.reaped(PATIENCE).await;
        let transfer = self.transfer();
        let close = async {
            let (aside, connector) = join(self.0.aside.close(), self.0.connector.close()).await;
            aside.and(connector)
        };
        let close = self.limited(Operation::Close, 0, &transfer, close);
        close.await.map_err(|e| self.place(e, "close", None))?;
        Ok(evictions)
    }

    /// Removes every object at the store's place, its own directory, prefix or map and nothing else, whoever has put it
    /// there; and then [`close`](Self::close)s the store. If the future is dropped, some of the objects may be left and
    /// the store open.
    ///
    /// Errors: `Unsupported` where the backend cannot, and whatever it reports; the store is open then.
    pub async fn close_and_clear(&self) -> Result<Evictions> {
        // As long as it takes: the connector has a deadline of its own.
        let clear = self.connector_open()?.clear().await;
        clear.map_err(|error| self.place(error, "clear", None))?;
        self.close().await
    }

    /// Waits until the store is closed.
    pub(crate) async fn closed(&self) {
        let closing = self.0.closing.notified();
        if !self.is_closed() {
            closing.await;
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn identity(&self) -> Identity {
        self.0.identity
    }

    /// What tells this handle's store from all others in the process.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    pub(crate) fn reaper(&self) -> &Reaper {
        &self.0.reaper
    }

    /// The connector of the background thread.
    pub(crate) async fn aside(&self) -> Result<Arc<dyn Connector>> {
        self.0.aside.connector().await?.ok_or_else(|| self.closed_error())
    }

    /// Whether objects can be given a time after which they expire.
    pub(crate) fn expires(&self) -> bool {
        self.0.connector.info().capabilities.ttl
    }

    /// This time to live, where the backend has any.
    pub(crate) fn ttl(&self, ttl: Duration) -> Option<Duration> {
        self.expires().then_some(ttl)
    }

    /// Lets an object expire `ttl` from now. `false` if there is none.
    pub(crate) async fn touch(&self, key: &Key, ttl: Duration) -> Result<bool> {
        let touched = self.call(Operation::Touch, 0, |connector| connector.touch(key, ttl)).await;
        touched.map_err(|error| self.place(error, "touch", Some(key)))
    }

    pub(crate) fn cache(&self) -> &Arc<Cache> {
        &self.0.cache
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.0.recorder
    }

    /// Signs references to this store, and checks them, if it wants that.
    pub(crate) fn signer(&self) -> Option<&Signer> {
        self.0.signer.as_ref()
    }

    /// `StoreMismatch` unless this store leads to the place that a reference means.
    pub(crate) fn check_identity(&self, wanted: Identity) -> Result<()> {
        if self.identity() == wanted {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::StoreMismatch,
            "the store of this name leads to another place than the one that is meant",
        )
        .with("store", self.name())
        .with("uri", &self.0.connector.info().uri)
        .hint("give stores of different places different names"))
    }

    /// The connector, unless the store is closed.
    pub(crate) fn connector_open(&self) -> Result<&dyn Connector> {
        if self.is_closed() { Err(self.closed_error()) } else { Ok(&*self.0.connector) }
    }

    pub(crate) fn closed_error(&self) -> Error {
        Error::new(ErrorKind::Closed, "the store is closed").with("store", self.name())
    }

    /// How long an operation may take, besides its bytes.
    pub(crate) fn timeout(&self) -> Duration {
        self.0.config.limits.timeout()
    }

    /// A transfer of objects that are not too large.
    pub(crate) fn transfer(&self) -> Transfer {
        Transfer::new(self.0.config.limits.object_bytes.saturating_add(envelope::HEADER_LEN as u64))
    }

    /// Runs an operation of the connector, unless the store is closed. `sends` bytes go out with it.
    pub(crate) async fn call<'a, T, F>(
        &'a self,
        operation: Operation,
        sends: u64,
        begin: impl FnOnce(&'a dyn Connector) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.limited(operation, sends, &self.transfer(), begin(self.connector_open()?)).await
    }

    /// Within the time that an operation may take, and with the size of what it may bring.
    pub(crate) async fn limited<T>(
        &self,
        operation: Operation,
        sends: u64,
        transfer: &Transfer,
        future: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        rt::deadline(operation, self.timeout(), sends, transfer, transfer.clone().scope(future)).await
    }

    /// A batch on the connector; a failure of the whole is a failure of each.
    pub(crate) async fn call_many<'a, T, F>(
        &'a self,
        operation: Operation,
        count: usize,
        sends: u64,
        begin: impl FnOnce(&'a dyn Connector) -> F,
    ) -> Vec<Result<T>>
    where
        F: Future<Output = Vec<Result<T>>>,
    {
        let all = self.call(operation, sends, |connector| begin(connector).map(Ok)).await;
        let (mut all, error) = match all {
            Ok(all) => (all, Error::new(ErrorKind::Unexpected, "the connector gave no answer for this item")),
            Err(error) => (Vec::new(), error),
        };
        all.resize_with(count, || Err(error.clone()));
        all
    }

    /// Says where an error happened.
    pub(crate) fn place(&self, error: Error, operation: &'static str, key: Option<&Key>) -> Error {
        self.0.recorder.count(Counter::Errors);
        let error = error
            .with("store", self.name())
            .with("scheme", self.0.connector.info().uri.scheme())
            .with("operation", operation);
        match key {
            Some(key) => error.with("key", key),
            None => error,
        }
    }

    pub(crate) fn done<T>(
        &self,
        timer: Timer,
        start: Instant,
        operation: &'static str,
        key: Option<&Key>,
        result: Result<T>,
    ) -> Result<T> {
        self.0.recorder.time(timer, start);
        result.map_err(|error| self.place(error, operation, key))
    }

    /// Says of each failure in a batch where it happened.
    pub(crate) fn each<T>(
        &self,
        operation: &'static str,
        keys: &[Key],
        results: Vec<Result<T>>,
    ) -> Vec<Result<T>> {
        let place =
            |(result, key): (Result<T>, &Key)| result.map_err(|e| self.place(e, operation, Some(key)));
        results.into_iter().zip(keys).map(place).collect()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("name", &self.name())
            .field("uri", &self.0.connector.info().uri)
            .field("cache", &self.0.cache)
            .finish_non_exhaustive()
    }
}
