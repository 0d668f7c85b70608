//! One object, several processes: workers take jobs from a board that lives in this process. One of them is killed
//! in the middle of its work, and nothing is lost.
//!
//! ```text
//! cargo run --example manager --features manager
//! ```
#![allow(clippy::print_stdout, reason = "a program talks to its terminal")]

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proxystore::manager::{AuthKey, Context, Limits, Manager, Remote, RemoteError};
use proxystore::object;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

type Result<T = (), E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const JOBS: u64 = 60;
const WORKERS: usize = 3;

/// What is to be done, and what has been. It lives in the process of the manager, and workers call its methods.
struct Board {
    jobs: Arc<Mutex<VecDeque<u64>>>,
    results: BTreeMap<u64, u64>,
}

#[object]
impl Board {
    /// A job, as long as there is one.
    fn take(&self, context: &Context) -> Result<Option<Remote<Claim>>, RemoteError> {
        let job = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        job.map(|job| context.host(Claim { job, jobs: self.jobs.clone(), done: false })).transpose()
    }

    /// The job of this claim is done.
    async fn finish(&mut self, claim: ClaimProxy, result: u64) -> Result<(), RemoteError> {
        self.results.insert(claim.complete().await?, result);
        Ok(())
    }

    fn progress(&self) -> usize {
        self.results.len()
    }
}

/// A job that somebody works on: an object of its own, which lives as long as its worker does. If that dies, so
/// does the claim, and the job goes back to the board.
struct Claim {
    job: u64,
    jobs: Arc<Mutex<VecDeque<u64>>>,
    done: bool,
}

#[object]
impl Claim {
    fn job(&self) -> u64 {
        self.job
    }

    fn complete(&mut self) -> u64 {
        self.done = true;
        self.job
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.done {
            println!("job {} goes back", self.job);
            self.jobs.lock().unwrap_or_else(PoisonError::into_inner).push_back(self.job);
        }
    }
}

#[tokio::main]
async fn main() -> Result {
    if std::env::args().nth(1).as_deref() == Some("worker") {
        return work().await;
    }
    // A client that is not heard of for a second is gone. The default is half a minute.
    let limits = Limits { lease: Duration::from_secs(1), ..Limits::default() };
    let manager = Manager::builder().limits(limits).serve_anywhere().await?;
    let jobs = Arc::new(Mutex::new((0..JOBS).collect()));
    let board = manager.host(Board { jobs, results: BTreeMap::new() })?;
    manager.publish("board", &board).await?;

    // The key is no part of any reference: whoever is to connect is told it.
    let entrance = format!("{}\n{}\n", manager.addresses()?[0], manager.authkey()?.to_hex().expose());
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(start(&entrance).await?);
    }
    wait_for(&board, JOBS as usize / 3).await?;
    println!("{} jobs are done; a worker is killed", board.progress().await?);
    workers.remove(0).kill().await?;
    wait_for(&board, JOBS as usize).await?;
    println!("all {} jobs are done", board.progress().await?);
    for mut worker in workers {
        worker.kill().await?;
    }
    manager.shutdown().await?;
    Ok(())
}

async fn start(entrance: &str) -> Result<Child> {
    let mut worker = Command::new(std::env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(stdin) = &mut worker.stdin {
        stdin.write_all(entrance.as_bytes()).await?;
    }
    Ok(worker)
}

async fn wait_for(board: &BoardProxy, count: usize) -> Result {
    while board.progress().await? < count {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// What a worker process does.
async fn work() -> Result {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let (address, key) = (lines.next_line().await?, lines.next_line().await?);
    let key = AuthKey::from_hex(&key.unwrap_or_default())?;
    let manager = Manager::connect(&address.unwrap_or_default(), key).await?;
    let board: BoardProxy = manager.lookup("board").await?;
    loop {
        let Some(claim) = board.take().await? else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let job = claim.job().await?;
        tokio::time::sleep(Duration::from_millis(20)).await; // hard work
        board.finish(claim, job * job).await?;
    }
}
