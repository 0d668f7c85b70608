//! Evicts what has lost its owner, in the background thread.
//!
//! A destructor hands over keys and goes on; whoever wants to know what becomes of them waits. Keys of a store are
//! evicted in batches, and again when that failed in passing, for ten minutes; after that only their ttl removes them.

use std::collections::VecDeque;
use std::ops::AddAssign;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use proxystore_core::{Backoff, Delays, Error, ErrorKind, Key, Result};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use crate::{Store, background};

/// How many objects are evicted by one call of the connector.
const BATCH: usize = 256;
/// How many objects are looked for at once.
const LOOKS_IN_FLIGHT: usize = 64;
/// How long one call may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long an eviction is tried again.
const TRIED_FOR: Duration = Duration::from_secs(600);

/// What became of objects that were to be evicted.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Evictions {
    /// They were there, and are not any more.
    pub evicted: u64,
    /// They were gone before: evicted by somebody else, or expired.
    pub gone: u64,
    /// They could not be evicted, and it is not tried any more. Only their ttl removes them.
    pub failed: u64,
    /// It did not work yet, or not in time, and is tried again in the background.
    pub pending: u64,
    /// Why one of those is pending or failed: the latest.
    pub error: Option<Error>,
}

impl Evictions {
    /// Whether none is left that should be gone.
    pub fn is_complete(&self) -> bool {
        self.failed == 0 && self.pending == 0
    }

    fn add(&mut self, outcome: Outcome) {
        let (count, error) = match outcome {
            Outcome::Evicted => (&mut self.evicted, None),
            Outcome::Gone => (&mut self.gone, None),
            Outcome::Failed(error) => (&mut self.failed, Some(error)),
            Outcome::Pending(error) => (&mut self.pending, Some(error)),
        };
        *count += 1;
        self.error = error.or(self.error.take());
    }

    /// What has come to an end since `before`, and what is pending now.
    pub(crate) fn since(self, before: &Self) -> Self {
        Self {
            evicted: self.evicted - before.evicted,
            gone: self.gone - before.gone,
            failed: self.failed - before.failed,
            error: self.error.filter(|_| self.pending > 0 || self.failed > before.failed),
            ..self
        }
    }
}

impl AddAssign for Evictions {
    fn add_assign(&mut self, other: Self) {
        self.evicted += other.evicted;
        self.gone += other.gone;
        self.failed += other.failed;
        self.pending += other.pending;
        self.error = self.error.take().or(other.error);
    }
}

/// What became of one.
#[derive(Clone)]
enum Outcome {
    Evicted,
    Gone,
    Failed(Error),
    Pending(Error),
}

/// An object that is to go.
struct Doomed {
    key: Key,
    since: Instant,
    delays: Option<Delays>,
    /// Hears what the first attempt came to.
    asker: Option<mpsc::UnboundedSender<Outcome>>,
}

/// What all stores of the process have come to.
static TOTAL: LazyLock<watch::Sender<Evictions>> = LazyLock::new(watch::Sender::default);

/// What has come of all evictions of the process so far.
pub(crate) fn total() -> Evictions {
    TOTAL.borrow().clone()
}

/// Waits until no eviction of the process is pending.
pub(crate) async fn drained() {
    // The sender is never dropped.
    let _ = TOTAL.subscribe().wait_for(|total| total.pending == 0).await;
}

/// The evictions of one store.
#[derive(Default)]
pub(crate) struct Reaper {
    queue: Mutex<Queue>,
    total: watch::Sender<Evictions>,
}

#[derive(Default)]
struct Queue {
    doomed: VecDeque<Doomed>,
    /// A task works on the queue.
    working: bool,
}

impl Reaper {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, change: impl Fn(&mut Evictions)) {
        self.total.send_modify(&change);
        TOTAL.send_modify(&change);
    }
}

impl Doomed {
    fn tell(&self, outcome: Outcome) {
        if let Some(asker) = &self.asker {
            // Who does not listen any more does not want to know.
            let _ = asker.send(outcome);
        }
    }
}

impl Store {
    /// Evicts these objects soon. From anywhere, a destructor included: does no I/O and waits for nothing.
    pub(crate) fn reap(&self, keys: impl IntoIterator<Item = Key>) {
        self.doom(keys, None);
    }

    /// Evicts these objects now, and says what the first attempt came to. Dropping the future stops nothing.
    pub(crate) fn reap_now(&self, keys: Vec<Key>) -> impl Future<Output = Evictions> + Send + use<> {
        let (sender, mut outcomes) = mpsc::unbounded_channel();
        // Before the future is polled: who drops it has asked all the same.
        self.doom(keys, Some(&sender));
        drop(sender);
        async move {
            let mut evictions = Evictions::default();
            while let Some(outcome) = outcomes.recv().await {
                evictions.add(outcome);
            }
            evictions
        }
    }

    /// Waits until no eviction of this store is pending, and says what has come of them since `before`.
    pub(crate) async fn reaped(&self, patience: Duration) -> Evictions {
        let mut total = self.reaper().total.subscribe();
        let before = total.borrow().clone();
        if before.pending > 0 {
            let settled = async move { drop(total.wait_for(|total| total.pending == 0).await) };
            // Late ones count as pending.
            background::wait(patience, settled).await;
        }
        let now = self.reaper().total.borrow().clone();
        now.since(&before)
    }

    fn doom(&self, keys: impl IntoIterator<Item = Key>, asker: Option<&mpsc::UnboundedSender<Outcome>>) {
        let reaper = self.reaper();
        let since = Instant::now();
        let doomed = |key| {
            self.cache().forget(&key);
            Doomed { key, since, delays: None, asker: asker.cloned() }
        };
        let doomed: Vec<_> = keys.into_iter().map(doomed).collect();
        if doomed.is_empty() {
            return;
        }
        reaper.count(|total| total.pending += doomed.len() as u64);
        self.recorder().doomed(doomed.len());
        self.queue_doomed(doomed);
    }

    /// Counts what one has come to, and tells whoever asked for it.
    fn settle(&self, doomed: &Doomed, outcome: Outcome) {
        self.reaper().count(|total| {
            total.pending -= 1;
            total.add(outcome.clone());
        });
        self.recorder().reaped(matches!(outcome, Outcome::Failed(_)));
        doomed.tell(outcome);
    }

    fn queue_doomed(&self, doomed: Vec<Doomed>) {
        let mut queue = self.reaper().queue();
        queue.doomed.extend(doomed);
        if std::mem::replace(&mut queue.working, true) {
            return;
        }
        drop(queue);
        let store = self.clone();
        if let Err(error) = background::spawn(async move { store.work().await }) {
            let mut queue = self.reaper().queue();
            queue.working = false;
            let lost = std::mem::take(&mut queue.doomed);
            drop(queue);
            for doomed in lost {
                self.settle(&doomed, Outcome::Failed(error.clone()));
            }
        }
    }

    /// Works on the queue until it is empty.
    async fn work(self) {
        loop {
            let mut batch = {
                let mut queue = self.reaper().queue();
                if queue.doomed.is_empty() {
                    queue.working = false;
                    return;
                }
                let size = queue.doomed.len().min(BATCH);
                queue.doomed.drain(..size).collect::<Vec<_>>()
            };
            let keys: Vec<_> = batch.iter().map(|doomed| doomed.key.clone()).collect();
            let results = self.evict_aside(&keys).await.unwrap_or_else(|error| {
                // No answer at all: nobody waits for as long again for each of the next batches. They are first then.
                let mut rest = Vec::from(std::mem::take(&mut self.reaper().queue().doomed));
                rest.append(&mut batch);
                batch = rest;
                vec![Err(error); batch.len()]
            });
            let mut again = Vec::new();
            for (mut doomed, result) in batch.into_iter().zip(results) {
                match result.map_err(|error| self.place(error, "evict", Some(&doomed.key))) {
                    Ok(true) => self.settle(&doomed, Outcome::Evicted),
                    Ok(false) => self.settle(&doomed, Outcome::Gone),
                    Err(error) if is_final(&error) || doomed.since.elapsed() > TRIED_FOR => {
                        self.settle(&doomed, Outcome::Failed(error));
                    }
                    Err(error) => {
                        self.reaper().count(|total| total.error = Some(error.clone()));
                        doomed.tell(Outcome::Pending(error));
                        doomed.asker = None;
                        again.push(doomed);
                    }
                }
            }
            self.try_again(again);
        }
    }

    /// Puts these into the queue again after a while.
    fn try_again(&self, mut doomed: Vec<Doomed>) {
        let delays = || Backoff {
            first: Duration::from_millis(100),
            max: Duration::from_secs(10),
            ..Backoff::default()
        };
        let longest = doomed
            .iter_mut()
            .filter_map(|doomed| doomed.delays.get_or_insert_with(|| delays().delays()).next())
            .max();
        let Some(delay) = longest else { return };
        let store = self.clone();
        // This runs in the background thread, so there is one.
        tokio::spawn(async move {
            sleep(delay).await;
            store.queue_doomed(doomed);
        });
    }

    /// Evicts objects by the connector of the background thread, and says of each whether it was there. An error if it
    /// gives no answer.
    async fn evict_aside(&self, keys: &[Key]) -> Result<Vec<Result<bool>>> {
        let evict = async {
            let connector = self.aside().await?;
            let looks: Vec<_> = keys.iter().map(|key| connector.exists(key)).collect();
            let there: Vec<_> = stream::iter(looks).buffered(LOOKS_IN_FLIGHT).collect().await;
            let evicted = connector.evict_many(keys).await.into_iter().zip(there);
            // Who cannot be looked for may have been there.
            Ok(evicted.map(|(evicted, there)| evicted.map(|()| there.unwrap_or(true))).collect())
        };
        let mut results: Vec<_> = background::call(ATTEMPT, evict).await?;
        let missing = || Err(Error::new(ErrorKind::Unexpected, "the connector gave no answer for this item"));
        results.resize_with(keys.len(), missing);
        Ok(results)
    }
}

/// Whether trying again is of no use.
fn is_final(error: &Error) -> bool {
    use ErrorKind::{Closed, Config, Denied, StoreMismatch, Unregistered, Unsupported};
    matches!(error.kind(), Closed | Config | Denied | StoreMismatch | Unregistered | Unsupported)
}
