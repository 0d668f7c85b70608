//! What a call moves, as far as it is known while it runs.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, ErrorKind, Result};

tokio::task_local! {
    static CURRENT: Transfer;
}

/// The bytes of the call that is under way: connectors report to it, policies act on it.
///
/// A connector that learns the size of what it is about to fetch [`expect`](Self::expect)s it: an object above the
/// caller's limit is refused before it is fetched, deadlines grow with its size, and it waits until there is room in
/// the [`Budget`] of bytes in flight. A connector that sees bytes move says so by [`moved`](Self::moved), and is not
/// cut off while they do. Outside of a call all of this does nothing.
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
    drawn: Mutex<Drawn>,
}

/// What a transfer has of a budget.
#[derive(Default)]
enum Drawn {
    /// No budget limits it.
    #[default]
    Free,
    /// It has to ask this budget.
    Asks(Arc<Budget>),
    /// It has asked, and holds what it was given; nothing yet, or if it is small.
    Holds { _share: Option<OwnedSemaphorePermit> },
}

impl Transfer {
    /// Bytes per second that every backend is taken to move, when a deadline is computed from a size: 8 MiB.
    pub const FLOOR_RATE: u64 = 8 << 20;

    /// A transfer for a caller that takes objects of at most `max` bytes.
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
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }

    /// For connectors: this many bytes are about to be fetched. Waits for room in the budget, once per attempt: a call
    /// that has some already is only counted, so that batches do not wait for each other.
    ///
    /// Errors with `TooLarge` if the caller takes no object of this size. Dropping the future leaves nothing.
    pub async fn expect(&self, bytes: u64) -> Result<()> {
        let Some(state) = &self.0 else { return Ok(()) };
        // What transforms add to an object is not the caller's.
        if state.max > 0 && bytes > state.max.saturating_add(overhead(state.max)) {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("the stored object has {bytes} bytes, and the limit is {}", state.max),
            )
            .hint("raise `max_object` where the store is opened"));
        }
        state.expected.fetch_add(bytes, Ordering::Relaxed);
        let Some(budget) = state.asks() else { return Ok(()) };
        let share = budget.admit(bytes).await;
        *state.drawn() = Drawn::Holds { _share: share };
        Ok(())
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

    /// For policies: the bytes that are known to be part of this call.
    pub fn size(&self) -> u64 {
        self.0.as_ref().map_or(0, |state| {
            state.expected.load(Ordering::Relaxed).max(state.moved.load(Ordering::Relaxed))
        })
    }

    /// For policies: the bytes that have moved so far.
    pub fn progress(&self) -> u64 {
        self.0.as_ref().map_or(0, |state| state.moved.load(Ordering::Relaxed))
    }

    /// How long `bytes` take at the [floor rate](Self::FLOOR_RATE).
    pub fn time_for(bytes: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / Self::FLOOR_RATE as f64)
    }

    /// For policies: what is expected from now on comes out of this budget, until the guard is dropped.
    pub fn draw_on(&self, budget: &Arc<Budget>) -> impl Drop + Send + use<> {
        if let Some(state) = &self.0 {
            *state.drawn() = Drawn::Asks(budget.clone());
        }
        Drawing(self.clone())
    }
}

struct Drawing(Transfer);

impl Drop for Drawing {
    fn drop(&mut self) {
        if let Some(state) = &self.0.0 {
            *state.drawn() = Drawn::Free;
        }
    }
}

impl State {
    fn drawn(&self) -> std::sync::MutexGuard<'_, Drawn> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The budget to ask. Whoever gets it asks on behalf of all the transfer.
    fn asks(&self) -> Option<Arc<Budget>> {
        let mut drawn = self.drawn();
        let Drawn::Asks(budget) = &*drawn else { return None };
        let budget = budget.clone();
        *drawn = Drawn::Holds { _share: None };
        Some(budget)
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transfer({} of {} bytes)", self.progress(), self.size())
    }
}

/// The most bytes that transforms add to an object of `bytes` bytes.
pub(crate) fn overhead(bytes: u64) -> u64 {
    bytes / 1024 + 1024
}

/// Bytes in flight, shared by many calls: first come, first served.
///
/// Objects of up to 64 KiB pass without asking; so do not fear that a large transfer holds up small ones. An object
/// that is larger than the whole budget is let in when it is alone.
pub struct Budget {
    /// Units of a KiB.
    room: Arc<Semaphore>,
    total: u32,
}

/// Up to this many bytes an object does not ask.
const SMALL: u64 = 64 << 10;

impl Budget {
    /// A budget of this many bytes, in whole KiB; at most 1 TiB.
    pub fn new(bytes: u64) -> Arc<Self> {
        let total = u32::try_from(bytes >> 10).unwrap_or(1 << 30).clamp(1, 1 << 30);
        Arc::new(Self { room: Arc::new(Semaphore::new(total as usize)), total })
    }

    /// Waits for room for an object of this size; the room is given back when the guard is dropped. `None`: it is so
    /// small that it needs none. Dropping the future gives up the place in the queue.
    pub async fn admit(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        if bytes <= SMALL {
            return None;
        }
        let units = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX).min(self.total);
        // The semaphore is never closed.
        self.room.clone().acquire_many_owned(units).await.ok()
    }

    /// The bytes in flight.
    pub fn in_flight(&self) -> u64 {
        u64::from(self.total).saturating_sub(self.room.available_permits() as u64) << 10
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({} of {} bytes)", self.in_flight(), u64::from(self.total) << 10)
    }
}
