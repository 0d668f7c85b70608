use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use proxystore_core::{
    Backoff, Connector, ConnectorConfig, Error, ErrorKind, Key, Origin, Payload, PutOptions, WithPolicy,
};
use proxystore_local::LocalConfig;
use proxystore_testkit::fault::{Fault, FaultConnector, Op};

use super::*;
use crate::{Limit, Policies, Retry};

/// Runs a test of a connector with these policies around it.
fn run<F: Future>(
    policies: impl FnOnce() -> Policies,
    test: impl FnOnce(Arc<WithPolicy<Policies>>, Arc<FaultConnector>, Seen) -> F,
) -> F::Output {
    let recorder = DebuggingRecorder::new();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let config = LocalConfig::from_uri(&"local:///metrics".parse().unwrap()).unwrap();
            let faults = FaultConnector::new(Arc::new(config.connect(Origin::Program).await.unwrap()));
            let connector = Arc::new(WithPolicy::new(faults.clone(), policies(), "images"));
            test(connector, faults, Seen(recorder.snapshotter())).await
        })
    })
}

fn measured() -> Policies {
    Policies { metrics: Some(Metrics::default()), ..Policies::none() }
}

struct Seen(Snapshotter);

impl Seen {
    /// What was recorded since the last look, by `name{labels}` without the store and the scheme: how much counters and
    /// gauges have changed, and how many values came to histograms.
    fn now(&self) -> BTreeMap<String, f64> {
        let mut seen = BTreeMap::new();
        for (key, _, _, value) in self.0.snapshot().into_vec() {
            let key = key.key();
            let labels: Vec<_> = key.labels().filter(|l| !["store", "scheme"].contains(&l.key())).collect();
            let labels: Vec<_> = labels.iter().map(|label| label.value()).collect();
            let value = match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(value) => value.0,
                DebugValue::Histogram(values) => values.len() as f64,
            };
            if value != 0.0 {
                let name = key.name().trim_start_matches("proxystore_");
                seen.insert(format!("{name}{{{}}}", labels.join(",")), value);
            }
        }
        seen
    }

    fn is(&self, wanted: &[(&str, f64)]) {
        assert_eq!(self.now(), wanted.iter().map(|(name, value)| (name.to_string(), *value)).collect());
    }
}

fn down() -> Fault {
    Fault::Fail(Error::new(ErrorKind::Unavailable, "the cable is cut").transient())
}

#[test]
fn a_call_is_measured_by_its_outcome() {
    run(measured, async |connector, faults, seen| {
        let key = Key::random().unwrap();
        connector.put(&key, Payload::from(vec![1; 10]), &PutOptions::default()).await.unwrap();
        seen.is(&[("operation_duration_seconds{put,ok}", 1.0), ("operation_bytes{put}", 1.0)]);
        connector.get(&key).await.unwrap();
        connector.get(&Key::random().unwrap()).await.unwrap();
        seen.is(&[("operation_duration_seconds{get,ok}", 2.0), ("operation_bytes{get}", 1.0)]);
        faults.next(Op::Get, down());
        connector.get(&key).await.unwrap_err();
        seen.is(&[("operation_duration_seconds{get,error}", 1.0), ("errors_total{get,Unavailable}", 1.0)]);
    });
}

#[test]
fn a_call_under_way_is_counted_until_it_is_dropped() {
    run(measured, async |connector, faults, seen| {
        let key = Key::random().unwrap();
        faults.next(Op::Evict, Fault::Hang);
        let mut evict = Box::pin(connector.evict(&key));
        assert!((&mut evict).now_or_never().is_none());
        seen.is(&[("operations_in_flight{evict}", 1.0), ("evictions_pending{}", 1.0)]);
        drop(evict);
        let dropped = ("operation_duration_seconds{evict,dropped}", 1.0);
        seen.is(&[("operations_in_flight{evict}", -1.0), ("evictions_pending{}", -1.0), dropped]);
    });
}

#[test]
fn an_eviction_is_pending_through_its_retries() {
    let policies = || Policies { retry: Some(Retry::new(2, Backoff::default())), ..measured() };
    run(policies, async |connector, faults, seen| {
        let key = Key::random().unwrap();
        faults.next(Op::Evict, down());
        let mut evict = Box::pin(connector.evict(&key));
        assert!((&mut evict).now_or_never().is_none());
        let (pending, retries) = ("evictions_pending{}", "retries_total{evict,Unavailable}");
        seen.is(&[("operations_in_flight{evict}", 1.0), (pending, 1.0), (retries, 1.0)]);
        evict.await.unwrap();
        let ok = ("operation_duration_seconds{evict,ok}", 1.0);
        seen.is(&[("operations_in_flight{evict}", -1.0), (pending, -1.0), ok]);
    });
}

#[test]
fn waiting_for_room_is_seen_and_having_room_is_not() {
    let policies = || Policies { limit: Some(Limit::new(1, 1 << 20)), ..measured() };
    run(policies, async |connector, faults, seen| {
        let key = Key::random().unwrap();
        faults.next(Op::Get, Fault::Delay(Duration::from_secs(1)));
        let mut first = Box::pin(connector.get(&key));
        assert!((&mut first).now_or_never().is_none());
        seen.is(&[("operations_in_flight{get}", 1.0)]);
        let mut second = Box::pin(connector.get(&key));
        assert!((&mut second).now_or_never().is_none());
        seen.is(&[("operations_in_flight{get}", 1.0), ("limit_waiting{}", 1.0)]);
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_ok() && second.is_ok());
        let ok = ("operation_duration_seconds{get,ok}", 2.0);
        let ended = [("operations_in_flight{get}", -2.0), ("limit_waiting{}", -1.0)];
        seen.is(&[&ended[..], &[("limit_wait_seconds{}", 1.0), ok]].concat());
    });
}
