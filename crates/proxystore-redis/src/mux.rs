//! One connection of our own that many small requests share: what is asked at one time is written at once.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use redis::{RedisError, RedisResult, Value};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::unconstrained;

use crate::link::Listener;
use crate::reply::Replies;
use crate::request::Request;
use crate::wire::Wire;

/// Bytes that wait to be written, at most.
const WAITING: usize = 1 << 20;
/// Requests that are written at once, at most.
const TOGETHER: usize = 1024;

/// The handle. With the last one the connection is closed.
pub(crate) struct Mux {
    requests: mpsc::UnboundedSender<Sent>,
    /// A permit for each byte that waits, so that the channel is bounded by bytes.
    room: Arc<Semaphore>,
}

struct Sent {
    packed: Vec<u8>,
    room: u32,
    reply: Reply,
}

/// Dropped with the driver, however that ends: who waits for room need not wait any more.
struct Freed(Arc<Semaphore>);

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// How many replies somebody waits for.
struct Reply(usize, oneshot::Sender<Vec<Value>>);

impl Mux {
    /// Spawns the connection's driver. The listener hears nothing, and goes with the driver.
    pub(crate) fn spawn(wire: Wire, listener: Arc<dyn Listener>) -> Self {
        let (requests, queue) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(WAITING));
        let freed = Freed(room.clone());
        tokio::spawn(async move {
            let (_listener, freed) = (listener, freed);
            let (mut replies, mut writer) = wire.into_parts();
            let (asked, owed) = mpsc::unbounded_channel();
            // Whoever waits for an answer finds out by its channel.
            let write = pin!(write(queue, &mut writer, &freed.0, asked));
            let _ = select(write, pin!(read(owed, &mut replies))).await;
        });
        Self { requests, room }
    }

    /// Sends the request and waits for all answers, errors of the server among them. Dropping the future leaves the
    /// connection in order: its answers are skipped.
    pub(crate) async fn send(&self, request: &Request) -> RedisResult<Vec<Value>> {
        let packed = request.packed();
        let room = u32::try_from(packed.len().min(WAITING)).unwrap_or(u32::MAX);
        self.room.acquire_many(room).await.map_err(|_| broken())?.forget();
        let (answer, answered) = oneshot::channel();
        let sent = Sent { packed, room, reply: Reply(request.len(), answer) };
        self.requests.send(sent).map_err(|_| broken())?;
        answered.await.map_err(|_| broken())
    }
}

/// Writes what is asked for until nobody can ask any more.
async fn write(
    mut queue: mpsc::UnboundedReceiver<Sent>,
    writer: &mut (impl AsyncWrite + Unpin),
    room: &Semaphore,
    asked: mpsc::UnboundedSender<Reply>,
) -> io::Result<()> {
    let mut together = Vec::new();
    while queue.recv_many(&mut together, TOGETHER).await > 0 {
        let (mut packed, mut freed) = (Vec::new(), 0);
        for sent in together.drain(..) {
            freed += sent.room as usize;
            // Who has gone is not answered, and so need not be asked for.
            if !sent.reply.1.is_closed() {
                if packed.is_empty() {
                    packed = sent.packed;
                } else {
                    packed.extend_from_slice(&sent.packed);
                }
                let _ = asked.send(sent.reply);
            }
        }
        let written = writer.write_all(&packed).await;
        room.add_permits(freed);
        written?;
    }
    Ok(())
}

/// Reads what is owed, in order, until the connection breaks.
async fn read(
    mut owed: mpsc::UnboundedReceiver<Reply>,
    replies: &mut Replies<impl AsyncRead + Unpin>,
) -> io::Result<()> {
    loop {
        // What is asked for is seen before its answer can come, however busy this task is.
        let next = pin!(unconstrained(owed.recv()));
        let next = match select(next, pin!(replies.unasked())).await {
            Either::Left((next, _)) => next,
            Either::Right((broken, _)) => return broken,
        };
        let Some(Reply(count, answer)) = next else { return Ok(()) };
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
