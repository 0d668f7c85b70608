//! Backends, and the standard stack over them.

use std::sync::Arc;
use std::time::Duration;

use proxystore::file::FileConfig;
use proxystore::layers::{Compress, Encrypt, Limit, Policies, Retry, Timeout};
use proxystore::local::LocalConnector;
use proxystore::redis::RedisConfig;
use proxystore::{Backoff, Connector, ConnectorConfig, Key, KeyRing, Origin, SecretKey, Transform, Uri};
use proxystore_core::{WithPolicy, WithTransform};
use proxystore_testkit::redis::RedisServer;

/// A connector, and what it needs to live.
pub(crate) type Backend = (Arc<dyn Connector>, Box<dyn std::any::Any + Send + Sync>);

pub(crate) fn local() -> Backend {
    (Arc::new(LocalConnector::new().unwrap()), Box::new(()))
}

pub(crate) async fn file(directory: &std::path::Path) -> Arc<dyn Connector> {
    let config = FileConfig { root: directory.to_owned(), ..FileConfig::default() };
    Arc::new(config.connect(Origin::Program).await.unwrap())
}

pub(crate) async fn redis(uri: &str) -> Arc<dyn Connector> {
    let uri: Uri = uri.parse().unwrap();
    Arc::new(RedisConfig::from_uri(&uri).unwrap().connect(Origin::Program).await.unwrap())
}

/// A server, and its URI with options to come.
pub(crate) async fn server() -> Option<(RedisServer, String)> {
    let server = RedisServer::start().await?;
    let uri = format!("{}/0?timeout=2s&connect_timeout=2s", server.uri());
    Some((server, uri))
}

pub(crate) fn transforms() -> Vec<Arc<dyn Transform>> {
    vec![Arc::new(Compress::zstd()), Arc::new(encrypt())]
}

pub(crate) fn encrypt() -> Encrypt {
    Encrypt::new(KeyRing::new(SecretKey::new("test", [7; 32]).unwrap()))
}

/// The standard policies, with less patience.
pub(crate) fn impatient() -> Policies {
    let backoff = Backoff {
        first: Duration::from_millis(2),
        max: Duration::from_millis(50),
        timeout: Duration::from_secs(10),
        ..Backoff::default()
    };
    Policies {
        retry: Some(Retry::new(4, backoff)),
        limit: Some(Limit::default()),
        timeout: Some(Timeout::new(Duration::from_millis(500))),
        ..Policies::standard()
    }
}

/// Transforms and the standard policies around a connector.
pub(crate) fn standard(inner: Arc<dyn Connector>) -> Arc<dyn Connector> {
    let transformed = WithTransform::new(inner, transforms()).unwrap();
    Arc::new(WithPolicy::new(Arc::new(transformed), Policies::standard(), "stack"))
}

/// A name that nobody else has.
pub(crate) fn name() -> String {
    Key::random().unwrap().to_string()
}
