//! Stores over each connector, for tests that hold for all of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proxystore::{Connector, ConnectorConfig, Id, Origin, Store};
use proxystore_testkit::fault::FaultConnector;
use proxystore_testkit::redis::RedisServer;

/// A fresh backend, with what must live as long as it does.
pub(crate) struct Backend {
    pub(crate) scheme: &'static str,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) uri: String,
    _keep: Box<dyn Send>,
}

async fn connect<C: ConnectorConfig>(uri: &str) -> Arc<dyn Connector> {
    Arc::new(C::from_uri(&uri.parse().unwrap()).unwrap().connect(Origin::Program).await.unwrap())
}

pub(crate) async fn local() -> Backend {
    let uri = format!("local:///{}", Id::random().unwrap());
    let connector = connect::<proxystore::local::LocalConfig>(&uri).await;
    Backend { scheme: "local", connector, uri, _keep: Box::new(()) }
}

pub(crate) async fn file() -> Backend {
    let dir = tempfile::tempdir().unwrap();
    let uri = format!("file://{}", dir.path().display());
    let connector = connect::<proxystore::file::FileConfig>(&uri).await;
    Backend { scheme: "file", connector, uri, _keep: Box::new(dir) }
}

/// `None` if there is no server, which is recorded as a skip.
pub(crate) async fn redis() -> Option<Backend> {
    let server = RedisServer::start().await?;
    let uri = server.uri();
    let connector = connect::<proxystore::redis::RedisConfig>(&uri).await;
    Some(Backend { scheme: "redis", connector, uri, _keep: Box::new(server) })
}

/// One of each.
pub(crate) async fn backends() -> Vec<Backend> {
    let mut backends = vec![local().await, file().await];
    backends.extend(redis().await);
    backends
}

impl Backend {
    /// A store over this backend, unregistered.
    pub(crate) async fn store(&self, name: &str) -> Store {
        Store::builder(name).shared_connector(self.connector.clone()).build().await.unwrap()
    }

    /// A store over this backend whose calls are counted.
    pub(crate) async fn spied(&self, name: &str) -> (Store, Arc<FaultConnector>) {
        let spy = FaultConnector::new(self.connector.clone());
        (Store::builder(name).shared_connector(spy.clone()).build().await.unwrap(), spy)
    }
}

/// The files below the root of a file store, without those that describe the root itself (`=…`): one for
/// each object that is there, or that has been there and is not yet swept.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() && !entry.file_name().as_encoded_bytes().starts_with(b"=") {
            found.push(entry.path());
        }
    }
    found
}
