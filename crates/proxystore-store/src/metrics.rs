//! Counters and times of one store, under the names that Python ProxyStore gives them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

#[cfg(feature = "metrics")]
pub(crate) mod facade;

/// Declares an enum whose variants have names, and an array with one place for each.
macro_rules! named {
    ($(#[$meta:meta])* $Name:ident { $($Variant:ident = $name:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) enum $Name { $($Variant,)* }

        impl $Name {
            const NAMES: &'static [&'static str] = &[$($name,)*];
        }
    };
}

named! {
    /// What is timed.
    Timer {
        Put = "store.put",
        PutSerialize = "store.put.serialize",
        PutConnector = "store.put.connector",
        PutMany = "store.put_batch",
        PutManyConnector = "store.put_batch.connector",
        Get = "store.get",
        GetConnector = "store.get.connector",
        GetDeserialize = "store.get.deserialize",
        GetMany = "store.get_batch",
        GetManyConnector = "store.get_batch.connector",
        Exists = "store.exists",
        Evict = "store.evict",
        EvictMany = "store.evict_batch",
        Proxy = "store.proxy",
        Resolve = "factory.resolve",
    }
}

named! {
    /// What is counted.
    Counter {
        CacheHits = "store.get.cache_hits",
        CacheMisses = "store.get.cache_misses",
        Errors = "store.errors",
    }
}

named! {
    /// What is remembered of the latest operation.
    Attribute {
        PutSize = "store.put.object_size",
        GetSize = "store.get.object_size",
    }
}

/// The counters and times of one store since it was opened, in this process: see
/// [`Store::metrics`](crate::Store::metrics). Takes 64 KiB whatever happens.
pub(crate) struct Recorder {
    times: [Times; Timer::NAMES.len()],
    counters: [AtomicU64; Counter::NAMES.len()],
    attributes: [AtomicU64; Attribute::NAMES.len()],
    #[cfg(feature = "metrics")]
    cache: facade::CacheEvents,
    #[cfg(feature = "metrics")]
    background: facade::Background,
}

/// Durations below 2^3 ns have a bucket each, and every power of two above is divided into eight.
const SUB_BUCKETS: usize = 8;
const BUCKETS: usize = SUB_BUCKETS * 62;

struct Times {
    nanos: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
    last: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

fn bucket(nanos: u64) -> usize {
    if nanos < SUB_BUCKETS as u64 {
        return nanos as usize;
    }
    let power = 63 - nanos.leading_zeros() as usize;
    (power - 2) * SUB_BUCKETS + (nanos >> (power - 3)) as usize % SUB_BUCKETS
}

/// The largest duration that falls into a bucket.
fn upper(bucket: usize) -> u64 {
    if bucket < SUB_BUCKETS {
        return bucket as u64;
    }
    let next = ((SUB_BUCKETS + bucket % SUB_BUCKETS + 1) as u128) << (bucket / SUB_BUCKETS - 1);
    u64::try_from(next - 1).unwrap_or(u64::MAX)
}

impl Recorder {
    /// For the store of this name.
    pub(crate) fn new(store: &str) -> Self {
        let _ = store;
        let zero = || AtomicU64::new(0);
        Self {
            times: std::array::from_fn(|_| Times {
                nanos: zero(),
                min: AtomicU64::new(u64::MAX),
                max: zero(),
                last: zero(),
                buckets: std::array::from_fn(|_| zero()),
            }),
            counters: std::array::from_fn(|_| zero()),
            attributes: std::array::from_fn(|_| zero()),
            #[cfg(feature = "metrics")]
            cache: facade::CacheEvents::of(store),
            #[cfg(feature = "metrics")]
            background: facade::Background::of(store),
        }
    }

    /// Records that `timer` took from `start` until now, and gives now: to read the clock costs, too.
    pub(crate) fn time(&self, timer: Timer, start: Instant) -> Instant {
        let now = Instant::now();
        let nanos = u64::try_from((now - start).as_nanos()).unwrap_or(u64::MAX);
        let times = &self.times[timer as usize];
        times.nanos.fetch_add(nanos, Ordering::Relaxed);
        // Rare, once some have been seen: nobody is kept from the line meanwhile.
        if nanos < times.min.load(Ordering::Relaxed) {
            times.min.fetch_min(nanos, Ordering::Relaxed);
        }
        if nanos > times.max.load(Ordering::Relaxed) {
            times.max.fetch_max(nanos, Ordering::Relaxed);
        }
        times.last.store(nanos, Ordering::Relaxed);
        times.buckets[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
        now
    }

    pub(crate) fn count(&self, counter: Counter) {
        self.counters[counter as usize].fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        if let Counter::CacheHits = counter {
            self.cache.hits.increment(1);
        }
    }

    /// A target that was not in the cache: whether a load began for it, or it came with one that was under way.
    pub(crate) fn loaded(&self, began: bool) {
        #[cfg(feature = "metrics")]
        if began { &self.cache.misses } else { &self.cache.joined }.increment(1);
        let _ = began;
    }

    /// So many objects wait for their eviction in the background.
    pub(crate) fn doomed(&self, objects: usize) {
        #[cfg(feature = "metrics")]
        self.background.pending.increment(objects as f64);
        let _ = objects;
    }

    /// One of them waits no more.
    pub(crate) fn reaped(&self, failed: bool) {
        #[cfg(feature = "metrics")]
        {
            self.background.pending.decrement(1.0);
            self.background.failed.increment(u64::from(failed));
        }
        let _ = failed;
    }

    /// A renewal has failed.
    pub(crate) fn not_renewed(&self) {
        #[cfg(feature = "metrics")]
        self.background.renewals_failed.increment(1);
    }

    pub(crate) fn set(&self, attribute: Attribute, value: u64) {
        self.attributes[attribute as usize].store(value, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Metrics {
        let values = |names: &[&'static str], values: &[AtomicU64]| {
            names.iter().copied().zip(values.iter().map(|v| v.load(Ordering::Relaxed))).collect()
        };
        let times = Timer::NAMES.iter().copied().zip(&self.times);
        Metrics {
            attributes: values(Attribute::NAMES, &self.attributes),
            counters: values(Counter::NAMES, &self.counters),
            times: times.filter_map(|(name, times)| Some((name, TimeStats::of(times)?))).collect(),
        }
    }
}

/// What a store did since it was opened, as far as this process is concerned: see
/// [`Store::metrics`](crate::Store::metrics).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Metrics {
    /// The latest value of each: sizes in bytes.
    pub attributes: BTreeMap<&'static str, u64>,
    /// Sums.
    pub counters: BTreeMap<&'static str, u64>,
    /// Times of each operation that happened at all.
    pub times: BTreeMap<&'static str, TimeStats>,
}

/// How long an operation took.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TimeStats {
    /// How often it happened.
    pub count: u64,
    /// The mean.
    pub avg: Duration,
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
    /// The latest.
    pub last: Duration,
    /// The median, at most one eighth too high.
    pub p50: Duration,
    /// Ninety-five of a hundred were not longer; at most one eighth too high.
    pub p95: Duration,
    /// Ninety-nine of a hundred were not longer; at most one eighth too high.
    pub p99: Duration,
}

impl TimeStats {
    fn of(times: &Times) -> Option<Self> {
        let buckets: Vec<u64> = times.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let count: u64 = buckets.iter().sum();
        let max = times.max.load(Ordering::Relaxed);
        let percentile = |percent: u64| {
            let rank = (count * percent).div_ceil(100).max(1);
            let mut seen = 0;
            let at = buckets.iter().position(|in_bucket| {
                seen += in_bucket;
                seen >= rank
            });
            Duration::from_nanos(at.map_or(max, |at| upper(at).min(max)))
        };
        (count > 0).then(|| Self {
            count,
            avg: Duration::from_nanos(times.nanos.load(Ordering::Relaxed) / count),
            min: Duration::from_nanos(times.min.load(Ordering::Relaxed)),
            max: Duration::from_nanos(max),
            last: Duration::from_nanos(times.last.load(Ordering::Relaxed)),
            p50: percentile(50),
            p95: percentile(95),
            p99: percentile(99),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_ordered_and_tight() {
        let mut values: Vec<u64> =
            (0..64).flat_map(|power| [1u64 << power, (1u64 << power) + 1, (1 << power) / 3 * 4]).collect();
        values.extend([0, u64::MAX]);
        values.sort_unstable();
        for pair in values.windows(2) {
            assert!(bucket(pair[0]) <= bucket(pair[1]), "{pair:?}");
        }
        for value in values {
            let upper = upper(bucket(value));
            assert!(upper >= value && upper - value <= value / 8, "{value}: {upper}");
        }
    }

    #[test]
    fn percentiles_of_a_known_distribution() {
        let recorder = Recorder::new("test");
        for micros in 1..=1000u64 {
            let nanos = micros * 1000;
            recorder.times[0].buckets[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
            recorder.times[0].max.fetch_max(nanos, Ordering::Relaxed);
        }
        let stats = &recorder.snapshot().times["store.put"];
        let near = |found: Duration, micros: u64| {
            let wanted = Duration::from_micros(micros);
            assert!(found >= wanted && found <= wanted + wanted / 8, "{found:?} is not {wanted:?}");
        };
        near(stats.p50, 500);
        near(stats.p95, 950);
        near(stats.p99, 990);
    }
}
