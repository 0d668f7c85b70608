//! Renews what lives only as long as its holder: every quarter of its time, so that two lost renewals cost nothing.
//!
//! Renewals happen in the background thread, whatever the program's own runtimes do meanwhile, and by the monotonic
//! clock. When a holder dies, they end with it, and what it held expires in the backend.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use proxystore_core::{ErrorKind, Key, Payload, PutOptions, Result};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::{Store, background};

/// How many renewals of a store are under way at once.
const IN_FLIGHT: usize = 64;
/// The shortest time between two renewals.
const SHORTEST: Duration = Duration::from_millis(5);
/// How long an object stays beyond the end of its term, unless it is evicted: so that renewals go on until then, and an
/// end that is moved at the last moment finds it there.
const BEYOND: Duration = Duration::from_millis(500);

/// How long an object is to live after each renewal.
#[derive(Debug)]
pub(crate) struct Term {
    ttl: Duration,
    /// When it ends in any case.
    end: Mutex<Option<Instant>>,
}

impl Term {
    /// `ttl` after each renewal, and hardly beyond `end`.
    pub(crate) fn new(ttl: Duration, end: Option<Instant>) -> Arc<Self> {
        Arc::new(Self { ttl, end: Mutex::new(end) })
    }

    pub(crate) fn end(&self) -> MutexGuard<'_, Option<Instant>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long from now.
    pub(crate) fn ttl(&self) -> Duration {
        let until = |end: Instant| end.saturating_duration_since(Instant::now()).saturating_add(BEYOND);
        self.end().map_or(self.ttl, |end| self.ttl.min(until(end)))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.end().is_some_and(|end| end <= Instant::now())
    }
}

/// What is renewed.
pub(crate) enum Renewal {
    /// The time of an object.
    Touch,
    /// A record, which is written anew each time, and stays for longer than until the next.
    Write { ttl: Duration, record: Box<dyn Fn() -> Result<Payload> + Send + Sync> },
}

/// Renews something for as long as this is held.
pub(crate) struct Beat(Arc<Inner>);

struct Inner {
    store: Store,
    key: Key,
    term: Arc<Term>,
    renewal: Renewal,
    /// Its place in the schedule, while there is more to renew.
    place: Mutex<Option<Place>>,
    stopped: AtomicBool,
    /// The backend says that it is not there any more.
    lost: AtomicBool,
    /// Held while it is being renewed.
    busy: tokio::sync::Mutex<()>,
}

/// When, and a number that makes it unique.
type Place = (Instant, u64);

/// What is to be renewed next.
#[derive(Default)]
struct Schedule {
    beats: Mutex<Beats>,
    number: AtomicU64,
    sooner: Notify,
}

#[derive(Default)]
struct Beats {
    waiting: BTreeMap<Place, Weak<Inner>>,
    /// These are being renewed, or are about to be.
    due: BTreeMap<Place, Weak<Inner>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The schedule of the process, which a task in the background keeps.
fn schedule() -> Result<&'static Schedule> {
    static SCHEDULE: LazyLock<Schedule> = LazyLock::new(Schedule::default);
    static STARTED: OnceLock<Result<()>> = OnceLock::new();
    STARTED.get_or_init(|| background::spawn(SCHEDULE.keep())).clone().map(|()| &*SCHEDULE)
}

impl Beat {
    /// Renews from now on; the first time when a quarter of its time is over.
    pub(crate) fn start(store: &Store, key: &Key, term: &Arc<Term>, renewal: Renewal) -> Result<Self> {
        Self::after(term.ttl() / 4, store, key, term, renewal)
    }

    /// The same, the first time after `time`.
    pub(crate) fn after(
        time: Duration,
        store: &Store,
        key: &Key,
        term: &Arc<Term>,
        renewal: Renewal,
    ) -> Result<Self> {
        let beat = Arc::new(Inner {
            store: store.clone(),
            key: key.clone(),
            term: term.clone(),
            renewal,
            place: Mutex::new(None),
            stopped: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            busy: tokio::sync::Mutex::new(()),
        });
        schedule()?.add(&beat, Instant::now() + time);
        Ok(Self(beat))
    }

    /// Whether the backend has said that there is nothing to renew any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Renews no more. When this returns, no renewal is under way.
    pub(crate) async fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
        drop(self.0.busy.lock().await);
    }
}

/// Evicts everything that is renewed in this process, because it is about to end.
#[cfg(feature = "signal")]
pub(crate) fn release_all() {
    let Ok(schedule) = schedule() else { return };
    let beats = std::mem::take(&mut *lock(&schedule.beats));
    let beats = beats.waiting.into_values().chain(beats.due.into_values());
    for beat in beats.filter_map(|beat| beat.upgrade()) {
        beat.stopped.store(true, Ordering::Relaxed);
        if matches!(beat.renewal, Renewal::Touch) {
            beat.store.reap([beat.key.clone()]);
        }
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Relaxed);
        if let Ok(schedule) = schedule() {
            schedule.remove(&self.0);
        }
    }
}

impl Schedule {
    fn add(&self, beat: &Arc<Inner>, at: Instant) {
        let place = (at, self.number.fetch_add(1, Ordering::Relaxed));
        let mut beats = lock(&self.beats);
        if let Some(before) = lock(&beat.place).replace(place) {
            beats.due.remove(&before);
        }
        let first = beats.waiting.first_key_value().is_none_or(|(first, _)| at < first.0);
        beats.waiting.insert(place, Arc::downgrade(beat));
        drop(beats);
        if first {
            self.sooner.notify_one();
        }
    }

    fn remove(&self, beat: &Inner) {
        let mut beats = lock(&self.beats);
        if let Some(place) = lock(&beat.place).take() {
            beats.waiting.remove(&place);
            beats.due.remove(&place);
        }
    }

    /// What is due by now, and when the next is.
    fn due(&self) -> (Vec<Arc<Inner>>, Option<Instant>) {
        let mut beats = lock(&self.beats);
        let later = beats.waiting.split_off(&(Instant::now(), u64::MAX));
        let mut due = Vec::new();
        for (place, beat) in std::mem::replace(&mut beats.waiting, later) {
            if let Some(held) = beat.upgrade() {
                beats.due.insert(place, beat);
                due.push(held);
            }
        }
        (due, beats.waiting.first_key_value().map(|(place, _)| place.0))
    }

    async fn keep(&'static self) {
        loop {
            let (due, next) = self.due();
            let mut by_store = HashMap::<_, Vec<_>>::new();
            for beat in due {
                by_store.entry(beat.store.address()).or_default().push(beat);
            }
            for beats in by_store.into_values() {
                // A store that stands still keeps no other one waiting.
                tokio::spawn(stream::iter(beats).for_each_concurrent(IN_FLIGHT, |beat| self.beat(beat)));
            }
            let sooner = self.sooner.notified();
            match next {
                // Sooner or then, it looks again.
                Some(next) => drop(timeout_at(next, sooner).await),
                None => sooner.await,
            }
        }
    }

    async fn beat(&self, beat: Arc<Inner>) {
        let start = Instant::now();
        // An end that is moved meanwhile counts from the next renewal on.
        let ttl = beat.term.ttl();
        let renewed = beat.renew(ttl).await;
        match renewed {
            _ if beat.stopped.load(Ordering::Relaxed) || beat.term.is_over() => self.remove(&beat),
            Ok(true) => self.add(&beat, start + (ttl / 4).max(SHORTEST)),
            Ok(false) => self.remove(&beat),
            Err(error) if error.kind() == ErrorKind::Closed => self.remove(&beat),
            Err(_) => self.add(&beat, Instant::now() + (ttl / 16).max(SHORTEST)),
        }
    }
}

impl Inner {
    async fn renew(&self, ttl: Duration) -> Result<bool> {
        let _busy = self.busy.lock().await;
        if self.stopped.load(Ordering::Relaxed) || self.term.is_over() {
            return Ok(false);
        }
        let renew = async {
            let connector = self.store.aside().await?;
            match &self.renewal {
                Renewal::Touch => connector.touch(&self.key, ttl).await,
                Renewal::Write { ttl, record } => {
                    let options = PutOptions { ttl: self.store.ttl(*ttl), ..PutOptions::default() };
                    connector.put(&self.key, record()?, &options).await.map(|()| true)
                }
            }
        };
        let renewed = background::call(ttl / 4, renew).await;
        if matches!(renewed, Ok(false)) {
            self.lost.store(true, Ordering::Relaxed);
        }
        if renewed.is_err() {
            self.store.recorder().not_renewed();
        }
        renewed.map_err(|error| self.store.place(error, "renew", Some(&self.key)))
    }
}
