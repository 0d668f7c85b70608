//! Which references a process may resolve.

use proxystore::{ErrorKind, Key, Proxy, Raw, Registry, Store, Trust};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::tcp_proxy::TcpProxy;

use crate::stores;

/// A process that has no store: it is told whom to trust, and says how resolving ends.
#[tokio::test]
async fn consumer() {
    proxystore_testkit::role!("trust::consumer");
    while let Some(line) = process::hear().await {
        let (trust, reference): (Option<String>, String) = serde_json::from_str(&line).unwrap();
        proxystore::install(trust.map_or(Trust::Registered, |place| Trust::allow([place]).unwrap()));
        let proxy: Proxy<Vec<u32>> = serde_json::from_str(&reference).unwrap();
        let said = match proxy.resolve_async().await {
            Ok(target) => format!("{}", target.iter().sum::<u32>()),
            Err(error) => error.to_string(),
        };
        process::say(&said);
    }
}

#[tokio::test]
async fn a_process_without_the_store_resolves_what_it_trusts() {
    let mut consumer = Role::spawn("trust::consumer", &[]);
    for backend in [Some(stores::file().await), stores::redis().await].into_iter().flatten() {
        let store = backend.store("numbers").await;
        let reference = serde_json::to_string(&store.proxy(vec![1u32, 2, 3]).await.unwrap()).unwrap();
        let place = store.config().uri.to_string();

        let mut ask = async |trust: Option<&str>| {
            consumer.say(&serde_json::to_string(&(trust, &reference)).unwrap()).await;
            consumer.hear().await.unwrap()
        };
        let denied = ask(None).await;
        assert!(denied.starts_with("denied: "), "{denied}");
        assert!(denied.contains(&format!("proxystore::install(Trust::allow([\"{place}\"])?)")), "{denied}");
        assert_eq!(ask(Some(&place)).await, "6");
        let elsewhere = if backend.scheme == "file" { "file:///elsewhere" } else { "redis://127.0.0.1:1/0" };
        assert!(ask(Some(elsewhere)).await.starts_with("denied: "));
    }
}

#[tokio::test]
async fn an_address_that_is_not_trusted_is_never_connected_to() {
    let target = TcpProxy::start(([127, 0, 0, 1], 9).into()).await;
    let reference = format!(
        r#"{{"proxystore":1,"store":"s","key":"k","codec":"raw","uri":"redis://{}/0"}}"#,
        target.addr()
    );
    let registry = Registry::new();
    registry.install(proxystore::redis::DRIVER);
    let neighbour = format!("redis://127.0.0.1:{}/0", target.addr().port() - 1);
    let longer = format!("redis://{}/0?prefix=mine", target.addr());
    for trust in [Trust::Registered, Trust::allow([neighbour, longer]).unwrap()] {
        registry.set_trust(trust);
        let proxy: Proxy<String, Raw> = serde_json::from_str(&reference).unwrap();
        assert_eq!(registry.bind(proxy).await.unwrap_err().kind(), ErrorKind::Denied);
    }
    assert_eq!(target.connections(), 0);

    // The counter does count: a trusted address is connected to.
    registry.set_trust(Trust::allow([format!("redis://{}/0", target.addr())]).unwrap());
    let proxy: Proxy<String, Raw> = serde_json::from_str(&reference).unwrap();
    assert_eq!(registry.bind(proxy).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(target.connections() > 0);
}

#[tokio::test]
async fn a_reference_sets_no_option_and_names_no_other_path() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let data = root.join("data");
    std::fs::create_dir(&data).unwrap();
    std::os::unix::fs::symlink(&root, data.join("link")).unwrap();
    let registry = Registry::new();
    registry.install(proxystore::file::DRIVER);
    registry.set_trust(Trust::allow([format!("file://{}", data.display())]).unwrap());
    for path in ["/?durability=none", "/link", "/link/data", "/absent"] {
        let uri = format!("file://{}{path}", data.display()).replace("/?", "?");
        let reference = format!(r#"{{"proxystore":1,"store":"s","key":"k","codec":"raw","uri":"{uri}"}}"#);
        let proxy: Proxy<String, Raw> = serde_json::from_str(&reference).unwrap();
        let error = registry.bind(proxy).await.unwrap_err();
        assert_ne!(error.kind(), ErrorKind::Missing, "{uri}");
        if path != "/absent" {
            assert_eq!(error.kind(), ErrorKind::Denied, "{uri}: {error}");
        }
    }
    assert!(!data.join("absent").exists(), "a reference made a directory");
}

#[tokio::test]
async fn a_name_does_not_capture_another_store() {
    let (mine, other) = (stores::local().await, stores::local().await);
    let registry = Registry::new();
    registry.register(&mine.store("prod").await).unwrap();
    let foreign = other.store("prod").await.proxy(1u8).await.unwrap();
    let foreign: Proxy<u8> = postcard::from_bytes(&postcard::to_allocvec(&foreign).unwrap()).unwrap();
    assert_eq!(registry.bind(foreign).await.unwrap_err().kind(), ErrorKind::StoreMismatch);
    let error = registry.register(&other.store("prod").await).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
}

#[tokio::test]
async fn without_a_uri_only_a_registered_store_will_do() {
    let backend = stores::local().await;
    let store = Store::builder("short")
        .shared_connector(backend.connector.clone())
        .embed_uri(false)
        .build()
        .await
        .unwrap();
    let bytes = postcard::to_allocvec(&store.proxy(5u8).await.unwrap()).unwrap();
    let registry = Registry::new();
    registry.set_trust(Trust::Any);
    let error =
        registry.bind::<u8, proxystore::Postcard>(postcard::from_bytes(&bytes).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unregistered);
    assert!(error.to_string().contains("Store::builder(\"short\")"), "{error}");

    let scope = registry.scoped(&store);
    let proxy: Proxy<u8> = registry.bind(postcard::from_bytes(&bytes).unwrap()).await.unwrap();
    assert_eq!(proxy.resolve_async().await.unwrap(), &5);
    drop(scope);
    assert!(registry.get_store("short").is_none());
}

#[tokio::test]
async fn a_scope_restores_what_was_there() {
    let (first, second) = (stores::local().await.store("a").await, stores::local().await.store("a").await);
    let registry = Registry::new();
    registry.register(&first).unwrap();
    {
        let _scope = registry.scoped(&second);
        assert_eq!(registry.get_store("a").unwrap().config().uri, second.config().uri);
    }
    assert_eq!(registry.get_store("a").unwrap().config().uri, first.config().uri);
    registry.unregister(&second);
    assert!(registry.get_store("a").is_some(), "another store of the same name was removed");
}

#[tokio::test]
async fn get_or_create_gives_one_store_per_name_and_refuses_another_place() {
    let registry = Registry::new();
    registry.install(proxystore::local::DRIVER);
    let config = |name: &str, uri: String| proxystore::StoreConfig::new(name, uri.parse().unwrap());
    let place = format!("local:///{}", Key::random().unwrap());
    let first = registry.get_or_create(config("a", place.clone())).await.unwrap();
    let key = first.put(&1u8).await.unwrap();
    let again = registry.get_or_create(config("a", place)).await.unwrap();
    assert_eq!(again.get::<u8>(&key).await.unwrap().as_deref(), Some(&1));
    let error = registry.get_or_create(config("a", "local:///elsewhere".into())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreMismatch);
}

#[tokio::test]
async fn many_references_to_one_foreign_store_open_it_once() {
    let Some(backend) = stores::redis().await else { return };
    let upstream = backend.uri.trim_start_matches("redis://").split('/').next().unwrap().parse().unwrap();
    let target = TcpProxy::start(upstream).await;
    let registry = Registry::new();
    registry.install(proxystore::redis::DRIVER);
    let uri = format!("redis://{}/0", target.addr());
    registry.set_trust(Trust::allow([&uri]).unwrap());
    let key = backend.store("far").await.put(&String::from("x")).codec::<Raw>().await.unwrap();
    let reference = format!(r#"{{"proxystore":1,"store":"far","key":"{key}","codec":"raw","uri":"{uri}"}}"#);
    let resolve = async || {
        let proxy: Proxy<String, Raw> = serde_json::from_str(&reference).unwrap();
        registry.bind(proxy).await.unwrap().resolve_async().await.cloned()
    };
    assert_eq!(resolve().await.unwrap(), "x");
    let connections = target.connections();
    for _ in 0..100 {
        assert_eq!(resolve().await.unwrap(), "x");
    }
    assert_eq!(target.connections(), connections);
}
