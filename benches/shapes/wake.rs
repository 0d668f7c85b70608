//! How long after the call of `set` a waiter wakes, between tasks and between processes; and what many waiters cost
//! the server.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use proxystore::{Proxy, Store};
use proxystore_benches::{Goal, Race, Run, Suite, Unit, folder, reported};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::redis::RedisServer;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;

use crate::ours::keep;

pub(crate) const ROLE: &str = "waiter";
/// How long a waiter has waited when the value is set.
const WAITED: Duration = Duration::from_millis(5);
/// Looking is out of the picture: what is measured is being told.
const LOOKS: Duration = Duration::from_secs(10);
const WAITERS: usize = 10_000;
/// Commands that come and go with the time that passes, whoever waits.
const STRAY: f64 = 3.0;

/// By a clock that processes share.
fn clock() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().expect("a clock that is set")
}

/// When it has woken.
async fn woken(proxy: Proxy<u64>) -> Duration {
    proxy.resolve_async().await.expect("a value");
    clock()
}

/// Waits for each proxy that it is sent, and says when it has woken.
pub(crate) fn play() {
    proxystore::install(proxystore::Trust::Any);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        while let Some(line) = process::hear().await {
            let waiting = tokio::spawn(woken(serde_json::from_str(&line).expect("a reference")));
            process::say("");
            process::say(&waiting.await.expect("a task").as_nanos().to_string());
        }
    });
}

fn between_tasks(store: &'static Store) -> Run {
    reported(move || async move {
        let future = store.future::<u64>().interval(LOOKS).jitter(false).await.expect("a future");
        let waiting = tokio::spawn(woken(future.proxy()));
        sleep(WAITED).await;
        let set = clock();
        future.set(&7).await.expect("a set");
        waiting.await.expect("a task").saturating_sub(set)
    })
}

/// The part of it that has passed when `set` returns, if nobody waits.
fn set_alone(store: &'static Store) -> Run {
    reported(move || async move {
        let future = store.future::<u64>().await.expect("a future");
        // As long as the waiters: what has slept has cold caches.
        sleep(WAITED).await;
        let set = clock();
        future.set(&7).await.expect("a set");
        clock().saturating_sub(set)
    })
}

fn between_processes(store: &'static Store, waiter: Arc<Mutex<Role>>) -> Run {
    reported(move || {
        let waiter = waiter.clone();
        async move {
            let mut waiter = waiter.lock().await;
            let future = store.future::<u64>().interval(LOOKS).jitter(false).await.expect("a future");
            waiter.say(&serde_json::to_string(&future.proxy()).expect("a reference")).await;
            waiter.hear().await;
            sleep(WAITED).await;
            let set = clock();
            future.set(&7).await.expect("a set");
            let woken = waiter.hear().await.and_then(|nanos| nanos.parse().ok()).map(Duration::from_nanos);
            woken.expect("a time").saturating_sub(set)
        }
    })
}

/// A channel of tokio does as little as can be done.
fn channel() -> Run {
    reported(|| async {
        let (sender, mut receiver) = watch::channel(0u64);
        let waiting = tokio::spawn(async move {
            receiver.changed().await.expect("a value");
            clock()
        });
        sleep(WAITED).await;
        let set = clock();
        sender.send(7).expect("a receiver");
        waiting.await.expect("a task").saturating_sub(set)
    })
}

pub(crate) fn measure(suite: &mut Suite) {
    let open = |suite: &Suite, uri: &str| keep(suite.block_on(Store::open(uri)).expect("a store"));
    let local = open(suite, "local:///wake");
    let race = Race::new("wake", "local, between tasks", between_tasks(local)).against("channel", channel());
    suite.run(race.at_most("P7", Duration::from_micros(10)));
    suite.run(Race::new("wake", "local, the set alone", set_alone(local)));
    let disk = tempfile::tempdir_in(folder().expect("a directory")).expect("a directory");
    let file = open(suite, &format!("file://{}", disk.path().display()));
    both(suite, "file", file, Duration::from_micros(200));
    if let Some(server) = suite.block_on(RedisServer::start()) {
        let redis = open(suite, &server.uri());
        both(suite, "redis", redis, Duration::from_micros(300));
        if suite.wants("wake/many") {
            many(suite, &server);
        }
    }
}

fn both(suite: &mut Suite, scheme: &str, store: &'static Store, most: Duration) {
    let race = |how: &str, run| Race::new("wake", &format!("{scheme}, {how}"), run).at_most("P7", most);
    suite.run(race("between tasks", between_tasks(store)));
    let waiter = suite.block_on(async { Arc::new(Mutex::new(Role::spawn(ROLE, &[]))) });
    suite.run(race("between processes", between_processes(store, waiter)));
    suite.block_on(store.close()).expect("a close");
}

/// What the server is asked for while so many wait for one future, until all have woken.
async fn commands(store: &Store, server: &RedisServer, waiters: usize) -> f64 {
    let client = redis::Client::open(server.uri()).expect("a client");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let mut processed = async || {
        let info: String = redis::cmd("INFO").arg("stats").query_async(&mut connection).await.expect("INFO");
        let line = info.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        line.and_then(|count| count.trim().parse::<u64>().ok()).expect("a count")
    };
    let future = store.future::<u64>().await.expect("a future");
    let before = processed().await;
    let waiting: Vec<_> = (0..waiters).map(|_| tokio::spawn(woken(future.proxy()))).collect();
    sleep(Duration::from_secs(2)).await;
    future.set(&7).await.expect("a set");
    for woken in join_all(waiting).await {
        woken.expect("a task");
    }
    (processed().await - before) as f64
}

fn many(suite: &mut Suite, server: &RedisServer) {
    let (one, all) = suite.block_on(async {
        let store = Store::builder("many").uri(server.uri()).register().build().await.expect("a store");
        let counted = (commands(&store, server, 1).await, commands(&store, server, WAITERS).await);
        store.close().await.expect("a close");
        counted
    });
    let goal = [Goal { id: "P7", peer: None, target: STRAY }];
    let shape = "redis, commands of 10,000 waiters beyond those of one";
    suite.count("wake", shape, Unit::Count, (all - one).max(0.0), &goal);
}
