//! The names of all metrics.

use metrics::Unit;

/// A metric that the project records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// `seconds`, `bytes` or `count`.
    pub unit: &'static str,
    /// The names of its labels. None has a value that callers choose per object, so the number of series is bounded:
    /// stores × operations × a few.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// All metrics. A name, a kind, a unit or a label changes only with a new major version.
///
/// | label | values |
/// |---|---|
/// | `store` | the name of the store |
/// | `scheme` | the scheme of its URI |
/// | `operation` | the method of the connector: `put`, `get`, `exists`, `evict`, `put_many` … |
/// | `outcome` | `ok`, `error`, or `dropped`: nobody waited for the end |
/// | `kind` | the [`ErrorKind`](proxystore_core::ErrorKind), such as `Unavailable` |
/// | `event` | `hit`; `miss`: a load began; `joined`: waited for the load of another |
pub const METRICS: &[Metric] = &[
    Metric {
        name: "proxystore_operation_duration_seconds",
        kind: "histogram",
        unit: "seconds",
        labels: &["store", "scheme", "operation", "outcome"],
        help: "The time of a call, with all its attempts and waits.",
    },
    Metric {
        name: "proxystore_operation_bytes",
        kind: "histogram",
        unit: "bytes",
        labels: &["store", "scheme", "operation"],
        help: "The bytes that a successful call sent or brought, if any, before compression and encryption.",
    },
    Metric {
        name: "proxystore_operations_in_flight",
        kind: "gauge",
        unit: "count",
        labels: &["store", "scheme", "operation"],
        help: "The calls under way.",
    },
    Metric {
        name: "proxystore_errors_total",
        kind: "counter",
        unit: "count",
        labels: &["store", "scheme", "operation", "kind"],
        help: "The calls that failed in the end. A batch counts once, and only if it failed in passing.",
    },
    Metric {
        name: "proxystore_retries_total",
        kind: "counter",
        unit: "count",
        labels: &["store", "scheme", "operation", "kind"],
        help: "The repetitions of calls, by what had failed before.",
    },
    Metric {
        name: "proxystore_limit_waiting",
        kind: "gauge",
        unit: "count",
        labels: &["store", "scheme"],
        help: "The calls that wait until there is room for their requests or bytes.",
    },
    Metric {
        name: "proxystore_limit_wait_seconds",
        kind: "histogram",
        unit: "seconds",
        labels: &["store", "scheme"],
        help: "How long those calls waited that found no room at once.",
    },
    Metric {
        name: "proxystore_evictions_pending",
        kind: "gauge",
        unit: "count",
        labels: &["store", "scheme"],
        help: "The calls of evict and evict_many that the backend has not confirmed yet, retries included.",
    },
    Metric {
        name: "proxystore_cache_events_total",
        kind: "counter",
        unit: "count",
        labels: &["store", "event"],
        help: "Where a target came from: the cache, a load, or the load of another caller.",
    },
    Metric {
        name: "proxystore_cache_bytes",
        kind: "gauge",
        unit: "bytes",
        labels: &["store"],
        help: "The encoded size of all objects in the cache.",
    },
    Metric {
        name: "proxystore_reaper_pending",
        kind: "gauge",
        unit: "count",
        labels: &["store"],
        help: "The objects that have lost their owner or lifetime and are yet to be evicted.",
    },
    Metric {
        name: "proxystore_reaper_failed_total",
        kind: "counter",
        unit: "count",
        labels: &["store"],
        help: "The objects of those that could not be evicted and are left to their ttl.",
    },
    Metric {
        name: "proxystore_renewals_failed_total",
        kind: "counter",
        unit: "count",
        labels: &["store"],
        help: "The renewals of objects with an owner or a lifetime that failed; each is tried again.",
    },
];

/// Tells the recorder what they mean.
pub(super) fn describe() {
    for metric in METRICS {
        let unit = Unit::from_string(metric.unit).unwrap_or(Unit::Count);
        match metric.kind {
            "counter" => metrics::describe_counter!(metric.name, unit, metric.help),
            "gauge" => metrics::describe_gauge!(metric.name, unit, metric.help),
            _ => metrics::describe_histogram!(metric.name, unit, metric.help),
        }
    }
}
