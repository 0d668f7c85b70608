//! The connector against a server that checks signatures, and against what can happen to both.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]

mod conformance;
mod faults;
#[cfg(feature = "http")]
mod presign;

use std::sync::Arc;
use std::time::Duration;

use proxystore_core::{
    Bytes, Connector, ConnectorConfig, Error, ErrorKind, Key, Mode, Origin, Payload, PutOptions, Result,
    WithPolicy,
};
use proxystore_layers::{Policies, Retry, RetryBudget};
use proxystore_testkit::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};

use crate::config::Place;
use crate::open::cloud::{self, Made};
use crate::requests::Requests;
use crate::{ObjectStoreConfig, ObjectStoreConnector};

/// As for the keys of the environment, with those that the server knows.
fn keyed(place: &Place, requests: Requests, signed: bool) -> object_store::Result<Made> {
    let builder = cloud::s3_builder(place, requests).with_access_key_id(ACCESS_KEY);
    let builder = builder.with_secret_access_key(SECRET_KEY).with_skip_signature(!signed);
    let store = Arc::new(builder.build()?);
    Ok((store.clone(), store))
}

async fn connect(server: &S3Server, prefix: &str) -> Arc<ObjectStoreConnector> {
    connect_with(server, prefix, Duration::from_secs(5)).await
}

/// The same, for a server that is soon taken to be silent.
async fn impatient(server: &S3Server) -> Arc<ObjectStoreConnector> {
    connect_with(server, "app", Duration::from_millis(300)).await
}

async fn connect_with(server: &S3Server, prefix: &str, timeout: Duration) -> Arc<ObjectStoreConnector> {
    let uri = format!("s3+object://{BUCKET}/{prefix}?endpoint={}", server.endpoint());
    let config = ObjectStoreConfig::from_uri(&uri.parse().unwrap()).unwrap();
    let config = ObjectStoreConfig { timeout, ..config };
    Arc::new(cloud::connector(&config, Origin::Program, keyed).await.unwrap())
}

/// With the standard policies around it, which do not save on repetitions.
fn with_policies(connector: Arc<ObjectStoreConnector>) -> WithPolicy<Policies> {
    let retry = Some(Retry::default().budget(RetryBudget::new(u32::MAX, 1.0)));
    WithPolicy::new(connector, Policies { retry, ..Policies::standard() }, "store")
}

fn key(name: impl ToString) -> Key {
    Key::parse(&name.to_string()).unwrap()
}

async fn put(connector: &impl Connector, key: &Key, value: impl Into<Payload>) -> Result<()> {
    connector.put(key, value.into(), &PutOptions::default()).await
}

async fn create(connector: &impl Connector, key: &Key, value: impl Into<Payload>) -> Result<()> {
    let options = PutOptions { mode: Mode::Create, ..PutOptions::default() };
    connector.put(key, value.into(), &options).await
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
