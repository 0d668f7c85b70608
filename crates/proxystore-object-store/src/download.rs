//! Objects from the store: small ones as they come, large ones by ranges side by side.

use std::ops::Range;
use std::pin::pin;

use bytes::{Bytes, BytesMut};
use futures_util::future::poll_immediate;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, UpdateVersion};
use proxystore_core::{Backoff, Error, ErrorKind, Payload, Result, Transfer};
use tokio::time::{Instant, sleep, timeout_at};

use crate::bucket::Bucket;
use crate::connector::MAX_VALUE;
use crate::error::{self, Effect, Failed, Why};
use crate::expiry;

/// The bytes of a range.
const PIECE: u64 = 8 << 20;
/// How many ranges of an object come at once.
const IN_FLIGHT: usize = 8;
/// Up to this many bytes an object is read as soon as it is found.
const SMALL: u64 = 64 << 10;
/// So many bytes have to come within a deadline, or it is the end.
const STEP: u64 = 16 << 10;
/// How often a range is resumed.
const RESUMES: usize = 4;
/// How often an object is read anew because it was replaced meanwhile.
const CHANGES: usize = 8;

type Body = BoxStream<'static, object_store::Result<Bytes>>;

/// An object, and which version of it.
pub(crate) struct Found {
    pub(crate) bytes: Bytes,
    pub(crate) version: UpdateVersion,
    expiry: Option<u64>,
}

/// The object at `path`, unless there is none or it has expired.
pub(crate) async fn get(bucket: &Bucket, path: &Path) -> Result<Option<Found>> {
    Ok(any(bucket, path).await?.filter(|found| !expiry::is_over(found.expiry)))
}

/// Whether the object at `path`, expired or not, has just these bytes.
pub(crate) async fn is_there(bucket: &Bucket, path: &Path, value: &Payload) -> Result<bool> {
    let len = value.len() as u64;
    if bucket.head(path).await?.is_none_or(|head| head.len != len) {
        return Ok(false);
    }
    Ok(any(bucket, path).await?.is_some_and(|found| found.bytes == value.clone().into_bytes()))
}

async fn any(bucket: &Bucket, path: &Path) -> Result<Option<Found>> {
    for _ in 0..CHANGES {
        match version(bucket, path).await {
            Ok(found) => return Ok(found),
            // Between two of its ranges it was replaced or removed.
            Err(Failed { why: Why::Condition | Why::NoObject | Why::Range, .. }) => {}
            Err(failed) => return Err(failed.error),
        }
    }
    Err(error::contended())
}

/// One version of the object. Fails with a [`Why`] if it changes meanwhile.
async fn version(bucket: &Bucket, path: &Path) -> Result<Option<Found>, Failed> {
    let first = match bucket.get(path, GetOptions::new()).await {
        Ok(first) => first,
        Err(Failed { why: Why::NoObject, .. }) => return Ok(None),
        Err(failed) => return Err(failed),
    };
    let expiry = expiry::of(&first.attributes)?;
    let len = first.meta.size;
    let version = UpdateVersion { e_tag: first.meta.e_tag.clone(), version: first.meta.version.clone() };
    if expiry::is_over(expiry) && len > SMALL {
        return Ok(None);
    }
    let transfer = Transfer::current();
    transfer.admit(len)?;
    // Without an ETag, nobody knows whether two ranges are of the same version.
    let etag = version.e_tag.as_deref().filter(|_| bucket.abilities.ranges);
    let mut body = Some(first.into_stream());
    if len > SMALL {
        let mut room = pin!(transfer.expect(len));
        match poll_immediate(&mut room).await {
            Some(room) => room?,
            None => {
                // No connection is held while there is no room.
                body = None;
                room.await?;
            }
        }
    }
    let mut pieces = Vec::new();
    for (range, buffer) in split(len, if etag.is_some() { PIECE } else { u64::MAX })? {
        let body = body.take().filter(|_| range.start == 0);
        pieces.push(Piece { bucket, path, etag, range, buffer, body }.fetch(&transfer));
    }
    let pieces: Vec<_> = stream::iter(pieces).buffered(IN_FLIGHT).try_collect().await?;
    let mut bytes = BytesMut::new();
    for piece in pieces {
        // They are neighbours in memory, so this copies nothing.
        bytes.unsplit(piece);
    }
    Ok(Some(Found { bytes: bytes.freeze(), version, expiry }))
}

/// The ranges of an object, with memory for each, all in one piece.
fn split(len: u64, piece: u64) -> Result<Vec<(Range<u64>, BytesMut)>> {
    let too_large =
        || Error::new(ErrorKind::TooLarge, "there is no memory for the object").with("bytes", len);
    if len > MAX_VALUE {
        return Err(Error::new(ErrorKind::TooLarge, "the object is larger than this connector puts any")
            .with("bytes", len));
    }
    let size = usize::try_from(len).map_err(|_| too_large())?;
    // Memory that is not there is an error and not the end of the process.
    Vec::<u8>::new().try_reserve_exact(size).map_err(|_| too_large())?;
    let mut rest = BytesMut::with_capacity(size);
    let mut pieces = Vec::new();
    let mut start = 0;
    while len - start > piece {
        let next = rest.split_off(piece as usize);
        pieces.push((start..start + piece, std::mem::replace(&mut rest, next)));
        start += piece;
    }
    pieces.push((start..len, rest));
    Ok(pieces)
}

/// A range on its way.
struct Piece<'a> {
    bucket: &'a Bucket,
    path: &'a Path,
    /// None: it cannot be resumed.
    etag: Option<&'a str>,
    range: Range<u64>,
    /// What has come of it.
    buffer: BytesMut,
    /// The answer that brings it and perhaps more, if there is one already.
    body: Option<Body>,
}

impl Piece<'_> {
    fn len(&self) -> usize {
        (self.range.end - self.range.start) as usize
    }

    /// All of it, by as many requests as it takes, within reason.
    async fn fetch(mut self, transfer: &Transfer) -> Result<BytesMut, Failed> {
        let mut delays = None;
        for resumed in 0.. {
            let failed = match self.go_on(transfer).await {
                Ok(()) => break,
                Err(failed) => failed,
            };
            let again = self.etag.is_some() && failed.why == Why::Other && failed.error.is_transient();
            if !again || resumed == RESUMES {
                return Err(failed);
            }
            let delay = delays.get_or_insert_with(|| Backoff::default().delays()).next();
            sleep(delay.unwrap_or_default()).await;
        }
        Ok(self.buffer)
    }

    async fn go_on(&mut self, transfer: &Transfer) -> Result<(), Failed> {
        let body = match self.body.take() {
            Some(body) => body,
            None => {
                // Without an ETag this is the only piece, and begins at the beginning.
                let from = self.range.start + self.buffer.len() as u64;
                let mut options = GetOptions::new().with_if_match(self.etag);
                if self.etag.is_some() {
                    options = options.with_range(Some(from..self.range.end));
                }
                let answer = self.bucket.get(self.path, options).await?;
                let replaced = self.etag.is_none() && answer.meta.size != self.range.end;
                if answer.range.start != from || replaced {
                    return Err(error::torn("the store's answer is another range").into());
                }
                answer.into_stream()
            }
        };
        self.drain(body, transfer).await
    }

    /// To the end of the range.
    async fn drain(&mut self, mut body: Body, transfer: &Transfer) -> Result<(), Failed> {
        let (mut deadline, mut moved) = (Instant::now() + self.bucket.timeout, 0);
        while self.buffer.len() < self.len() {
            let mut chunk = match timeout_at(deadline, body.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(_))) => return Err(error::torn("the answer broke off").into()),
                Ok(None) => return Err(error::torn("the answer ended early").into()),
                Err(_) => return Err(error::late(Effect::Read, self.bucket.timeout).into()),
            };
            // The first answer goes on behind the first range.
            chunk.truncate(self.len() - self.buffer.len());
            self.buffer.extend_from_slice(&chunk);
            transfer.moved(chunk.len() as u64);
            moved += chunk.len() as u64;
            if moved >= STEP {
                (deadline, moved) = (Instant::now() + self.bucket.timeout, 0);
            }
        }
        Ok(())
    }
}
