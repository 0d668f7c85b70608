//! Decoded objects that were used lately, and the loads under way.
//!
//! One load per object, in a task of its own: callers come and go without harm to the others, and when the last one
//! is gone the load is aborted. An evict during a load keeps the value out of the cache. Absence is never cached, and
//! never taken from a load that began before the caller asked.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use proxystore_core::{Error, ErrorKind, Key, Operation, Result, Transfer};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

#[cfg(feature = "metrics")]
use crate::metrics::facade::Held;
use crate::rt;

/// A target of any type.
pub(crate) type AnyTarget = Arc<dyn Any + Send + Sync>;

/// A target with the size of its bytes, or `None` if the store has no such object.
pub(crate) type Loaded = Result<Option<(AnyTarget, u64)>>;

/// An object as a type in a codec: what a cached value may be used for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub(crate) key: Key,
    pub(crate) type_id: TypeId,
    pub(crate) codec: u8,
    /// Of a future: whoever waits for it joins those who wait, and nobody else does.
    pub(crate) waits: bool,
}

/// What a load lets those know who wait for it, while it is under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct News {
    /// What it moves: with it grows the time that it may take.
    pub(crate) transfer: Transfer,
    /// Why its last attempt has failed in passing, if it has.
    pub(crate) fault: Arc<Mutex<Option<Error>>>,
}

impl From<Transfer> for News {
    fn from(transfer: Transfer) -> Self {
        Self { transfer, ..Self::default() }
    }
}

impl News {
    pub(crate) fn fault(&self) -> MutexGuard<'_, Option<Error>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Cached {
    type_id: TypeId,
    codec: u8,
    weight: u32,
    #[cfg(feature = "metrics")]
    bytes: u64,
    target: AnyTarget,
}

/// A flight that may be joined.
struct Boarding {
    flight: Weak<Flight>,
    /// Set when its value must not be cached any more.
    stale: Arc<AtomicBool>,
}

/// Where a target comes from.
enum Joined {
    Cached(AnyTarget),
    Flight(Arc<Flight>),
}

/// How much longer than a load itself its callers wait: they are to hear from it.
const GRACE: Duration = Duration::from_secs(5);

/// The sum of all weights; a single object weighs at least its share of the count, or of the bytes.
const CAPACITY: u64 = 1 << 31;

pub(crate) struct Cache {
    objects: u64,
    bytes: u64,
    targets: moka::sync::Cache<Key, Cached>,
    flights: Mutex<HashMap<Slot, Boarding>>,
    /// Counts calls and flights, to tell which began first.
    clock: AtomicU64,
    #[cfg(feature = "metrics")]
    held: Arc<Held>,
}

impl Cache {
    /// The cache of the store of this name, of at most `objects` objects and `bytes` bytes (as stored); 0 of either
    /// turns it off.
    pub(crate) fn new(store: &str, objects: u64, bytes: u64) -> Arc<Self> {
        let _ = store;
        let targets = moka::sync::Cache::builder()
            .max_capacity(CAPACITY)
            .weigher(|_, cached: &Cached| cached.weight)
            .eviction_policy(EvictionPolicy::lru());
        #[cfg(feature = "metrics")]
        let held = Arc::new(Held::of(store));
        #[cfg(feature = "metrics")]
        let targets = {
            let held = held.clone();
            targets.eviction_listener(move |_, gone, _| held.remove(gone.bytes))
        };
        Arc::new(Self {
            objects,
            bytes,
            targets: targets.build(),
            flights: Mutex::default(),
            clock: AtomicU64::new(0),
            #[cfg(feature = "metrics")]
            held,
        })
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.targets.contains_key(key)
    }

    pub(crate) fn get(&self, slot: &Slot) -> Option<AnyTarget> {
        let cached = self.targets.get(&slot.key)?;
        (cached.type_id == slot.type_id && cached.codec == slot.codec).then_some(cached.target)
    }

    /// Forgets an object, and keeps the loads of it that are under way out of the cache.
    pub(crate) fn forget(&self, key: &Key) {
        let mut flights = self.flights();
        flights.retain(|slot, boarding| {
            let other = slot.key != *key;
            if !other {
                boarding.stale.store(true, Ordering::Relaxed);
            }
            other
        });
        self.targets.invalidate(key);
    }

    pub(crate) fn clear(&self) {
        let mut flights = self.flights();
        for (_, boarding) in flights.drain() {
            boarding.stale.store(true, Ordering::Relaxed);
        }
        self.targets.invalidate_all();
        drop(flights);
        self.targets.run_pending_tasks();
    }

    /// The target of `slot`, loaded by `load` if no load of it is under way. A load may take `time`, and as long as its
    /// bytes take; one whose runtime stands still is left behind.
    pub(crate) async fn load<L, F>(
        self: &Arc<Self>,
        slot: Slot,
        time: Duration,
        load: L,
    ) -> Result<Option<AnyTarget>>
    where
        L: Fn() -> (Transfer, F),
        F: Future<Output = Loaded> + Send + 'static,
    {
        let asked = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut late = false;
        // A flight may be lost with the runtime that carried it, and absence may be older than the question.
        for _ in 0..3 {
            let flight = match self.join(&slot, &load)? {
                Joined::Cached(target) => return Ok(Some(target)),
                Joined::Flight(flight) => flight,
            };
            match flight.landed(Operation::Get, time).await {
                Ok(Some(Ok(None))) if flight.began < asked => {}
                Ok(Some(result)) => return result,
                Ok(None) => {}
                Err(error) if late => return Err(error),
                Err(_) => {
                    late = true;
                    flight.detach();
                }
            }
        }
        Err(lost())
    }

    /// The target of `slot`, which may not be there yet: `wait` looks for it until it is, in one task for all who wait
    /// for it. `None` if it is there and nothing was loaded.
    ///
    /// At the deadline `late` says what went wrong, unless the last attempt has.
    pub(crate) async fn wait<L, F>(
        self: &Arc<Self>,
        slot: Slot,
        deadline: Instant,
        late: impl FnOnce() -> Error,
        wait: L,
    ) -> Result<Option<AnyTarget>>
    where
        L: Fn() -> (News, F),
        F: Future<Output = Loaded> + Send + 'static,
    {
        // A task may be lost with the runtime that carried it.
        for _ in 0..3 {
            let flight = match self.join(&slot, &wait)? {
                Joined::Cached(target) => return Ok(Some(target)),
                Joined::Flight(flight) => flight,
            };
            let mut result = flight.result.clone();
            match timeout_at(deadline, result.wait_for(Option::is_some)).await {
                Ok(Ok(landed)) => {
                    if let Some(result) = &*landed {
                        return result.clone();
                    }
                }
                Ok(Err(_)) => {}
                Err(_) => {
                    let fault = flight.news.fault().clone();
                    return Err(fault.unwrap_or_else(late));
                }
            }
        }
        Err(lost())
    }

    fn join<L, N, F>(self: &Arc<Self>, slot: &Slot, load: &L) -> Result<Joined>
    where
        L: Fn() -> (N, F),
        N: Into<News>,
        F: Future<Output = Loaded> + Send + 'static,
    {
        // Dropped after the lock, which the last handle takes.
        let known;
        let mut flights = self.flights();
        known = flights.get(slot).and_then(|boarding| boarding.flight.upgrade());
        if let Some(flight) = &known
            && !flight.is_lost()
        {
            return Ok(Joined::Flight(flight.clone()));
        }
        // A flight may have landed since the caller looked: it fills the cache and leaves in one step.
        if let Some(target) = self.get(slot) {
            return Ok(Joined::Cached(target));
        }
        // The new task may land at once; it then waits for this lock before it looks for its entry.
        let (news, load) = load();
        let flight = Flight::start(self, Some(slot), news.into(), load)?;
        let boarding = Boarding { flight: Arc::downgrade(&flight), stale: flight.stale.clone() };
        if let Some(replaced) = flights.insert(slot.clone(), boarding) {
            // Nobody waits for it any more, but its task may be about to land.
            replaced.stale.store(true, Ordering::Relaxed);
        }
        Ok(Joined::Flight(flight))
    }

    fn insert(&self, slot: &Slot, target: AnyTarget, bytes: u64) {
        if self.objects == 0 || self.bytes == 0 || bytes > self.bytes {
            return;
        }
        let share = (u128::from(bytes) * u128::from(CAPACITY)).div_ceil(u128::from(self.bytes)) as u64;
        let weight = share.max(CAPACITY.div_ceil(self.objects)).min(u64::from(u32::MAX)) as u32;
        #[cfg(feature = "metrics")]
        self.held.add(bytes);
        let cached = Cached {
            type_id: slot.type_id,
            codec: slot.codec,
            weight,
            #[cfg(feature = "metrics")]
            bytes,
            target,
        };
        self.targets.insert(slot.key.clone(), cached);
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Slot, Boarding>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets keys now, and once more when the operation has ended, however it ends: what was loaded before and meanwhile
/// is not kept.
pub(crate) struct Forget<'a> {
    cache: &'a Cache,
    keys: &'a [Key],
}

impl<'a> Forget<'a> {
    pub(crate) fn new(cache: &'a Cache, keys: &'a [Key]) -> Self {
        let forget = Self { cache, keys };
        forget.now();
        forget
    }

    fn now(&self) {
        for key in self.keys {
            self.cache.forget(key);
        }
    }
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.now();
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cache(at most {} objects, {} bytes)", self.objects, self.bytes)
    }
}

fn lost() -> Error {
    Error::new(
        ErrorKind::Unexpected,
        "the load ended without a result: decoding panicked, or its runtime is gone",
    )
}

/// A load in a task of its own. Lives as long as somebody waits for it; dropping the last handle aborts it.
#[derive(Debug)]
pub(crate) struct Flight {
    began: u64,
    news: News,
    result: watch::Receiver<Option<Result<Option<AnyTarget>>>>,
    stale: Arc<AtomicBool>,
    task: AbortHandle,
    slot: Option<Slot>,
    cache: Weak<Cache>,
}

impl Flight {
    /// A load that nobody else joins and that is not cached: for objects that can be read only once.
    pub(crate) fn alone(
        cache: &Arc<Cache>,
        transfer: Transfer,
        load: impl Future<Output = Loaded> + Send + 'static,
    ) -> Result<Arc<Self>> {
        Self::start(cache, None, transfer.into(), load)
    }

    fn start(
        cache: &Arc<Cache>,
        slot: Option<&Slot>,
        news: News,
        load: impl Future<Output = Loaded> + Send + 'static,
    ) -> Result<Arc<Self>> {
        let (sender, result) = watch::channel(None);
        let stale = Arc::new(AtomicBool::new(false));
        let landing = (Arc::downgrade(cache), slot.cloned(), stale.clone());
        let began = cache.clock.fetch_add(1, Ordering::Relaxed);
        let task = rt::spawn(async move {
            let loaded = load.await;
            let (cache, slot, stale) = landing;
            if let (Some(cache), Some(slot)) = (cache.upgrade(), &slot) {
                let mut flights = cache.flights();
                // While it is not stale, the entry is this flight's: whoever comes next finds the cache or loads again.
                if !stale.load(Ordering::Relaxed) {
                    if let Ok(Some((target, bytes))) = &loaded {
                        cache.insert(slot, target.clone(), *bytes);
                    }
                    flights.remove(slot);
                }
                drop(flights);
                cache.targets.run_pending_tasks();
            }
            sender.send_replace(Some(loaded.map(|found| found.map(|(target, _)| target))));
        })?;
        Ok(Arc::new(Self {
            began,
            news,
            result,
            stale,
            task,
            slot: slot.cloned(),
            cache: Arc::downgrade(cache),
        }))
    }

    /// The result, or `None` if the task ended without one. A load may take `time`, and as long as its bytes take: a
    /// runtime that stands still keeps neither its deadline nor its callers. Dropping the future leaves the load to the
    /// others.
    pub(crate) async fn landed(
        &self,
        operation: Operation,
        time: Duration,
    ) -> Result<Option<Result<Option<AnyTarget>>>> {
        let mut result = self.result.clone();
        let landed =
            async { Ok(result.wait_for(Option::is_some).await.ok().and_then(|landed| landed.clone())) };
        rt::deadline(operation, time.saturating_add(GRACE), 0, &self.news.transfer, landed).await
    }

    /// Whether its task has ended without a result.
    fn is_lost(&self) -> bool {
        self.result.has_changed().is_err() && self.result.borrow().is_none()
    }

    /// Lets nobody else join it, and keeps its value out of the cache.
    fn detach(&self) {
        if let (Some(slot), Some(cache)) = (&self.slot, self.cache.upgrade()) {
            let mut flights = cache.flights();
            self.stale.store(true, Ordering::Relaxed);
            if flights.get(slot).is_some_and(|boarding| Arc::ptr_eq(&boarding.stale, &self.stale)) {
                flights.remove(slot);
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
        self.detach();
    }
}

#[cfg(test)]
mod tests;
