//! A place where a number of parties wait for each other.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{SyncError, within};
use crate::context::Context;
use crate::object;
use crate::object::Remote;

/// A number of parties wait here for each other, and then go on together; as often as they like.
///
/// It breaks when one of them is not to come any more: its time ran out, its wait was dropped, its process died while
/// it waited, or at any time if it [joined](BarrierProxy::join). Then all who wait, and all who come, get `Broken`,
/// until somebody calls `reset`.
///
/// ```
/// use proxystore_manager::{Manager, sync::{Barrier, BarrierProxy}};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = Manager::builder().in_process()?;
/// let barrier = BarrierProxy::create(&manager, 2).await?;
///
/// let (one, two) = tokio::join!(barrier.wait(None), barrier.wait(None));
/// // One of them does what is to be done once.
/// assert_eq!([one?, two?].iter().filter(|index| **index == 0).count(), 1);
/// # Ok(()) }
/// ```
///
/// Code does not travel: what Python has as the action of a barrier is what whoever gets index 0 does, or, where it is to
/// be done before anybody goes on, [`with_action`](Self::with_action).
#[derive(Debug)]
pub struct Barrier {
    rail: Arc<Rail>,
    timeout: Option<Duration>,
}

#[object(crate = "crate", typeid = "proxystore.Barrier")]
impl Barrier {
    /// For so many parties. With none or one, nobody waits.
    #[ctor]
    pub fn new(parties: u32) -> Self {
        Self::of(parties, None)
    }

    /// For so many parties; a wait without a time of its own has this one.
    #[ctor]
    pub fn with_timeout(parties: u32, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..Self::new(parties) }
    }

    /// Waits until all parties do, and returns in which place this one came; exactly one is 0. `Broken` if the
    /// barrier is or breaks, and if the time runs out, which breaks it. So does dropping the future.
    pub async fn wait(&self, timeout: Option<Duration>, context: &Context) -> Result<u32, SyncError> {
        self.rail.wait(timeout.or(self.timeout), context).await
    }

    /// Takes part: the barrier also breaks when the result is dropped, or its session ends, while it does not wait.
    pub fn join(&self, context: &Context) -> Result<Remote<Party>, SyncError> {
        let party = Party { rail: self.rail.clone(), timeout: self.timeout, has_left: false };
        Ok(context.host(party)?)
    }

    /// Breaks it, until it is reset.
    #[idempotent]
    pub fn abort(&self) {
        self.rail.state().abort();
    }

    /// Mends it. Who waits gets `Broken`.
    pub fn reset(&self) {
        let mut state = self.rail.state();
        state.open(false);
        state.is_broken = false;
        state.resets += 1;
    }

    /// How many must come.
    #[idempotent]
    pub fn parties(&self) -> u32 {
        self.rail.parties
    }

    /// How many wait.
    #[idempotent]
    pub fn waiting(&self) -> u32 {
        self.rail.state().waiting.len() as u32
    }

    /// Whether it is broken.
    #[idempotent]
    pub fn is_broken(&self) -> bool {
        self.rail.state().is_broken
    }
}

impl Barrier {
    fn of(parties: u32, action: Option<Action>) -> Self {
        let state = State { is_broken: false, resets: 0, waiting: Vec::new() };
        Self { rail: Arc::new(Rail { parties, action, state: Mutex::new(state) }), timeout: None }
    }

    /// For so many parties, to be hosted where the manager runs: `action` runs there each time that all have come, and
    /// before any of them goes on. It must neither block nor use this barrier. If it panics, the barrier breaks.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// use proxystore_manager::{Manager, sync::Barrier};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let manager = Manager::builder().in_process()?;
    /// let rounds = Arc::new(AtomicU32::new(0));
    /// let count = rounds.clone();
    /// let barrier = Barrier::with_action(2, move || _ = count.fetch_add(1, Ordering::Relaxed));
    /// let barrier = manager.host(barrier)?;
    /// let (one, two) = tokio::join!(barrier.wait(None), barrier.wait(None));
    /// one.and(two)?;
    /// assert_eq!(rounds.load(Ordering::Relaxed), 1);
    /// # Ok(()) }
    /// ```
    pub fn with_action(parties: u32, action: impl Fn() + Send + Sync + 'static) -> Self {
        Self::of(parties, Some(Box::new(action)))
    }
}

/// Somebody who takes part in a [`Barrier`]. When it is dropped, or its holder dies, the barrier breaks.
#[derive(Debug)]
pub struct Party {
    rail: Arc<Rail>,
    timeout: Option<Duration>,
    has_left: bool,
}

#[object(crate = "crate", typeid = "proxystore.Party")]
impl Party {
    /// As the barrier's own `wait`.
    pub async fn wait(&self, timeout: Option<Duration>, context: &Context) -> Result<u32, SyncError> {
        self.rail.wait(timeout.or(self.timeout), context).await
    }

    /// Its end does not break the barrier any more. The number of parties stays.
    #[idempotent]
    pub fn leave(&mut self) {
        self.has_left = true;
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        if !self.has_left {
            self.rail.state().abort();
        }
    }
}

/// What is done when all have come.
type Action = Box<dyn Fn() + Send + Sync>;

/// What keeps parties from going on.
struct Rail {
    parties: u32,
    action: Option<Action>,
    state: Mutex<State>,
}

struct State {
    is_broken: bool,
    /// How often it was reset: who came before does not break it any more.
    resets: u64,
    /// Told whether all have come.
    waiting: Vec<oneshot::Sender<bool>>,
}

impl State {
    fn open(&mut self, all_came: bool) {
        for turn in self.waiting.drain(..) {
            // Who does not listen any more breaks the barrier when it ends.
            let _ = turn.send(all_came);
        }
    }

    fn abort(&mut self) {
        self.is_broken = true;
        self.open(false);
    }

    fn abort_unless_reset(&mut self, resets: u64) {
        if self.resets == resets {
            self.abort();
        }
    }
}

impl Rail {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait(self: &Arc<Self>, timeout: Option<Duration>, context: &Context) -> Result<u32, SyncError> {
        let mut arrival = self.arrive()?;
        let told = within(timeout, &mut arrival.turn).await.and_then(Result::ok);
        if !arrival.have_all_come(told) {
            return Err(SyncError::Broken);
        }
        let (rail, resets) = (self.clone(), arrival.resets);
        context.on_discard(move || rail.state().abort_unless_reset(resets));
        Ok(arrival.index)
    }

    fn arrive(self: &Arc<Self>) -> Result<Arrival, SyncError> {
        let mut state = self.state();
        if state.is_broken {
            return Err(SyncError::Broken);
        }
        let (sender, turn) = oneshot::channel();
        let index = state.waiting.len() as u32;
        state.waiting.push(sender);
        if state.waiting.len() >= self.parties as usize {
            let act = |action: &Action| catch_unwind(AssertUnwindSafe(action)).is_ok();
            if self.action.as_ref().is_none_or(act) { state.open(true) } else { state.abort() }
        }
        Ok(Arrival { rail: self.clone(), index, resets: state.resets, turn, is_over: false })
    }
}

impl fmt::Debug for Rail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Rail")
            .field("parties", &self.parties)
            .field("waiting", &state.waiting.len())
            .field("is_broken", &state.is_broken)
            .finish()
    }
}

/// One who waits. If it is dropped before that is over, the others would wait in vain, now or the next time.
struct Arrival {
    rail: Arc<Rail>,
    index: u32,
    /// How often the barrier had been reset.
    resets: u64,
    turn: oneshot::Receiver<bool>,
    is_over: bool,
}

impl Arrival {
    /// The wait is over. If nobody has told this one why, its time has run out.
    fn have_all_come(&mut self, told: Option<bool>) -> bool {
        self.is_over = true;
        let mut state = self.rail.state();
        // It may have been told just now.
        let all_came = told.or_else(|| self.turn.try_recv().ok());
        if all_came.is_none() {
            state.abort();
        }
        all_came.unwrap_or(false)
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        // Also if all have come: they go on without it.
        if !self.is_over {
            self.rail.state().abort_unless_reset(self.resets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(barrier: &Barrier) -> (u32, bool) {
        (barrier.waiting(), barrier.is_broken())
    }

    #[test]
    fn who_was_sent_away_and_has_not_heard_of_it_does_not_break_it_again() {
        let barrier = Barrier::new(3);
        let arrival = barrier.rail.arrive().unwrap();
        barrier.reset();
        drop(arrival);
        assert_eq!(state(&barrier), (0, false));
        // Who may go on and is gone does.
        let arrivals = [(); 3].map(|()| barrier.rail.arrive().unwrap());
        assert_eq!(state(&barrier), (0, false));
        drop(arrivals);
        assert_eq!(state(&barrier), (0, true));
    }

    #[test]
    fn a_time_that_runs_out_when_all_have_come_is_not_too_late() {
        let barrier = Barrier::new(2);
        let mut first = barrier.rail.arrive().unwrap();
        let mut second = barrier.rail.arrive().unwrap();
        assert!(first.have_all_come(None) && second.have_all_come(None));
        let mut third = barrier.rail.arrive().unwrap();
        assert!(!third.have_all_come(None));
        assert_eq!(state(&barrier), (0, true));
    }
}
