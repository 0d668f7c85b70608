//! What operators see of the calls.

use std::sync::OnceLock;
use std::time::Instant;

use metrics::{Counter, Gauge, Histogram, Label};
use proxystore_core::{Attempts, Call, Error, Operation, Policy, Reply, Result};

pub use self::table::{METRICS, Metric};

mod table;

/// Records every call through the [`metrics`] facade, under the names of [`METRICS`].
///
/// It measures what the caller of the store waits for: all attempts, the delays between them, and the wait for room.
/// A call that is dropped counts too, by its caller or by the store's own `timeout`, with the outcome `dropped`.
///
/// The recorder must be installed before the store is opened: the policy asks it for its handles once per operation,
/// and keeps them. One policy belongs to one store.
#[derive(Debug)]
pub struct Metrics {
    operations: [OnceLock<Handles>; OPERATIONS],
}

const OPERATIONS: usize = Operation::Clear as usize + 1;

impl Default for Metrics {
    fn default() -> Self {
        table::describe();
        Self { operations: std::array::from_fn(|_| OnceLock::new()) }
    }
}

impl Policy for Metrics {
    async fn around<T: Reply, A: Attempts<T>>(&self, call: &Call<'_>, attempts: &A) -> Result<T> {
        let handles = self.operations[call.operation as usize].get_or_init(|| Handles::of(call));
        let mut running = Running::begin(handles);
        let result = attempts.begin().await;
        match &result {
            Ok(reply) => running.end(handles, &handles.ok, call.sends + reply.bytes()),
            Err(error) => {
                failures(call, "proxystore_errors_total", error).increment(1);
                running.end(handles, &handles.error, 0);
            }
        }
        result
    }
}

/// What one operation of one store records into.
#[derive(Debug)]
struct Handles {
    ok: Histogram,
    error: Histogram,
    dropped: Histogram,
    bytes: Histogram,
    in_flight: Gauge,
    evictions: Option<Gauge>,
}

impl Handles {
    fn of(call: &Call<'_>) -> Self {
        let labels = labels(call);
        let duration = |outcome| {
            let labels = [&labels[..], &[Label::from_static_parts("outcome", outcome)]].concat();
            metrics::histogram!("proxystore_operation_duration_seconds", labels)
        };
        let evicts = matches!(call.operation, Operation::Evict | Operation::EvictMany);
        Self {
            ok: duration("ok"),
            error: duration("error"),
            dropped: duration("dropped"),
            bytes: metrics::histogram!("proxystore_operation_bytes", labels.clone()),
            in_flight: metrics::gauge!("proxystore_operations_in_flight", labels.clone()),
            evictions: evicts.then(|| metrics::gauge!("proxystore_evictions_pending", place(call))),
        }
    }
}

/// A call under way. One that does not come to its end has been dropped.
struct Running<'a> {
    start: Instant,
    in_flight: [Option<&'a Gauge>; 2],
    duration: &'a Histogram,
}

impl<'a> Running<'a> {
    fn begin(handles: &'a Handles) -> Self {
        let in_flight = [Some(&handles.in_flight), handles.evictions.as_ref()];
        in_flight.iter().flatten().for_each(|gauge| gauge.increment(1));
        Self { start: Instant::now(), in_flight, duration: &handles.dropped }
    }

    fn end(&mut self, handles: &Handles, duration: &'a Histogram, bytes: u64) {
        self.duration = duration;
        if bytes > 0 {
            handles.bytes.record(bytes as f64);
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.duration.record(self.start.elapsed());
        self.in_flight.iter().flatten().for_each(|gauge| gauge.decrement(1));
    }
}

/// The call failed with `error`, and is about to be repeated.
pub(crate) fn retried(call: &Call<'_>, error: &Error) {
    failures(call, "proxystore_retries_total", error).increment(1);
}

/// The queue in front of a limit: what its calls record into, known from the first one.
#[derive(Debug, Default)]
pub(crate) struct Queue(OnceLock<(Gauge, Histogram)>);

impl Queue {
    /// Learns whose queue it is.
    pub(crate) fn by(&self, call: &Call<'_>) {
        self.0.get_or_init(|| {
            let waiting = metrics::gauge!("proxystore_limit_waiting", place(call));
            (waiting, metrics::histogram!("proxystore_limit_wait_seconds", place(call)))
        });
    }

    pub(crate) fn begin(&self) -> Option<Queued> {
        let (waiting, wait) = self.0.get()?.clone();
        waiting.increment(1);
        Some(Queued { start: Instant::now(), waiting, wait })
    }
}

/// A call that waits for room.
pub(crate) struct Queued {
    start: Instant,
    waiting: Gauge,
    wait: Histogram,
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.wait.record(self.start.elapsed());
        self.waiting.decrement(1);
    }
}

fn place(call: &Call<'_>) -> Vec<Label> {
    let scheme = call.info.uri.scheme().to_owned();
    vec![Label::new("store", call.store.to_owned()), Label::new("scheme", scheme)]
}

fn labels(call: &Call<'_>) -> Vec<Label> {
    let mut labels = place(call);
    labels.push(Label::from_static_parts("operation", call.operation.name()));
    labels
}

fn failures(call: &Call<'_>, name: &'static str, error: &Error) -> Counter {
    let mut labels = labels(call);
    labels.push(Label::new("kind", format!("{:?}", error.kind())));
    metrics::counter!(name, labels)
}

#[cfg(test)]
mod tests;
