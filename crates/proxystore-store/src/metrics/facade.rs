//! What the cache and the background do, through the `metrics` facade (feature `metrics`). What its names mean stands in
//! `proxystore_layers::METRICS`.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge};

/// Where targets came from.
pub(crate) struct CacheEvents {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) joined: Counter,
}

impl CacheEvents {
    pub(super) fn of(store: &str) -> Self {
        let event = |event: &'static str| metrics::counter!("proxystore_cache_events_total", "store" => store.to_owned(), "event" => event);
        Self { hits: event("hit"), misses: event("miss"), joined: event("joined") }
    }
}

/// What happens in the background.
pub(crate) struct Background {
    pub(super) pending: Gauge,
    pub(super) failed: Counter,
    pub(super) renewals_failed: Counter,
}

impl Background {
    pub(super) fn of(store: &str) -> Self {
        Self {
            pending: metrics::gauge!("proxystore_reaper_pending", "store" => store.to_owned()),
            failed: metrics::counter!("proxystore_reaper_failed_total", "store" => store.to_owned()),
            renewals_failed: metrics::counter!("proxystore_renewals_failed_total", "store" => store.to_owned()),
        }
    }
}

/// The bytes that a cache holds; none when it is dropped.
pub(crate) struct Held {
    bytes: AtomicU64,
    gauge: Gauge,
}

impl Held {
    pub(crate) fn of(store: &str) -> Self {
        let gauge = metrics::gauge!("proxystore_cache_bytes", "store" => store.to_owned());
        Self { bytes: AtomicU64::new(0), gauge }
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.gauge.increment(bytes as f64);
    }

    pub(crate) fn remove(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.gauge.decrement(bytes as f64);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauge.decrement(*self.bytes.get_mut() as f64);
    }
}
