//! The names of the metrics: what a recorder sees, the table, the guide and the dashboard say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use proxystore::layers::{Limit, METRICS, Policies};
use proxystore::{Error, ErrorKind, Store};
use proxystore_testkit::fault::{Fault, FaultConnector, Op};

const GUIDE: &str = include_str!("../docs/guides/metrics.md");
const DASHBOARD: &str = include_str!("../docs/dashboards/grafana.json");

/// Runs `test` on a store whose connector fails as it is told, where a recorder hears all.
fn observed(test: impl AsyncFnOnce(Store, Arc<FaultConnector>, Snapshotter)) {
    let recorder = DebuggingRecorder::new();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let faults = FaultConnector::new(Arc::new(proxystore::local::LocalConnector::new().unwrap()));
            let limit = Some(Limit::new(1, 64 << 20));
            let policies = Policies { limit, ..Policies::standard() };
            let builder = Store::builder("images").shared_connector(faults.clone()).policies(policies);
            test(builder.build().await.unwrap(), faults, recorder.snapshotter()).await;
        })
    })
}

fn down() -> Fault {
    Fault::Fail(Error::new(ErrorKind::Unavailable, "the cable is cut").transient())
}

#[test]
fn a_recorder_sees_what_the_table_says() {
    observed(async |store, faults, seen| {
        let key = store.put(&vec![1u8; 100]).await.unwrap();
        faults.next(Op::Get, down());
        store.get::<Vec<u8>>(&key).await.unwrap();
        faults.next(Op::Exists, Fault::Delay(Duration::from_secs(1)));
        let (first, second) = tokio::join!(store.exists(&key), store.exists(&key));
        assert!(first.unwrap() && second.unwrap());
        faults.every(Op::Exists, down());
        store.exists(&key).await.unwrap_err();
        store.evict(&key).await.unwrap();

        let table: BTreeMap<_, _> = METRICS.iter().map(|metric| (metric.name, metric)).collect();
        let mut names = BTreeSet::new();
        for (key, unit, help, _) in seen.snapshot().into_vec() {
            let (kind, key) = (key.kind(), key.key());
            let metric =
                table.get(key.name()).unwrap_or_else(|| panic!("{} is not in the table", key.name()));
            let wanted = match metric.kind {
                "counter" => MetricKind::Counter,
                "gauge" => MetricKind::Gauge,
                "histogram" => MetricKind::Histogram,
                other => panic!("{other}"),
            };
            assert_eq!(kind, wanted, "{}", metric.name);
            assert_eq!(unit.map(|unit| unit.as_str()), Some(metric.unit), "{}", metric.name);
            assert_eq!(help.as_deref(), Some(metric.help), "{}", metric.name);
            assert!(key.labels().map(|label| label.key()).eq(metric.labels.iter().copied()), "{key}");
            names.insert(metric.name);
        }
        assert_eq!(names, table.into_keys().collect(), "recorded, and in the table");
    });
}

/// What has changed since the last look: cache events, and the bytes in the cache.
fn cache(seen: &Snapshotter) -> BTreeMap<String, f64> {
    let mut changes = BTreeMap::new();
    for (key, _, _, value) in seen.snapshot().into_vec() {
        let label = key.key().labels().find(|label| label.key() == "event");
        let change = match (value, label) {
            (DebugValue::Counter(count), Some(event)) => (event.value().to_owned(), count as f64),
            (DebugValue::Gauge(bytes), _) if key.key().name() == "proxystore_cache_bytes" => {
                ("bytes".into(), bytes.0)
            }
            _ => continue,
        };
        if change.1 != 0.0 {
            changes.insert(change.0, change.1);
        }
    }
    changes
}

fn changed<const N: usize>(changes: [(&str, f64); N]) -> BTreeMap<String, f64> {
    changes.map(|(name, change)| (name.into(), change)).into()
}

#[test]
fn hits_misses_joined_loads_and_bytes_of_the_cache_are_counted() {
    observed(async |store, faults, seen| {
        let key = store.put(&vec![1u8; 100]).await.unwrap();
        faults.next(Op::Get, Fault::Delay(Duration::from_secs(1)));
        let (first, second) = tokio::join!(store.get::<Vec<u8>>(&key), store.get::<Vec<u8>>(&key));
        assert!(first.unwrap().is_some() && second.unwrap().is_some());
        let held = 101.0; // A length of one byte, and a hundred bytes.
        assert_eq!(cache(&seen), changed([("miss", 1.0), ("joined", 1.0), ("bytes", held)]));

        store.get::<Vec<u8>>(&key).await.unwrap();
        assert_eq!(cache(&seen), changed([("hit", 1.0)]));

        store.evict(&key).await.unwrap();
        assert_eq!(cache(&seen), changed([("bytes", -held)]));

        let keys = [store.put(&vec![2u8; 100]).await.unwrap(), store.put(&vec![3u8; 100]).await.unwrap()];
        for key in &keys {
            store.get::<Vec<u8>>(key).await.unwrap();
        }
        assert_eq!(cache(&seen), changed([("miss", 2.0), ("bytes", 2.0 * held)]));
        store.close().await.unwrap();
        drop(store);
        assert_eq!(cache(&seen), changed([("bytes", -2.0 * held)]));
    });
}

#[test]
fn the_guide_has_the_table() {
    let rows: Vec<_> = GUIDE.lines().filter(|line| line.starts_with("| `proxystore_")).collect();
    let table = METRICS.iter().map(|metric| {
        let labels = metric.labels.join(", ");
        format!("| `{}` | {} | {} | {labels} | {} |", metric.name, metric.kind, metric.unit, metric.help)
    });
    assert_eq!(rows, table.collect::<Vec<_>>());
}

/// All texts under the name `key`, wherever they stand.
fn texts<'a>(value: &'a serde_json::Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                if let (true, Some(text)) = (name == key, value.as_str()) {
                    found.push(text);
                }
                texts(value, key, found);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| texts(item, key, found)),
        _ => {}
    }
}

/// The series that queries name.
fn series<'a>(queries: &[&'a str]) -> BTreeSet<&'a str> {
    let words =
        queries.iter().flat_map(|query| query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    words.filter(|word| word.starts_with("proxystore_")).collect()
}

#[test]
fn the_dashboard_asks_for_all_of_the_table_and_for_nothing_else() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let (mut queries, mut variables) = (Vec::new(), Vec::new());
    texts(&dashboard["panels"], "expr", &mut queries);
    texts(&dashboard["templating"], "query", &mut variables);
    assert!(queries.len() >= METRICS.len() && !series(&variables).is_empty());
    let metric_of = |series: &str| {
        METRICS.iter().find(|metric| match series.strip_prefix(metric.name) {
            Some("") => metric.kind != "histogram",
            Some("_bucket" | "_sum" | "_count") => metric.kind == "histogram",
            _ => false,
        })
    };
    for series in series(&queries).into_iter().chain(series(&variables)) {
        assert!(metric_of(series).is_some(), "{series} is not what the table leads to");
    }
    let shown: BTreeSet<_> = series(&queries).into_iter().filter_map(metric_of).map(|m| m.name).collect();
    assert_eq!(shown, METRICS.iter().map(|metric| metric.name).collect());

    let labels: BTreeSet<_> =
        METRICS.iter().flat_map(|metric| metric.labels).copied().chain(["le"]).collect();
    for query in queries {
        for by in query.split("by (").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(by.split(", ").all(|label| labels.contains(label)), "{query}");
        }
    }
}
