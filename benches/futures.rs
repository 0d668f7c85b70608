//! How long after `set` a waiter wakes: between tasks, and between processes. Prints a table. Python ProxyStore looks
//! once a second by default, which is 500 ms on average.
#![allow(clippy::print_stdout, reason = "it reports")]

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use proxystore::{Proxy, Result, Store, Trust};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::redis::RedisServer;
use tokio::time::sleep;

const ROUNDS: usize = 1000;
/// How long a waiter has waited when the value is set: so long that it looks seldom.
const WAITED: Duration = Duration::from_millis(20);

/// By a clock that processes share.
fn now() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

/// When it has woken.
async fn woken(proxy: Proxy<u64>) -> Result<Duration> {
    proxy.resolve_async().await?;
    Ok(now())
}

/// Waits in this process for each proxy that it is sent, and says when it has woken.
async fn waiter() -> Option<()> {
    while let Some(line) = process::hear().await {
        let waiting = tokio::spawn(woken(serde_json::from_str(&line).ok()?));
        process::say("");
        process::say(&waiting.await.ok()?.ok()?.as_nanos().to_string());
    }
    Some(())
}

async fn between_tasks(store: &Store) -> Result<Duration> {
    // Looking is out of the picture: what is measured is being told.
    let future = store.future::<u64>().interval(Duration::from_secs(1)).jitter(false).await?;
    let waiting = tokio::spawn(woken(future.proxy()));
    sleep(WAITED).await;
    let set = now();
    future.set(&7).await?;
    Ok(waiting.await.map_or(Ok(Duration::MAX), |woken| woken)?.saturating_sub(set))
}

async fn between_processes(store: &Store, waiter: &mut Role) -> Result<Duration> {
    let future = store.future::<u64>().interval(Duration::from_secs(1)).jitter(false).await?;
    waiter.say(&serde_json::to_string(&future.proxy()).unwrap_or_default()).await;
    waiter.hear().await;
    sleep(WAITED).await;
    let set = now();
    future.set(&7).await?;
    let woken = waiter.hear().await.and_then(|nanos| nanos.parse().ok()).map(Duration::from_nanos);
    Ok(woken.unwrap_or(Duration::MAX).saturating_sub(set))
}

fn row(name: &str, mut took: Vec<Duration>) {
    took.sort();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("| {name} | {p50:.2?} | {p99:.2?} |");
}

async fn measure(scheme: &str, uri: &str) -> Result<()> {
    let store = Store::open(uri).await?;
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        took.push(between_tasks(&store).await?);
    }
    row(&format!("{scheme}, between tasks"), took);
    if scheme != "local" {
        let mut waiter = Role::spawn("waiter", &[]);
        let mut took = Vec::new();
        for _ in 0..ROUNDS {
            took.push(between_processes(&store, &mut waiter).await?);
        }
        row(&format!("{scheme}, between processes"), took);
    }
    store.close().await.map(drop)
}

async fn run() -> Result<()> {
    println!("| from `set` to the wake-up | p50 | p99 |\n|---|---|---|");
    measure("local", "local:///futures").await?;
    if let Ok(dir) = tempfile::tempdir() {
        measure("file", &format!("file://{}", dir.path().display())).await?;
    }
    if let Some(server) = RedisServer::start().await {
        measure("redis", &server.uri()).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    if process::is_role("waiter") {
        proxystore::install(Trust::Any);
        return waiter().await.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    proxystore::install(Trust::Registered);
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}
