//! The contract over a store.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use object_store::{ObjectStore, PutMode};
use proxystore_core::{
    Capabilities, Connector, ConnectorInfo, Error, ErrorKind, Id, Key, Payload, PutOptions, Reach, Result,
    Uri, async_trait,
};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::bucket::{Abilities, Bucket, Names};
use crate::error::{self, Effect, Failed, Why};
use crate::sweep::{self, Sweeper};
use crate::upload::Uploads;
use crate::{download, expiry, remove, upload};

/// The largest object that all of the stores take by one request, as a create is one: 5,000 MiB.
pub(crate) const MAX_VALUE: u64 = 5_000 << 20;
/// How often an object that others change meanwhile is looked at again.
const CHANGES: usize = 8;

/// Objects in a store of any kind. See the [crate's documentation](crate) for URIs, credentials and costs.
///
/// Its futures are cancel-safe. A dropped `put`, `evict`, `touch` or `take` may still happen; a dropped `take` may lose
/// its object. What a dropped put has uploaded of a large object is removed in the background, for which
/// [`close`](Connector::close) waits.
pub struct ObjectStoreConnector {
    info: ConnectorInfo,
    /// `None` when closed.
    bucket: Mutex<Option<Arc<Bucket>>>,
    sweeper: Arc<Sweeper>,
    sweeps: Option<AbortHandle>,
    #[cfg(feature = "_requests")]
    pub(crate) signer: Option<Arc<dyn object_store::signer::Signer>>,
}

/// What a connector has to know of a store that the program brings along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FromStore {
    /// The store carries metadata and knows `PutMode::Update`, as `InMemory` and those of S3, Google and Azure do: then
    /// there are times to live, and takes. `false`.
    pub versions: bool,
    /// The store may repeat a request whose answer was lost, as those of clouds do unless they are told not to, and so
    /// find its own object where it creates one. It is told by its bytes: a create of bytes that are there already
    /// succeeds. `true`.
    pub repeats: bool,
    /// The store keeps objects as files in directories, as `LocalFileSystem` does, so that none can stand where another
    /// has a directory: the names of all objects end in a `,`. `false`.
    pub files: bool,
    /// Who else can reach the store, if told where it is. [`Reach::Network`].
    pub reach: Reach,
    /// The deadline of an operation, to which the time that its bytes take at 8 MiB per second is added, and of each
    /// next 16 KiB of an object that comes. The repetitions that the store makes by itself have to end within it. 30 s.
    pub timeout: Duration,
}

impl Default for FromStore {
    fn default() -> Self {
        let timeout = Duration::from_secs(30);
        Self { versions: false, repeats: true, files: false, reach: Reach::Network, timeout }
    }
}

impl ObjectStoreConnector {
    /// A connector over a store of yours, with its credentials and other settings. All objects of the store whose names
    /// are keys are the connector's: wrap it in a `PrefixStore` to share it with others.
    ///
    /// `uri` is the identity that references carry, such as `ceph+object://cluster/bucket`. No driver opens it, unless it
    /// is a scheme of one: register the [store] under a name, and references resolve by this name in all programs that do
    /// so.
    ///
    /// Errors with `Config` if the URI has a user or a password. Does no I/O.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// use proxystore_core::Connector;
    /// use proxystore_object_store::{FromStore, ObjectStoreConnector};
    /// use object_store::memory::InMemory;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
    /// let store = Arc::new(InMemory::new());
    /// let settings = FromStore { versions: true, ..FromStore::default() };
    /// let connector = ObjectStoreConnector::from_store(store, "tests+object:///one".parse()?, settings)?;
    /// assert!(connector.info().capabilities.take);
    /// # Ok(()) }
    /// ```
    ///
    /// [store]: https://docs.rs/proxystore-store
    pub fn from_store(store: Arc<dyn ObjectStore>, uri: Uri, settings: FromStore) -> Result<Self> {
        if uri.has_credentials() {
            return Err(Error::new(ErrorKind::Config, "an identity has no user and no password")
                .with("uri", uri.without_options()));
        }
        let abilities = Abilities {
            read_only: false,
            versions: settings.versions,
            ranges: true,
            heads: true,
            repeats: settings.repeats,
            ours: false,
        };
        let names = Names::Keys { before: String::new(), behind: if settings.files { "," } else { "" } };
        let bucket =
            Bucket { store, names, timeout: settings.timeout, abilities, uploads: Uploads::default() };
        Ok(Self::new(uri, settings.reach, bucket, None))
    }

    /// A connector that sweeps `every` so often.
    pub(crate) fn new(uri: Uri, reach: Reach, bucket: Bucket, every: Option<Duration>) -> Self {
        let Abilities { read_only, versions, .. } = bucket.abilities;
        let capabilities = Capabilities {
            reach,
            create: !read_only,
            watch: false,
            ttl: versions,
            take: versions,
            max_value: MAX_VALUE,
        };
        let (bucket, sweeper) = (Arc::new(bucket), Arc::<Sweeper>::default());
        let sweeps = every.map(|every| sweep::start(sweeper.clone(), bucket.clone(), every));
        Self {
            info: ConnectorInfo::new(uri, capabilities),
            bucket: Mutex::new(Some(bucket)),
            sweeper,
            sweeps,
            #[cfg(feature = "_requests")]
            signer: None,
        }
    }

    /// Removes the objects that have expired, as happens on its own now and then where a URI has opened it, and gives
    /// their number.
    ///
    /// Errors with the first failure, after all else is swept. Dropping the future leaves some of them.
    pub async fn sweep(&self) -> Result<u64> {
        let swept = async { self.sweeper.sweep(&*self.bucket()?).await }.await;
        swept.map_err(|error| self.explain(error, "sweep", None))
    }

    fn guard(&self) -> MutexGuard<'_, Option<Arc<Bucket>>> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn bucket(&self) -> Result<Arc<Bucket>> {
        self.guard().clone().ok_or_else(error::closed)
    }

    pub(crate) fn explain(&self, error: Error, operation: &'static str, key: Option<&Key>) -> Error {
        let error = error.with("operation", operation).with("connector", &self.info.uri);
        match key {
            Some(key) => error.with("key", key),
            None => error,
        }
    }

    /// Runs `work` on the object of `key`.
    pub(crate) async fn on<T>(
        &self,
        operation: &'static str,
        key: &Key,
        work: impl AsyncFnOnce(Arc<Bucket>, object_store::path::Path) -> Result<T>,
    ) -> Result<T> {
        let place = self.bucket().and_then(|bucket| bucket.object(key).map(|path| (bucket, path)));
        let result = match place {
            Ok((bucket, path)) => {
                let done = work(bucket.clone(), path).await;
                done.map_err(|error| bucket.names.judged(error))
            }
            Err(error) => Err(error),
        };
        result.map_err(|error| self.explain(error, operation, Some(key)))
    }

    /// Refuses to change what is only read from.
    fn writable(bucket: &Bucket) -> Result<()> {
        if !bucket.abilities.read_only {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, "this address is only read from")
            .hint("change the object through the store that has it, such as s3:// or gs://"))
    }

    fn versioned(bucket: &Bucket) -> Result<()> {
        Self::writable(bucket)?;
        if bucket.abilities.versions {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, "the store has no times to live, and no takes").hint(
            "if it carries metadata and knows `PutMode::Update`, say so: `FromStore { versions: true, .. }`",
        ))
    }
}

/// Writes the object anew with another time of expiry, if it is still the same.
async fn touch(bucket: &Bucket, path: &object_store::path::Path, ttl: Duration) -> Result<bool> {
    for _ in 0..CHANGES {
        let Some(found) = download::get(bucket, path).await? else { return Ok(false) };
        let (value, expiry) = (Payload::from(found.bytes), Some(expiry::after(ttl)));
        let mode = PutMode::Update(found.version);
        match upload::whole(bucket, path, &value, mode, expiry, Effect::Idempotent).await {
            Ok(_) => return Ok(true),
            Err(Failed { why: Why::Condition | Why::NoObject | Why::Taken, .. }) => {}
            Err(failed) => return Err(failed.error),
        }
    }
    Err(error::contended())
}

/// Gets the object and puts one in its place that has expired, if it is still the same: who does that has taken it.
async fn take(bucket: &Bucket, path: &object_store::path::Path) -> Result<Option<Payload>> {
    for _ in 0..CHANGES {
        let Some(found) = download::get(bucket, path).await? else { return Ok(None) };
        // Different from any other.
        let mark = Payload::from(Id::random()?.to_string().into_bytes());
        let mode = PutMode::Update(found.version);
        let taken = match upload::whole(bucket, path, &mark, mode, Some(0), Effect::Once).await {
            Ok(_) => true,
            Err(Failed { why: Why::Condition | Why::NoObject | Why::Taken, .. }) => {
                // A store that repeats its request meets what it has written itself.
                bucket.abilities.repeats && download::is_there(bucket, path, &mark).await?
            }
            Err(failed) => return Err(failed.error),
        };
        if taken {
            // The mark is no object, so whatever becomes of it, the object is taken.
            let _ = remove::one(bucket, path).await;
            return Ok(Some(found.bytes.into()));
        }
    }
    Err(error::contended())
}

#[async_trait]
impl Connector for ObjectStoreConnector {
    fn info(&self) -> &ConnectorInfo {
        &self.info
    }

    async fn put(&self, key: &Key, value: Payload, options: &PutOptions) -> Result<()> {
        let put = async |bucket: Arc<Bucket>, path| {
            match options.ttl {
                Some(_) => Self::versioned(&bucket)?,
                None => Self::writable(&bucket)?,
            }
            upload::put(&bucket, &path, value, options).await
        };
        self.on("put", key, put).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Payload>> {
        let get = async |bucket: Arc<Bucket>, path| download::get(&bucket, &path).await;
        Ok(self.on("get", key, get).await?.map(|found| found.bytes.into()))
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        let head = async |bucket: Arc<Bucket>, path| bucket.head(&path).await;
        Ok(self.on("exists", key, head).await?.is_some_and(|head| !expiry::is_over(head.expiry)))
    }

    async fn evict(&self, key: &Key) -> Result<()> {
        let evict = async |bucket: Arc<Bucket>, path| {
            Self::writable(&bucket)?;
            remove::one(&bucket, &path).await
        };
        self.on("evict", key, evict).await
    }

    async fn evict_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        let place = self.bucket().and_then(|bucket| {
            Self::writable(&bucket)?;
            let paths = keys.iter().map(|key| bucket.object(key)).collect::<Result<Vec<_>>>()?;
            Ok((bucket, paths))
        });
        let removed = match place {
            Ok((bucket, paths)) => remove::many(&bucket, &paths).await,
            Err(error) => keys.iter().map(|_| Err(error.clone())).collect(),
        };
        let explain = |(result, key): (Result<()>, &Key)| {
            result.map_err(|error| self.explain(error, "evict_many", Some(key)))
        };
        removed.into_iter().zip(keys).map(explain).collect()
    }

    async fn touch(&self, key: &Key, ttl: Duration) -> Result<bool> {
        let touch = async |bucket: Arc<Bucket>, path| {
            Self::versioned(&bucket)?;
            touch(&bucket, &path, ttl).await
        };
        self.on("touch", key, touch).await
    }

    async fn take(&self, key: &Key) -> Result<Option<Payload>> {
        let take = async |bucket: Arc<Bucket>, path| {
            Self::versioned(&bucket)?;
            take(&bucket, &path).await
        };
        self.on("take", key, take).await
    }

    /// Large puts that are under way fail, and what they have uploaded is removed; other operations come to their end.
    async fn close(&self) -> Result<()> {
        if let Some(sweeps) = &self.sweeps {
            sweeps.abort();
        }
        let Some(bucket) = self.guard().take() else { return Ok(()) };
        // What cannot be removed in this time is left to the rules of the bucket.
        let _ = timeout(bucket.patience(), bucket.uploads.close()).await;
        Ok(())
    }

    /// Removes all objects whose names are keys, under the prefix. Dropping the future leaves some of them.
    async fn clear(&self) -> Result<()> {
        let cleared = async {
            let bucket = self.bucket()?;
            Self::writable(&bucket)?;
            remove::all(&bucket).await
        };
        cleared.await.map_err(|error| self.explain(error, "clear", None))
    }
}

impl Drop for ObjectStoreConnector {
    fn drop(&mut self) {
        if let Some(sweeps) = &self.sweeps {
            sweeps.abort();
        }
    }
}

impl fmt::Debug for ObjectStoreConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectStoreConnector({})", self.info.uri)
    }
}
