//! Every public future, dropped at each of its await points: nothing is left behind, and the next call works.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use proxystore::layers::Policies;
use proxystore::{
    Bytes, Connector, Key, Lifetime, Payload, Proxy, ProxyOr, PutOptions, Raw, Registry, Scope, Store,
    StoreConfig, StoreFuture, Trust,
};
use proxystore_core::{WithPolicy, WithTransform};
use proxystore_testkit::cancel::{eventually, poll_and_drop};
use proxystore_testkit::sample;
use proxystore_testkit::tcp_proxy::TcpProxy;
use tokio::runtime::Handle;

use crate::stack::{self, transforms};
use crate::times;

/// The standard stack, kept in view.
type Stack = Arc<WithPolicy<Policies>>;

struct Bench {
    stack: Stack,
    store: Store,
    registry: Registry,
    /// How to open the backend again.
    uri: String,
    /// An object of each size: small and large.
    keys: [Key; 2],
}

/// A future that is ready to be dropped, and whether it comes to an end by itself.
type Operation<'a> = BoxFuture<'a, ()>;

impl Bench {
    async fn new(inner: Arc<dyn Connector>, uri: String) -> Self {
        let transformed = WithTransform::new(inner, transforms()).unwrap();
        let stack = Arc::new(WithPolicy::new(Arc::new(transformed), Policies::standard(), "dropped"));
        let registry = Registry::new();
        registry.install(proxystore::local::DRIVER);
        registry.install(proxystore::file::DRIVER);
        registry.install(proxystore::redis::DRIVER);
        registry.set_policies(Policies::standard);
        registry.set_trust(Trust::Any);
        let store = Store::builder("dropped").shared_connector(stack.clone()).registry(&registry);
        // What is cached has no await points.
        let store = store.policies(Policies::none()).cache_objects(0).register().build().await.unwrap();
        let keys = [store.put(&small()).codec::<Raw>().await, store.put(&large()).codec::<Raw>().await];
        Self { stack, store, registry, uri, keys: keys.map(Result::unwrap) }
    }

    fn name(&self) -> String {
        stack::name()
    }

    /// All public futures that do something, by name.
    fn operation(&self, name: &str, key: &Key, value: Bytes) -> Operation<'_> {
        let (store, registry, key) = (&self.store, &self.registry, key.clone());
        let hour = Duration::from_secs(3_600);
        let proxy = || store.proxy_from_key::<Bytes, Raw>(key.clone());
        match name {
            "put" => async move { drop(store.put(&value).codec::<Raw>().ttl(hour).await.unwrap()) }.boxed(),
            "get" => {
                async move { drop(store.get::<Bytes>(&key).codec::<Raw>().await.unwrap().unwrap()) }.boxed()
            }
            "exists" => async move { assert!(store.exists(&key).await.unwrap()) }.boxed(),
            "evict" => async move { store.evict(&Key::random().unwrap()).await.unwrap() }.boxed(),
            "put_many" => async move {
                let values = [value.clone(), small(), value];
                store
                    .put_many(&values)
                    .codec::<Raw>()
                    .ttl(hour)
                    .await
                    .into_iter()
                    .for_each(|put| drop(put.unwrap()));
            }
            .boxed(),
            "get_many" => async move {
                let got = store.get_many::<Bytes>(&self.keys).codec::<Raw>().await;
                got.into_iter().for_each(|got| drop(got.unwrap().unwrap()));
            }
            .boxed(),
            "evict_many" => async move {
                let keys = [Key::random().unwrap(), Key::random().unwrap()];
                store.evict_many(&keys).await.into_iter().for_each(Result::unwrap);
            }
            .boxed(),
            "proxy" => {
                async move { drop(store.proxy(value).codec::<Raw>().ttl(hour).await.unwrap()) }.boxed()
            }
            "proxy_many" => async move {
                let proxies = store.proxy_many([value, small()]).codec::<Raw>().ttl(hour).await;
                proxies.into_iter().for_each(|proxy| drop(proxy.unwrap()));
            }
            .boxed(),
            "locked_proxy" => {
                async move { drop(store.locked_proxy(String::from("locked")).await.unwrap()) }.boxed()
            }
            "offload" => async move {
                let offloaded: ProxyOr<Bytes, Raw> =
                    store.offload(value).codec::<Raw>().above(9).await.unwrap();
                offloaded.resolve_async().await.unwrap();
            }
            .boxed(),
            "resolve_async" => {
                let proxy = proxy();
                async move { drop(proxy.resolve_async().await.unwrap().clone()) }.boxed()
            }
            "into_future" => {
                let proxy = proxy();
                async move { drop((&proxy).await.unwrap().clone()) }.boxed()
            }
            "extract" => {
                let proxy = proxy();
                async move { drop(proxy.extract().await.unwrap()) }.boxed()
            }
            "ephemeral" => async move {
                let proxy: Proxy<Bytes, Raw> =
                    store.proxy(value).codec::<Raw>().ephemeral().ttl(hour).await.unwrap();
                proxy.resolve_async().await.unwrap();
            }
            .boxed(),
            "bind" => {
                let proxy: Proxy<Bytes, Raw> =
                    serde_json::from_value(serde_json::to_value(proxy()).unwrap()).unwrap();
                async move { drop(registry.bind(proxy).await.unwrap().extract().await.unwrap()) }.boxed()
            }
            "build" => async move {
                let opened = Store::builder("again").uri(&self.uri).registry(registry).build().await.unwrap();
                opened.exists(&key).await.unwrap();
                opened.close().await.unwrap();
            }
            .boxed(),
            "get_or_create" => async move {
                let config = StoreConfig::new(self.name(), self.uri.parse().unwrap());
                let created = registry.get_or_create(config).await.unwrap();
                registry.unregister(&created);
                created.close().await.unwrap();
            }
            .boxed(),
            "scope" => async move {
                let scope = Scope::with_ttl(hour);
                let proxy = store.proxy(value).codec::<Raw>().lifetime(&scope).await.unwrap();
                let kept = store.put(&small()).codec::<Raw>().ttl(hour).await.unwrap();
                scope.add_key(store, &kept).await.unwrap();
                scope.add_proxy(&proxy).await.unwrap();
                assert!(scope.end().await.is_complete());
            }
            .boxed(),
            "future" => async move {
                let future = store.future::<Bytes>().codec::<Raw>().ttl(hour).await.unwrap();
                let (proxy, result) = (future.proxy(), future.result());
                assert!(!future.done().await.unwrap());
                let claimed = serde_json::to_value(&future).unwrap();
                let claimed: StoreFuture<Bytes, Raw> = serde_json::from_value(claimed).unwrap();
                drop(claimed);
                let set = async { future.set(&value).await.unwrap() };
                let ((), result, resolved) = futures_util::join!(set, result, proxy.resolve_async());
                assert_eq!((&*result.unwrap(), resolved.unwrap()), (&value, &value));
            }
            .boxed(),
            "owned_proxy" => async move {
                let mut owned = store.owned_proxy(value).codec::<Raw>().populate(false).await.unwrap();
                owned.borrow().resolve_async().await.unwrap();
                owned.borrow_mut().update(small()).await.unwrap();
                let copy = owned.clone_object().await.unwrap();
                assert_eq!(copy.resolve_async().await.unwrap(), &small());
                drop(owned);
                assert!(copy.evict().await.is_complete());
            }
            .boxed(),
            "hand_over" => async move {
                let owned = store.owned_proxy(value).codec::<Raw>().await.unwrap();
                let handover = owned.hand_over().await.map_err(|not| not.error).unwrap();
                handover.claim().await.unwrap().resolve_async().await.unwrap();
            }
            .boxed(),
            "lend" => async move {
                let mut owned = store.owned_proxy(value.clone()).codec::<Raw>().await.unwrap();
                let read = owned.lend(async |lent| lent.resolve_async().await.unwrap().len()).await;
                assert_eq!(read.unwrap(), value.len());
                owned.lend_mut(async |mut lent| lent.update(small()).await.unwrap()).await.unwrap();
                assert_eq!(owned.resolve_async().await.unwrap(), &small());
            }
            .boxed(),
            "connector" => async move {
                let (connector, options) =
                    (store.connector(), PutOptions { ttl: Some(hour), ..PutOptions::default() });
                let key = Key::random().unwrap();
                let mut watch = connector.watch(&key).await.unwrap();
                connector.put(&key, Payload::from(value), &options).await.unwrap();
                watch.wake().await;
                assert!(connector.touch(&key, hour).await.unwrap());
                assert!(connector.take(&key).await.unwrap().is_some());
            }
            .boxed(),
            name => panic!("no operation is called {name}"),
        }
    }

    /// Drops `count` futures, and checks again and again that all goes on.
    async fn run(&self, count: u64) {
        let names = [
            "put",
            "get",
            "exists",
            "evict",
            "put_many",
            "get_many",
            "evict_many",
            "proxy",
            "proxy_many",
            "locked_proxy",
            "offload",
            "resolve_async",
            "into_future",
            "extract",
            "ephemeral",
            "bind",
            "build",
            "get_or_create",
            "scope",
            "future",
            "owned_proxy",
            "hand_over",
            "lend",
            "connector",
        ];
        let mut dropped = BTreeMap::<_, u64>::new();
        let mut round = 0usize;
        while dropped.values().sum::<u64>() < count {
            round += 1;
            for name in names {
                let (key, value) =
                    if round.is_multiple_of(4) { (&self.keys[1], large()) } else { (&self.keys[0], small()) };
                for polls in 0.. {
                    if poll_and_drop(self.operation(name, key, value.clone()), polls).await.is_some() {
                        break;
                    }
                    *dropped.entry(name).or_default() += 1;
                }
            }
            if round.is_multiple_of(20) {
                self.usable().await;
            }
        }
        println!("{}: {} rounds, dropped {dropped:?}", self.uri, round);
        assert!(names.iter().all(|name| dropped.contains_key(name)), "some were never dropped: {dropped:?}");
        self.usable().await;
    }

    async fn usable(&self) {
        let key = self.store.put(&large()).codec::<Raw>().await.unwrap();
        assert_eq!(*self.store.get::<Bytes>(&key).codec::<Raw>().await.unwrap().unwrap(), large());
        self.store.evict(&key).await.unwrap();
        assert!(!self.store.exists(&key).await.unwrap());
    }

    /// No permit is held, and as many tasks run as before.
    async fn nothing_left(&self, tasks: usize) {
        let limit = self.stack.policy().limit.as_ref().unwrap();
        eventually(Duration::from_secs(20), || async {
            (limit.waiting(), limit.requests_in_flight(), limit.bytes_in_flight()) == (0, 0, 0)
        })
        .await;
        eventually(Duration::from_secs(20), || async { alive() <= tasks }).await;
    }
}

fn small() -> Bytes {
    sample::make(1, 100)
}

fn large() -> Bytes {
    sample::make(2, 100_000)
}

fn alive() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// The files that this process has open.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_local() {
    let uri = format!("local:///{}", stack::name());
    let bench = Bench::new(stack::local().0, uri).await;
    // A first round starts what stays, such as the background thread.
    bench.run(1).await;
    let tasks = alive();
    bench.run(times(34_000)).await;
    bench.nothing_left(tasks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_file() {
    let directory = tempfile::tempdir().unwrap();
    let bench =
        Bench::new(stack::file(directory.path()).await, format!("file://{}", directory.path().display()))
            .await;
    // A first round starts what stays, such as the background thread.
    bench.run(1).await;
    let (tasks, files) = (alive(), open_files());
    bench.run(times(8_000)).await;
    bench.nothing_left(tasks).await;
    // Operations that have begun run to their end; then their files are closed, and no temp is left. What stays open is
    // what the first watch of a process opens.
    println!("{files} files were open before, and {} are after", open_files());
    eventually(Duration::from_secs(20), || async { open_files() <= files + 4 }).await;
    eventually(Duration::from_secs(20), || async { temps(directory.path()) == 0 }).await;
}

/// The files of writers that have not finished.
fn temps(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => temps(&entry.path()),
            // A temp has a name of its own kind, which is not that of the marker.
            false => {
                let name = entry.file_name().to_string_lossy().into_owned();
                usize::from(name.starts_with('=') && !name.contains("proxystore"))
            }
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_redis() {
    let Some((server, _)) = stack::server().await else { return };
    let proxy = TcpProxy::start(server.addr()).await;
    let uri = format!("redis://{}/0", proxy.addr());
    let bench = Bench::new(stack::redis(&uri).await, uri).await;
    // A first round starts what stays, such as the background thread.
    bench.run(1).await;
    let (tasks, connections) = (alive(), proxy.open());
    bench.run(times(8_000)).await;
    // One for each role, and the pool of large transfers.
    eventually(Duration::from_secs(20), || async { proxy.open() <= connections + 8 }).await;
    // A connection has one task here, and the proxy in front of it has a few.
    bench.nothing_left(tasks + 8 * 5).await;
}
