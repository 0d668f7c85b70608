//! Several connectors as one, of which one is S3.

use std::sync::Arc;

use proxystore_core::{
    Connector, ConnectorConfig, Driver, Error, ErrorKind, Id, Opener, Origin, PutOptions, Result, Uri,
    async_trait,
};
use proxystore_multi::{MultiConfig, MultiConnector};
use proxystore_s3::{S3Config, S3Connector};
use proxystore_testkit::conformance::Harness;
use proxystore_testkit::s3::{Fault, On, S3Server};
use proxystore_testkit::sample;
use tempfile::TempDir;

use crate::{client, connect, get, put};

/// Opens children by their drivers, and those of S3 with the credentials that the server knows.
#[derive(Debug)]
struct Children;

fn driver(uri: &Uri) -> Result<Driver> {
    let drivers = [proxystore_local::DRIVER, proxystore_file::DRIVER, proxystore_s3::DRIVER];
    let found = drivers.into_iter().find(|driver| driver.schemes().contains(&uri.scheme()));
    found.ok_or_else(|| Error::new(ErrorKind::Unsupported, "no such driver"))
}

#[async_trait]
impl Opener for Children {
    async fn open(&self, uri: &Uri) -> Result<Arc<dyn Connector>> {
        if uri.scheme() != "s3" {
            return driver(uri)?.open(uri, Origin::Program).await;
        }
        let config = S3Config::from_uri(uri)?;
        let client = client(config.endpoint.as_deref().unwrap());
        Ok(Arc::new(S3Connector::from_client(&client, &config).await?))
    }

    fn identity(&self, uri: &Uri) -> Result<Uri> {
        driver(uri)?.identity(uri)
    }
}

async fn open(uri: Uri) -> MultiConnector {
    let config = MultiConfig::from_uri(&uri).unwrap();
    config.connect_over(Origin::Program, Arc::new(Children)).await.unwrap()
}

fn far(server: &S3Server, prefix: &str) -> String {
    format!("s3://objects/{prefix}?endpoint={}", server.endpoint())
}

/// Objects belong far, and are copied near.
fn tiers(server: &S3Server, near: &TempDir, prefix: &str) -> Uri {
    Uri::new("multi")
        .with_host("far", None)
        .with_host("near", None)
        .with_option("far", far(server, prefix))
        .with_option("far.near", "near")
        .with_option("far.subset", "hot")
        .with_option("near", format!("file://{}/{prefix}", near.path().display()))
}

async fn harness(uri: impl Fn(&S3Server, &str) -> Uri) -> Harness {
    let server = S3Server::start().await;
    let open = async |prefix: &str| Arc::new(open(uri(&server, prefix)).await);
    let (first, second, neighbour) = (open("app").await, open("app").await, open("others").await);
    Harness::new(first).with_second(second).with_neighbour(neighbour).keeping(server)
}

/// Small objects stay in this process, large ones go to S3.
mod routed {
    use super::*;

    async fn open() -> Harness {
        let name = Id::random().unwrap();
        harness(|server, prefix| {
            Uri::new("multi")
                .with_host("small", None)
                .with_host("large", None)
                .with_option("small", format!("local:///{name}-{prefix}"))
                .with_option("small.max", 1_000)
                .with_option("small.priority", 1)
                .with_option("large", far(server, prefix))
                .with_option("large.subset", "hot")
        })
        .await
    }

    proxystore_testkit::conformance!(connector = open().await);
}

mod near_and_far {
    use super::*;

    async fn open() -> Harness {
        let near = tempfile::tempdir().unwrap();
        harness(|server, prefix| tiers(server, &near, prefix)).await.keeping(near)
    }

    proxystore_testkit::conformance!(connector = open().await);
}

/// While S3 fails, what is put is near; when it is back, it is far, too.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_s3_delays_the_copies() {
    let (server, near) = (S3Server::start().await, tempfile::tempdir().unwrap());
    let multi = open(tiers(&server, &near, "app")).await;
    let far = connect(&server, "app").await;
    server.inject(On::Put, Fault::SlowDown, 3);
    let key = multi.new_key(Default::default()).unwrap();
    put(&multi, &key, sample::make(1, 100_000)).await.unwrap();
    assert_eq!(sample::seed(get(&multi, &key).await.unwrap().unwrap()), Ok(1));
    multi.flush().await.unwrap();
    assert_eq!(server.happened(On::Put, Fault::SlowDown), 3);
    assert_eq!(sample::seed(get(&*far, &key).await.unwrap().unwrap()), Ok(1));
    multi.close().await.unwrap();
}

/// A file is far when its put is over, and near as well: a get asks S3 for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_far_and_near() {
    let (server, near) = (S3Server::start().await, tempfile::tempdir().unwrap());
    let multi = open(tiers(&server, &near, "app")).await;
    let far = connect(&server, "app").await;
    let (key, value) = (multi.new_key(Default::default()).unwrap(), sample::make(1, 20 << 20));
    std::fs::write(near.path().join("file"), &value).unwrap();
    let source = proxystore_core::FileSource::open(near.path().join("file")).unwrap();
    multi.put_file(&key, &source, &PutOptions::default()).await.unwrap();
    assert!(get(&*far, &key).await.unwrap().unwrap() == value);
    let asked = server.count(On::Get);
    assert!(get(&multi, &key).await.unwrap().unwrap() == value);
    assert_eq!(server.count(On::Get), asked);
    multi.close().await.unwrap();
}
