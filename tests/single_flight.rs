//! Ten thousand tasks that want one cold object cost one get.

use proxystore::{Proxy, Registry};
use proxystore_testkit::fault::{Fault, Op};

use crate::stores::backends;

const TASKS: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_resolves_cost_one_get() {
    for backend in backends().await {
        let (store, spy) = backend.spied("cold").await;
        let registry = Registry::new();
        registry.register(&store).unwrap();
        let value: Vec<u32> = (0..1000).collect();
        let proxy = store.proxy(value.clone()).populate(false).await.unwrap();
        let reference = postcard::to_allocvec(&proxy).unwrap();

        // Each task decodes a proxy of its own: they share nothing but the store.
        let mut tasks = Vec::with_capacity(TASKS);
        for _ in 0..TASKS {
            let proxy: Proxy<Vec<u32>> =
                registry.bind(postcard::from_bytes(&reference).unwrap()).await.unwrap();
            tasks.push(tokio::spawn(async move { proxy.resolve_async().await.map(|found| found.len()) }));
        }
        for task in tasks {
            assert_eq!(task.await.unwrap().unwrap(), value.len(), "{}", backend.scheme);
        }
        assert_eq!(spy.calls(Op::Get), 1, "{}", backend.scheme);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_get_also_if_all_but_one_leave() {
    for backend in backends().await {
        let (store, spy) = backend.spied("cold").await;
        let key = store.put(&7u64).await.unwrap();
        spy.next(Op::Get, Fault::Hang);
        let resolve = |proxy: Proxy<u64>| tokio::spawn(async move { proxy.resolve_async().await.copied() });
        let mut tasks: Vec<_> = (0..TASKS).map(|_| resolve(store.proxy_from_key(key.clone()))).collect();
        spy.reached(Op::Get, 1).await;
        let patient = tasks.pop().unwrap();
        while store.metrics().counters["store.get.cache_misses"] < TASKS as u64 {
            tokio::task::yield_now().await; // until every task waits for the load
        }
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            assert!(task.await.unwrap_err().is_cancelled());
        }
        spy.release();
        assert_eq!(patient.await.unwrap().unwrap(), 7, "{}", backend.scheme);
        assert_eq!(spy.calls(Op::Get), 1, "{}", backend.scheme);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clones_of_one_proxy_cost_one_get_also_without_a_cache() {
    for backend in backends().await {
        let (_, spy) = backend.spied("cold").await;
        let store = proxystore::Store::builder("bare")
            .shared_connector(spy.clone())
            .cache_objects(0)
            .build()
            .await
            .unwrap();
        let proxy = store.proxy(String::from("once")).populate(false).await.unwrap();
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let proxy = proxy.clone();
                tokio::spawn(async move { proxy.resolve_async().await.map(String::len) })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap().unwrap(), 4);
        }
        assert_eq!(spy.calls(Op::Get), 1, "{}", backend.scheme);
    }
}
