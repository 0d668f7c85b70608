//! Values that are passed on before they exist: between tasks, between processes, and when something goes wrong.

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use futures_util::future::{Either, join_all, select};
use proxystore::{Error, ErrorKind, Proxy, Raw, Registry, Result, StoreFuture};
use proxystore_testkit::fault::{Fault, Op};
use tokio::task::JoinHandle;

use crate::stores::{backends, local};

mod processes;
mod waits;

const SECOND: Duration = Duration::from_secs(1);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn resolve(proxy: Proxy<u64>) -> JoinHandle<Result<u64>> {
    tokio::spawn(async move { proxy.resolve_async().await.copied() })
}

/// What it is after a journey through bytes.
fn sent<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    postcard::from_bytes(&postcard::to_allocvec(value).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_awaited_before_it_exists() {
    for backend in backends().await {
        let store = backend.store("tasks").await;
        let _registered = Registry::global().scoped(&store);
        let future = store.future::<u64>().await.unwrap();
        assert!(!future.done().await.unwrap());
        let proxy: Proxy<u64> = sent(&future.proxy());
        let waiting = [resolve(future.proxy()), resolve(proxy.clone()), resolve(proxy)];
        let result = tokio::spawn(future.result());
        let late = future.proxy();
        tokio::time::sleep(ms(30)).await;
        assert!(waiting.iter().all(|task| !task.is_finished()), "{}", backend.scheme);

        future.set(&7).await.unwrap();
        for task in waiting {
            assert_eq!(task.await.unwrap().unwrap(), 7, "{}", backend.scheme);
        }
        assert_eq!(*result.await.unwrap().unwrap(), 7);
        assert_eq!(late.resolve_async().await.unwrap(), &7);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_setters_one_wins() {
    for backend in backends().await {
        let store = backend.store("race").await;
        let _registered = Registry::global().scoped(&store);
        let future = store.future::<u64>().await.unwrap();
        let reader = resolve(future.proxy());
        let setters: Vec<StoreFuture<u64>> = (0..20).map(|_| sent(&future)).collect();
        let sets = setters.into_iter().zip(0u64..).map(|(setter, n)| async move { setter.set(&n).await });
        let results = join_all(sets).await;
        let won: Vec<_> = (0u64..).zip(&results).filter(|(_, set)| set.is_ok()).map(|(n, _)| n).collect();
        let [winner] = won[..] else { panic!("{won:?} have won") };
        assert!(results.iter().flat_map(|set| set.as_ref().err()).all(|e| e.kind() == ErrorKind::Exists));
        assert_eq!(reader.await.unwrap().unwrap(), winner);
        assert_eq!(future.set(&99).await.unwrap_err().kind(), ErrorKind::Exists);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_arrives_instead_of_a_value() {
    for backend in backends().await {
        let store = backend.store("fails").await;
        let _registered = Registry::global().scoped(&store);
        let failed = |proxy: Proxy<u64>| async move { proxy.resolve_async().await.unwrap_err() };

        let future = store.future::<u64>().await.unwrap();
        let (proxy, key) = (future.proxy(), future.key().clone());
        future.fail("the disk\nis full").await.unwrap();
        for error in
            [failed(proxy.clone()).await, failed(proxy).await, store.get::<u64>(&key).await.unwrap_err()]
        {
            assert_eq!((error.kind(), error.message()), (ErrorKind::Failed, "the disk is full"));
        }

        let dropped = store.future::<u64>().await.unwrap();
        let waiting = tokio::spawn(failed(dropped.proxy()));
        drop(dropped);
        let error = waiting.await.unwrap();
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert!(error.message().contains("dropped the future"), "{error}");

        // Also by whoever has claimed it, and by nobody else.
        let here = store.future::<u64>().await.unwrap();
        let mut there: StoreFuture<u64> = sent(&here);
        there.claim().await.unwrap();
        let mut waiting = tokio::spawn(failed(here.proxy()));
        drop(here);
        tokio::time::timeout(ms(200), &mut waiting).await.expect_err("it was handed over before");
        drop(there);
        assert_eq!(waiting.await.unwrap().kind(), ErrorKind::Failed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_fails_to_set_fails_the_future() {
    for backend in backends().await {
        let (store, spy) = backend.spied("unset").await;
        let future = store.future::<u64>().await.unwrap();
        let waiting = resolve(future.proxy());
        spy.next(Op::Put, Fault::Fail(Error::new(ErrorKind::Full, "no room")));
        assert_eq!(future.set(&7).await.unwrap_err().kind(), ErrorKind::Full);
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Failed);

        let future = store.future::<u64>().await.unwrap();
        let waiting = resolve(future.proxy());
        spy.next(Op::Put, Fault::Hang);
        let puts = spy.calls(Op::Put);
        let set = tokio::spawn(async move { future.set(&7).await });
        spy.reached(Op::Put, puts + 1).await;
        set.abort();
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Failed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_gets_an_ephemeral_value() {
    for backend in backends().await {
        let store = backend.store("once").await;
        let future = store.future::<u64>().ephemeral().await.unwrap();
        let key = future.key().clone();
        let waiting: Vec<_> = (0..20).map(|_| resolve(future.proxy())).collect();
        tokio::time::sleep(ms(20)).await;
        future.set(&7).await.unwrap();
        let mut got = Vec::new();
        for task in waiting {
            match task.await.unwrap() {
                Ok(value) => got.push(value),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Missing, "{}: {error}", backend.scheme),
            }
        }
        assert_eq!(got, [7], "{}", backend.scheme);
        assert!(!store.exists(&key).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_value_that_is_taken_is_not_set_again() {
    for backend in backends().await {
        let store = backend.store("again").await;
        let _registered = Registry::global().scoped(&store);
        let future = store.future::<u64>().ephemeral().await.unwrap();
        let setters: [StoreFuture<u64>; 2] = [sent(&future), sent(&future)];
        let mut results = Vec::new();
        for (setter, n) in setters.into_iter().zip(0..) {
            results.push(setter.set(&n).await.map_err(|error| error.kind()));
            let _ = resolve(future.proxy()).await.unwrap();
        }
        assert_eq!(results, [Ok(()), Err(ErrorKind::Exists)], "{}", backend.scheme);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clones_of_an_ephemeral_proxy_share_the_value() {
    for backend in backends().await {
        let store = backend.store("shared").await;
        let future = store.future::<u64>().ephemeral().timeout(ms(50)).await.unwrap();
        let proxy = future.proxy();
        assert_eq!(proxy.resolve_async().await.unwrap_err().kind(), ErrorKind::Timeout);
        let waiting: Vec<_> = (0..20).map(|_| resolve(proxy.clone())).collect();
        future.set(&7).await.unwrap();
        for task in waiting {
            assert_eq!(task.await.unwrap().unwrap(), 7, "{}", backend.scheme);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn combinators_take_results() {
    for backend in backends().await {
        let store = backend.store("combined").await;
        let mut futures = Vec::new();
        for _ in 0..10 {
            futures.push(store.future::<u64>().await.unwrap());
        }
        let all = tokio::spawn(join_all(futures.iter().map(StoreFuture::result)));
        let last = futures.pop().unwrap();
        let first = tokio::spawn(select(futures[0].result(), last.result()));
        tokio::time::timeout(ms(20), &last).await.expect_err("it is not set");
        for (n, future) in (0..).zip(futures) {
            future.set(&n).await.unwrap();
        }
        let Either::Left((found, _)) = first.await.unwrap() else {
            panic!("the one that is not set was first")
        };
        assert_eq!(*found.unwrap(), 0);
        last.set(&9).await.unwrap();
        let all: Vec<u64> = all.await.unwrap().into_iter().map(|found| *found.unwrap()).collect();
        assert_eq!(all, (0..10).collect::<Vec<_>>(), "{}", backend.scheme);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn awaited_by_value_it_keeps_its_setter() {
    let store = local().await.store("kept").await;
    let _registered = Registry::global().scoped(&store);
    let future = store.future::<u64>().await.unwrap();
    let setter: StoreFuture<u64> = sent(&future);
    let waiting = tokio::spawn(future.into_future());
    setter.set(&7).await.unwrap();
    assert_eq!(*waiting.await.unwrap().unwrap(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn done_does_not_change_any_more() {
    for backend in backends().await {
        let store = backend.store("done").await;
        let _registered = Registry::global().scoped(&store);
        let future = store.future::<u64>().await.unwrap();
        let others: [StoreFuture<u64>; 2] = [sent(&future), sent(&future)];
        let (proxy, key) = (future.proxy(), future.key().clone());
        future.set(&7).await.unwrap();
        assert!(others[0].done().await.unwrap());
        store.evict(&key).await.unwrap();
        while !others[1].done().await.unwrap() {
            tokio::time::sleep(ms(1)).await; // until the background has said that it was set
        }
        assert!(others[0].done().await.unwrap());
        let start = Instant::now();
        assert_eq!(proxy.resolve_async().await.unwrap_err().kind(), ErrorKind::Missing);
        assert!(start.elapsed() < SECOND, "it waits for what was evicted");
        for other in others {
            assert_eq!(other.set(&8).await.unwrap_err().kind(), ErrorKind::Exists, "{}", backend.scheme);
        }
    }
}

#[tokio::test]
async fn settings_are_checked() {
    let store = local().await.store("checked").await;
    for factor in [0.0, 0.5, -2.0, f64::NAN, f64::INFINITY] {
        let error = store.future::<u64>().backoff_factor(factor).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{factor}");
    }
    assert_eq!(store.future::<u64>().lease(ms(1)).await.unwrap_err().kind(), ErrorKind::Config);
    let codec = store.future::<String>().codec::<Raw>().ttl(SECOND).await.unwrap();
    let text = serde_json::to_string(&codec).unwrap();
    let other = serde_json::from_str::<Proxy<String>>(&text);
    assert!(other.is_err(), "a setter is no proxy");
    let proxy = serde_json::to_string(&store.proxy(7u64).await.unwrap()).unwrap();
    let wire = format!(r#"{{"future":{proxy},"ttl_ms":null,"lease_ms":1000}}"#);
    let error = serde_json::from_str::<StoreFuture<u64>>(&wire).unwrap_err().to_string();
    assert!(error.contains("not a future"), "{error}");
}
