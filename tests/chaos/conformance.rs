//! The contract of a connector, by the standard stack over each backend.

use std::sync::Arc;

use proxystore::local::LocalConnector;
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

mod over_local {
    proxystore_testkit::conformance!(connector = crate::conformance::local());
}

mod over_file {
    proxystore_testkit::conformance!(connector = crate::conformance::file().await);
}

mod over_redis {
    proxystore_testkit::conformance!(connector = crate::conformance::redis().await);
}
