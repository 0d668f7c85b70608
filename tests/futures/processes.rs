//! Futures between processes, which may die.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proxystore::{Connector, ErrorKind, Proxy, Registry, Store, StoreFuture, Trust};
use proxystore_testkit::fault::{FaultConnector, Op};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;

use super::{SECOND, ms, resolve};
use crate::stores::{Backend, file, redis};

const LEASE: Duration = SECOND;

/// The backends that other processes reach.
async fn shared() -> Vec<Backend> {
    let mut backends = vec![file().await];
    backends.extend(redis().await);
    backends
}

async fn open(backend: &Backend) -> Store {
    proxystore::install(Trust::Registered);
    Store::open(&backend.uri).await.unwrap()
}

async fn hear<T: serde::de::DeserializeOwned>() -> T {
    serde_json::from_str(&process::hear().await.unwrap()).unwrap()
}

async fn heard<T: serde::de::DeserializeOwned>(role: &mut Role) -> T {
    serde_json::from_str(&role.hear().await.unwrap()).unwrap()
}

/// Tells how a call has ended.
fn say<T: serde::Serialize>(result: proxystore::Result<T>) {
    match result {
        Ok(value) => process::say(&serde_json::to_string(&value).unwrap()),
        Err(error) => process::say(&serde_json::to_string(&format!("{:?}", error.kind())).unwrap()),
    }
}

/// Sets what it is told to, when it is told to.
#[tokio::test]
async fn setter() {
    role!("futures::processes::setter");
    proxystore::install(Trust::Any);
    while let Some(line) = process::hear().await {
        let future: StoreFuture<u64> = serde_json::from_str(&line).unwrap();
        let value: u64 = hear().await;
        say(future.set(&value).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_future_is_set_in_another_process_and_only_once() {
    for backend in shared().await {
        let store = open(&backend).await;
        let mut setters = [(); 2].map(|()| Role::spawn("futures::processes::setter", &[]));
        for round in 0..20u64 {
            let future = store.future::<u64>().await.unwrap();
            let waiting: Vec<_> = (0..10).map(|_| resolve(future.proxy())).collect();
            let bytes = serde_json::to_string(&future).unwrap();
            for setter in &mut setters {
                setter.say(&bytes).await;
            }
            for (setter, n) in setters.iter_mut().zip(0u64..) {
                setter.say(&(2 * round + n).to_string()).await;
            }
            let [first, second]: [serde_json::Value; 2] =
                [heard(&mut setters[0]).await, heard(&mut setters[1]).await];
            let winner = match (first.as_str(), second.as_str()) {
                (None, Some("Exists")) => 2 * round,
                (Some("Exists"), None) => 2 * round + 1,
                other => panic!("{}: {other:?}", backend.scheme),
            };
            for task in waiting {
                assert_eq!(task.await.unwrap().unwrap(), winner, "{}", backend.scheme);
            }
            assert_eq!(future.set(&99).await.unwrap_err().kind(), ErrorKind::Exists);
        }
    }
}

/// Works on a future of its own, or on one that it is sent, for ever.
#[tokio::test]
async fn producer() {
    role!("futures::processes::producer");
    proxystore::install(Trust::Any);
    let uri = std::env::var("STORE").unwrap();
    let future = if process::hear().await.unwrap() == "make" {
        let store = Store::open(&uri).await.unwrap();
        store.future::<u64>().lease(LEASE).await.unwrap()
    } else {
        let mut future: StoreFuture<u64> = hear().await;
        future.claim().await.unwrap();
        future
    };
    process::say(&serde_json::to_string(&future.proxy()).unwrap());
    process::hear().await;
    panic!("it is killed before: {future:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_dies_is_lost() {
    for backend in shared().await {
        let store = open(&backend).await;
        for claims in [false, true] {
            let mut producer = Role::spawn("futures::processes::producer", &[("STORE", &backend.uri)]);
            if claims {
                let future = store.future::<u64>().lease(LEASE).await.unwrap();
                producer.say("claim").await;
                producer.say(&serde_json::to_string(&future).unwrap()).await;
            } else {
                producer.say("make").await;
            }
            let proxy: Proxy<u64> = heard(&mut producer).await;
            let early = resolve(proxy.clone());
            tokio::time::sleep(2 * LEASE).await;
            assert!(!early.is_finished(), "{}: it lives", backend.scheme);
            let killed = Instant::now();
            producer.kill().await;
            let error = early.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ProducerLost, "{}: {error}", backend.scheme);
            let noticed = killed.elapsed();
            assert!(noticed <= LEASE + ms(1200), "{}: {noticed:?}", backend.scheme);

            // Who comes later finds out by its own clock.
            let begun = Instant::now();
            let error = resolve(serde_json::from_value(serde_json::to_value(&proxy).unwrap()).unwrap());
            assert_eq!(error.await.unwrap().unwrap_err().kind(), ErrorKind::ProducerLost);
            assert!(begun.elapsed() <= LEASE + ms(1200), "{}: {:?}", backend.scheme, begun.elapsed());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_known_is_not_lost() {
    for backend in shared().await {
        let store = open(&backend).await;
        let future = store.future::<u64>().lease(ms(200)).timeout(2 * SECOND).await.unwrap();
        let waiting = resolve(future.proxy());
        let bytes = serde_json::to_string(&future).unwrap();
        drop(future);
        let error = waiting.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{}: {error}", backend.scheme);

        // What comes from elsewhere and is not used says nothing, and asks nobody.
        let received: StoreFuture<u64> = serde_json::from_str(&bytes).unwrap();
        let (proxy, key) = (received.proxy(), received.key().clone());
        drop(received);
        proxystore::shutdown(SECOND).await;
        assert!(!store.exists(&key).await.unwrap(), "{}", backend.scheme);

        // What is claimed and dropped unset does.
        let mut received: StoreFuture<u64> = serde_json::from_str(&bytes).unwrap();
        received.claim().await.unwrap();
        let waiting = resolve(proxy);
        drop(received);
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Failed, "{}", backend.scheme);
    }
}

const WAITERS: usize = 2500;

/// Waits with very many, and counts what that costs the store.
#[tokio::test(flavor = "multi_thread")]
async fn waiters() {
    role!("futures::processes::waiters");
    proxystore::install(Trust::Registered);
    let store = Store::open(std::env::var("STORE").unwrap()).await.unwrap();
    let spy = FaultConnector::new(store.connector().clone());
    Registry::global().unregister(&store);
    let connector: Arc<dyn Connector> = spy.clone();
    let store = Store::builder("spied").shared_connector(connector).register().build().await.unwrap();

    let proxy = process::hear().await.unwrap();
    let begun = Instant::now();
    let proxies: Vec<Proxy<u64>> = (0..WAITERS).map(|_| serde_json::from_str(&proxy).unwrap()).collect();
    let tasks: Vec<_> = proxies.into_iter().map(resolve).collect();
    while store.metrics().counters["store.get.cache_misses"] < WAITERS as u64 {
        tokio::task::yield_now().await;
    }
    process::say("waiting");
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), 7);
    }
    process::say("woken");
    let waited = begun.elapsed();
    // Looks at 10, 30, 70, …, 630, 1270, 2270, … ms; and three that are not ticks: at the begin, when the subscription
    // stands, and when it wakes.
    let ticks = 8 + waited.as_secs();
    let calls = (spy.calls(Op::Get), spy.calls(Op::GetMany));
    assert!(calls.0 <= 3 && calls.1 <= ticks, "{calls:?} in {waited:?}");
    process::say("cheaply");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_in_four_processes_wake_at_once() {
    for backend in shared().await {
        let store = open(&backend).await;
        let future = store.future::<u64>().jitter(false).await.unwrap();
        let proxy = serde_json::to_string(&future.proxy()).unwrap();
        let mut roles =
            [(); 4].map(|()| Role::spawn("futures::processes::waiters", &[("STORE", &backend.uri)]));
        for role in &mut roles {
            role.say(&proxy).await;
        }
        for role in &mut roles {
            assert_eq!(role.hear().await.as_deref(), Some("waiting"), "{}", backend.scheme);
        }
        tokio::time::sleep(2 * SECOND).await; // until they look once a second only
        let set = Instant::now();
        future.set(&7).await.unwrap();
        for role in &mut roles {
            assert_eq!(role.hear().await.as_deref(), Some("woken"), "{}", backend.scheme);
        }
        assert!(set.elapsed() <= 2 * SECOND, "{}: {:?}", backend.scheme, set.elapsed());
        for role in &mut roles {
            assert_eq!(role.hear().await.as_deref(), Some("cheaply"), "{}", backend.scheme);
        }
    }
}
