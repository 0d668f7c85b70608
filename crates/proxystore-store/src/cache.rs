//! Decoded objects that were used lately, and the loads under way.
//!
//! One load per object, for all who want it: callers come and go without harm to the others, and when the last one is
//! gone the load ends. An evict during a load keeps the value out of the cache. Absence is never cached, and
//! never taken from a load that began before the caller asked.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use proxystore_core::{Error, ErrorKind, Key, Operation, Result, Transfer};
use tokio::time::{Instant, timeout_at};

use self::flight::Fate;
pub(crate) use self::flight::Flight;
use self::quick::Quick;
#[cfg(feature = "metrics")]
use crate::metrics::facade::Held;

mod flight;
mod quick;

/// A target of any type.
pub(crate) type AnyTarget = Arc<dyn Any + Send + Sync>;

/// A target with the size of its bytes, or `None` if the store has no such object.
pub(crate) type Loaded = Result<Option<(AnyTarget, u64)>>;

/// An object as a type in a codec: what a cached value may be used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) key: Key,
    pub(crate) type_id: TypeId,
    pub(crate) codec: u8,
    /// Of a future: whoever waits for it joins those who wait, and nobody else does.
    pub(crate) waits: bool,
}

/// By the key alone: of most objects there is one slot at most.
impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// What a load lets those know who wait for it, while it is under way.
#[derive(Debug, Clone)]
pub(crate) struct News {
    /// What it moves: with it grows the time that it may take.
    pub(crate) transfer: Transfer,
    /// Why the last attempt of a wait has failed in passing, if it has.
    fault: Option<Arc<Mutex<Option<Error>>>>,
}

impl From<Transfer> for News {
    fn from(transfer: Transfer) -> Self {
        Self { transfer, fault: None }
    }
}

impl News {
    /// Of a wait.
    pub(crate) fn of_wait(transfer: Transfer) -> Self {
        Self { transfer, fault: Some(Arc::default()) }
    }

    pub(crate) fn fault(&self) -> Option<Error> {
        self.fault.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_fault(&self, error: Option<Error>) {
        if let Some(fault) = &self.fault {
            *fault.lock().unwrap_or_else(PoisonError::into_inner) = error;
        }
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
    fate: Arc<Fate>,
}

/// Where a target comes from.
enum Joined {
    Cached(AnyTarget),
    Flight(Arc<Flight>),
}

/// The sum of all weights; a single object weighs at least its share of the count, or of the bytes.
const CAPACITY: u64 = 1 << 31;

pub(crate) struct Cache {
    objects: u64,
    bytes: u64,
    targets: moka::sync::Cache<Key, Cached>,
    flights: Mutex<HashMap<Slot, Boarding, Quick>>,
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

    fn is_off(&self) -> bool {
        self.objects == 0 || self.bytes == 0
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.targets.contains_key(key)
    }

    pub(crate) fn get(&self, slot: &Slot) -> Option<AnyTarget> {
        if self.is_off() {
            return None;
        }
        let cached = self.targets.get(&slot.key)?;
        (cached.type_id == slot.type_id && cached.codec == slot.codec).then_some(cached.target)
    }

    /// Forgets an object, and keeps the loads of it that are under way out of the cache.
    pub(crate) fn forget(&self, key: &Key) {
        let mut flights = self.flights();
        flights.retain(|slot, boarding| {
            let other = slot.key != *key;
            if !other {
                boarding.fate.stale.store(true, Ordering::Relaxed);
            }
            other
        });
        if !self.is_off() {
            self.targets.invalidate(key);
        }
    }

    pub(crate) fn clear(&self) {
        let mut flights = self.flights();
        for (_, boarding) in flights.drain() {
            boarding.fate.stale.store(true, Ordering::Relaxed);
        }
        self.targets.invalidate_all();
        drop(flights);
        self.targets.run_pending_tasks();
    }

    /// The target of `slot`, loaded by `load` if no load of it is under way. A load may take `time`, and as long as its
    /// bytes take; one whose runtime stands still is left behind.
    pub(crate) async fn load<L, B, F>(
        self: &Arc<Self>,
        slot: &Slot,
        time: Duration,
        load: L,
    ) -> Result<Option<AnyTarget>>
    where
        L: Fn() -> (Transfer, B),
        B: FnOnce() -> F + Send + 'static,
        F: Future<Output = Loaded> + Send + 'static,
    {
        let asked = self.now();
        let mut late = false;
        // A flight may be lost with the runtime that carried it, and absence may be older than the question.
        for _ in 0..3 {
            let flight = match self.join(slot, &load)? {
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

    /// The target of `slot`, which may not be there yet: `wait` looks for it until it is, for all who wait for it.
    /// `None` if it is there and nothing was loaded.
    ///
    /// At the deadline `late` says what went wrong, unless the last attempt has.
    pub(crate) async fn wait<L, B, F>(
        self: &Arc<Self>,
        slot: Slot,
        deadline: Instant,
        late: impl FnOnce() -> Error,
        wait: L,
    ) -> Result<Option<AnyTarget>>
    where
        L: Fn() -> (News, B),
        B: FnOnce() -> F + Send + 'static,
        F: Future<Output = Loaded> + Send + 'static,
    {
        // It may be lost with the runtime that carried it.
        for _ in 0..3 {
            let flight = match self.join(&slot, &wait)? {
                Joined::Cached(target) => return Ok(Some(target)),
                Joined::Flight(flight) => flight,
            };
            match timeout_at(deadline, flight.end()).await {
                Ok(Some(result)) => return result,
                Ok(None) => {}
                Err(_) => {
                    return Err(flight.news.fault().unwrap_or_else(late));
                }
            }
        }
        Err(lost())
    }

    fn join<L, N, B, F>(self: &Arc<Self>, slot: &Slot, load: &L) -> Result<Joined>
    where
        L: Fn() -> (N, B),
        N: Into<News>,
        B: FnOnce() -> F + Send + 'static,
        F: Future<Output = Loaded> + Send + 'static,
    {
        // Dropped after the lock, which the last handle takes.
        let known;
        let mut flights = self.flights();
        let place = flights.entry(slot.clone());
        known = match &place {
            Entry::Occupied(boarding) => boarding.get().flight.upgrade(),
            Entry::Vacant(_) => None,
        };
        if let Some(flight) = &known
            && !flight.is_lost()
        {
            flight.share();
            return Ok(Joined::Flight(flight.clone()));
        }
        // A flight may have landed since the caller looked: it fills the cache and leaves in one step.
        if let Some(target) = self.get(slot) {
            return Ok(Joined::Cached(target));
        }
        let (news, load) = load();
        let flight = Flight::begin(self, Some(slot), news.into(), load)?;
        let boarding = Boarding { flight: Arc::downgrade(&flight), fate: flight.fate.clone() };
        match place {
            // Nobody waits for it any more, but it may be about to land.
            Entry::Occupied(mut place) => place.insert(boarding).fate.stale.store(true, Ordering::Relaxed),
            Entry::Vacant(place) => {
                place.insert(boarding);
            }
        }
        Ok(Joined::Flight(flight))
    }

    /// Keeps a target, unless it is too large.
    fn insert(&self, slot: &Slot, target: AnyTarget, bytes: u64) -> bool {
        if self.is_off() || bytes > self.bytes {
            return false;
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
        true
    }

    /// Lets a load out of the flights, and its value into the cache.
    fn land(&self, slot: &Slot, fate: &Fate, loaded: &Loaded) {
        let mut flights = self.flights();
        let mut kept = false;
        // While it is not stale, the entry is this flight's: whoever comes next finds the cache or loads again.
        if !fate.stale.load(Ordering::Relaxed) {
            if let Ok(Some((target, bytes))) = loaded {
                kept = self.insert(slot, target.clone(), *bytes);
            }
            flights.remove(slot);
        }
        drop(flights);
        if kept {
            self.targets.run_pending_tasks();
        }
    }

    /// Lets a load out of the flights that is not to be joined any more, and not to be cached.
    fn leave(&self, slot: &Slot, fate: &Arc<Fate>) {
        let mut flights = self.flights();
        fate.stale.store(true, Ordering::Relaxed);
        if flights.get(slot).is_some_and(|boarding| Arc::ptr_eq(&boarding.fate, fate)) {
            flights.remove(slot);
        }
    }

    /// The next tick of the clock.
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Slot, Boarding, Quick>> {
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

#[cfg(test)]
mod tests;
