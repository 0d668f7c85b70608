//! What each way out of a process leaves: the table in `docs/guides/lifetimes.md`.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proxystore::file::FileConfig;
use proxystore::{
    ConnectorConfig, ErrorKind, Key, Lease, Lifetime, Origin, OwnedProxy, Process, Scope, ShutdownGuard,
    Store, Trust, shutdown, shutdown_on_signal,
};
use proxystore_testkit::fault::{Fault, FaultConnector, Op};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::redis::RedisServer;
use proxystore_testkit::role;
use tokio::runtime::{Builder, Runtime};

/// How long what is held outlives a process that did not evict it.
const TTL: Duration = Duration::from_secs(3);
/// As long as no test runs.
const LONG: Duration = Duration::from_secs(600);

fn runtime(threads: usize) -> Runtime {
    match threads {
        0 => Builder::new_current_thread().enable_all().build().unwrap(),
        _ => Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap(),
    }
}

/// Opens the store, and owns some of its objects; their keys are written down for the parent.
async fn own(count: usize, ttl: Duration) -> (Store, Vec<OwnedProxy<usize>>) {
    proxystore::install(Trust::Registered);
    let store = Store::open(std::env::var("STORE").unwrap()).await.unwrap();
    let mut owned = Vec::new();
    for i in 0..count {
        owned.push(store.owned_proxy(i).ttl(ttl).await.unwrap());
    }
    let keys: Vec<_> = owned.iter().map(|owned| owned.key().to_string()).collect();
    std::fs::write(std::env::var("KEYS").unwrap(), keys.join("\n")).unwrap();
    (store, owned)
}

/// Waits for ever, with what it holds.
async fn hold<T>(held: T) {
    std::future::pending::<()>().await;
    drop(held);
}

/// Ten thousand owners in tasks that are dropped as their runtime shuts down.
#[test]
fn runtime_shuts_down() {
    role!("shutdown::runtime_shuts_down");
    let guard = ShutdownGuard::new();
    let runtime = runtime(2);
    runtime.block_on(async {
        let (_, owned) = own(10_000, LONG).await;
        for owned in owned {
            tokio::spawn(hold(owned));
        }
        tokio::task::yield_now().await;
    });
    drop(runtime);
    drop(guard);
}

/// A panic unwinds out of `main`.
#[test]
fn main_panics() {
    role!("shutdown::main_panics");
    let _guard = ShutdownGuard::new();
    runtime(0).block_on(async {
        let _owned = own(100, LONG).await;
        panic!("as planned");
    });
}

/// The proxies outlive the runtime, and are dropped where there is none.
#[test]
fn dropped_outside() {
    role!("shutdown::dropped_outside");
    let _guard = ShutdownGuard::new();
    let owned = runtime(0).block_on(own(100, LONG));
    drop(owned);
}

/// An async `main`: the guard cannot wait here, and `shutdown` can.
#[test]
fn async_main() {
    role!("shutdown::async_main");
    runtime(0).block_on(async {
        let (store, owned) = own(100, LONG).await;
        store.put(&1).lifetime(&Process).await.unwrap();
        drop(owned);
        let evictions = shutdown(Duration::from_secs(2)).await;
        assert_eq!((evictions.evicted, evictions.pending), (101, 0));
    });
}

/// A guard inside of a runtime neither waits nor blocks it.
#[test]
fn guard_inside() {
    role!("shutdown::guard_inside");
    runtime(0).block_on(async {
        let guard = ShutdownGuard::with_limit(LONG);
        drop(own(100, TTL).await);
        let start = Instant::now();
        drop(guard);
        assert!(start.elapsed() < Duration::from_secs(1));
    });
}

/// Neither a guard nor a shutdown.
#[test]
fn unguarded() {
    role!("shutdown::unguarded");
    runtime(0).block_on(async { drop(own(100, TTL).await) });
}

#[test]
fn exits() {
    role!("shutdown::exits");
    let _guard = ShutdownGuard::new();
    let _owned = runtime(0).block_on(own(100, TTL));
    std::process::exit(7);
}

/// Until a signal ends it.
#[test]
fn signalled() {
    role!("shutdown::signalled");
    runtime(0).block_on(async {
        shutdown_on_signal(Duration::from_secs(2)).unwrap();
        let (store, owned) = own(100, LONG).await;
        let scope = Scope::new();
        let scoped = store.put(&1).lifetime(&scope).await.unwrap();
        let process = store.put(&2).lifetime(&Process).await.unwrap();
        process::say(&format!("{scoped} {process}"));
        // What holds it is busy, and hears nothing.
        std::thread::sleep(LONG);
        drop((scope, owned));
    });
}

/// A signal that comes while what is held is being renewed, by a backend that hangs.
#[test]
fn signalled_in_a_renewal() {
    role!("shutdown::signalled_in_a_renewal");
    runtime(0).block_on(async {
        shutdown_on_signal(Duration::from_secs(2)).unwrap();
        let uri = std::env::var("STORE").unwrap().parse().unwrap();
        let connector = FileConfig::from_uri(&uri).unwrap().connect(Origin::Program).await.unwrap();
        let faulty = FaultConnector::new(Arc::new(connector));
        let store = Store::builder("renewed").shared_connector(faulty.clone()).build().await.unwrap();
        faulty.every(Op::Touch, Fault::Hang);
        let scope = Scope::with_ttl(4 * TTL);
        let key = store.put(&1).lifetime(&scope).await.unwrap();
        std::fs::write(std::env::var("KEYS").unwrap(), key.as_str()).unwrap();
        faulty.reached(Op::Touch, 1).await;
        process::say("it is being renewed");
        hold(scope).await;
    });
}

#[tokio::test]
async fn what_is_being_renewed_is_evicted_at_a_signal_too() {
    proxystore::install(Trust::Registered);
    let dir = tempfile::tempdir().unwrap();
    let uri = format!("file://{}", dir.path().display());
    let store = Store::builder("left").uri(&uri).build().await.unwrap();
    let (code, _, keys) = play("signalled_in_a_renewal", &uri, Some("-TERM")).await;
    assert_eq!((code, keys.len(), left(&store, &keys).await), (143, 1, 0));
}

/// Where the system gives no thread for the background, everything says so, and nothing panics or waits.
#[tokio::test]
async fn without_a_thread() {
    role!("shutdown::without_a_thread");
    proxystore::install(Trust::Registered);
    let store = Store::open("local:///without-a-thread").await.unwrap();
    let scope = Scope::new();
    let error = store.put(&1).lifetime(&scope).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unexpected && error.message().contains("thread"), "{error}");
    assert_eq!(Lease::new(TTL).unwrap_err().kind(), ErrorKind::Unexpected);
    let evictions = scope.end().await;
    assert_eq!((evictions.failed, evictions.pending), (1, 0));
    assert!(shutdown(LONG).await.is_complete());
    assert!(store.close().await.unwrap().is_complete());
}

#[tokio::test]
async fn no_thread_for_the_background_is_an_error() {
    // No system has a stack of this size.
    let stack = (1u64 << 60).to_string();
    let mut role = Role::spawn("shutdown::without_a_thread", &[("RUST_MIN_STACK", &stack)]);
    assert!(role.wait().await.success());
}

/// Plays the role to its end. The exit code, what it said, and the keys that it held.
async fn play(name: &str, uri: &str, signal: Option<&str>) -> (i32, Option<String>, Vec<Key>) {
    let keys = tempfile::NamedTempFile::new().unwrap();
    let environment = [("STORE", uri), ("KEYS", keys.path().to_str().unwrap())];
    let mut role = Role::spawn(&format!("shutdown::{name}"), &environment);
    let mut said = None;
    if let Some(signal) = signal {
        said = role.hear().await;
        let id = role.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
    let code = role.wait().await.code().expect("an exit, and no signal");
    let keys = std::fs::read_to_string(keys.path()).unwrap();
    (code, said, keys.lines().map(|key| key.parse().unwrap()).collect())
}

async fn left(store: &Store, keys: &[Key]) -> usize {
    let mut left = 0;
    for key in keys {
        left += usize::from(store.exists(key).await.unwrap());
    }
    left
}

/// Each way out, over one store.
async fn ways_out(uri: &str) {
    proxystore::install(Trust::Registered);
    let store = Store::builder("left").uri(uri).build().await.unwrap();

    // All within the two seconds that the guard waits.
    let (code, _, keys) = play("runtime_shuts_down", uri, None).await;
    assert_eq!((code, keys.len(), left(&store, &keys).await), (0, 10_000, 0));

    // The harness catches the panic, and ends with an error.
    for (role, wanted) in [("main_panics", 101), ("dropped_outside", 0), ("async_main", 0)] {
        let (code, _, keys) = play(role, uri, None).await;
        assert_eq!((role, code, keys.len(), left(&store, &keys).await), (role, wanted, 100, 0));
    }
    for (signal, wanted) in [("-TERM", 143), ("-INT", 130)] {
        let (code, said, mut keys) = play("signalled", uri, Some(signal)).await;
        keys.extend(said.unwrap().split(' ').map(|key| key.parse().unwrap()));
        assert_eq!((signal, code, keys.len(), left(&store, &keys).await), (signal, wanted, 102, 0));
    }
    // Where nothing waits, what is left is left to its ttl.
    let mut all = Vec::new();
    for (role, wanted) in [("guard_inside", 0), ("unguarded", 0), ("exits", 7)] {
        let (code, _, keys) = play(role, uri, None).await;
        assert_eq!((role, code, keys.len()), (role, wanted, 100));
        if role == "exits" {
            assert_eq!(left(&store, &keys).await, 100, "nothing runs in an exit");
        }
        all.extend(keys);
    }
    tokio::time::sleep(TTL + Duration::from_secs(1)).await;
    assert_eq!(left(&store, &all).await, 0);
}

#[tokio::test]
async fn ways_out_over_files() {
    let dir = tempfile::tempdir().unwrap();
    ways_out(&format!("file://{}", Path::new(dir.path()).display())).await;
}

#[tokio::test]
async fn ways_out_over_redis() {
    let Some(server) = RedisServer::start().await else { return };
    ways_out(&server.uri()).await;
}
