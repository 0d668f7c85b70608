//! Objects from the server: small ones by one request, large ones by ranges side by side.

use std::ops::Range;
use std::pin::pin;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use futures_util::future::poll_immediate;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use proxystore_core::{Backoff, Draft, Error, ErrorKind, FileTarget, Result, Transfer};
use tokio::time::{Instant, sleep, timeout_at};

use crate::bucket::{Bucket, STEP, beside};
use crate::buffers::Buffers;
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
        match whole(bucket, name).await {
            Ok(found) => return Ok(found),
            Err(failed) => look_again(failed)?,
        }
    }
    Err(error::contended())
}

/// The same into a file. No more of it is in memory than the ranges on their way.
pub(crate) async fn get_file(bucket: &Bucket, name: &str, target: &FileTarget) -> Result<Option<Draft>> {
    for _ in 0..CHANGES {
        match drafted(bucket, name, target).await {
            Ok(found) => return Ok(found),
            Err(failed) => look_again(failed)?,
        }
    }
    Err(error::contended())
}

/// Whether the object was replaced or removed between two of its ranges. If not, that is the error.
fn look_again(failed: Failed) -> Result<()> {
    match failed.why {
        Why::Condition | Why::NoObject | Why::Range => Ok(()),
        _ => Err(failed.error),
    }
}

async fn whole(bucket: &Bucket, name: &str) -> Result<Option<Found>, Failed> {
    let Some(mut version) = Version::find(bucket, name).await? else { return Ok(None) };
    let transfer = Transfer::current();
    let mut pieces = Vec::new();
    for (range, buffer) in split(version.len)? {
        pieces.push(version.piece(range, buffer).fetch(&transfer));
    }
    let pieces: Vec<_> = stream::iter(pieces).buffered(IN_FLIGHT).try_collect().await?;
    let mut bytes = BytesMut::new();
    for piece in pieces {
        // They are neighbours in memory, so this copies nothing.
        bytes.unsplit(piece);
    }
    Ok(Some(Found { bytes: bytes.freeze(), etag: version.etag }))
}

async fn drafted(bucket: &Bucket, name: &str, target: &FileTarget) -> Result<Option<Draft>, Failed> {
    let Some(mut version) = Version::find(bucket, name).await? else { return Ok(None) };
    let (target, len) = (target.clone(), version.len);
    let draft = beside(move || target.draft(len)).await?;
    let (transfer, buffers) = (Transfer::current(), Buffers::default());
    let mut writes = Vec::new();
    for range in ranges(len) {
        writes.push(version.piece(range, BytesMut::new()).write(&draft, &buffers, &transfer));
    }
    stream::iter(writes).buffer_unordered(IN_FLIGHT).try_collect::<()>().await?;
    Ok(Some(draft))
}

/// One version of an object: what is asked of it fails with a [`Why`] if it is another meanwhile.
struct Version<'a> {
    bucket: &'a Bucket,
    name: &'a str,
    etag: String,
    len: u64,
    /// The answer that brings its beginning, unless there was no room for it.
    body: Option<ByteStream>,
}

impl<'a> Version<'a> {
    /// The one that is there, if the caller takes it, and when there is room for it.
    async fn find(bucket: &'a Bucket, name: &'a str) -> Result<Option<Self>, Failed> {
        let first = match range(bucket, name, 0..PIECE, None).await {
            Ok(first) => first,
            Err(Failed { why: Why::NoObject, .. }) => return Ok(None),
            Err(Failed { why: Why::Range, .. }) => return Self::empty(bucket, name).await,
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
        if len > MAX_VALUE {
            let error = Error::new(ErrorKind::TooLarge, "the object is larger than this connector puts any");
            return Err(error.with("bytes", len).into());
        }
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
        Ok(Some(Self { bucket, name, etag, len, body }))
    }

    /// What has no first byte is empty.
    async fn empty(bucket: &'a Bucket, name: &'a str) -> Result<Option<Self>, Failed> {
        match bucket.head(name).await? {
            None => Ok(None),
            Some(head) if expiry::is_over(head.expiry) => Ok(None),
            Some(head) if head.len == 0 => {
                Ok(Some(Self { bucket, name, etag: head.etag, len: 0, body: None }))
            }
            Some(_) => Err(Failed { why: Why::Range, error: error::contended() }),
        }
    }

    /// What is to come of it into `buffer`. Ask for the first one first.
    fn piece(&mut self, range: Range<u64>, buffer: BytesMut) -> Piece<'a> {
        let Self { bucket, name, .. } = *self;
        Piece { bucket, name, etag: self.etag.clone(), range, buffer, body: self.body.take() }
    }
}

fn ranges(len: u64) -> impl Iterator<Item = Range<u64>> {
    (0..len).step_by(PIECE as usize).map(move |start| start..len.min(start + PIECE))
}

/// The ranges of an object, with memory for each, all in one piece.
fn split(len: u64) -> Result<Vec<(Range<u64>, BytesMut)>> {
    let too_large =
        || Error::new(ErrorKind::TooLarge, "there is no memory for the object").with("bytes", len);
    let size = usize::try_from(len).map_err(|_| too_large())?;
    // Memory that is not there is an error and not the end of the process.
    Vec::<u8>::new().try_reserve_exact(size).map_err(|_| too_large())?;
    let mut rest = BytesMut::with_capacity(size);
    let piece = |range: Range<u64>| {
        let next = rest.split_off((range.end - range.start) as usize);
        (range, std::mem::replace(&mut rest, next))
    };
    Ok(ranges(len).map(piece).collect())
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
    etag: String,
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

    /// All of it, into the file. The memory for it is taken when its turn has come.
    async fn write(mut self, draft: &Draft, buffers: &Buffers, transfer: &Transfer) -> Result<(), Failed> {
        self.buffer = buffers.take();
        self.buffer.clear();
        self.buffer.reserve(self.len());
        let (draft, start) = (draft.clone(), self.range.start);
        let buffer = self.fetch(transfer).await?;
        let written = beside(move || draft.write(start, &buffer).map(|()| buffer));
        buffers.give_back(written.await?);
        Ok(())
    }

    async fn go_on(&mut self, transfer: &Transfer) -> Result<(), Failed> {
        let body = match self.body.take() {
            Some(body) => body,
            None => {
                let from = self.range.start + self.buffer.len() as u64;
                let answer = range(self.bucket, self.name, from..self.range.end, Some(&self.etag)).await?;
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
