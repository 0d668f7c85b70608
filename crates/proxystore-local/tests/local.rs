//! The contract, and what is special to memory.

#![allow(clippy::unwrap_used, reason = "a failed expectation is what a test reports")]

use std::sync::Arc;

use proxystore_core::{Bytes, Connector, Driver, ErrorKind, Key, Origin, Payload, PutOptions, Uri};
use proxystore_local::{DRIVER, LocalConnector};
use proxystore_testkit::conformance::Harness;

fn two_handles() -> Harness {
    let name = Key::random().unwrap().to_string();
    let neighbour = LocalConnector::named(&format!("{name}-neighbour"));
    Harness::new(Arc::new(LocalConnector::named(&name)))
        .with_second(Arc::new(LocalConnector::named(&name)))
        .with_neighbour(Arc::new(neighbour))
}

proxystore_testkit::conformance!(connector = two_handles());

async fn open(uri: &str, origin: Origin) -> proxystore_core::Result<Arc<dyn Connector>> {
    const DRIVER_OF_LOCAL: Driver = DRIVER;
    DRIVER_OF_LOCAL.open(&uri.parse::<Uri>()?, origin).await
}

#[tokio::test]
async fn a_get_gives_the_memory_that_was_put() {
    let connector = LocalConnector::new().unwrap();
    let key = Key::random().unwrap();
    let body = Bytes::from(vec![7; 1 << 20]);
    connector
        .put(&key, Payload::new(Bytes::from_static(b"head"), body.clone()), &PutOptions::default())
        .await
        .unwrap();
    let (_, same) = connector.get(&key).await.unwrap().unwrap().split_at(4).unwrap();
    assert_eq!(same.as_ptr(), body.as_ptr());
}

#[tokio::test(start_paused = true)]
async fn objects_expire_to_the_millisecond() {
    use std::time::Duration;
    let connector = LocalConnector::new().unwrap();
    let key = Key::random().unwrap();
    let options = PutOptions { ttl: Some(Duration::from_millis(100)), ..PutOptions::default() };
    connector.put(&key, vec![1].into(), &options).await.unwrap();
    tokio::time::advance(Duration::from_millis(99)).await;
    assert!(connector.exists(&key).await.unwrap());
    assert!(connector.touch(&key, Duration::from_millis(100)).await.unwrap());
    tokio::time::advance(Duration::from_millis(99)).await;
    assert!(connector.exists(&key).await.unwrap());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!connector.exists(&key).await.unwrap());
    assert!(!connector.touch(&key, Duration::from_secs(1)).await.unwrap());
}

#[tokio::test]
async fn an_anonymous_map_goes_with_its_last_connector() {
    let connector = LocalConnector::new().unwrap();
    let uri = connector.info().uri.to_string();
    assert!(open(&uri, Origin::Reference).await.is_ok());
    drop(connector);
    let error = open(&uri, Origin::Reference).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unregistered, "{error}");
}

#[tokio::test]
async fn another_process_is_told_apart() {
    let error = open("local://aaaaaaaaaaaaaaaaaaaaaaaaaa/name", Origin::Reference).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("lives in the process that put it"), "{error}");
}

#[tokio::test]
async fn a_uri_that_is_not_a_name_is_refused() {
    for uri in
        ["local://", "local:///a/b", "local://u:p@/a", "local:///a?x=1", "local://h:1/a", "local://a,b/c"]
    {
        assert_eq!(open(uri, Origin::Program).await.unwrap_err().kind(), ErrorKind::Config, "{uri}");
    }
}
