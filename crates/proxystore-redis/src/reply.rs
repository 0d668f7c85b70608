//! Reads the server's replies: long strings straight into a buffer of their size, the rest by the `redis` crate.

use std::io::{Error, ErrorKind, Result};

use bytes::{Buf, BytesMut};
use proxystore_core::Transfer;
use redis::Value;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::connector::MAX_VALUE;

/// So much is read at once where nobody knows how much is coming.
const AHEAD: usize = 64 * 1024;
/// So long a string may be that is waited for where it is, and not read into its own buffer.
const SHORT: usize = AHEAD / 4;
/// A line is no longer than this: errors are the longest.
const LINE: usize = 8 * 1024;
/// The memory that an array takes is no more than this: the longest are of names.
const ARRAY: usize = 16 * 1024 * 1024;
/// Arrays within an array's arrays: `ROLE` has the deepest.
const DEPTH: usize = 3;

/// The replies on a connection, one after the other.
pub(crate) struct Replies<R> {
    from: R,
    /// What has come and was not asked for yet.
    ahead: BytesMut,
}

/// How a reply begins.
#[derive(Debug, PartialEq)]
pub(crate) enum Head {
    /// It is all there.
    Whole(Value),
    /// A string of so many bytes follows: [`Replies::body`] reads it.
    Body(usize),
    /// So many replies follow, which are one together.
    Many(usize),
}

/// What there is of a reply.
enum Near {
    Whole(Value),
    /// More of it has to come.
    Part,
    /// It is long, or several.
    Long,
}

impl<R: AsyncRead + Unpin> Replies<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, ahead: BytesMut::new() }
    }

    /// The next reply.
    pub(crate) async fn next(&mut self) -> Result<Value> {
        if let Some(value) = self.short().await? {
            return Ok(value);
        }
        let head = self.head().await?;
        self.rest(head).await
    }

    /// The next reply if it is a short one, as most are: many of them come at once. `None`: ask for its head.
    pub(crate) async fn short(&mut self) -> Result<Option<Value>> {
        loop {
            match self.near()? {
                Near::Whole(value) => return Ok(Some(value)),
                Near::Part => self.more().await?,
                Near::Long => return Ok(None),
            }
        }
    }

    fn near(&mut self) -> Result<Near> {
        let Some(end) = line(&self.ahead)? else { return Ok(Near::Part) };
        match parse(&self.ahead[..end])? {
            Head::Whole(value) => {
                self.ahead.advance(end);
                Ok(Near::Whole(value))
            }
            Head::Body(len) if len <= SHORT => {
                let whole = end + len + 2;
                let Some(body) = self.ahead.get(end..whole) else { return Ok(Near::Part) };
                let body = body.strip_suffix(b"\r\n").ok_or_else(garbled)?.to_vec();
                self.ahead.advance(whole);
                Ok(Near::Whole(Value::BulkString(body)))
            }
            Head::Body(_) | Head::Many(_) => Ok(Near::Long),
        }
    }

    /// What follows this head. Tells nobody of what comes.
    pub(crate) async fn rest(&mut self, head: Head) -> Result<Value> {
        match head {
            Head::Whole(value) => Ok(value),
            Head::Body(len) => self.unadmitted(len).await.map(Value::BulkString),
            Head::Many(count) => {
                let mut left = ARRAY;
                self.many(count, DEPTH, &mut left).await
            }
        }
    }

    /// Memory grows with what comes, not with what is announced, and by no more than is `left`.
    async fn many(&mut self, count: usize, depth: usize, left: &mut usize) -> Result<Value> {
        let mut all = Vec::new();
        for _ in 0..count {
            let head = self.head().await?;
            let takes = size_of::<Value>()
                + match &head {
                    Head::Body(len) => *len,
                    Head::Whole(Value::SimpleString(text)) => text.len(),
                    Head::Whole(Value::ServerError(error)) => {
                        error.code().len() + error.details().map_or(0, str::len)
                    }
                    _ => 0,
                };
            *left = left.checked_sub(takes).ok_or_else(garbled)?;
            all.push(match head {
                Head::Whole(value) => value,
                Head::Body(len) => Value::BulkString(self.unadmitted(len).await?),
                Head::Many(count) if depth > 0 => Box::pin(self.many(count, depth - 1, left)).await?,
                Head::Many(_) => return Err(garbled()),
            });
        }
        Ok(Value::Array(all))
    }

    /// The beginning of the next reply. A length that no string has is refused, and nothing is set aside for it.
    pub(crate) async fn head(&mut self) -> Result<Head> {
        let end = loop {
            match line(&self.ahead)? {
                Some(end) => break end,
                None => self.more().await?,
            }
        };
        let head = parse(&self.ahead[..end])?;
        self.ahead.advance(end);
        Ok(head)
    }

    /// The string of `len` bytes that the head announced, for which there is room. Tells `transfer` of what comes.
    pub(crate) async fn body(&mut self, len: usize, transfer: &Transfer) -> Result<Vec<u8>> {
        self.string(len, len + 2, transfer).await
    }

    /// The same where nobody has asked for so much: memory grows with what comes.
    async fn unadmitted(&mut self, len: usize) -> Result<Vec<u8>> {
        self.string(len, AHEAD, &Transfer::default()).await
    }

    /// Sets `step` bytes aside, and then as many again as have come.
    async fn string(&mut self, len: usize, step: usize, transfer: &Transfer) -> Result<Vec<u8>> {
        let whole = len + 2;
        let mut body = Vec::with_capacity(whole.min(step));
        let there = whole.min(self.ahead.len());
        body.extend_from_slice(&self.ahead[..there]);
        self.ahead.advance(there);
        transfer.moved(there as u64);
        while body.len() < whole {
            if body.len() == body.capacity() {
                body.reserve_exact((whole - body.len()).min(body.len()));
            }
            let rest = (whole - body.len()) as u64;
            match (&mut self.from).take(rest).read_buf(&mut body).await? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => transfer.moved(read as u64),
            }
        }
        if !body.ends_with(b"\r\n") {
            return Err(garbled());
        }
        body.truncate(len);
        Ok(body)
    }

    /// Waits for the connection's end, or for what nobody asked for, which is no better. Dropped, it has lost nothing.
    pub(crate) async fn unasked(&mut self) -> Result<()> {
        if self.ahead.is_empty() {
            self.more().await?;
        }
        Err(garbled())
    }

    /// Waits for more. Dropped, it has lost nothing.
    async fn more(&mut self) -> Result<()> {
        self.ahead.reserve(AHEAD);
        match self.from.read_buf(&mut self.ahead).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Where the line ends that these bytes begin with, if it is here.
fn line(bytes: &[u8]) -> Result<Option<usize>> {
    let bytes = &bytes[..bytes.len().min(LINE)];
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => Ok(Some(end + 1)),
        None if bytes.len() == LINE => Err(garbled()),
        None => Ok(None),
    }
}

/// A line, with its end, that begins a reply to a command of ours.
fn parse(line: &[u8]) -> Result<Head> {
    let text = line.strip_suffix(b"\r\n").ok_or_else(garbled)?;
    match text.split_first() {
        Some((b'$', b"-1")) => Ok(Head::Whole(Value::Nil)),
        Some((b'$', len)) => number(len).filter(|len| *len <= MAX_VALUE).map(Head::Body).ok_or_else(garbled),
        Some((b'*', count)) => number(count).map(Head::Many).ok_or_else(garbled),
        Some((b'+', b"OK")) => Ok(Head::Whole(Value::Okay)),
        Some((b'+' | b'-' | b':', _)) => {
            redis::parse_redis_value(line).map(Head::Whole).map_err(|_| garbled())
        }
        _ => Err(garbled()),
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    let add = |number: usize, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| usize::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

/// Does not repeat what came: it may be a value.
fn garbled() -> Error {
    Error::new(ErrorKind::InvalidData, "the server's answer has an unexpected form")
}

#[cfg(test)]
mod tests;
