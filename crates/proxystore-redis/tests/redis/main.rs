//! The connector against real servers, and against what can happen to them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]

mod access;
mod batches;
mod conformance;
mod dropping;
mod faults;
mod sizes;
mod topologies;
mod watches;

use std::sync::Arc;

use proxystore_core::{Bytes, Connector, ConnectorConfig, Error, Key, Origin, Payload, Result};
use proxystore_redis::{RedisConfig, RedisConnector};

async fn connect(uri: &str) -> Result<Arc<RedisConnector>> {
    RedisConfig::from_uri(&uri.parse()?)?.connect(Origin::Program).await.map(Arc::new)
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

async fn put(connector: &dyn Connector, name: &str, value: impl Into<Payload>) -> Result<()> {
    connector.put(&key(name), value.into(), &Default::default()).await
}

async fn get(connector: &dyn Connector, name: &str) -> Result<Option<Bytes>> {
    Ok(connector.get(&key(name)).await?.map(Payload::into_bytes))
}

/// One line of a command, straight to the server.
async fn raw(port: u16, command: &[&str]) -> redis::Value {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    let mut conn = client.get_multiplexed_async_connection().await.unwrap();
    let mut cmd = redis::Cmd::new();
    cmd.arg(command);
    cmd.query_async(&mut conn).await.unwrap()
}

/// Whether the error says what a caller has to know of a passing outage.
fn is_outage(error: &Error) -> bool {
    use proxystore_core::ErrorKind::{Ambiguous, Timeout, Unavailable};
    matches!(error.kind(), Unavailable | Timeout | Ambiguous)
}
