//! The suite that all connectors pass, on an S3 server that others have written. `cargo xtask test --with moto` installs
//! and starts it, and says by `PROXYSTORE_MOTO` where it is.

#![allow(clippy::unwrap_used, reason = "a failed expectation is what a test reports")]

use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use proxystore_core::{Connector, Id, WithPolicy};
use proxystore_layers::Policies;
use proxystore_s3::{S3Config, S3Connector};
use proxystore_testkit::conformance::Harness;

fn with_policies(connector: Arc<dyn Connector>) -> Arc<dyn Connector> {
    Arc::new(WithPolicy::new(connector, Policies::standard(), "moto"))
}

async fn harness(around: impl Fn(Arc<dyn Connector>) -> Arc<dyn Connector>) -> Harness {
    let endpoint = std::env::var("PROXYSTORE_MOTO").expect("run it by `cargo xtask test --with moto`");
    let client = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(&endpoint)
        .force_path_style(true)
        .credentials_provider(Credentials::new("anybody", "anything", None, None, "tests"));
    let client = Client::from_conf(client.build());
    // All tests share the server.
    let bucket = format!("b{}", Id::random().unwrap());
    client.create_bucket().bucket(&bucket).send().await.unwrap();
    let open = async |prefix: &str| {
        let (bucket, prefix, endpoint) = (bucket.clone(), prefix.into(), Some(endpoint.clone()));
        let config = S3Config { bucket, prefix, endpoint, ..S3Config::default() };
        around(Arc::new(S3Connector::from_client(&client, &config).await.unwrap()))
    };
    Harness::new(open("app").await).with_second(open("app").await).with_neighbour(open("others").await)
}

proxystore_testkit::conformance!(connector = harness(|connector| connector).await);

mod policies {
    use super::{harness, with_policies};

    proxystore_testkit::conformance!(connector = harness(with_policies).await);
}
