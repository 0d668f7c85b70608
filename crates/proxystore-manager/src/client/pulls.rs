//! A stream as its client reads it: batch by batch, one ahead.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream};

use super::Session;
use crate::error::RemoteError;
use crate::frame::{Ask, Item};
use crate::value::Encoded;

/// Items of a batch.
const MAX_ITEMS: u32 = 256;
/// Bytes after which a batch is sent.
const MAX_BYTES: u32 = 256 << 10;

/// A batch, and whether it was the last.
type Batch = Result<(Vec<Encoded>, bool), RemoteError>;
/// Makes a batch of what the manager answers.
type Read = Arc<dyn Fn(crate::frame::Reply) -> Batch + Send + Sync>;

/// Reads a stream of a session. Nothing is read before it is polled first; dropping it ends the stream.
pub(crate) struct Pulls {
    session: Arc<Session>,
    stream: u64,
    read: Read,
    ready: VecDeque<Encoded>,
    pulling: Option<BoxFuture<'static, Batch>>,
    over: bool,
}

impl Pulls {
    pub(crate) fn new(session: Arc<Session>, stream: u64, read: Read) -> Self {
        Self { session, stream, read, ready: VecDeque::new(), pulling: None, over: false }
    }

    fn pull(&self) -> BoxFuture<'static, Batch> {
        let (session, read, stream) = (self.session.clone(), self.read.clone(), self.stream);
        let ask = Ask::Pull { stream, max_items: MAX_ITEMS, max_bytes: MAX_BYTES };
        async move { read(session.ask(ask).await?) }.boxed()
    }
}

impl Stream for Pulls {
    type Item = Result<Encoded, RemoteError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // One batch ahead, and not more: what is ready is used up before another is fetched.
        if self.pulling.is_none() && !self.over {
            self.pulling = Some(self.pull());
        }
        if self.ready.is_empty()
            && let Some(pulling) = &mut self.pulling
        {
            let Poll::Ready(batch) = pulling.poll_unpin(cx) else { return Poll::Pending };
            self.pulling = None;
            match batch {
                Ok((items, last)) => {
                    self.ready = items.into();
                    self.over = last;
                }
                Err(error) => {
                    self.over = true;
                    // Not every error is the end of the stream there: an item may be too large.
                    self.session.say(Item::Close { stream: self.stream });
                    return Poll::Ready(Some(Err(error)));
                }
            }
            if !self.over {
                let mut next = self.pull();
                // It goes out now; nobody waits for it yet, and the next poll does.
                if let Some(early) = (&mut next).now_or_never() {
                    next = std::future::ready(early).boxed();
                }
                self.pulling = Some(next);
            }
        }
        Poll::Ready(self.ready.pop_front().map(Ok))
    }
}

impl Drop for Pulls {
    fn drop(&mut self) {
        if !self.over {
            self.session.say(Item::Close { stream: self.stream });
        }
    }
}
