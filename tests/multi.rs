//! Stores over several connectors, between processes.

use std::time::Duration;

use proxystore::{
    ErrorKind, KeyRing, OwnedProxy, Proxy, Registry, SecretKey, Store, StoreConfig, StoreFuture, Trust,
};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;
use tempfile::TempDir;

/// Small objects in one directory, large ones in another.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn child(&self, name: &str) -> String {
        format!("file://{}/{name}", self.0.path().display())
    }

    fn uri(&self) -> String {
        format!(
            "multi://small,large?small={}&small.max=100&large={}",
            self.child("small"),
            self.child("large")
        )
    }

    async fn store(&self, name: &str) -> Store {
        proxystore::install(Trust::Registered);
        Store::builder(name).uri(self.uri()).build().await.unwrap()
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

/// A process without a store: is told whom to trust, and says how resolving ends.
#[tokio::test]
async fn stranger() {
    role!("multi::stranger");
    while let Some(line) = process::hear().await {
        let (rules, reference): (Vec<String>, String) = serde_json::from_str(&line).unwrap();
        proxystore::install(Trust::allow(rules).unwrap());
        let proxy: Proxy<String> = serde_json::from_str(&reference).unwrap();
        let resolved = proxy.resolve_async().await;
        process::say(&resolved.map_or_else(|error| error.to_string(), |text| text.len().to_string()));
    }
}

#[tokio::test]
async fn each_child_has_to_be_trusted_by_itself() {
    let place = Place::new();
    let store = place.store("routed").await;
    let (small, large) = (place.child("small"), place.child("large"));
    let of_small = json(&store.proxy("x".repeat(10)).await.unwrap());
    let of_large = json(&store.proxy("x".repeat(1000)).await.unwrap());
    assert!(of_small.contains("\"small~") && !of_large.contains("\"small~"), "{of_small} {of_large}");

    let mut stranger = Role::spawn("multi::stranger", &[]);
    let mut ask = async |rules: &[&str], reference: &str| {
        stranger.say(&json(&(rules, reference))).await;
        stranger.hear().await.unwrap()
    };
    for rules in [&[][..], &["file:///elsewhere"]] {
        let denied = ask(rules, &of_small).await;
        assert!(denied.starts_with("denied: ") && denied.contains("Trust::allow"), "{denied}");
    }
    assert_eq!(ask(&[&small, &large], &of_small).await, "10");
    assert_eq!(ask(&[&small, &large], &of_large).await, "1000");
    // A rule for one of them is for this one.
    assert_eq!(ask(&[&small], &of_small).await, "10");
    let denied = ask(&[&small], &of_large).await;
    assert!(denied.starts_with("denied: ") && denied.contains("child=large"), "{denied}");
    // A rule of several stands for each.
    assert_eq!(ask(&[&place.uri()], &of_large).await, "1000");
    // One with a transform would open them without it.
    let denied = ask(&[&format!("{}&via=zstd", place.uri())], &of_large).await;
    assert!(denied.starts_with("denied: "), "{denied}");
    // Other settings are another store, whose parts are trusted all the same; but it is the sender's word.
    let altered = of_small.replace("small.max=100", "small.max=007");
    assert!(ask(&[&small, &large], &altered).await.starts_with("denied: "), "not canonical");
}

/// Another process with the same configuration, which does what it is told.
#[tokio::test]
async fn worker() {
    role!("multi::worker");
    proxystore::install(Trust::Registered);
    let config = StoreConfig::from_toml(&std::env::var("STORE").unwrap()).unwrap();
    let store = Store::from_config(config).register().build().await.unwrap();
    while let Some(line) = process::hear().await {
        let (what, bytes): (String, String) = serde_json::from_str(&line).unwrap();
        let said = match &*what {
            "resolve" => {
                let proxy: Proxy<String> = serde_json::from_str(&bytes).unwrap();
                proxy.resolve_async().await.unwrap().len().to_string()
            }
            "set" => {
                let future: StoreFuture<String> = serde_json::from_str(&bytes).unwrap();
                future.set(&"y".repeat(5000)).await.unwrap();
                "set".into()
            }
            "own" => {
                let handover: proxystore::Handover<String> = serde_json::from_str(&bytes).unwrap();
                let mut owned: OwnedProxy<String> = handover.claim().await.unwrap();
                owned.borrow_mut().update("z".repeat(7000)).await.unwrap();
                let length = owned.borrow().resolve_async().await.unwrap().len().to_string();
                drop(owned);
                length
            }
            other => format!("what is {other}?"),
        };
        process::say(&said);
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_configuration_makes_the_same_store_in_another_process() {
    let place = Place::new();
    let store = place.store("rebuilt").await;
    let config = store.config().to_toml().unwrap();
    let mut worker = Role::spawn("multi::worker", &[("STORE", &config)]);
    let mut ask = async |what: &str, bytes: String| {
        worker.say(&json(&(what, bytes))).await;
        worker.hear().await.unwrap()
    };
    for length in [10, 1000] {
        let proxy = store.proxy("x".repeat(length)).await.unwrap();
        assert_eq!(ask("resolve", json(&proxy)).await, length.to_string());
    }

    // A future is set there, and found here.
    let future = store.future::<String>().timeout(Duration::from_secs(30)).await.unwrap();
    let proxy = future.proxy();
    let waiting = tokio::spawn(async move { proxy.resolve_async().await.map(String::len) });
    assert_eq!(ask("set", json(&future)).await, "set");
    assert_eq!(waiting.await.unwrap().unwrap(), 5000);

    // An owner moves there, turns to a large object, and is dropped.
    let owned = store.owned_proxy("x".repeat(10)).await.unwrap();
    let handover = owned.hand_over().await.unwrap();
    assert_eq!(ask("own", json(&handover)).await, "7000");
}

#[tokio::test]
async fn batches_are_one_and_keep_their_order() {
    let place = Place::new();
    let store = place.store("batched").await;
    let values: Vec<String> = (0..60).map(|i| "x".repeat(i * 7)).collect();
    let keys: Vec<_> = store.put_many(&values).await.into_iter().map(Result::unwrap).collect();
    let small = keys.iter().filter(|key| key.as_str().starts_with("small~")).count();
    assert!((10..20).contains(&small), "{small}");
    let again = place.store("again").await;
    let got = again.get_many::<String>(&keys).await;
    let got: Vec<String> = got.into_iter().map(|value| (*value.unwrap().unwrap()).clone()).collect();
    assert_eq!(got, values);
    assert!(store.evict_many(&keys).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_dormant_child_is_an_error_that_says_so() {
    let place = Place::new();
    let store = place.store("awake").await;
    let reference = json(&store.proxy("x".repeat(10)).await.unwrap());
    let key = store.put(&"x".repeat(10)).await.unwrap();
    let dormant = format!("{}&small.hosts=no-such-host", place.uri());
    let dormant = Store::builder("dormant").uri(dormant).build().await.unwrap();
    let error = dormant.get::<String>(&key).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("the child `small` is dormant on this host"), "{error}");
    // What it would have had goes to those that are here.
    assert!(!dormant.put(&"x".repeat(10)).await.unwrap().as_str().contains('~'));
    // Another configuration is another store.
    let registry = Registry::new();
    registry.register(&dormant).unwrap();
    let proxy: Proxy<String> = serde_json::from_str(&reference.replace("awake", "dormant")).unwrap();
    assert_eq!(registry.bind(proxy).await.unwrap_err().kind(), ErrorKind::StoreMismatch);
}

#[tokio::test]
async fn no_reference_goes_round_a_signature_by_way_of_a_child() {
    let place = Place::new();
    let registry = Registry::new();
    for driver in [proxystore::multi::DRIVER, proxystore::file::DRIVER] {
        registry.install(driver);
    }
    registry.set_trust(Trust::allow([format!("file://{}", place.0.path().display())]).unwrap());
    let keys = KeyRing::new(SecretKey::random("k").unwrap());
    let open = async |uri: String, sign: bool| {
        let builder = Store::builder("signing").uri(uri).registry(&registry);
        let builder = if sign { builder.sign(keys.clone()) } else { builder };
        builder.build().await.unwrap()
    };
    let bind = async |reference: &str| {
        let proxy: Proxy<String> = serde_json::from_str(reference).unwrap();
        match registry.bind(proxy).await {
            Ok(proxy) => proxy.resolve_async().await.cloned(),
            Err(error) => Err(error),
        }
    };
    let unsigned = open(place.uri(), false).await;
    let of_multi = json(&unsigned.proxy("multi".to_owned()).await.unwrap()).replace("signing", "other");
    let child = open(place.child("small"), false).await;
    let of_child = json(&child.proxy("child".to_owned()).await.unwrap()).replace("signing", "another");
    for reference in [&of_multi, &of_child] {
        assert!(bind(reference).await.is_ok());
    }
    for signing in [place.uri(), place.child("small")] {
        let signing = open(signing, true).await;
        let _registered = registry.scoped(&signing);
        for reference in [&of_multi, &of_child] {
            assert_eq!(bind(reference).await.unwrap_err().kind(), ErrorKind::Denied, "{reference}");
        }
        let signed = json(&signing.proxy("signed".to_owned()).await.unwrap());
        assert_eq!(bind(&signed).await.unwrap(), "signed");
    }
}

#[tokio::test]
async fn references_that_may_open_nothing_displace_nothing() {
    let place = Place::new();
    let store = place.store("mine").await;
    let registry = Registry::new();
    for driver in [proxystore::multi::DRIVER, proxystore::file::DRIVER] {
        registry.install(driver);
    }
    registry.set_trust(Trust::allow([place.child("small"), place.child("large")]).unwrap());
    let bind = async |reference: &str| {
        let proxy: Proxy<String> = serde_json::from_str(reference).unwrap();
        registry.bind(proxy).await
    };
    let honest = json(&store.proxy("x".repeat(10)).await.unwrap());
    assert!(bind(&honest).await.unwrap().resolve_async().await.is_ok());
    for i in 0..2000 {
        let hostile = honest.replace("/small&", &format!("/other-{i}&")).replace("/large", "/another");
        assert_eq!(bind(&hostile).await.unwrap_err().kind(), ErrorKind::Denied);
    }
    store.close().await.unwrap();
    std::fs::remove_dir_all(place.0.path()).unwrap();
    let again = bind(&honest).await.unwrap();
    assert!(again.resolve_async().await.is_ok(), "the store that was open has it in its cache");
}

#[tokio::test]
async fn near_and_far_under_a_store() {
    let place = Place::new();
    proxystore::install(Trust::Registered);
    let uri = |near: &str| {
        format!("multi://near,far?near={}&far={}&far.near=near", place.child(near), place.child("far"))
    };
    let here = Store::builder("here").uri(uri("near")).build().await.unwrap();
    let future = here.future::<String>().await.unwrap();
    let awaited = future.proxy();
    let proxy = here.proxy("x".repeat(1000)).await.unwrap();
    let owned = here.owned_proxy("mine".to_owned()).await.unwrap();
    assert_eq!(owned.borrow().resolve_async().await.unwrap(), "mine");
    future.set(&"done".to_owned()).await.unwrap();
    assert_eq!(awaited.resolve_async().await.unwrap(), "done");
    let ephemeral = here.proxy("once".to_owned()).ephemeral().await.unwrap();
    assert_eq!(ephemeral.resolve_async().await.unwrap(), "once");
    drop(owned);
    here.close().await.unwrap();

    let there = Store::builder("there").uri(uri("other-near")).build().await.unwrap();
    let key = proxy.factory().key();
    assert_eq!(there.get::<String>(key).await.unwrap().unwrap().len(), 1000, "closing has copied it");
    assert!(!there.exists(ephemeral.factory().key()).await.unwrap(), "it is gone in both places");
}
