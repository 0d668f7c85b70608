//! The suite that all connectors pass, over S3's protocol.

use std::sync::Arc;

use proxystore_core::{Connector, WithPolicy};
use proxystore_layers::Policies;
use proxystore_testkit::conformance::Harness;
use proxystore_testkit::s3::S3Server;

use super::connect;

async fn harness(prefix: &str, around: impl Fn(Arc<dyn Connector>) -> Arc<dyn Connector>) -> Harness {
    let server = S3Server::start().await;
    let open = async |prefix: &str| around(connect(&server, prefix).await);
    let (first, second) = (open(prefix).await, open(prefix).await);
    let neighbour = open("others").await;
    Harness::new(first).with_second(second).with_neighbour(neighbour).keeping(server)
}

fn bare(connector: Arc<dyn Connector>) -> Arc<dyn Connector> {
    connector
}

fn with_policies(connector: Arc<dyn Connector>) -> Arc<dyn Connector> {
    Arc::new(WithPolicy::new(connector, Policies::standard(), "store"))
}

mod plain {
    use super::{bare, harness};

    proxystore_testkit::conformance!(connector = harness("app/objects", bare).await);
}

mod policies {
    use super::{harness, with_policies};

    proxystore_testkit::conformance!(connector = harness("app", with_policies).await);
}
