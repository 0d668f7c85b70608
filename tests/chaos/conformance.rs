//! The contract of a connector, by the standard stack over each backend.

use std::sync::Arc;

use proxystore::local::LocalConnector;
use proxystore::{Registry, Store};
use proxystore_testkit::conformance::Harness;

use crate::stack::{self, standard};

fn local() -> Harness {
    let name = stack::name();
    let open = |name: &str| standard(Arc::new(LocalConnector::named(name)));
    Harness::new(open(&name)).with_second(open(&name)).with_neighbour(open(&format!("{name}-other")))
}

async fn file() -> Harness {
    let directory = tempfile::tempdir().unwrap();
    let open = async |name: &str| standard(stack::file(&directory.path().join(name)).await);
    let (first, second, other) = (open("a").await, open("a").await, open("b").await);
    Harness::new(first).with_second(second).with_neighbour(other).keeping(directory)
}

async fn redis() -> Option<Harness> {
    let (server, uri) = stack::server().await?;
    let open = async |prefix: &str| standard(stack::redis(&format!("{uri}&prefix={prefix}")).await);
    let (first, second, other) = (open("a").await, open("a").await, open("b").await);
    Some(Harness::new(first).with_second(second).with_neighbour(other).keeping(server))
}

/// Several connectors as one, with transforms and policies around the whole.
async fn multi(rest: &str) -> Harness {
    let (directory, name) = (tempfile::tempdir().unwrap(), stack::name());
    let place = directory.path().display();
    let open = async |suffix: &str| {
        let (near, far) = (format!("local:///{name}-{suffix}"), format!("file://{place}/{suffix}"));
        let uri = format!("multi://near,far?near={near}&far={far}&far.subset=gpu,hot{rest}");
        let registry = Registry::new();
        for driver in [proxystore::multi::DRIVER, proxystore::local::DRIVER, proxystore::file::DRIVER] {
            registry.install(driver);
        }
        let store = Store::builder("inner").uri(uri).registry(&registry).build().await.unwrap();
        standard(store.connector().clone())
    };
    let (first, second, other) = (open("a").await, open("a").await, open("b").await);
    Harness::new(first).with_second(second).with_neighbour(other).keeping(directory)
}

mod over_multi {
    proxystore_testkit::conformance!(
        connector = crate::conformance::multi("&near.max=100&near.subset=gpu,hot&near.priority=1").await
    );
}

mod over_near_and_far {
    proxystore_testkit::conformance!(connector = crate::conformance::multi("&far.near=near").await);
}

mod over_local {
    proxystore_testkit::conformance!(connector = crate::conformance::local());
}

mod over_file {
    proxystore_testkit::conformance!(connector = crate::conformance::file().await);
}

mod over_redis {
    proxystore_testkit::conformance!(connector = crate::conformance::redis().await);
}
