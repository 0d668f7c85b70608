//! What each policy, and all of them, add to a get of 1 KiB from memory.

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use proxystore::layers::{Limit, Policies, Retry, Timeout};
use proxystore::local::LocalConnector;
use proxystore::{Connector, Key, Payload, Policy, PutOptions};
use proxystore_core::WithPolicy;
use tokio::runtime::{Builder, Runtime};

fn get(criterion: &mut Criterion, runtime: &Runtime, name: &str, connector: Arc<dyn Connector>) {
    let key = Key::random().expect("randomness");
    let value = Payload::from(vec![7; 1024]);
    runtime.block_on(connector.put(&key, value, &PutOptions::default())).expect("put");
    criterion.bench_function(&format!("local get 1 KiB/{name}"), |bencher| {
        bencher.to_async(runtime).iter(|| async { connector.get(&key).await.expect("get") });
    });
}

fn with<P: Policy>(policy: P) -> Arc<dyn Connector> {
    Arc::new(WithPolicy::new(Arc::new(LocalConnector::named("bench")), policy, "bench"))
}

fn policies(criterion: &mut Criterion) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let mut bench = |name, connector| get(criterion, &runtime, name, connector);
    bench("bare", Arc::new(LocalConnector::named("bench")));
    bench("no policy", with(Policies::none()));
    bench("timeout", with(Timeout::default()));
    bench("limit", with(Limit::default()));
    bench("retry", with(Retry::default()));
    bench("metrics", with(proxystore::layers::Metrics::default()));
    bench("trace", with(proxystore::layers::Trace::default()));
    bench("standard", with(Policies::standard()));
    bench("bare again", Arc::new(LocalConnector::named("bench")));
}

criterion_group!(benches, policies);
criterion_main!(benches);
