//! What a call moves, as far as it is known while it runs.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::{Error, ErrorKind, Result};

tokio::task_local! {
    static CURRENT: Transfer;
}

/// The bytes of the call that is under way: connectors report to it, policies act on it.
///
/// A connector that learns the size of an object before it fetches it asks whether the caller [`admit`](Self::admit)s
/// it, and then [`expect`](Self::expect)s it: deadlines grow with the bytes, and it waits until a policy has room for
/// them. A connector that sees bytes move says so by [`moved`](Self::moved), and is not cut off while they do. Outside
/// of a call all of this does nothing.
///
/// A handle: clones are the same transfer, and may be moved to other tasks and threads.
#[derive(Clone, Default)]
pub struct Transfer(Option<Arc<State>>);

#[derive(Default)]
struct State {
    /// The largest object that the caller takes; 0: any.
    max: u64,
    expected: AtomicU64,
    moved: AtomicU64,
    /// How many wait for room, and how many have done so.
    waiting: AtomicU64,
    waited: AtomicU64,
    room: Mutex<Option<Arc<dyn Room>>>,
}

/// Where bytes need room before they are fetched: a policy that limits them.
#[async_trait]
pub trait Room: Send + Sync {
    /// Waits for room for this many bytes; it is given back with the room itself. `Timeout` if that takes too long, and
    /// then nothing has been fetched. Dropping the future gives up the place in the queue.
    async fn make(&self, bytes: u64) -> Result<()>;
}

impl Transfer {
    /// Bytes per second that every backend is taken to move, when a deadline is computed from a size: 8 MiB.
    pub const FLOOR_RATE: u64 = 8 << 20;

    /// A transfer for a caller that takes objects of at most `max` bytes; 0: of any size.
    pub fn new(max: u64) -> Self {
        Self(Some(Arc::new(State { max, ..State::default() })))
    }

    /// The transfer of the call that this task is in, or one that does nothing.
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// The same, or a new one without limit if there is none.
    pub(crate) fn current_or_new() -> Self {
        let current = Self::current();
        if current.0.is_some() { current } else { Self::new(0) }
    }

    /// Runs `future` with this transfer as the [`current`](Self::current) one.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// For connectors, before they fetch an object of this size: `TooLarge` if the caller does not take it.
    pub fn admit(&self, bytes: u64) -> Result<()> {
        // What transforms add to an object is not the caller's.
        let limit = self.max();
        if bytes <= limit.saturating_add(overhead(limit)) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::TooLarge,
            format!("the stored object has {bytes} bytes, and the limit is {limit}"),
        )
        .hint("raise `max_object` where the store is opened"))
    }

    /// For connectors: this many bytes are about to be fetched. Waits for room, where a policy limits the bytes in
    /// flight; call it while no connection is held. Of the bytes of a batch, give the sum.
    ///
    /// Errors with `Timeout` if there is no room in time. Dropping the future leaves nothing.
    pub async fn expect(&self, bytes: u64) -> Result<()> {
        let Some(state) = &self.0 else { return Ok(()) };
        state.expected.fetch_add(bytes, Ordering::Relaxed);
        let room = state.room().clone();
        let Some(room) = room else { return Ok(()) };
        state.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(state);
        room.make(bytes).await
    }

    /// For connectors: this many bytes have moved since the last report.
    pub fn moved(&self, bytes: u64) {
        if let Some(state) = &self.0 {
            state.moved.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// The largest object that the caller takes, in bytes.
    pub fn max(&self) -> u64 {
        self.0.as_ref().map(|state| state.max).filter(|max| *max > 0).unwrap_or(u64::MAX)
    }

    /// For policies: the bytes that are known to be part of this attempt.
    pub fn size(&self) -> u64 {
        self.0.as_ref().map_or(0, |state| {
            state.expected.load(Ordering::Relaxed).max(state.moved.load(Ordering::Relaxed))
        })
    }

    /// For policies: a number that changes whenever bytes have moved, or a wait for room has ended.
    pub fn progress(&self) -> u64 {
        self.0.as_ref().map_or(0, |state| {
            state.moved.load(Ordering::Relaxed).wrapping_add(state.waited.load(Ordering::Relaxed))
        })
    }

    /// For policies: whether the call waits for room now, and so for nothing that the backend could do.
    pub fn is_waiting(&self) -> bool {
        self.0.as_ref().is_some_and(|state| state.waiting.load(Ordering::Relaxed) > 0)
    }

    /// How long `bytes` take at the [floor rate](Self::FLOOR_RATE).
    pub fn time_for(bytes: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / Self::FLOOR_RATE as f64)
    }

    /// For policies: what is expected from now on needs this room, until the guard is dropped.
    pub fn within(&self, room: Arc<dyn Room>) -> impl Drop + Send + use<> {
        if let Some(state) = &self.0 {
            *state.room() = Some(room);
        }
        Limited(self.clone())
    }

    /// Forgets the bytes of the attempt before.
    pub(crate) fn restart(&self) {
        if let Some(state) = &self.0 {
            state.expected.store(0, Ordering::Relaxed);
            state.moved.store(0, Ordering::Relaxed);
        }
    }
}

impl State {
    fn room(&self) -> MutexGuard<'_, Option<Arc<dyn Room>>> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Limited(Transfer);

impl Drop for Limited {
    fn drop(&mut self) {
        if let Some(state) = &self.0.0 {
            *state.room() = None;
        }
    }
}

struct Waiting<'a>(&'a State);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waited.fetch_add(1, Ordering::Relaxed);
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transfer({} bytes)", self.size())
    }
}

/// The most bytes that transforms add to an object of `bytes` bytes.
pub(crate) fn overhead(bytes: u64) -> u64 {
    bytes / 1024 + 1024
}
