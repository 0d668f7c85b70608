//! Several worker processes share a queue of jobs, a dictionary of results, a counter of progress, and a total that a lock
//! protects. One of them is killed while it has a job and the lock: no job is lost, none counts twice, and the lock is free
//! again.
//!
//! ```text
//! cargo run --example manager --features manager
//! ```
#![allow(clippy::print_stdout, reason = "a program talks to its terminal")]

use std::error::Error;
use std::process::Stdio;
use std::time::Duration;

use proxystore::manager::builtin::{Counter, Dict, Order, Queue, Value};
use proxystore::manager::sync::{EventProxy, LockProxy};
use proxystore::manager::{AuthKey, CallError, Limits, Manager};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

type Result<T = (), E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const JOBS: u64 = 60;
const WORKERS: usize = 3;

/// What all of them share: any process that knows the names has it.
struct Shared {
    jobs: Queue<u64>,
    results: Dict<u64, u64>,
    progress: Counter,
    total: Value<u64>,
    lock: LockProxy,
    stuck: EventProxy,
}

impl Shared {
    async fn of(manager: &Manager) -> Result<Self> {
        Ok(Self {
            jobs: Queue::get_or_create(manager, "jobs", Order::Fifo, 0).await?,
            results: Dict::get_or_create(manager, "results").await?,
            progress: Counter::get_or_create(manager, "progress", 0).await?,
            total: Value::get_or_create(manager, "total", &0).await?,
            lock: LockProxy::get_or_create(manager, "lock").await?,
            stuck: EventProxy::get_or_create(manager, "stuck").await?,
        })
    }
}

#[tokio::main]
async fn main() -> Result {
    if let Some(kind) = std::env::args().nth(1) {
        return work(kind == "clumsy").await;
    }
    // A client that is not heard of for a second is gone. The default is half a minute.
    let limits = Limits { lease: Duration::from_secs(1), ..Limits::default() };
    let manager = Manager::builder().limits(limits).serve_anywhere().await?;
    let shared = Shared::of(&manager).await?;
    for job in 0..JOBS {
        shared.jobs.put(&job).await?;
    }
    shared.jobs.close().await?; // no more will come; what is in it, or comes back, is still given out

    // The key is no part of any reference: whoever is to connect is told it.
    let entrance = format!("{}\n{}\n", manager.addresses()?[0], manager.authkey()?.to_hex().expose());
    let mut clumsy = start("clumsy", &entrance).await?;
    let mut workers = Vec::new();
    for _ in 1..WORKERS {
        workers.push(start("worker", &entrance).await?);
    }
    shared.stuck.wait(None).await?;
    println!("{} jobs are done; the worker that has the lock is killed", shared.progress.get().await?);
    clumsy.kill().await?;

    shared.jobs.join().await?;
    for mut worker in workers {
        assert!(worker.wait().await?.success());
    }
    println!("all {} jobs are done", shared.progress.get().await?);
    assert_eq!(shared.results.len().await? as u64, JOBS);
    assert_eq!(shared.total.get().await?, (0..JOBS).map(|job| job * job).sum::<u64>());
    shared.lock.acquire().await?.release().await?;
    manager.shutdown().await?;
    Ok(())
}

async fn start(kind: &str, entrance: &str) -> Result<Child> {
    let mut worker =
        Command::new(std::env::current_exe()?).arg(kind).stdin(Stdio::piped()).kill_on_drop(true).spawn()?;
    if let Some(stdin) = &mut worker.stdin {
        stdin.write_all(entrance.as_bytes()).await?;
    }
    Ok(worker)
}

/// What a worker process does. A clumsy one stops in the middle.
async fn work(is_clumsy: bool) -> Result {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let (address, key) = (lines.next_line().await?, lines.next_line().await?);
    let key = AuthKey::from_hex(&key.unwrap_or_default())?;
    let manager = Manager::connect(&address.unwrap_or_default(), key).await?;
    let shared = Shared::of(&manager).await?;
    loop {
        let job = match shared.jobs.get_acked().await {
            Ok(job) => job,
            Err(CallError::App(_)) => break, // the queue is closed, and nothing can come back
            Err(error) => return Err(error.into()),
        };
        tokio::time::sleep(Duration::from_millis(20)).await; // hard work
        let result = *job * *job;
        // Two who read and write the total at once would lose what the other wrote.
        let guard = shared.lock.acquire().await?;
        if is_clumsy && shared.progress.get().await? >= JOBS as i64 / 3 {
            shared.stuck.set().await?;
            return std::future::pending().await;
        }
        shared.total.set(&(shared.total.get().await? + result)).await?;
        guard.release().await?;
        shared.results.insert(&job, &result).await?;
        shared.progress.add(1).await?;
        job.ack().await?;
    }
    manager.disconnect().await;
    Ok(())
}
