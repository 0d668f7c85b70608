//! The contract over a bucket.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::MetadataDirective;
use proxystore_core::{
    Capabilities, Connector, ConnectorConfig, ConnectorInfo, Draft, Error, FileSource, FileTarget, Id, Key,
    Origin, Payload, PutOptions, Reach, Result, Transfer, async_trait,
};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::bucket::Bucket;
use crate::config::S3Config;
use crate::error::{self, Effect, Failed, Why};
use crate::sweep::{self, Sweeper, Swept};
use crate::upload::Only;
use crate::{client, download, expiry, remove, upload};

/// The largest object that the server copies onto itself, which is how its time to live is changed: 5 GiB.
pub(crate) const MAX_VALUE: u64 = 5 << 30;
/// How often an object that others change meanwhile is looked at again.
const CHANGES: usize = 8;

/// Objects in a bucket. See the [crate's documentation](crate) for URIs, credentials and costs.
///
/// Its futures are cancel-safe. A dropped `put`, `evict`, `touch` or `take` may still happen; a dropped `take` may
/// lose its object. What a dropped put has uploaded of a large object is removed in the background, for which
/// [`close`](Connector::close) waits.
pub struct S3Connector {
    info: ConnectorInfo,
    /// `None` when closed.
    bucket: Mutex<Option<Arc<Bucket>>>,
    sweeper: Arc<Sweeper>,
    sweeps: Option<AbortHandle>,
}

impl S3Connector {
    /// A connector over a client of yours, with its credentials, endpoint and other settings, except for the SDK's
    /// repetitions, which are switched off. `config` says which bucket and prefix, and what of region and endpoint
    /// others need to find it.
    ///
    /// ```no_run
    /// use proxystore_s3::{S3Config, S3Connector};
    ///
    /// # async fn open(client: aws_sdk_s3::Client) -> proxystore_core::Result<()> {
    /// let config = S3Config { bucket: "models".into(), prefix: "team-a".into(), ..S3Config::default() };
    /// let connector = S3Connector::from_client(&client, &config).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// Errors as connecting by a URI does. Dropping the future leaves nothing.
    pub async fn from_client(client: &Client, config: &S3Config) -> Result<Self> {
        config.check()?;
        let client = Client::from_conf(client::quiet(client.config().to_builder()).build());
        Self::open(client, config, Origin::Program).await
    }

    /// Looks whether the bucket is there.
    pub(crate) async fn open(client: Client, config: &S3Config, origin: Origin) -> Result<Self> {
        let capabilities = Capabilities {
            reach: Reach::Network,
            create: true,
            watch: false,
            ttl: true,
            take: true,
            max_value: MAX_VALUE,
        };
        let info = ConnectorInfo::new(config.identity(), capabilities);
        let bucket = Arc::new(Bucket::new(client, config));
        let head = bucket.client.head_bucket().bucket(&bucket.name).send();
        match bucket.send(Effect::Read, head).await {
            Ok(_) => {}
            // One may be allowed to read objects, and not to look at the bucket.
            Err(Failed { why: Why::Refused, .. }) => {}
            Err(Failed { why, error }) => {
                let error = if why == Why::NoObject { error::no_bucket() } else { error };
                return Err(error.with("operation", "connect").with("connector", &info.uri));
            }
        }
        let sweeper = Arc::<Sweeper>::default();
        let sweeps = match (origin, config.sweep) {
            (Origin::Program, Some(every)) => Some(sweep::start(sweeper.clone(), bucket.clone(), every)),
            _ => None,
        };
        Ok(Self { info, bucket: Mutex::new(Some(bucket)), sweeper, sweeps })
    }

    /// Removes the objects that have expired and the uploads that nobody completes, as happens on its own now and then.
    ///
    /// Errors with the first failure, after all else is swept. Dropping the future leaves some of them.
    pub async fn sweep(&self) -> Result<Swept> {
        let swept = async { self.sweeper.sweep(&*self.bucket()?).await }.await;
        swept.map_err(|error| self.explain(error, "sweep", None))
    }

    fn guard(&self) -> MutexGuard<'_, Option<Arc<Bucket>>> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bucket(&self) -> Result<Arc<Bucket>> {
        self.guard().clone().ok_or_else(error::closed)
    }

    fn explain(&self, error: Error, operation: &'static str, key: Option<&Key>) -> Error {
        let error = error.with("operation", operation).with("connector", &self.info.uri);
        match key {
            Some(key) => error.with("key", key),
            None => error,
        }
    }

    /// Runs `work` on the object of `key`.
    async fn on<T>(
        &self,
        operation: &'static str,
        key: &Key,
        work: impl AsyncFnOnce(Arc<Bucket>, String) -> Result<T>,
    ) -> Result<T> {
        let result = match self.bucket() {
            Ok(bucket) => {
                let name = bucket.object(key);
                work(bucket, name).await
            }
            Err(closed) => Err(closed),
        };
        result.map_err(|error| self.explain(error, operation, Some(key)))
    }
}

/// Copies the object onto itself, with another time of expiry: where this has happened, and nowhere else, it is `true`.
async fn touch(bucket: &Bucket, name: &str, ttl: Duration) -> Result<bool> {
    for _ in 0..CHANGES {
        let head = match bucket.head(name).await? {
            Some(head) if !expiry::is_over(head.expiry) => head,
            _ => return Ok(false),
        };
        let copy = bucket.client.copy_object().bucket(&bucket.name).key(name);
        let copy = copy.copy_source(format!("{}/{name}", bucket.name)).copy_source_if_match(&head.etag);
        // Neither an overwrite nor an evict between the copy's reading and its writing is undone.
        let copy = copy.if_match(&head.etag).metadata_directive(MetadataDirective::Replace);
        let copy = copy.metadata(expiry::NAME, expiry::after(ttl).to_string());
        match bucket.send_for(Effect::Idempotent, Transfer::time_for(head.len), copy.send()).await {
            Ok(answer) if answer.copy_object_result.is_some() => return Ok(true),
            Ok(_) => return Err(error::broken(Effect::Idempotent)),
            Err(Failed { why: Why::Condition | Why::NoObject, .. }) => {}
            Err(failed) => return Err(failed.error),
        }
    }
    Err(error::contended())
}

/// Gets the object and puts one in its place that has expired, if it is still the same: who does that has taken it.
async fn take(bucket: &Bucket, name: &str) -> Result<Option<Payload>> {
    for _ in 0..CHANGES {
        let Some(found) = download::get(bucket, name).await? else { return Ok(None) };
        // Different from any other, so that it is the one that is removed.
        let mark = Id::random()?.to_string();
        let only = Only::If(found.etag);
        match upload::whole(bucket, name, mark.into(), Some(0), &only, Effect::Once).await {
            Ok(etag) => {
                // It is no object, so whatever becomes of it, the object is taken.
                let _ = remove::one(bucket, name, Some(&etag)).await;
                return Ok(Some(found.bytes.into()));
            }
            Err(Failed { why: Why::Condition | Why::NoObject, .. }) => {}
            Err(failed) => return Err(failed.error),
        }
    }
    Err(error::contended())
}

#[async_trait]
impl Connector for S3Connector {
    fn info(&self) -> &ConnectorInfo {
        &self.info
    }

    async fn put(&self, key: &Key, value: Payload, options: &PutOptions) -> Result<()> {
        self.on("put", key, async |bucket, name| upload::put(&bucket, &name, value, options).await).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Payload>> {
        let get = async |bucket: Arc<Bucket>, name: String| download::get(&bucket, &name).await;
        Ok(self.on("get", key, get).await?.map(|found| found.bytes.into()))
    }

    /// The file is read while its parts go.
    async fn put_file(&self, key: &Key, source: &FileSource, options: &PutOptions) -> Result<()> {
        let put =
            async |bucket: Arc<Bucket>, name: String| upload::put_file(&bucket, &name, source, options).await;
        self.on("put", key, put).await
    }

    /// The file is written while the object's ranges come.
    async fn get_file(&self, key: &Key, target: &FileTarget) -> Result<Option<Draft>> {
        let get = async |bucket: Arc<Bucket>, name: String| download::get_file(&bucket, &name, target).await;
        self.on("get", key, get).await
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        let head = async |bucket: Arc<Bucket>, name: String| bucket.head(&name).await;
        Ok(self.on("exists", key, head).await?.is_some_and(|head| !expiry::is_over(head.expiry)))
    }

    async fn evict(&self, key: &Key) -> Result<()> {
        let evict = async |bucket: Arc<Bucket>, name: String| Ok(remove::one(&bucket, &name, None).await?);
        self.on("evict", key, evict).await
    }

    async fn evict_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        let removed = match self.bucket() {
            Ok(bucket) => {
                let names: Vec<_> = keys.iter().map(|key| bucket.object(key)).collect();
                remove::many(&bucket, &names).await
            }
            Err(closed) => keys.iter().map(|_| Err(closed.clone())).collect(),
        };
        let explain = |(result, key): (Result<()>, &Key)| {
            result.map_err(|error| self.explain(error, "evict_many", Some(key)))
        };
        removed.into_iter().zip(keys).map(explain).collect()
    }

    async fn touch(&self, key: &Key, ttl: Duration) -> Result<bool> {
        self.on("touch", key, async |bucket, name| touch(&bucket, &name, ttl).await).await
    }

    async fn take(&self, key: &Key) -> Result<Option<Payload>> {
        self.on("take", key, async |bucket, name| take(&bucket, &name).await).await
    }

    /// Large puts that are under way fail, and what they have uploaded is removed; other operations come to their end.
    async fn close(&self) -> Result<()> {
        if let Some(sweeps) = &self.sweeps {
            sweeps.abort();
        }
        let Some(bucket) = self.guard().take() else { return Ok(()) };
        // What cannot be removed in this time, the janitor of another connector removes when it is old.
        let _ = timeout(bucket.timeout.saturating_mul(4), bucket.uploads.close()).await;
        Ok(())
    }

    /// Removes all objects under the prefix whose names are keys. Dropping the future leaves some of them.
    async fn clear(&self) -> Result<()> {
        let cleared = async { remove::all(&*self.bucket()?).await }.await;
        cleared.map_err(|error| self.explain(error, "clear", None))
    }
}

impl Drop for S3Connector {
    fn drop(&mut self) {
        if let Some(sweeps) = &self.sweeps {
            sweeps.abort();
        }
    }
}

impl fmt::Debug for S3Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Connector({})", self.info.uri)
    }
}
