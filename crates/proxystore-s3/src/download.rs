//! Objects from the server: small ones by one request, large ones by ranges side by side.

use std::ops::Range;
use std::pin::pin;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use futures_util::future::poll_immediate;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use proxystore_core::{Backoff, Error, ErrorKind, Result, Transfer};
use tokio::time::{Instant, sleep, timeout_at};

use crate::bucket::{Bucket, STEP};
use crate::connector::MAX_VALUE;
use crate::error::{self, Effect, Failed, Why};
use crate::expiry;

/// The bytes of a range.
const PIECE: u64 = 8 << 20;
/// How many ranges of an object come at once.
const IN_FLIGHT: usize = 8;
/// Up to this many bytes an object is read as soon as it is found.
const SMALL: u64 = 64 << 10;
/// How often a range is resumed.
const RESUMES: usize = 4;
/// How often an object is read anew because it was replaced meanwhile.
const CHANGES: usize = 8;

/// An object, and which version of it.
pub(crate) struct Found {
    pub(crate) bytes: Bytes,
    pub(crate) etag: String,
}

/// The object at `name`, unless there is none or it has expired.
pub(crate) async fn get(bucket: &Bucket, name: &str) -> Result<Option<Found>> {
    for _ in 0..CHANGES {
        match version(bucket, name).await {
            Ok(found) => return Ok(found),
            // Between two of its ranges it was replaced or removed.
            Err(Failed { why: Why::Condition | Why::NoObject | Why::Range, .. }) => {}
            Err(failed) => return Err(failed.error),
        }
    }
    Err(error::contended())
}

/// One version of the object. Fails with a [`Why`] if it changes meanwhile.
async fn version(bucket: &Bucket, name: &str) -> Result<Option<Found>, Failed> {
    let first = match range(bucket, name, 0..PIECE, None).await {
        Ok(first) => first,
        Err(Failed { why: Why::NoObject, .. }) => return Ok(None),
        Err(Failed { why: Why::Range, .. }) => return empty(bucket, name).await,
        Err(failed) => return Err(failed),
    };
    if expiry::is_over(expiry::of(first.metadata())?) {
        return Ok(None);
    }
    let (from, len) = extent(&first)?;
    if from != 0 {
        return Err(error::torn("the server's answer is another range").into());
    }
    let etag = first.e_tag().ok_or_else(|| error::torn("the server's answer has no ETag"))?.to_owned();
    let transfer = Transfer::current();
    transfer.admit(len)?;
    let mut body = Some(first.body);
    if len > SMALL {
        let mut room = pin!(transfer.expect(len));
        match poll_immediate(&mut room).await {
            Some(room) => room?,
            // No connection is held while there is no room.
            None => {
                body = None;
                room.await?;
            }
        }
    }
    let mut pieces = Vec::new();
    for (range, buffer) in split(len)? {
        let body = body.take().filter(|_| range.start == 0);
        pieces.push(Piece { bucket, name, etag: &etag, range, buffer, body }.fetch(&transfer));
    }
    let pieces: Vec<_> = stream::iter(pieces).buffered(IN_FLIGHT).try_collect().await?;
    let mut bytes = BytesMut::new();
    for piece in pieces {
        // They are neighbours in memory, so this copies nothing.
        bytes.unsplit(piece);
    }
    Ok(Some(Found { bytes: bytes.freeze(), etag }))
}

/// The ranges of an object, with memory for each, all in one piece.
fn split(len: u64) -> Result<Vec<(Range<u64>, BytesMut)>> {
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
    while len - start > PIECE {
        let next = rest.split_off(PIECE as usize);
        pieces.push((start..start + PIECE, std::mem::replace(&mut rest, next)));
        start += PIECE;
    }
    pieces.push((start..len, rest));
    Ok(pieces)
}

/// Where an answer begins in its object, and the length of the object.
fn extent(answer: &GetObjectOutput) -> Result<(u64, u64)> {
    let strange = || error::torn("the server's answer does not tell the object's length");
    match answer.content_range() {
        Some(range) => {
            // bytes 0-99/1000
            let range = range.strip_prefix("bytes ").and_then(|range| range.split_once('/'));
            let (range, len) = range.ok_or_else(strange)?;
            let from = range.split_once('-').and_then(|(from, _)| from.parse().ok());
            Ok((from.ok_or_else(strange)?, len.parse().map_err(|_| strange())?))
        }
        None => {
            let len = answer.content_length().and_then(|len| u64::try_from(len).ok());
            Ok((0, len.ok_or_else(strange)?))
        }
    }
}

/// What has no first byte is empty.
async fn empty(bucket: &Bucket, name: &str) -> Result<Option<Found>, Failed> {
    match bucket.head(name).await? {
        None => Ok(None),
        Some(head) if expiry::is_over(head.expiry) => Ok(None),
        Some(head) if head.len == 0 => Ok(Some(Found { bytes: Bytes::new(), etag: head.etag })),
        Some(_) => Err(Failed { why: Why::Range, error: error::contended() }),
    }
}

async fn range(
    bucket: &Bucket,
    name: &str,
    range: Range<u64>,
    etag: Option<&str>,
) -> Result<GetObjectOutput, Failed> {
    let get = bucket.client.get_object().bucket(&bucket.name).key(name);
    let get = get.range(format!("bytes={}-{}", range.start, range.end - 1));
    let get = get.set_if_match(etag.map(Into::into));
    bucket.send(Effect::Read, get.send()).await
}

/// A range on its way.
struct Piece<'a> {
    bucket: &'a Bucket,
    name: &'a str,
    etag: &'a str,
    range: Range<u64>,
    /// What has come of it.
    buffer: BytesMut,
    /// The answer that brings it, if there is one already.
    body: Option<ByteStream>,
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
            if failed.why != Why::Other || !failed.error.is_transient() || resumed == RESUMES {
                return Err(failed);
            }
            if self.buffer.len() == self.len() {
                // All was there, and its check says that it is not what was put.
                self.buffer.clear();
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
                let from = self.range.start + self.buffer.len() as u64;
                let answer = range(self.bucket, self.name, from..self.range.end, Some(self.etag)).await?;
                if extent(&answer)?.0 != from {
                    return Err(Error::new(ErrorKind::Unsupported, "the server does not serve ranges").into());
                }
                answer.body
            }
        };
        self.drain(body, transfer).await?;
        match self.buffer.len() == self.len() {
            true => Ok(()),
            false => Err(error::torn("the answer ended early").into()),
        }
    }

    /// To the end of an answer, behind whose last byte a check may stand.
    async fn drain(&mut self, mut body: ByteStream, transfer: &Transfer) -> Result<()> {
        let (mut deadline, mut moved) = (Instant::now() + self.bucket.timeout, 0);
        loop {
            let chunk = match timeout_at(deadline, body.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(None) => return Ok(()),
                Ok(Some(Err(_))) => return Err(error::torn("the answer broke off")),
                Err(_) => return Err(error::late(Effect::Read, self.bucket.timeout)),
            };
            if chunk.len() > self.len() - self.buffer.len() {
                self.buffer.clear();
                return Err(error::torn("the answer is longer than it says"));
            }
            self.buffer.extend_from_slice(&chunk);
            transfer.moved(chunk.len() as u64);
            moved += chunk.len() as u64;
            if moved >= STEP {
                (deadline, moved) = (Instant::now() + self.bucket.timeout, 0);
            }
        }
    }
}
