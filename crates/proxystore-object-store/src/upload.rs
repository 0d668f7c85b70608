//! Objects to the store: small ones at once, large ones by parts side by side.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{MultipartUpload, PutMode, PutMultipartOptions, PutPayload, UpdateVersion};
use proxystore_core::{Error, ErrorKind, Mode, Payload, PutOptions, Result, Transfer};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::bucket::Bucket;
use crate::connector::MAX_VALUE;
use crate::error::{self, Effect, Failed, Why};
use crate::{download, expiry};

/// Up to this many bytes an object goes by one request.
const WHOLE: usize = 16 << 20;
/// The bytes of a part.
const PART: usize = 8 << 20;
/// How many parts of an object go at once.
const IN_FLIGHT: usize = 8;
/// How often a create looks again at what was there and is gone.
const CHANGES: usize = 8;
/// How often an abort is tried.
const TRIES: usize = 4;

/// Puts an object. Dropping the future leaves it whole or untouched, and has what was uploaded of it removed.
pub(crate) async fn put(
    bucket: &Arc<Bucket>,
    path: &Path,
    value: Payload,
    options: &PutOptions,
) -> Result<()> {
    if value.len() as u64 > MAX_VALUE {
        return Err(Error::new(ErrorKind::TooLarge, "stores take no larger object in one step")
            .with("bytes", value.len())
            .with("limit", MAX_VALUE));
    }
    let expiry = options.ttl.map(expiry::after);
    match options.mode {
        Mode::Overwrite if value.len() > WHOLE => in_parts(bucket, path, value, expiry).await,
        Mode::Overwrite => {
            let put = whole(bucket, path, &value, PutMode::Overwrite, expiry, Effect::Idempotent);
            put.await.map(drop).map_err(Error::from)
        }
        // There is no condition on an object that comes in parts.
        Mode::Create => create(bucket, path, value, expiry).await,
    }
}

async fn create(bucket: &Bucket, path: &Path, value: Payload, expiry: Option<u64>) -> Result<()> {
    // Of a large one, it is known before the bytes have gone.
    let mut mode = match value.len() > WHOLE {
        true => vacant(bucket, path, None).await?,
        false => Some(PutMode::Create),
    };
    for _ in 0..CHANGES {
        let Some(condition) = mode else { return Ok(()) };
        match whole(bucket, path, &value, condition, expiry, Effect::Once).await {
            Ok(_) => return Ok(()),
            Err(Failed { why: Why::Taken | Why::Condition | Why::NoObject, .. }) => {
                mode = vacant(bucket, path, Some(&value)).await?;
            }
            Err(failed) => return Err(failed.error),
        }
    }
    Err(error::contended())
}

/// The condition under which a create may write; none if the object that is there is the one that was `put`, by a
/// request that the store has repeated by itself. `Exists` if it is another. What has expired is not there.
async fn vacant(bucket: &Bucket, path: &Path, put: Option<&Payload>) -> Result<Option<PutMode>> {
    let Some(head) = bucket.head(path).await? else { return Ok(Some(PutMode::Create)) };
    if expiry::is_over(head.expiry) {
        return Ok(Some(PutMode::Update(head.version)));
    }
    match put {
        Some(put) if bucket.abilities.repeats && download::is_there(bucket, path, put).await? => Ok(None),
        _ => Err(error::exists()),
    }
}

/// Writes an object by one request, and gives the version that it is.
pub(crate) async fn whole(
    bucket: &Bucket,
    path: &Path,
    value: &Payload,
    mode: PutMode,
    expiry: Option<u64>,
    effect: Effect,
) -> Result<UpdateVersion, Failed> {
    let payload: PutPayload = value.segments().cloned().collect();
    let options = object_store::PutOptions {
        mode,
        attributes: expiry::attributes(expiry),
        ..object_store::PutOptions::default()
    };
    let put = bucket.store.put_opts(path, payload, options);
    bucket.send(effect, bucket.time_for(value.len()), put).await.map(UpdateVersion::from)
}

async fn in_parts(bucket: &Arc<Bucket>, path: &Path, value: Payload, expiry: Option<u64>) -> Result<()> {
    let mut closed = bucket.uploads.closed.subscribe();
    let closed = pin!(closed.wait_for(|closed| *closed));
    match select(pin!(upload(bucket, path, value, expiry)), closed).await {
        Either::Left((uploaded, _)) => uploaded,
        Either::Right(_) => Err(error::closed()),
    }
}

async fn upload(bucket: &Arc<Bucket>, path: &Path, value: Payload, expiry: Option<u64>) -> Result<()> {
    let len = value.len() as u64;
    let mut keeper = Keeper::begin(bucket, path, expiry).await?;
    let Some(upload) = &mut keeper.upload else { return Err(error::closed()) };
    let parts = split(value).map(|bytes| {
        let time = bucket.time_for(bytes.len());
        let part = bucket.send(Effect::Idempotent, time, upload.put_part(bytes.into()));
        async { part.await.map_err(|failed| definite(failed.error)) }
    });
    // Not before it is needed, since some stores read the number of parts from it.
    let parts: Vec<_> = parts.collect();
    stream::iter(parts).buffered(IN_FLIGHT).try_collect::<()>().await?;
    // The server may have to put the parts together.
    bucket.send(Effect::Idempotent, Transfer::time_for(len), upload.complete()).await?;
    keeper.done();
    Ok(())
}

/// Cuts an object into parts. The header is copied into the first one, the body nowhere.
fn split(value: Payload) -> impl Iterator<Item = Bytes> {
    let (first, mut rest) = value
        .split_front(PART)
        .map_or_else(|| (Bytes::new(), Bytes::new()), |(first, rest)| (first, rest.into_bytes()));
    let others = std::iter::from_fn(move || {
        let next = rest.split_to(rest.len().min(PART));
        (!next.is_empty()).then_some(next)
    });
    std::iter::once(first).chain(others)
}

/// What may have happened to an upload has not happened to the object.
fn definite(error: Error) -> Error {
    if error.kind() == ErrorKind::Ambiguous { error.with_kind(ErrorKind::Unavailable) } else { error }
}

/// The uploads that are under way.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    keepers: Mutex<JoinSet<()>>,
    closed: watch::Sender<bool>,
}

impl Uploads {
    fn keepers(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends those that are under way, and waits until what they have uploaded is removed. It is removed also if the
    /// future is dropped.
    pub(crate) async fn close(&self) {
        self.closed.send_replace(true);
        while poll_fn(|context| self.keepers().poll_join_next(context)).await.is_some() {}
    }
}

/// An upload on the server. Unless it is [`done`](Self::done), a task that waits for it removes it when this is dropped.
struct Keeper {
    upload: Option<Box<dyn MultipartUpload>>,
    /// To the task.
    back: Option<oneshot::Sender<Box<dyn MultipartUpload>>>,
}

impl Keeper {
    /// Begins an upload, in the task: one that has begun is removed even if nobody learns of it.
    async fn begin(bucket: &Arc<Bucket>, path: &Path, expiry: Option<u64>) -> Result<Self> {
        let (begun, keeper) = oneshot::channel();
        let (owned, path) = (bucket.clone(), path.clone());
        let keep = async move {
            let attributes = expiry::attributes(expiry);
            let options = with_retries(PutMultipartOptions { attributes, ..PutMultipartOptions::default() });
            let begin = owned.store.put_multipart_opts(&path, options);
            let begin = owned.send(Effect::Idempotent, Duration::ZERO, begin).await;
            let (back, end) = oneshot::channel();
            let keeper = begin.map(|upload| Self { upload: Some(upload), back: Some(back) });
            // One that nobody takes is dropped, and its upload comes back like any other.
            drop(begun.send(keeper.map_err(|failed| definite(failed.error))));
            if let Ok(upload) = end.await {
                abort(&owned, upload).await;
            }
        };
        {
            let mut keepers = bucket.uploads.keepers();
            // Whoever closes the uploads waits for all that are here by then.
            if *bucket.uploads.closed.borrow() {
                return Err(error::closed());
            }
            while keepers.try_join_next().is_some() {}
            keepers.spawn(keep);
        }
        keeper.await.unwrap_or_else(|_| Err(error::closed()))
    }

    /// The upload is complete.
    fn done(mut self) {
        self.upload = None;
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let (Some(upload), Some(back)) = (self.upload.take(), self.back.take()) {
            let _ = back.send(upload);
        }
    }
}

/// Removes what was uploaded. What cannot be removed now is left to the rules of the bucket.
async fn abort(bucket: &Bucket, mut upload: Box<dyn MultipartUpload>) {
    for _ in 0..TRIES {
        match bucket.send(Effect::Idempotent, Duration::ZERO, upload.abort()).await {
            Err(failed) if failed.error.is_transient() => {}
            _ => return,
        }
    }
}

/// A part is repeated, so that what broke at the end is not begun anew.
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
fn with_retries(options: PutMultipartOptions) -> PutMultipartOptions {
    options.with_retry_policy(Arc::new(crate::retry::OfParts))
}

#[cfg(not(any(feature = "aws", feature = "azure", feature = "gcp")))]
fn with_retries(options: PutMultipartOptions) -> PutMultipartOptions {
    options
}
