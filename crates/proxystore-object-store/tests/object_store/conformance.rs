//! The suite that all connectors pass.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;
use proxystore_core::{Connector, ConnectorConfig, Id, Origin, Reach, Uri, WithPolicy};
use proxystore_layers::Policies;
use proxystore_object_store::{FromStore, ObjectStoreConfig, ObjectStoreConnector};
use proxystore_testkit::conformance::Harness;

type Around = fn(Arc<dyn Connector>) -> Arc<dyn Connector>;

fn bare(connector: Arc<dyn Connector>) -> Arc<dyn Connector> {
    connector
}

fn with_policies(connector: Arc<dyn Connector>) -> Arc<dyn Connector> {
    Arc::new(WithPolicy::new(connector, Policies::standard(), "store"))
}

async fn named(name: &str) -> ObjectStoreConnector {
    let uri = format!("memory:///{name}").parse().unwrap();
    ObjectStoreConfig::from_uri(&uri).unwrap().connect(Origin::Program).await.unwrap()
}

/// `memory://`.
async fn memory(around: Around) -> Harness {
    let name = Id::random().unwrap().to_string();
    let (first, second) = (named(&name).await, named(&name).await);
    let neighbour = named(&format!("{name}-2")).await;
    harness(around, [first, second, neighbour])
}

fn harness(around: Around, connectors: [ObjectStoreConnector; 3]) -> Harness {
    let [first, second, neighbour] = connectors.map(|connector| around(Arc::new(connector)));
    Harness::new(first).with_second(second).with_neighbour(neighbour)
}

/// Any store that the program brings along, and a neighbour in it.
fn brought(around: Around, store: Arc<dyn ObjectStore>, settings: FromStore) -> Harness {
    let uri: Uri = "brought+object:///here".parse().unwrap();
    let open = |prefix: &str| {
        let store = Arc::new(PrefixStore::new(store.clone(), prefix));
        ObjectStoreConnector::from_store(store, uri.clone(), settings).unwrap()
    };
    harness(around, [open("app"), open("app"), open("others")])
}

fn in_memory(around: Around) -> Harness {
    let settings =
        FromStore { versions: true, repeats: false, reach: Reach::Process, ..FromStore::default() };
    brought(around, Arc::new(InMemory::new()), settings)
}

fn in_files(around: Around) -> Harness {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalFileSystem::new_with_prefix(directory.path()).unwrap();
    let settings = FromStore { files: true, repeats: false, reach: Reach::Host, ..FromStore::default() };
    brought(around, Arc::new(store), settings).keeping(directory)
}

mod memory_plain {
    use super::{bare, memory};

    proxystore_testkit::conformance!(connector = memory(bare).await);
}

mod memory_policies {
    use super::{memory, with_policies};

    proxystore_testkit::conformance!(connector = memory(with_policies).await);
}

mod in_memory_plain {
    use super::{bare, in_memory};

    proxystore_testkit::conformance!(connector = in_memory(bare));
}

mod in_memory_policies {
    use super::{in_memory, with_policies};

    proxystore_testkit::conformance!(connector = in_memory(with_policies));
}

mod in_files_plain {
    use super::{bare, in_files};

    proxystore_testkit::conformance!(connector = in_files(bare));
}

mod in_files_policies {
    use super::{in_files, with_policies};

    proxystore_testkit::conformance!(connector = in_files(with_policies));
}
