//! A connector with transforms around it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::connector::unanswered;
use crate::transfer::overhead;
use crate::{
    Capabilities, Connector, ConnectorInfo, Draft, Error, ErrorKind, FileSource, FileTarget, Key, KeyHint,
    Mode, Payload, Place, PutOptions, Result, Transfer, Transform, Uri, Watch, file,
};

/// Above this many bytes, an object is transformed where it keeps nobody waiting.
const LARGE: usize = 64 << 10;

/// The largest object that is opened for a caller who sets no limit: 4 GiB.
const MAX: u64 = 4 << 30;

/// A connector with [`Transform`]s around it. Its URI names them in the option `via`.
pub struct WithTransform {
    inner: Arc<dyn Connector>,
    info: ConnectorInfo,
    chain: Arc<Chain>,
    places: Arc<Semaphore>,
}

struct Chain {
    store: Uri,
    /// In the order of sealing.
    transforms: Vec<Arc<dyn Transform>>,
}

impl WithTransform {
    /// The URI option that names the transforms of a store, in the order of sealing, with commas.
    pub const OPTION: &'static str = "via";

    /// Puts transforms around `inner`, in the order of their [stages](crate::Stage).
    /// `Config` if two are of one stage.
    pub fn new(inner: Arc<dyn Connector>, mut transforms: Vec<Arc<dyn Transform>>) -> Result<Self> {
        transforms.sort_by_key(|transform| transform.stage());
        if let Some(pair) = transforms.windows(2).find(|pair| pair[0].stage() == pair[1].stage()) {
            return Err(Error::new(
                ErrorKind::Config,
                format!("`{}` and `{}` cannot be combined", pair[0].name(), pair[1].name()),
            )
            .hint("a store has at most one compression and one encryption"));
        }
        let ConnectorInfo { uri, capabilities } = inner.info().clone();
        if uri.option(Self::OPTION).is_some() {
            return Err(Error::new(ErrorKind::Config, "the connector has transforms already")
                .with("connector", &uri)
                .hint("give all transforms at once"));
        }
        let max_value = capabilities.max_value.saturating_sub(overhead(capabilities.max_value));
        let info =
            ConnectorInfo::new(Self::identity(&uri, &transforms), Capabilities { max_value, ..capabilities });
        let places = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            inner,
            info,
            chain: Arc::new(Chain { store: uri, transforms }),
            places: Arc::new(Semaphore::new(places)),
        })
    }

    /// The identity of a store at the place `uri` with these transforms, in any order.
    pub fn identity(uri: &Uri, transforms: &[Arc<dyn Transform>]) -> Uri {
        let mut sorted: Vec<_> = transforms.iter().collect();
        sorted.sort_by_key(|transform| transform.stage());
        let names: Vec<_> = sorted.iter().map(|transform| transform.name()).collect();
        if names.is_empty() { uri.clone() } else { uri.clone().with_option(Self::OPTION, names.join(",")) }
    }

    async fn seal(&self, key: &Key, value: Payload) -> Result<Payload> {
        if value.len() <= LARGE {
            return self.chain.seal(key, value);
        }
        let (chain, key) = (self.chain.clone(), key.clone());
        self.apart(move || chain.seal(&key, value)).await
    }

    async fn open(&self, key: &Key, value: Payload) -> Result<Payload> {
        let max = Transfer::current().max().min(MAX);
        if value.len() <= LARGE {
            // Few bytes may become many.
            let small = max.min(LARGE as u64);
            match self.chain.open(key, value.clone(), small) {
                Err(error) if error.kind() == ErrorKind::TooLarge && small < max => {}
                result => return result,
            }
        }
        let (chain, key) = (self.chain.clone(), key.clone());
        self.apart(move || chain.open(&key, value, max)).await
    }

    /// Runs `work` where it may keep a thread busy: as many at once as there are processors. It runs to its end when
    /// the future is dropped, and keeps its place until then, so what is left behind is bounded.
    async fn apart(&self, work: impl FnOnce() -> Result<Payload> + Send + 'static) -> Result<Payload> {
        let closed = || Error::new(ErrorKind::Closed, "the runtime is shutting down");
        let place = self.places.clone().acquire_owned().await.map_err(|_| closed())?;
        let work = move || {
            let _place = place;
            work()
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(Error::new(ErrorKind::Unexpected, "a transform panicked")),
            Err(_) => Err(closed()),
        }
    }

    async fn open_found(&self, key: &Key, found: Result<Option<Payload>>) -> Result<Option<Payload>> {
        match found? {
            Some(value) => self.open(key, value).await.map(Some),
            None => Ok(None),
        }
    }
}

impl Chain {
    fn seal(&self, key: &Key, mut value: Payload) -> Result<Payload> {
        let place = Place { store: &self.store, key, max: u64::MAX };
        for transform in &self.transforms {
            value = transform.seal(&place, value).map_err(|error| explain(error, &**transform, key))?;
        }
        Ok(value)
    }

    fn open(&self, key: &Key, mut value: Payload, max: u64) -> Result<Payload> {
        let (len, limit) = (value.len() as u64, max.saturating_add(overhead(max)));
        if len > limit {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("the stored object has {len} bytes, and the limit is {max}"),
            )
            .hint("raise `max_object` where the store is opened")
            .with("key", key));
        }
        let place = Place { store: &self.store, key, max };
        for transform in self.transforms.iter().rev() {
            value = transform.open(&place, value).map_err(|error| explain(error, &**transform, key))?;
        }
        Ok(value)
    }
}

fn explain(error: Error, transform: &dyn Transform, key: &Key) -> Error {
    error.with("transform", transform.name()).with("key", key)
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Connector for WithTransform {
    fn info(&self) -> &ConnectorInfo {
        &self.info
    }

    fn new_key(&self, hint: KeyHint<'_>) -> Result<Key> {
        self.inner.new_key(hint)
    }

    async fn put(&self, key: &Key, value: Payload, options: &PutOptions) -> Result<()> {
        self.inner.put(key, self.seal(key, value).await?, options).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Payload>> {
        let found = self.inner.get(key).await;
        self.open_found(key, found).await
    }

    /// By way of memory: a transform takes an object as a whole.
    async fn put_file(&self, key: &Key, source: &FileSource, options: &PutOptions) -> Result<()> {
        file::put(self, key, source, options).await
    }

    /// By way of memory.
    async fn get_file(&self, key: &Key, target: &FileTarget) -> Result<Option<Draft>> {
        file::get(self, key, target).await
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        self.inner.exists(key).await
    }

    async fn evict(&self, key: &Key) -> Result<()> {
        self.inner.evict(key).await
    }

    async fn put_many(&self, items: Vec<(Key, Payload)>, options: &PutOptions) -> Vec<Result<()>> {
        let mut sealed = Vec::with_capacity(items.len());
        let mut results = Vec::with_capacity(items.len());
        for (key, value) in items {
            results.push(self.seal(&key, value).await.map(|value| sealed.push((key, value))));
        }
        let mut put = self.inner.put_many(sealed, options).await.into_iter();
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            *result = put.next().unwrap_or_else(|| Err(unanswered()));
        }
        results
    }

    async fn get_many(&self, keys: &[Key]) -> Vec<Result<Option<Payload>>> {
        let mut results = Vec::with_capacity(keys.len());
        let mut found = self.inner.get_many(keys).await;
        found.resize_with(keys.len(), || Err(unanswered()));
        for (key, found) in keys.iter().zip(found) {
            results.push(self.open_found(key, found).await);
        }
        results
    }

    async fn evict_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        self.inner.evict_many(keys).await
    }

    async fn touch(&self, key: &Key, ttl: Duration) -> Result<bool> {
        self.inner.touch(key, ttl).await
    }

    /// An object that cannot be opened is put back, without its time to live. Where that fails the error says so in its
    /// context `not_put_back`, and is not transient: taking again would find nothing.
    async fn take(&self, key: &Key) -> Result<Option<Payload>> {
        let Some(taken) = self.inner.take(key).await? else { return Ok(None) };
        match self.open(key, taken.clone()).await {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                let options = PutOptions { mode: Mode::Create, ..PutOptions::default() };
                match self.inner.put(key, taken, &options).await {
                    Ok(()) => Err(error),
                    Err(why) => {
                        let kind = if error.is_transient() { ErrorKind::Ambiguous } else { error.kind() };
                        Err(error.with_kind(kind).with("not_put_back", why.message()))
                    }
                }
            }
        }
    }

    async fn watch(&self, key: &Key) -> Result<Watch> {
        self.inner.watch(key).await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }

    async fn clear(&self) -> Result<()> {
        self.inner.clear().await
    }
}

impl fmt::Debug for WithTransform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} via {:?}", self.inner, self.chain.transforms)
    }
}
