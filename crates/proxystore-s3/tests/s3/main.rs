//! The connector against a server that checks signatures, and against what can happen to both.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]

mod access;
mod conformance;
mod dropping;
mod faults;
mod multi;
mod sweeps;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use proxystore_core::{
    Bytes, Connector, Error, ErrorKind, Key, Mode, Payload, PutOptions, Result, WithPolicy,
};
use proxystore_layers::{Policies, Retry, RetryBudget};
use proxystore_s3::{S3Config, S3Connector};
use proxystore_testkit::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};

/// A client that the server knows.
fn client(endpoint: &str) -> Client {
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "tests");
    let config = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .credentials_provider(credentials);
    Client::from_conf(config.build())
}

fn config(endpoint: &str, prefix: &str) -> S3Config {
    S3Config {
        bucket: BUCKET.into(),
        prefix: prefix.into(),
        endpoint: Some(endpoint.into()),
        timeout: Duration::from_secs(5),
        ..S3Config::default()
    }
}

async fn connect(server: &S3Server, prefix: &str) -> Arc<S3Connector> {
    connect_with(server, config(&server.endpoint(), prefix)).await
}

/// The same, for a server that is soon taken to be silent.
async fn impatient(server: &S3Server) -> Arc<S3Connector> {
    let timeout = Duration::from_secs(1);
    connect_with(server, S3Config { timeout, ..config(&server.endpoint(), "app") }).await
}

async fn connect_with(server: &S3Server, config: S3Config) -> Arc<S3Connector> {
    Arc::new(S3Connector::from_client(&client(&server.endpoint()), &config).await.unwrap())
}

/// With the standard policies around it, which do not save on repetitions.
fn with_policies(connector: Arc<S3Connector>) -> WithPolicy<Policies> {
    let retry = Some(Retry::default().budget(RetryBudget::new(u32::MAX, 1.0)));
    WithPolicy::new(connector, Policies { retry, ..Policies::standard() }, "store")
}

fn key(name: impl ToString) -> Key {
    Key::parse(&name.to_string()).unwrap()
}

fn creating() -> PutOptions {
    PutOptions { mode: Mode::Create, ..PutOptions::default() }
}

async fn put(connector: &impl Connector, key: &Key, value: impl Into<Payload>) -> Result<()> {
    connector.put(key, value.into(), &PutOptions::default()).await
}

async fn create(connector: &impl Connector, key: &Key, value: impl Into<Payload>) -> Result<()> {
    connector.put(key, value.into(), &creating()).await
}

async fn get(connector: &impl Connector, key: &Key) -> Result<Option<Bytes>> {
    Ok(connector.get(key).await?.map(Payload::into_bytes))
}

/// Whether the error says what a caller has to know of a passing outage.
fn is_outage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Ambiguous | ErrorKind::Timeout | ErrorKind::Unavailable)
}

/// How often something is done: some times, or as `PROXYSTORE_SOAK` says so many times more often.
fn rounds(some: u64) -> u64 {
    some * std::env::var("PROXYSTORE_SOAK").ok().and_then(|factor| factor.parse::<u64>().ok()).unwrap_or(1)
}
