//! Signed references between processes.

use std::time::Duration;

use proxystore::layers::Compress;
use proxystore::{ErrorKind, KeyRing, Proxy, Registry, Rights, SecretKey, Store, Trust};
use proxystore_testkit::process::{self, Role};
use serde_json::Value;

const HOUR: Duration = Duration::from_secs(3600);

/// A process that has the store and perhaps other keys: it says how resolving, and then evicting, ends.
#[tokio::test]
async fn reader() {
    proxystore_testkit::role!("signed::reader");
    proxystore::install(proxystore::Trust::Registered);
    let place = std::env::var("PLACE").unwrap();
    let keys = KeyRing::from_env("KEYS").unwrap();
    let _store = Store::builder("jobs").uri(place).sign(keys).register().build().await.unwrap();
    while let Some(reference) = process::hear().await {
        let proxy: Proxy<String> = serde_json::from_str(&reference).unwrap();
        let words = |error: proxystore::Error| error.kind().words();
        let resolved = proxy.resolve_async().await.map_or_else(words, String::as_str);
        let evicted = proxy.factory().evict().await.map_or_else(words, |()| "evicted");
        process::say(&format!("{resolved}, {evicted}"));
    }
}

/// A process that has neither the store nor a key: it hands references on, to be read only and for an hour.
#[tokio::test]
async fn holder() {
    proxystore_testkit::role!("signed::holder");
    while let Some(reference) = process::hear().await {
        let proxy: Proxy<String> = serde_json::from_str(&reference).unwrap();
        let limited: Proxy<String> = Proxy::new(proxy.factory().limited(Rights::READ, Some(HOUR)).unwrap());
        process::say(&serde_json::to_string(&limited).unwrap());
    }
}

#[tokio::test]
async fn a_reference_means_the_same_in_every_process_that_has_the_key() {
    proxystore::install(proxystore::Trust::Registered);
    let dir = tempfile::tempdir().unwrap();
    let place = format!("file://{}", dir.path().display());
    let (new, old) = (format!("new:{}", "17".repeat(32)), format!("old:{}", "71".repeat(32)));
    let mut reader = Role::spawn("signed::reader", &[("PLACE", &place), ("KEYS", &format!("{new} {old}"))]);
    let mut stranger = Role::spawn("signed::reader", &[("PLACE", &place), ("KEYS", &new)]);
    let mut holder = Role::spawn("signed::holder", &[]);

    let keys = KeyRing::parse(&old).unwrap();
    let store = Store::builder("jobs").uri(place).sign(keys).build().await.unwrap();
    let reference = serde_json::to_string(&store.proxy("hello".to_owned()).await.unwrap()).unwrap();
    holder.say(&reference).await;
    let limited = holder.hear().await.unwrap();

    let ask = async |role: &mut Role, reference: &str| {
        role.say(reference).await;
        role.hear().await.unwrap()
    };
    assert_eq!(ask(&mut stranger, &reference).await, "denied, denied");
    assert_eq!(ask(&mut reader, &limited).await, "hello, denied");
    assert_eq!(ask(&mut reader, &limited.replace(" read@", " read+evict@")).await, "denied, denied");
    assert_eq!(ask(&mut reader, &reference).await, "hello, evicted");
    let proxy: Proxy<String> = serde_json::from_str(&reference).unwrap();
    assert!(!store.exists(proxy.factory().key()).await.unwrap());
    // Here, no store is registered under that name.
    assert_eq!(proxy.resolve_async().await.unwrap_err().kind(), ErrorKind::Denied);
}

/// A reference whose signature was dropped finds no other way to the objects: not by another name, not by another
/// transform, not by a store of the program that does not sign.
#[tokio::test]
async fn no_way_leads_round_the_signature() {
    let dir = tempfile::tempdir().unwrap();
    let place = format!("file://{}", dir.path().canonicalize().unwrap().display());
    let registry = Registry::new();
    registry.install(proxystore::file::DRIVER);
    registry.install_transform(Compress::zstd());
    registry.install_transform(Compress::lz4());
    registry.set_trust(Trust::allow([&place]).unwrap());
    let open =
        |name: &str| Store::builder(name).uri(format!("{place}?via=zstd")).registry(&registry).register();
    let _twin = open("twin").build().await.unwrap();
    let keys = KeyRing::new(SecretKey::random("new").unwrap());
    let store = open("jobs").sign(keys).build().await.unwrap();
    let proxy = store.proxy("hello".to_owned()).await.unwrap();
    let signed = serde_json::to_value(&proxy).unwrap();
    let resolve = async |reference: &Value| {
        let proxy: Proxy<String> = serde_json::from_value(reference.clone()).unwrap();
        registry.bind(proxy).await?.extract().await
    };
    assert_eq!(*resolve(&signed).await.unwrap(), "hello");

    let mut bare = signed.clone();
    bare.as_object_mut().unwrap().remove("grant").unwrap();
    let mut tried = vec![bare.clone()];
    for name in ["jobs", "twin", "other"] {
        for via in ["?via=zstd", "?via=lz4", ""] {
            let mut other = bare.clone();
            other["store"] = name.into();
            other["uri"] = format!("{place}{via}").into();
            tried.push(other);
        }
    }
    for reference in tried {
        let error = resolve(&reference).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Denied | ErrorKind::StoreMismatch), "{reference}: {error}");
    }
}
