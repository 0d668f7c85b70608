//! Resolves under random faults: no wrong value, no wrong type, no hang, and every error of the right kind.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use proxystore::layers::{Compress, Limit, Policies, Retry, Timeout};
use proxystore::{
    Bytes, Codec, Connector, Error, ErrorKind, Key, Policy, Postcard, Raw, Registry, Store, Transform,
};
use proxystore_core::{WithPolicy, WithTransform};
use proxystore_testkit::fault::{Fault, FaultConnector, Op};
use proxystore_testkit::sample;
use proxystore_testkit::tcp_proxy::{Direction, Faults, Scope, TcpProxy};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use crate::stack::{self, impatient, transforms};
use crate::times;

const OBJECTS: u64 = 300;
/// Many times the deadline of any call here.
const HANG: Duration = Duration::from_secs(60);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Job {
    id: u64,
    name: String,
    steps: Vec<u32>,
}

fn job(id: u64) -> Job {
    Job { id, name: format!("job {id}"), steps: (0..id as u32 % 50).collect() }
}

fn numbers(id: u64) -> Vec<u64> {
    (id..id + id % 3_000).collect()
}

fn bytes(id: u64) -> Bytes {
    sample::make(id, 16 + (id * 977 % 30_000) as usize)
}

/// What came of all the resolves of one stack.
#[derive(Default)]
struct Report {
    resolves: AtomicU64,
    values: AtomicU64,
    errors: Mutex<BTreeMap<&'static str, u64>>,
}

impl Report {
    fn failed(&self, error: &Error) {
        *self.errors.lock().unwrap().entry(error.kind().code()).or_default() += 1;
    }

    /// Shows it, and demands that most resolves came through and that each of these errors was seen.
    fn check(&self, stack: &str, injected: &BTreeMap<&'static str, u64>, seen: &[ErrorKind]) {
        let (resolves, values) = (self.resolves.load(Ordering::Relaxed), self.values.load(Ordering::Relaxed));
        let errors = self.errors.lock().unwrap();
        println!("{stack}: {resolves} resolves, {values} values, errors {errors:?}, injected {injected:?}");
        assert!(values > resolves / 3, "{stack}: faults were all there was");
        for kind in seen {
            assert!(errors.contains_key(kind.code()), "{stack}: no error was {kind:?}");
        }
    }
}

/// One store under test, and what is in it.
struct Bench {
    store: Store,
    keys: Vec<Key>,
    report: Report,
    /// Errors that the faults may cause.
    may: Vec<ErrorKind>,
}

impl Bench {
    /// A store whose objects are put before the faults begin.
    async fn new(connector: Arc<dyn Connector>, may: &[ErrorKind]) -> Self {
        let store = Store::builder("chaos").shared_connector(connector).registry(&Registry::new());
        let store = store.policies(Policies::none()).timeout(Duration::from_secs(12)).build().await.unwrap();
        let mut keys = Vec::new();
        for id in 0..OBJECTS {
            keys.push(match id % 3 {
                0 => store.put(&job(id)).await.unwrap(),
                1 => store.put(&numbers(id)).await.unwrap(),
                _ => store.put(&bytes(id)).codec::<Raw>().await.unwrap(),
            });
        }
        Self { store, keys, report: Report::default(), may: may.to_vec() }
    }

    async fn resolve<T, C>(&self, key: &Key) -> Result<Arc<T>, Error>
    where
        T: Debug + Send + Sync + 'static,
        C: Codec<T>,
    {
        self.report.resolves.fetch_add(1, Ordering::Relaxed);
        let proxy = self.store.proxy_from_key::<T, C>(key.clone());
        timeout(HANG, proxy.extract()).await.expect("a resolve hangs")
    }

    /// Resolves an object and compares it.
    async fn right<T, C>(&self, id: u64, wanted: &T)
    where
        T: Debug + PartialEq + Send + Sync + 'static,
        C: Codec<T>,
    {
        match self.resolve::<T, C>(&self.keys[id as usize]).await {
            Ok(found) => {
                assert!(*found == *wanted, "the value of {id} is wrong");
                self.report.values.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => self.expected(&error, &[]),
        }
    }

    /// Resolves an object as another type.
    async fn wrong<T, C>(&self, id: u64)
    where
        T: Debug + Send + Sync + 'static,
        C: Codec<T>,
    {
        match self.resolve::<T, C>(&self.keys[id as usize]).await {
            Ok(found) => panic!("{id} resolves as another type: {found:?}"),
            Err(error) => self.expected(&error, &[ErrorKind::TypeMismatch, ErrorKind::Codec]),
        }
    }

    /// An object's whole life: nothing but a fault may keep it from being there, and nothing may bring it back.
    async fn life(&self, id: u64) {
        let job = job(id);
        let put = timeout(HANG, async { self.store.put(&job).await }).await.expect("a put hangs");
        let key = match put {
            Ok(key) => key,
            Err(error) => return self.expected(&error, &[ErrorKind::Ambiguous]),
        };
        match self.resolve::<Job, Postcard>(&key).await {
            Ok(found) => assert_eq!(*found, job),
            Err(error) => self.expected(&error, &[]),
        }
        let evict = timeout(HANG, self.store.evict(&key)).await.expect("an evict hangs");
        let mut also = vec![ErrorKind::Missing];
        if let Err(error) = &evict {
            self.expected(error, &[ErrorKind::Ambiguous]);
        }
        match self.resolve::<Job, Postcard>(&key).await {
            Ok(found) => assert!(evict.is_err() && *found == job, "{id} is there after its evict"),
            Err(error) => {
                also.extend(&self.may);
                self.expected(&error, &also);
            }
        }
    }

    fn expected(&self, error: &Error, also: &[ErrorKind]) {
        assert!(
            self.may.contains(&error.kind()) || also.contains(&error.kind()),
            "not of the right kind: {error}"
        );
        self.report.failed(error);
    }

    async fn run(&self, resolves: u64, seed: u64) {
        let step = |n: u64| {
            let id = mix(seed ^ n) % OBJECTS;
            async move {
                match (n % 40, id % 3) {
                    (0, _) => self.life(OBJECTS + n).await,
                    (1, 0) => self.wrong::<Vec<u64>, Postcard>(id).await,
                    (1, 1) => self.wrong::<Job, Postcard>(id).await,
                    (1, _) => self.wrong::<String, Postcard>(id).await,
                    (_, 0) => self.right::<Job, Postcard>(id, &job(id)).await,
                    (_, 1) => self.right::<Vec<u64>, Postcard>(id, &numbers(id)).await,
                    (_, _) => self.right::<Bytes, Raw>(id, &bytes(id)).await,
                }
            }
        };
        stream::iter(0..resolves).for_each_concurrent(32, step).await;
    }
}

/// A number that looks random.
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

/// All kinds of faults at once, about one call in six.
fn inject(connector: &FaultConnector, seed: u64) {
    let busy = Error::new(ErrorKind::Unavailable, "injected").transient();
    let lost = Error::new(ErrorKind::Ambiguous, "injected");
    for (i, op) in [Op::Get, Op::Put, Op::Evict].into_iter().enumerate() {
        let seed = seed + 100 * i as u64;
        connector.sometimes(op, 0.05, seed, Fault::Fail(busy.clone()));
        connector.sometimes(op, 0.02, seed + 1, Fault::Delay(Duration::from_millis(20)));
        connector.sometimes(op, 0.005, seed + 2, Fault::Hang);
        let reply = if op == Op::Get { busy.clone() } else { lost.clone() };
        connector.sometimes(op, 0.02, seed + 3, Fault::FailAfter(reply));
    }
    for (i, at) in [0, 4, 5, 6, 7, 9, 20, 33, 47, 50, 70, 79, 80, 81, 99, 120, 200].into_iter().enumerate() {
        connector.sometimes(Op::Get, 0.002, seed + 300 + i as u64, Fault::Flip(at));
    }
    connector.sometimes(Op::Get, 0.005, seed + 400, Fault::Truncate(90));
    connector.sometimes(Op::Get, 0.005, seed + 401, Fault::Truncate(3));
}

const KINDS: [&str; 7] = ["Fail", "FailAfter", "Hang", "Delay", "Flip", "Truncate", "OtherKey"];

/// Runs `resolves` by a stack that `wrap` builds over a connector with faults.
async fn under_faults(
    name: &str,
    inner: Arc<dyn Connector>,
    resolves: u64,
    wrap: impl FnOnce(Arc<dyn Connector>) -> Arc<dyn Connector>,
) {
    let faulty = FaultConnector::new(inner);
    let may = [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::Corrupt];
    let bench = Bench::new(wrap(faulty.clone()), &may).await;
    let seed = mix(name.len() as u64 + resolves);
    inject(&faulty, seed);
    faulty.sometimes(Op::Get, 0.005, seed + 500, Fault::OtherKey(bench.keys[0].clone()));
    bench.run(resolves, seed).await;
    let injected = faulty.injected();
    let mut seen = vec![ErrorKind::Corrupt, ErrorKind::TypeMismatch, ErrorKind::Missing];
    if !name.contains("retry") && !name.contains("standard") {
        seen.push(ErrorKind::Unavailable);
    }
    bench.report.check(name, &injected, &seen);
    for kind in KINDS {
        assert!(injected.contains_key(kind), "{name}: {kind} never happened");
    }
}

fn with<P: Policy>(policy: P) -> impl FnOnce(Arc<dyn Connector>) -> Arc<dyn Connector> {
    move |inner| Arc::new(WithPolicy::new(inner, policy, "chaos"))
}

fn via(transforms: Vec<Arc<dyn Transform>>) -> impl FnOnce(Arc<dyn Connector>) -> Arc<dyn Connector> {
    move |inner| Arc::new(WithTransform::new(inner, transforms).unwrap())
}

fn standard(inner: Arc<dyn Connector>) -> Arc<dyn Connector> {
    with(impatient())(via(transforms())(inner))
}

/// Time is paused: a hang costs none.
#[tokio::test(start_paused = true)]
async fn standard_over_local() {
    under_faults("standard over local", stack::local().0, times(70_000), standard).await;
}

#[tokio::test(start_paused = true)]
async fn policies_over_local() {
    under_faults("standard policies over local", stack::local().0, times(30_000), with(impatient())).await;
}

#[tokio::test(start_paused = true)]
async fn each_policy_over_local() {
    let retry = Policies { retry: impatient().retry, ..Policies::none() };
    under_faults("retry", stack::local().0, times(10_000), with(retry)).await;
    under_faults("timeout", stack::local().0, times(10_000), with(Timeout::new(Duration::from_millis(500))))
        .await;
    under_faults("limit", stack::local().0, times(10_000), with(Limit::new(8, 1 << 20))).await;
    let only =
        Policies { retry: Some(Retry::default()), limit: Some(Limit::new(8, 1 << 20)), ..Policies::none() };
    under_faults("retry over limit", stack::local().0, times(10_000), with(only)).await;
}

#[tokio::test(start_paused = true)]
async fn each_transform_over_local() {
    under_faults("zstd", stack::local().0, times(10_000), via(vec![Arc::new(Compress::zstd())])).await;
    under_faults("lz4", stack::local().0, times(10_000), via(vec![Arc::new(Compress::lz4())])).await;
    under_faults("encrypt", stack::local().0, times(10_000), via(vec![Arc::new(stack::encrypt())])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standard_over_file() {
    let directory = tempfile::tempdir().unwrap();
    let inner = stack::file(directory.path()).await;
    under_faults("standard over file", inner, times(20_000), standard).await;
}

/// The faults are in the network here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standard_over_redis() {
    let Some((server, _)) = stack::server().await else { return };
    let proxy = TcpProxy::start(server.addr()).await;
    let uri = format!("redis://{}/0?timeout=400ms&connect_timeout=400ms", proxy.addr());
    let may = [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::Corrupt, ErrorKind::Unexpected];
    let bench = Bench::new(standard(stack::redis(&uri).await), &may).await;

    let injected = Mutex::new(BTreeMap::new());
    let before = proxy.connections();
    let shake = async {
        for n in 0u64.. {
            let down = |bytes| Some((Direction::Down, bytes));
            let hole =
                |scope, direction| Faults { black_hole: Some((scope, direction)), ..Faults::default() };
            let (name, faults) = match n % 10 {
                0 => ("delay", Faults { delay: Duration::from_millis(15), ..Faults::default() }),
                1 => ("rate", Faults { rate: Some(2 << 20), ..Faults::default() }),
                2 => ("slice", Faults { slice: Some(5), ..Faults::default() }),
                3 => (
                    "reset after n bytes",
                    Faults { reset_after: down(mix(n) % 20_000), ..Faults::default() },
                ),
                4 => ("flip a bit", Faults { flip: down(mix(n) % 20_000), ..Faults::default() }),
                5 => ("black hole", hole(Scope::Existing, None)),
                6 => ("one way", hole(Scope::All, Some(Direction::Down))),
                7 => ("refuse", Faults { refuse: true, ..Faults::default() }),
                8 => ("reset", Faults::default()),
                _ => ("none", Faults::default()),
            };
            *injected.lock().unwrap().entry(name).or_insert(0) += 1;
            proxy.set(faults).await;
            if name == "reset" || name == "refuse" {
                proxy.reset();
            }
            sleep(Duration::from_millis(if name == "none" { 150 } else { 60 })).await;
        }
    };
    tokio::select! {
        () = bench.run(times(20_000), 7) => {}
        () = shake => {}
    }
    let injected = injected.into_inner().unwrap();
    bench.report.check("standard over redis", &injected, &[ErrorKind::TypeMismatch, ErrorKind::Missing]);
    assert_eq!(injected.len(), 10, "some fault never happened: {injected:?}");
    let fired = proxy.fired();
    println!("faults that met data: {fired:?}");
    for fault in ["delay", "rate", "slice", "reset_after", "flip", "black_hole"] {
        assert!(fired.contains_key(fault), "{fault} never met data: {fired:?}");
    }
    let renewed = proxy.connections() - before;
    assert!(renewed > 5, "{renewed} connections were replaced, so the faults did nothing");
}
