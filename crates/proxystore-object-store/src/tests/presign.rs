//! Addresses for readers without credentials.

use std::time::Duration;

use proxystore_core::{Connector, ConnectorConfig, Error, ErrorKind, Key, Origin};
use proxystore_store::{Proxy, Registry, Store, Trust};
use proxystore_testkit::cancel::eventually;
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;
use proxystore_testkit::s3::S3Server;

use super::{connect, get, key, put};
use crate::{DRIVER, ObjectStoreConfig, ObjectStoreConnector, Presigned};

const MINUTE: Duration = Duration::from_secs(60);

/// A connector that knows nothing but an address.
async fn open(address: &Presigned) -> Result<ObjectStoreConnector, Error> {
    ObjectStoreConfig::from_uri(address.uri())?.connect(Origin::Reference).await
}

/// Resolves what it hears, if it lies where it is told by the trust rule.
#[tokio::test]
async fn reader() {
    role!("tests::presign::reader");
    Registry::global().install(DRIVER);
    Registry::global().set_trust(Trust::allow([process::hear().await.unwrap()]).unwrap());
    while let Some(reference) = process::hear().await {
        let proxy: Proxy<Vec<u8>> = serde_json::from_str(&reference).unwrap();
        process::say(&match proxy.resolve_async().await {
            Ok(target) => format!("{} bytes", target.len()),
            Err(error) => error.to_string(),
        });
    }
}

/// Another process without credentials resolves what it was given an address of, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_presigned_proxy_resolves_anywhere() {
    let server = S3Server::start().await;
    let connector = connect(&server, "app/objects").await;
    let store = Store::builder("models").shared_connector(connector.clone()).build().await.unwrap();
    let mut reader = Role::spawn("tests::presign::reader", &[]);
    reader.say(&server.endpoint()).await;
    let mut signatures = Vec::new();
    // Of several objects, and of one several times.
    for size in [10, 300_000, 300_000] {
        let proxy = store.proxy(vec![7u8; size]).await.unwrap();
        for _ in 0..2 {
            let address = connector.presign(proxy.factory().key(), MINUTE).await.unwrap();
            let handed: Proxy<Vec<u8>> = Proxy::new(proxy.factory().presigned(address.uri()).await.unwrap());
            let reference = serde_json::to_string(&handed).unwrap();
            assert!(reference.contains("Signature=") && reference.len() < 1_000, "{}", reference.len());
            reader.say(&reference).await;
            assert_eq!(reader.hear().await.unwrap(), format!("{size} bytes"));
            signatures.push(signature(&address));
            // What the store itself hands out has none.
            let plain = serde_json::to_string(&proxy).unwrap();
            assert!(!plain.contains("Signature="), "{plain}");
            reader.say(&plain).await;
            let refused = reader.hear().await.unwrap();
            assert!(refused.starts_with("denied"), "{refused}");
        }
    }
    // An address that was changed is not signed.
    let proxy = store.proxy(vec![1u8]).await.unwrap();
    let address = connector.presign(proxy.factory().key(), MINUTE).await.unwrap();
    let handed: Proxy<Vec<u8>> = Proxy::new(proxy.factory().presigned(address.uri()).await.unwrap());
    let reference = serde_json::to_string(&handed).unwrap();
    reader.say(&reference.replace("Expires=60", "Expires=61")).await;
    let forged = reader.hear().await.unwrap();
    assert!(forged.starts_with("denied") && forged.contains("ask for a new one"), "{forged}");
    // Nor do messages show a signature.
    connector.evict(proxy.factory().key()).await.unwrap();
    reader.say(&reference).await;
    let missing = reader.hear().await.unwrap();
    assert!(missing.starts_with("no such object"), "{missing}");
    for text in [missing, forged, format!("{handed:?} {address:?}")] {
        assert!(!signatures.iter().any(|signature| text.contains(signature)), "{text}");
        assert!(!text.contains("X-Amz"), "{text}");
    }
}

fn signature(address: &Presigned) -> String {
    address.url().expose().split_once("X-Amz-Signature=").unwrap().1.to_owned()
}

/// The right ends with its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_presigned_address_expires() {
    let server = S3Server::start().await;
    let connector = connect(&server, "app").await;
    put(&*connector, &key("a"), vec![1, 2, 3]).await.unwrap();
    let address = connector.presign(&key("a"), Duration::from_secs(1)).await.unwrap();
    let reader = open(&address).await.unwrap();
    assert_eq!(get(&reader, &key("a")).await.unwrap().unwrap(), &[1, 2, 3][..]);
    eventually(MINUTE, || async {
        match get(&reader, &key("a")).await {
            Ok(object) => {
                assert!(object.is_some(), "an end is not absence");
                false
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Expired, "{error}");
                assert!(!error.to_string().contains("X-Amz"), "{error}");
                true
            }
        }
    })
    .await;
}

/// An address is for one object, and to read it.
#[tokio::test]
async fn a_presigned_address_is_for_reading_one_object() {
    let server = S3Server::start().await;
    let connector = connect(&server, "app").await;
    for name in ["a", "b", "ab/a"] {
        put(&*connector, &key(name), name.as_bytes().to_vec()).await.unwrap();
    }
    let address = connector.presign(&key("ab/a"), MINUTE).await.unwrap();
    let reader = open(&address).await.unwrap();
    assert!(reader.exists(&key("ab/a")).await.unwrap());
    assert_eq!(get(&reader, &key("ab/a")).await.unwrap().unwrap(), "ab/a");
    for name in ["b", "b/a", "ab"] {
        let error = get(&reader, &key(name)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    }
    let changed = put(&reader, &key("ab/a"), vec![1]).await.unwrap_err();
    assert_eq!(changed.kind(), ErrorKind::Unsupported, "{changed}");
    assert_eq!(reader.evict(&key("ab/a")).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(reader.clear().await.unwrap_err().kind(), ErrorKind::Unsupported);

    connector.evict(&key("ab/a")).await.unwrap();
    assert!(!reader.exists(&key("ab/a")).await.unwrap());
    assert!(get(&reader, &key("ab/a")).await.unwrap().is_none());
    let error = open_at("https://:sig=1&acl=@store.example/a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

async fn open_at(uri: &str) -> Result<ObjectStoreConnector, Error> {
    ObjectStoreConfig::from_uri(&uri.parse()?)?.connect(Origin::Reference).await
}

/// What cannot be signed for is said.
#[tokio::test]
async fn what_is_not_signed_is_said() {
    let server = S3Server::start().await;
    let connector = connect(&server, "app").await;
    for time in [Duration::ZERO, Duration::from_secs(8 * 24 * 3600)] {
        assert_eq!(connector.presign(&key("a"), time).await.unwrap_err().kind(), ErrorKind::Config);
    }
    let memory: ObjectStoreConnector = open_memory("unsigned").await;
    assert_eq!(memory.presign(&key("a"), MINUTE).await.unwrap_err().kind(), ErrorKind::Unsupported);

    let store = Store::builder("signs").shared_connector(connector.clone()).build().await.unwrap();
    let proxy = store.proxy(1).await.unwrap();
    let other = connector.presign(&Key::random().unwrap(), MINUTE).await.unwrap();
    for address in [other.uri(), &connector.info().uri] {
        let error = proxy.factory().presigned(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(!error.to_string().contains("X-Amz"), "{error}");
    }
}

async fn open_memory(name: &str) -> ObjectStoreConnector {
    let uri = format!("memory:///{name}").parse().unwrap();
    ObjectStoreConfig::from_uri(&uri).unwrap().connect(Origin::Program).await.unwrap()
}

/// Azure signs without a request, too, and what it signs is a place.
#[cfg(feature = "azure")]
#[tokio::test]
async fn azure_signs() {
    use object_store::azure::MicrosoftAzureBuilder;

    let azure = MicrosoftAzureBuilder::new().with_account("account").with_container_name("container");
    let azure = std::sync::Arc::new(azure.with_access_key("c2VjcmV0").build().unwrap());
    let uri = "az://account/container".parse().unwrap();
    let connector =
        ObjectStoreConnector::from_store(azure.clone(), uri, crate::FromStore::default()).unwrap();
    let address = connector.with_signer(azure).presign(&key("a/b"), MINUTE).await.unwrap();
    assert_eq!(address.uri().to_string(), "https://***@account.blob.core.windows.net/container/a/b");
    let reader = open(&address).await.unwrap();
    assert_eq!(reader.info().uri, address.uri().public());
    let end = crate::signature::end(&address.uri().password().unwrap().unwrap()).unwrap();
    let left = end - crate::expiry::now();
    assert!((55_000..=60_000).contains(&left), "{left} ms");
}
