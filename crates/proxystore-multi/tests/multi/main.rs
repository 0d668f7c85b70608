//! The contract, and what is special to several connectors as one.

#![allow(clippy::unwrap_used, reason = "a failed expectation is what a test reports")]

mod fallback;
mod places;
mod routing;
mod tiers;

use std::collections::HashMap;
use std::sync::Arc;

use proxystore_core::{
    Connector, ConnectorConfig, Driver, Error, ErrorKind, Id, Key, KeyHint, Opener, Origin, Payload,
    PutOptions, Result, Tags, Uri, async_trait,
};
use proxystore_multi::{MultiConfig, MultiConnector};
use proxystore_testkit::conformance::Harness;
use proxystore_testkit::fault::FaultConnector;

/// Opens children by their drivers, or has them in hand.
#[derive(Debug, Default)]
struct Children(HashMap<String, Arc<FaultConnector>>);

#[async_trait]
impl Opener for Children {
    async fn open(&self, uri: &Uri) -> Result<Arc<dyn Connector>> {
        match self.0.get(uri.path().trim_start_matches('/')) {
            Some(connector) => Ok(connector.clone()),
            None => driver(uri)?.open(uri, Origin::Program).await,
        }
    }

    fn identity(&self, uri: &Uri) -> Result<Uri> {
        driver(uri)?.identity(uri)
    }
}

fn driver(uri: &Uri) -> Result<Driver> {
    let drivers = [proxystore_local::DRIVER, proxystore_file::DRIVER];
    let found = drivers.into_iter().find(|driver| driver.schemes().contains(&uri.scheme()));
    found.ok_or_else(|| Error::new(ErrorKind::Unsupported, "no such driver"))
}

async fn open_with(uri: &str, children: Children) -> Result<MultiConnector> {
    let config = MultiConfig::from_uri(&uri.parse()?)?;
    config.connect_over(Origin::Program, Arc::new(children)).await
}

async fn open(uri: &str) -> MultiConnector {
    open_with(uri, Children::default()).await.unwrap()
}

/// Over local children that misbehave on demand: those of these names.
async fn open_faulty(uri: &str, names: &[&str]) -> (MultiConnector, HashMap<String, Arc<FaultConnector>>) {
    let fresh = || FaultConnector::new(Arc::new(proxystore_local::LocalConnector::new().unwrap()));
    let all: HashMap<_, _> = names.iter().map(|name| ((*name).to_owned(), fresh())).collect();
    (open_with(uri, Children(all.clone())).await.unwrap(), all)
}

/// A name that nobody else has.
fn name() -> String {
    Id::random().unwrap().to_string()
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn tags(tags: &[&str]) -> Tags {
    tags.iter().map(|tag| (*tag).to_owned()).collect()
}

fn hint(size: u64) -> KeyHint<'static> {
    KeyHint { size: Some(size), tags: None }
}

fn payload(text: &'static str) -> Payload {
    text.as_bytes().into()
}

async fn put(connector: &dyn Connector, key: &Key, value: &'static str) {
    connector.put(key, payload(value), &PutOptions::default()).await.unwrap();
}

async fn get(connector: &dyn Connector, key: &Key) -> Option<Vec<u8>> {
    connector.get(key).await.unwrap().map(|value| value.into_bytes().to_vec())
}

async fn harness(uri: impl Fn(&str) -> String) -> Harness {
    let name = name();
    let open = async |name: &str| Arc::new(open(&uri(name)).await) as Arc<dyn Connector>;
    let (first, second, neighbour) = (open(&name).await, open(&name).await, open(&format!("{name}-n")).await);
    Harness::new(first).with_second(second).with_neighbour(neighbour)
}

/// Fresh keys go to one child, the others to the other.
mod routed {
    use super::*;

    async fn open() -> Harness {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_owned();
        let uri = move |name: &str| {
            format!(
                "multi://large,rest?large=file://{0}/{name}&large.min=1&large.priority=1\
                 &large.subset=hot&rest=local:///{name}",
                root.display()
            )
        };
        harness(uri).await.keeping(directory)
    }

    proxystore_testkit::conformance!(connector = open().await);
}

mod with_fallback {
    use super::*;

    fn uri(name: &str) -> String {
        format!("multi://a,b?a=local:///{name}-a&b=local:///{name}-b&a.subset=hot&fallback=yes")
    }

    proxystore_testkit::conformance!(connector = harness(uri).await);
}

mod near_and_far {
    use super::*;

    async fn open() -> Harness {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_owned();
        let uri = move |name: &str| {
            let far = root.display();
            format!(
                "multi://near,far?near=local:///{name}&far=file://{far}/{name}&far.near=near&far.subset=hot"
            )
        };
        harness(uri).await.keeping(directory)
    }

    proxystore_testkit::conformance!(connector = open().await);
}
