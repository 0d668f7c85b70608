//! Objects to the server: small ones by one request, large ones by parts side by side.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures_util::future::{Either, ready, select};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use proxystore_core::{Backoff, Error, ErrorKind, FileSource, Mode, Payload, PutOptions, Result};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::body::counted;
use crate::bucket::{Bucket, beside};
use crate::buffers::Buffers;
use crate::connector::MAX_VALUE;
use crate::error::{self, Effect, Failed, Why};
use crate::expiry;

/// Up to this many bytes an object goes by one request.
const WHOLE: usize = 16 << 20;
/// The bytes of a part.
const PART: usize = 8 << 20;
/// How many parts of an object go at once.
const IN_FLIGHT: usize = 8;
/// How often a part is tried, or an abort.
const TRIES: usize = 4;
/// How often a create looks again at what was there and is gone.
const CHANGES: usize = 8;

/// The condition of a write.
#[derive(Debug, Clone)]
pub(crate) enum Only {
    Always,
    IfAbsent,
    /// If this version is there.
    If(String),
}

impl Only {
    fn if_none_match(&self) -> Option<String> {
        matches!(self, Self::IfAbsent).then(|| "*".into())
    }

    fn if_match(&self) -> Option<String> {
        if let Self::If(etag) = self { Some(etag.clone()) } else { None }
    }
}

/// Puts an object. Dropping the future leaves it whole or untouched, and has what was uploaded of it removed.
pub(crate) async fn put(
    bucket: &Arc<Bucket>,
    name: &str,
    value: Payload,
    options: &PutOptions,
) -> Result<()> {
    check_size(value.len() as u64)?;
    let expiry = options.ttl.map(expiry::after);
    if value.len() <= WHOLE {
        let only = if options.mode == Mode::Create { Only::IfAbsent } else { Only::Always };
        return write(bucket, name, Source::Whole(value.into_bytes(), expiry), only, options.mode).await;
    }
    let only = before_parts(bucket, name, options.mode).await?;
    let parts = split(value).map(|bytes| ready(Ok(bytes)));
    let upload = Upload::of(bucket, name, parts, expiry).await?;
    write(bucket, name, Source::Parts(upload), only, options.mode).await
}

/// What is larger could not be touched, as the server copies no more in one step.
fn check_size(len: u64) -> Result<()> {
    if len <= MAX_VALUE {
        return Ok(());
    }
    Err(Error::new(ErrorKind::TooLarge, "S3 takes at most 5 GiB in one piece").with("bytes", len))
}

/// The same for what is in a file, of which no more is in memory than the parts on their way.
pub(crate) async fn put_file(
    bucket: &Arc<Bucket>,
    name: &str,
    source: &FileSource,
    options: &PutOptions,
) -> Result<()> {
    check_size(source.size())?;
    if source.size() <= WHOLE as u64 {
        let source = source.clone();
        let value = beside(move || source.payload()).await?;
        return put(bucket, name, value, options).await;
    }
    let only = before_parts(bucket, name, options.mode).await?;
    let buffers = Buffers::default();
    let parts = (0..source.size()).step_by(PART).map(|start| {
        let (source, buffers) = (source.clone(), buffers.clone());
        let len = usize::try_from(source.size() - start).unwrap_or(PART).min(PART);
        beside(move || {
            let mut buffer = buffers.take();
            buffer.resize(len, 0);
            source.read(start, &mut buffer)?;
            Ok(buffers.lend(buffer))
        })
    });
    let upload = Upload::of(bucket, name, parts, options.ttl.map(expiry::after)).await?;
    let source = source.clone();
    beside(move || source.check()).await?;
    write(bucket, name, Source::Parts(upload), only, options.mode).await
}

/// The condition of a large object's write. Whether its key is taken is known before the bytes have gone.
async fn before_parts(bucket: &Bucket, name: &str, mode: Mode) -> Result<Only> {
    match mode {
        Mode::Overwrite => Ok(Only::Always),
        Mode::Create => vacant(bucket, name).await,
    }
}

/// Writes what is here, or on the server in parts.
async fn write(bucket: &Bucket, name: &str, source: Source, mut only: Only, mode: Mode) -> Result<()> {
    let effect = if mode == Mode::Create { Effect::Once } else { Effect::Idempotent };
    for _ in 0..CHANGES {
        let written = match &source {
            Source::Whole(bytes, expiry) => {
                whole(bucket, name, bytes.clone(), *expiry, &only, effect).await.map(drop)
            }
            Source::Parts(upload) => upload.complete(&only, effect).await,
        };
        match written {
            Ok(()) => {
                if let Source::Parts(upload) = source {
                    upload.keeper.done();
                }
                return Ok(());
            }
            Err(Failed { why: Why::Condition | Why::NoObject, .. }) if mode == Mode::Create => {
                only = vacant(bucket, name).await?;
            }
            Err(failed) => return Err(failed.error),
        }
    }
    Err(error::contended())
}

enum Source {
    Whole(Bytes, Option<u64>),
    Parts(Upload),
}

/// The condition under which a create may write; `Exists` if it may not. What has expired is not there.
async fn vacant(bucket: &Bucket, name: &str) -> Result<Only> {
    match bucket.head(name).await? {
        None => Ok(Only::IfAbsent),
        Some(head) if expiry::is_over(head.expiry) => Ok(Only::If(head.etag)),
        Some(_) => Err(error::exists()),
    }
}

/// Writes an object by one request, and gives the version that it is.
pub(crate) async fn whole(
    bucket: &Bucket,
    name: &str,
    bytes: Bytes,
    expiry: Option<u64>,
    only: &Only,
    effect: Effect,
) -> Result<String, Failed> {
    let (body, moved) = counted(bytes);
    let mut put = bucket.client.put_object().bucket(&bucket.name).key(name).body(body);
    if let Some(expiry) = expiry {
        put = put.metadata(expiry::NAME, expiry.to_string());
    }
    let put = put.set_if_match(only.if_match()).set_if_none_match(only.if_none_match());
    let answer = bucket.send_moving(effect, moved, put.send()).await?;
    // An answer without it says nothing about the object, whatever its status.
    answer.e_tag.ok_or_else(|| error::broken(effect).into())
}

/// An upload by parts, all of which are on the server.
struct Upload {
    bucket: Arc<Bucket>,
    name: String,
    keeper: Keeper,
    parts: Vec<CompletedPart>,
}

impl Upload {
    /// Uploads all parts. Until the upload is completed, nothing is seen of it.
    async fn of(
        bucket: &Arc<Bucket>,
        name: &str,
        parts: impl Iterator<Item = impl Future<Output = Result<Bytes>> + Send> + Send,
        expiry: Option<u64>,
    ) -> Result<Self> {
        let keeper = Keeper::begin(bucket, name, expiry).await?;
        let id = &keeper.id;
        let parts = (1..)
            .zip(parts)
            .map(|(number, bytes)| async move { part(bucket, name, id, number, bytes.await?).await });
        let parts = stream::iter(parts).buffered(IN_FLIGHT).try_collect().await?;
        Ok(Self { bucket: bucket.clone(), name: name.into(), parts, keeper })
    }

    async fn complete(&self, only: &Only, effect: Effect) -> Result<(), Failed> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(self.parts.clone())).build();
        let bucket = &self.bucket;
        let complete = bucket.client.complete_multipart_upload().bucket(&bucket.name).key(&self.name);
        let complete = complete.upload_id(&self.keeper.id).multipart_upload(parts);
        let complete = complete.set_if_match(only.if_match()).set_if_none_match(only.if_none_match());
        let answer = bucket.send(effect, complete.send()).await?;
        answer.e_tag.map(drop).ok_or_else(|| error::broken(effect).into())
    }
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

async fn part(bucket: &Bucket, name: &str, id: &str, number: i32, bytes: Bytes) -> Result<CompletedPart> {
    let mut delays = Backoff::default().delays();
    for tried in 1.. {
        let (body, moved) = counted(bytes.clone());
        let upload = bucket.client.upload_part().bucket(&bucket.name).key(name).upload_id(id);
        let upload = upload.part_number(number).body(body);
        let failed = match bucket.send_moving(Effect::Idempotent, moved, upload.send()).await {
            Ok(answer) if answer.e_tag.is_some() => {
                return Ok(CompletedPart::builder()
                    .part_number(number)
                    .set_e_tag(answer.e_tag)
                    .set_checksum_crc32(answer.checksum_crc32)
                    .build());
            }
            Ok(_) => error::broken(Effect::Idempotent).into(),
            Err(failed) => failed,
        };
        if failed.why == Why::NoUpload && bucket.uploads.is_closed() {
            return Err(error::closed());
        }
        if !failed.error.is_transient() || failed.why != Why::Other || tried == TRIES {
            return Err(definite(failed.error));
        }
        sleep(delays.next().unwrap_or_default()).await;
    }
    Err(error::closed())
}

/// The uploads that are under way.
#[derive(Default)]
pub(crate) struct Uploads {
    keepers: Mutex<JoinSet<()>>,
    closed: watch::Sender<bool>,
}

impl Uploads {
    fn keepers(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Aborts those that are not completed, and waits until the server has removed them. They are removed also if the
    /// future is dropped.
    pub(crate) async fn close(&self) {
        self.closed.send_replace(true);
        while poll_fn(|context| self.keepers().poll_join_next(context)).await.is_some() {}
    }
}

/// One upload on the server: it is removed unless it is [`done`](Self::done), also if this is dropped.
struct Keeper {
    id: String,
    done: oneshot::Sender<()>,
}

impl Keeper {
    /// Begins an upload, in a task of its own: one that has begun is removed even if nobody learns of it.
    async fn begin(bucket: &Arc<Bucket>, name: &str, expiry: Option<u64>) -> Result<Self> {
        let (begun, id) = oneshot::channel();
        let (done, end) = oneshot::channel();
        let (owned, name) = (bucket.clone(), name.to_owned());
        let keep = async move {
            let bucket = owned;
            let id = match begin(&bucket, &name, expiry).await {
                Ok(id) => id,
                Err(error) => {
                    if error.kind() == ErrorKind::Ambiguous {
                        abort_all(&bucket, &name).await;
                    }
                    // The caller may be gone. To it, no object may have been written.
                    let _ = begun.send(Err(definite(error)));
                    return;
                }
            };
            let mut closed = bucket.uploads.closed.subscribe();
            if begun.send(Ok(id.clone())).is_ok() {
                let closed = pin!(closed.wait_for(|closed| *closed));
                if let Either::Left((Ok(()), _)) = select(end, closed).await {
                    return;
                }
            }
            abort(&bucket, &name, &id).await;
        };
        {
            let mut keepers = bucket.uploads.keepers();
            // Whoever closes the uploads waits for all that are here by then.
            if bucket.uploads.is_closed() {
                return Err(error::closed());
            }
            while keepers.try_join_next().is_some() {}
            keepers.spawn(keep);
        }
        match id.await {
            Ok(id) => Ok(Self { id: id?, done }),
            Err(_) => Err(error::closed()),
        }
    }

    /// The upload is complete.
    fn done(self) {
        // A keeper that is gone has aborted it, which comes too late.
        let _ = self.done.send(());
    }
}

async fn begin(bucket: &Bucket, name: &str, expiry: Option<u64>) -> Result<String> {
    let mut create = bucket.client.create_multipart_upload().bucket(&bucket.name).key(name);
    if let Some(expiry) = expiry {
        create = create.metadata(expiry::NAME, expiry.to_string());
    }
    let answer = bucket.send(Effect::Idempotent, create.send()).await?;
    answer.upload_id.ok_or_else(|| error::broken(Effect::Idempotent))
}

/// What may have happened to an upload has not happened to the object.
fn definite(error: Error) -> Error {
    if error.kind() == ErrorKind::Ambiguous { error.with_kind(ErrorKind::Unavailable) } else { error }
}

/// Removes the uploads of this name, one of which may have begun without our knowing its id. Another writer under the
/// same key, of which there is hardly one, begins anew.
async fn abort_all(bucket: &Bucket, name: &str) {
    let list = bucket.client.list_multipart_uploads().bucket(&bucket.name).prefix(name);
    let Ok(page) = bucket.send(Effect::Read, list.send()).await else { return };
    for upload in page.uploads().iter().filter(|upload| upload.key() == Some(name)) {
        abort(bucket, name, upload.upload_id().unwrap_or_default()).await;
    }
}

/// Removes an upload. What cannot be removed now, the janitor removes when it is old.
pub(crate) async fn abort(bucket: &Bucket, name: &str, id: &str) -> bool {
    let mut delays = Backoff::default().delays();
    for _ in 0..TRIES {
        let abort = bucket.client.abort_multipart_upload().bucket(&bucket.name).key(name).upload_id(id);
        match bucket.send(Effect::Idempotent, abort.send()).await {
            Ok(_) | Err(Failed { why: Why::NoUpload | Why::NoObject, .. }) => return true,
            Err(failed) if !failed.error.is_transient() => return false,
            Err(_) => sleep(delays.next().unwrap_or_default()).await,
        }
    }
    false
}
