//! Transforms around connectors: the contract of a connector, and their order.

use std::sync::Arc;

use proxystore_core::{
    Bytes, Connector, ConnectorConfig, ErrorKind, Key, KeyRing, Origin, Payload, PutOptions, SecretKey,
    Transfer, Transform, WithTransform,
};
use proxystore_file::FileConfig;
use proxystore_layers::{Compress, Encrypt};
use proxystore_local::LocalConnector;
use proxystore_testkit::conformance::Harness;

use super::{key, noise, text};

fn zstd() -> Arc<dyn Transform> {
    Arc::new(Compress::zstd())
}

fn lz4() -> Arc<dyn Transform> {
    Arc::new(Compress::lz4())
}

fn encrypt() -> Arc<dyn Transform> {
    Arc::new(Encrypt::new(KeyRing::new(SecretKey::new("k1", [7; 32]).unwrap())))
}

fn with(inner: impl Connector, transforms: &[Arc<dyn Transform>]) -> Arc<WithTransform> {
    Arc::new(WithTransform::new(Arc::new(inner), transforms.to_vec()).unwrap())
}

fn around_local(transforms: &[Arc<dyn Transform>]) -> Harness {
    let name = Key::random().unwrap().to_string();
    let open = |name: &str| with(LocalConnector::named(name), transforms);
    Harness::new(open(&name)).with_second(open(&name)).with_neighbour(open(&format!("{name}-neighbour")))
}

async fn around_file(transforms: &[Arc<dyn Transform>]) -> Harness {
    let directory = tempfile::tempdir().unwrap();
    let open = async |name: &str| {
        let config = FileConfig { root: directory.path().join(name), ..FileConfig::default() };
        with(config.connect(Origin::Program).await.unwrap(), transforms)
    };
    let (first, second, neighbour) = (open("objects").await, open("objects").await, open("others").await);
    Harness::new(first).with_second(second).with_neighbour(neighbour).keeping(directory)
}

mod zstd_local {
    use super::{around_local, zstd};

    proxystore_testkit::conformance!(connector = around_local(&[zstd()]));
}

mod lz4_local {
    use super::{around_local, lz4};

    proxystore_testkit::conformance!(connector = around_local(&[lz4()]));
}

mod encrypt_local {
    use super::{around_local, encrypt};

    proxystore_testkit::conformance!(connector = around_local(&[encrypt()]));
}

mod zstd_encrypt_local {
    use super::{around_local, encrypt, zstd};

    proxystore_testkit::conformance!(connector = around_local(&[zstd(), encrypt()]));
}

mod zstd_encrypt_file {
    use super::{around_file, encrypt, zstd};

    proxystore_testkit::conformance!(connector = around_file(&[zstd(), encrypt()]).await);
}

#[tokio::test]
async fn it_compresses_before_it_encrypts() {
    let inner = Arc::new(LocalConnector::new().unwrap());
    for order in [[zstd(), encrypt()], [encrypt(), zstd()]] {
        let connector = WithTransform::new(inner.clone(), order.to_vec()).unwrap();
        assert_eq!(connector.info().uri.option("via"), Some("zstd,encrypt"));
        let key = key("ordered");
        connector.put(&key, text(100_000).into(), &PutOptions::default()).await.unwrap();
        let stored = inner.get(&key).await.unwrap().unwrap().into_bytes();
        assert!(stored.starts_with(b"PxEn") && stored.len() < 50_000, "{} bytes", stored.len());
        assert_eq!(connector.get(&key).await.unwrap().unwrap().into_bytes(), text(100_000));
    }
    let two = WithTransform::new(inner, vec![zstd(), lz4()]).unwrap_err();
    assert_eq!(two.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn what_does_not_compress_is_the_memory_that_was_put() {
    let connector = with(LocalConnector::new().unwrap(), &[zstd()]);
    let body = Bytes::from(noise(1 << 20));
    let value = Payload::new(noise(80), body.clone());
    connector.put(&key("k"), value, &PutOptions::default()).await.unwrap();
    let (_, same) = connector.get(&key("k")).await.unwrap().unwrap().split_at(80).unwrap();
    assert_eq!(same.as_ptr(), body.as_ptr());
}

#[tokio::test]
async fn a_downgraded_object_is_corrupt() {
    let inner = Arc::new(LocalConnector::new().unwrap());
    let via = |transforms: Vec<_>| WithTransform::new(inner.clone(), transforms).unwrap();
    let both = via(vec![zstd(), encrypt()]);
    for less in [via(vec![]), via(vec![zstd()]), via(vec![encrypt()])] {
        less.put(&key("k"), text(5_000).into(), &PutOptions::default()).await.unwrap();
        assert_eq!(both.get(&key("k")).await.unwrap_err().kind(), ErrorKind::Corrupt);
        both.put(&key("k"), text(5_000).into(), &PutOptions::default()).await.unwrap();
        let seen = less.get(&key("k")).await.map(|found| found.unwrap().into_bytes());
        assert!(seen.is_err() || !seen.unwrap().starts_with(b"line"));
    }
}

#[tokio::test]
async fn an_object_of_the_full_size_passes_the_limit() {
    for len in [1_000, 64 << 10, 200_000, 5 << 20] {
        let connector = with(LocalConnector::new().unwrap(), &[zstd(), encrypt()]);
        connector.put(&key("k"), noise(len).into(), &PutOptions::default()).await.unwrap();
        let get = |max| Transfer::new(max).scope(async { connector.get(&key("k")).await });
        assert_eq!(get(len as u64).await.unwrap().unwrap().len(), len);
        let error = get(len as u64 - 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
        assert!(error.to_string().contains("transform=zstd"), "{error}");
    }
}

#[tokio::test]
async fn few_bytes_that_become_many_are_opened() {
    let connector = with(LocalConnector::new().unwrap(), &[zstd(), encrypt()]);
    connector.put(&key("k"), vec![0; 20 << 20].into(), &PutOptions::default()).await.unwrap();
    assert_eq!(connector.get(&key("k")).await.unwrap().unwrap().into_bytes(), vec![0; 20 << 20]);
}
