//! Waiting until something changes that a lock protects.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::gate::{Gate, Want};
use super::guard::Guard;
use super::{SyncError, within};
use crate::context::Context;
use crate::object;

/// Where those who hold a lock wait for others who hold it to change something.
///
/// ```
/// use proxystore_manager::{Manager, sync::{Condition, ConditionProxy}};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = Manager::builder().in_process()?;
/// let changed = ConditionProxy::create(&manager).await?;
///
/// let guard = changed.acquire().await?;
/// let waiter = changed.wait(guard, None); // while it waits, the lock is free
/// let notifier = async {
///     let guard = changed.acquire().await?;
///     changed.notify(&guard, 1).await?;
///     guard.release().await
/// };
/// let (woken, notified) = tokio::join!(waiter, notifier);
/// notified?;
/// let guard = woken?.guard; // it has the lock again
/// # drop(guard);
/// # Ok(()) }
/// ```
///
/// Several conditions of one lock come from [`LockProxy::condition`](super::LockProxy::condition). Other than Python's,
/// a wait takes the guard and brings another one: the lock was somebody else's meanwhile, so the fencing number is new.
#[derive(Debug)]
pub struct Condition {
    gate: Arc<Gate>,
    line: Arc<Line>,
}

/// What a wait brings.
#[derive(Debug, Serialize, Deserialize)]
pub struct Woken {
    /// The lock is held again.
    pub guard: Guard,
    /// Whether what was waited for came before the time ran out.
    pub in_time: bool,
}

impl Condition {
    pub(super) fn of(gate: Arc<Gate>) -> Self {
        Self { gate, line: Arc::default() }
    }

    fn notify_some(&self, guard: &Guard, count: usize) -> Result<(), SyncError> {
        super::held(self.gate.is_given(guard.fence()))?;
        let mut line = self.line.state();
        let last = line.last;
        line.notify(count, last);
        Ok(())
    }
}

#[object(crate = "crate", typeid = "proxystore.Condition")]
impl Condition {
    /// With a lock of its own.
    #[ctor]
    pub fn new() -> Self {
        Self::of(Gate::new(1))
    }

    /// Waits for the lock. Dropping the future leaves the queue.
    #[idempotent]
    pub async fn acquire(&self, context: &Context) -> Result<Guard, SyncError> {
        super::acquire(&self.gate, Want::ONE, context).await
    }

    /// Waits for the lock, for so long at most: `None` if that was not enough.
    pub async fn acquire_within(
        &self,
        timeout: Duration,
        context: &Context,
    ) -> Result<Option<Guard>, SyncError> {
        super::acquire_within(&self.gate, Want::ONE, timeout, context).await
    }

    /// Gives the lock back, waits until somebody notifies or the time runs out, and then for the lock, however long
    /// that takes. `NotHeld` if the guard does not hold the lock.
    ///
    /// Nobody wakes without a reason, but others may have held the lock before: look again whether it is so. Dropping
    /// the future leaves the lock to others, and a notification to the next who waits.
    pub async fn wait(
        &self,
        guard: Guard,
        timeout: Option<Duration>,
        context: &Context,
    ) -> Result<Woken, SyncError> {
        let mut place = Line::enter(&self.line);
        super::held(self.gate.release(guard.fence()))?;
        drop(guard);
        let in_time = place.wait(timeout).await;
        let guard = super::acquire(&self.gate, Want::ONE, context).await?;
        if let Some(last) = place.notified.take() {
            let line = self.line.clone();
            context.on_discard(move || line.state().notify(1, last));
        }
        Ok(Woken { guard, in_time })
    }

    /// Wakes so many of those who wait, first come, first served. They go on when they get the lock. `NotHeld` if the
    /// guard does not hold the lock.
    pub fn notify(&self, guard: &Guard, count: u32) -> Result<(), SyncError> {
        self.notify_some(guard, count as usize)
    }

    /// Wakes all who wait. `NotHeld` if the guard does not hold the lock.
    pub fn notify_all(&self, guard: &Guard) -> Result<(), SyncError> {
        self.notify_some(guard, usize::MAX)
    }
}

impl Default for Condition {
    fn default() -> Self {
        Self::new()
    }
}

impl ConditionProxy {
    /// Waits until `predicate` is true, which is asked here, first at once and then whenever somebody notifies, while
    /// the lock is held. If the time runs out before, the result is not `in_time`.
    ///
    /// Dropping the future gives the lock back, and so does an error of the predicate.
    pub async fn wait_for<P, F>(
        &self,
        mut guard: Guard,
        timeout: Option<Duration>,
        mut predicate: P,
    ) -> super::Result<Woken>
    where
        P: FnMut() -> F,
        F: Future<Output = super::Result<bool>>,
    {
        let start = Instant::now();
        loop {
            if predicate().await? {
                return Ok(Woken { guard, in_time: true });
            }
            let left = timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Woken { guard, in_time: false });
            }
            guard = self.wait(guard, left).await?.guard;
        }
    }
}

/// Those who wait to be notified.
#[derive(Default)]
struct Line(Mutex<State>);

#[derive(Default)]
struct State {
    /// The last one who came.
    last: u64,
    waiting: BTreeMap<u64, oneshot::Sender<u64>>,
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(line: &Arc<Self>) -> Place {
        let (turn, notice) = oneshot::channel();
        let mut state = line.state();
        state.last += 1;
        let number = state.last;
        state.waiting.insert(number, turn);
        drop(state);
        Place { line: line.clone(), number, notice, notified: None }
    }

    /// Whether it still waited.
    fn leave(&self, number: u64) -> bool {
        self.state().waiting.remove(&number).is_some()
    }
}

impl State {
    /// Wakes so many of those who came not after `last`.
    fn notify(&mut self, count: usize, last: u64) {
        for _ in 0..count {
            let Some(first) = self.waiting.first_entry().filter(|first| *first.key() <= last) else { return };
            // If nobody listens any more, its place is about to be dropped, and passes it on.
            let _ = first.remove().send(last);
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("waiting", &self.state().waiting.len()).finish()
    }
}

/// One who waits. Dropping it leaves the line, and passes a notification on that was not taken.
struct Place {
    line: Arc<Line>,
    number: u64,
    notice: oneshot::Receiver<u64>,
    /// The last one who waited when this was notified.
    notified: Option<u64>,
}

impl Place {
    /// `false` if the time ran out.
    async fn wait(&mut self, timeout: Option<Duration>) -> bool {
        self.notified = match within(timeout, &mut self.notice).await {
            Some(notice) => notice.ok(),
            None if self.line.leave(self.number) => None,
            None => self.notice.try_recv().ok(),
        };
        self.notified.is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.line.leave(self.number) {
            return;
        }
        if let Some(last) = self.notified.take().or_else(|| self.notice.try_recv().ok()) {
            self.line.state().notify(1, last);
        }
    }
}
