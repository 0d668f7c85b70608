//! One connection of our own that many small requests share: one that is alone is written by who asks, and what is asked
//! for meanwhile is written together.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_util::future::select;
use redis::{RedisError, RedisResult, Value};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::sync::{Semaphore, oneshot};

use crate::link::{Listener, lock};
use crate::reply::Replies;
use crate::request::Request;
use crate::wire::{Stream, Wire};

/// Bytes that wait to be written, at most.
const WAITING: usize = 1 << 20;

/// The handle. With the last one the connection is closed.
pub(crate) struct Mux(Arc<Shared>);

struct Shared {
    line: Mutex<Line>,
    /// A permit for each byte that waits.
    room: Semaphore,
}

/// What the callers and the driver hand each other.
struct Line {
    waiting: Vec<Sent>,
    /// In the order of the answers.
    owed: VecDeque<Reply>,
    /// `None` while somebody writes.
    writer: Option<WriteHalf<Stream>>,
    driver: Waker,
    /// The driver or the handle has gone.
    over: bool,
}

struct Sent {
    packed: Vec<u8>,
    room: usize,
    /// `None`: it is owed already.
    reply: Option<Reply>,
}

/// How many replies somebody waits for.
struct Reply(usize, oneshot::Sender<Vec<Value>>);

/// Dropped with the driver, however that ends: who waits need not wait any more.
struct Driving(Arc<Shared>);

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.room.close();
        let mut line = lock(&self.0.line);
        line.over = true;
        line.writer = None;
        let gone = (std::mem::take(&mut line.waiting), std::mem::take(&mut line.owed));
        drop(line);
        drop(gone);
    }
}

impl Drop for Mux {
    fn drop(&mut self) {
        let mut line = lock(&self.0.line);
        line.over = true;
        line.driver.wake_by_ref();
    }
}

impl Mux {
    /// Spawns the connection's driver. The listener hears nothing, and goes with the driver.
    pub(crate) fn spawn(wire: Wire, listener: Arc<dyn Listener>) -> Self {
        let (mut replies, writer) = wire.into_parts();
        let line = Line {
            waiting: Vec::new(),
            owed: VecDeque::new(),
            writer: Some(writer),
            driver: Waker::noop().clone(),
            over: false,
        };
        let shared = Arc::new(Shared { line: Mutex::new(line), room: Semaphore::new(WAITING) });
        let driving = Driving(shared.clone());
        tokio::spawn(async move {
            let (_listener, driving) = (listener, driving);
            // In this order: what is asked for is seen before its answer can come.
            let _ = select(pin!(write(&driving.0)), pin!(read(&driving.0, &mut replies))).await;
        });
        Self(shared)
    }

    /// Sends the request and waits for all answers, errors of the server among them. Dropping the future leaves the
    /// connection in order: its answers are skipped.
    pub(crate) async fn send(&self, request: &Request) -> RedisResult<Vec<Value>> {
        let (answer, answered) = oneshot::channel();
        let reply = Reply(request.len(), answer);
        if let Some(sent) = self.0.at_once(request.packed(), reply) {
            let room = u32::try_from(sent.room).unwrap_or(u32::MAX);
            self.0.room.acquire_many(room).await.map_err(|_| broken())?.forget();
            self.0.wait(sent);
        }
        answered.await.map_err(|_| broken())
    }
}

impl Shared {
    /// Writes the request if nothing else is under way, which spares the driver a turn; otherwise gives it back.
    fn at_once(&self, mut packed: Vec<u8>, reply: Reply) -> Option<Sent> {
        let mut writer = {
            let mut line = lock(&self.line);
            let idle = line.owed.is_empty() && line.waiting.is_empty();
            match line.writer.take_if(|_| idle) {
                Some(writer) => {
                    line.owed.push_back(reply);
                    writer
                }
                None => return Some(Sent { room: packed.len().min(WAITING), packed, reply: Some(reply) }),
            }
        };
        // What does not go now, or never will, is left to the driver, which hears when or why.
        let context = &mut Context::from_waker(Waker::noop());
        let written = match Pin::new(&mut writer).poll_write(context, &packed) {
            Poll::Ready(Ok(written)) => written,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        let mut line = lock(&self.line);
        if written < packed.len() {
            packed.drain(..written);
            line.waiting.insert(0, Sent { packed, room: 0, reply: None });
        }
        if !line.over {
            line.writer = Some(writer);
        }
        if !line.waiting.is_empty() {
            line.driver.wake_by_ref();
        }
        None
    }

    /// Leaves the request to the driver. If that has gone, so has who waits for the reply.
    fn wait(&self, sent: Sent) {
        let mut line = lock(&self.line);
        if !line.over {
            line.waiting.push(sent);
            if line.waiting.len() == 1 {
                line.driver.wake_by_ref();
            }
        }
    }

    /// What waits, and who writes it; `None` when nobody can ask any more.
    async fn next(&self) -> Option<(Vec<Sent>, WriteHalf<Stream>)> {
        poll_fn(|context| {
            let mut line = lock(&self.line);
            if line.over {
                return Poll::Ready(None);
            }
            let some = !line.waiting.is_empty();
            match line.writer.take_if(|_| some) {
                Some(writer) => Poll::Ready(Some((std::mem::take(&mut line.waiting), writer))),
                None => {
                    line.driver.clone_from(context.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// Writes what is asked for until nobody can ask any more.
async fn write(shared: &Shared) -> io::Result<()> {
    while let Some((waiting, mut writer)) = shared.next().await {
        let (mut packed, mut freed) = (Vec::new(), 0);
        for sent in waiting {
            freed += sent.room;
            if let Some(reply) = sent.reply {
                // Who has gone is not answered, and so need not be asked for.
                if reply.1.is_closed() {
                    continue;
                }
                lock(&shared.line).owed.push_back(reply);
            }
            if packed.is_empty() {
                packed = sent.packed;
            } else {
                packed.extend_from_slice(&sent.packed);
            }
        }
        let written = writer.write_all(&packed).await;
        shared.room.add_permits(freed);
        written?;
        lock(&shared.line).writer = Some(writer);
    }
    Ok(())
}

/// Reads what is owed, in order, until the connection breaks. Polled whenever the writer was.
async fn read(shared: &Shared, replies: &mut Replies<impl AsyncRead + Unpin>) -> io::Result<()> {
    loop {
        let next = async {
            let mut unasked = pin!(replies.unasked());
            let next = poll_fn(|context| match lock(&shared.line).owed.pop_front() {
                Some(next) => Poll::Ready(Ok(next)),
                None => unasked.as_mut().poll(context).map(Err),
            });
            next.await
        };
        let Reply(count, answer) = match next.await {
            Ok(next) => next,
            Err(broken) => return broken,
        };
        let mut answers = Vec::with_capacity(count);
        for _ in 0..count {
            answers.push(replies.next().await?);
        }
        // Nobody may wait for it any more.
        let _ = answer.send(answers);
    }
}

fn broken() -> RedisError {
    io::Error::from(io::ErrorKind::BrokenPipe).into()
}

#[cfg(test)]
mod tests;
