//! Permits that are given out in the order in which they are asked for: what all locks are made of.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use super::rlock::Holder;
use super::within;

/// A number of permits, and a queue of those who wait for some.
pub(super) struct Gate(Mutex<State>);

struct State {
    free: u64,
    /// The last one who came.
    last: u64,
    /// In the order in which they came, by their numbers.
    waiting: BTreeMap<u64, Waiting>,
    /// What was given out, by the same numbers.
    given: BTreeMap<u64, Given>,
}

struct Waiting {
    want: Want,
    /// Receives the fencing number.
    turn: oneshot::Sender<u64>,
}

struct Given {
    want: Want,
    fence: u64,
    /// Nobody's: it stays when the pass is dropped.
    detached: bool,
}

/// What somebody asks for.
#[derive(Clone, Copy)]
pub(super) struct Want {
    pub(super) permits: u64,
    /// Who has permits already needs no others.
    pub(super) holder: Option<Holder>,
}

impl Want {
    pub(super) const ONE: Self = Self { permits: 1, holder: None };
}

impl Gate {
    pub(super) fn new(permits: u64) -> Arc<Self> {
        let state = State { free: permits, last: 0, waiting: BTreeMap::new(), given: BTreeMap::new() };
        Arc::new(Self(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its turn, which is claimed when this is polled first. `None` if the time runs out. Dropping the
    /// future leaves the queue.
    pub(super) async fn pass(self: &Arc<Self>, want: Want, timeout: Option<Duration>) -> Option<Pass> {
        let (turn, mut granted) = oneshot::channel();
        let number = self.state().enter(Waiting { want, turn });
        let mut pass = Pass { gate: self.clone(), number, fence: 0 };
        pass.fence = within(timeout, &mut granted).await?.ok()?;
        Some(pass)
    }

    /// Whether what has this fencing number is held.
    pub(super) fn is_given(&self, fence: u64) -> bool {
        self.state().find(fence).is_some()
    }

    /// Gives back what has this fencing number. `false` if it is not held.
    pub(super) fn release(&self, fence: u64) -> bool {
        let mut state = self.state();
        let number = state.find(fence);
        number.map(|number| state.give_back(number)).is_some()
    }

    /// Gives back so many times what was detached, by this holder if there is one. What is missing is added, if there
    /// may be more than there were; otherwise nothing happens. Whether it was done.
    pub(super) fn release_detached(&self, holder: Option<Holder>, count: usize, may_grow: bool) -> bool {
        let mut state = self.state();
        let detached = |given: &Given| given.detached && given.want.holder == holder;
        let numbers = state.given.iter().filter(|(_, given)| detached(given)).map(|(number, _)| *number);
        let numbers: Vec<_> = numbers.take(count).collect();
        let missing = (count - numbers.len()) as u64;
        if missing > 0 && !may_grow {
            return false;
        }
        state.free += missing;
        numbers.into_iter().for_each(|number| state.give_back(number));
        state.advance();
        true
    }
}

impl State {
    fn enter(&mut self, waiting: Waiting) -> u64 {
        self.last += 1;
        let number = self.last;
        if self.has(waiting.want.holder) {
            self.give(number, 0, waiting);
        } else {
            self.waiting.insert(number, waiting);
            self.advance();
        }
        number
    }

    fn has(&self, holder: Option<Holder>) -> bool {
        holder.is_some() && self.given.values().any(|given| given.want.holder == holder)
    }

    /// Lets pass who can, first come, first served.
    fn advance(&mut self) {
        while let Some(first) = self.waiting.first_entry()
            && first.get().want.permits <= self.free
        {
            let (number, waiting) = first.remove_entry();
            let want = waiting.want;
            self.free -= want.permits;
            self.give(number, want.permits, waiting);
            if want.holder.is_some() {
                let same = self.waiting.extract_if(.., |_, waiting| waiting.want.holder == want.holder);
                for (number, waiting) in same.collect::<Vec<_>>() {
                    self.give(number, 0, waiting);
                }
            }
        }
    }

    fn give(&mut self, number: u64, permits: u64, Waiting { want, turn }: Waiting) {
        let (want, fence) = (Want { permits, ..want }, fence());
        self.given.insert(number, Given { want, fence, detached: false });
        // If nobody listens any more, the pass is about to be dropped, and gives it back.
        let _ = turn.send(fence);
    }

    fn find(&self, fence: u64) -> Option<u64> {
        self.given.iter().find(|(_, given)| given.fence == fence).map(|(number, _)| *number)
    }

    /// Does nothing if that is not held.
    fn give_back(&mut self, number: u64) {
        let Some(Given { want, .. }) = self.given.remove(&number) else { return };
        let same = |given: &&mut Given| want.holder.is_some() && given.want.holder == want.holder;
        match self.given.values_mut().find(same) {
            Some(other) => other.want.permits += want.permits,
            None => self.free += want.permits,
        }
        self.advance();
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Gate")
            .field("free", &state.free)
            .field("held", &state.given.len())
            .field("waiting", &state.waiting.len())
            .finish()
    }
}

/// A place in the queue, and then what was waited for. Dropping it gives back either.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Arc<Gate>,
    number: u64,
    fence: u64,
}

impl Pass {
    pub(super) fn fence(&self) -> u64 {
        self.fence
    }

    /// Gives it back. `false` if it is not held any more.
    pub(super) fn release(self) -> bool {
        self.gate.release(self.fence)
    }

    /// Lets it be nobody's: who wants to give it back says so. Returns the fencing number.
    pub(super) fn detach(self) -> u64 {
        if let Some(given) = self.gate.state().given.get_mut(&self.number) {
            given.detached = true;
        }
        self.fence
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        if state.waiting.remove(&self.number).is_some() {
            // It may have been in the way of others.
            return state.advance();
        }
        if state.given.get(&self.number).is_some_and(|given| !given.detached) {
            state.give_back(self.number);
        }
    }
}

/// A number above all before it in this process; and, as long as the clock is not set back, above those of processes
/// that ran before.
fn fence() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let next = |last: u64| (last + 1).max(now.as_micros() as u64);
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
    next(last.unwrap_or_else(|last| last))
}
