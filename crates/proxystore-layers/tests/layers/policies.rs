//! Policies around a connector that misbehaves, in paused time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use proxystore_core::{
    Backoff, Connector, ConnectorConfig, Error, ErrorKind, Key, Mode, Origin, Payload, Policy, PutOptions,
    Transfer, WithPolicy,
};
use proxystore_file::FileConfig;
use proxystore_layers::{Limit, Policies, Retry, RetryBudget, Timeout};
use proxystore_local::LocalConnector;
use proxystore_testkit::cancel::poll_and_drop;
use proxystore_testkit::fault::{Fault, FaultConnector, Op};
use tokio::time::{Instant, advance, timeout};

use crate::slow::Slow;

mod deadlines;
mod limits;
mod retry;

const CREATE: PutOptions =
    PutOptions { mode: Mode::Create, ttl: None, tags: std::collections::BTreeSet::new() };

fn faulty() -> Arc<FaultConnector> {
    FaultConnector::new(Arc::new(LocalConnector::new().unwrap()))
}

fn around<P: Policy>(inner: Arc<dyn Connector>, policy: P) -> WithPolicy<P> {
    WithPolicy::new(inner, policy, "test")
}

fn busy() -> Error {
    Error::new(ErrorKind::Unavailable, "the cable is cut").transient()
}

fn lost() -> Error {
    Error::new(ErrorKind::Ambiguous, "the reply is lost")
}

fn value() -> Payload {
    Payload::from(vec![1; 100])
}

fn key() -> Key {
    Key::random().unwrap()
}
