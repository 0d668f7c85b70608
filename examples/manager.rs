//! A few objects, several processes: workers take jobs from a board that lives in this process, and write results to a
//! file, which a lock protects. One of them is killed while it has a job and the lock: nothing is lost, and the lock is
//! free again.
//!
//! ```text
//! cargo run --example manager --features manager
//! ```
#![allow(clippy::print_stdout, reason = "a program talks to its terminal")]

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proxystore::manager::sync::{Event, EventProxy, Lock, LockProxy};
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
    if let Some(kind) = std::env::args().nth(1) {
        return work(kind == "clumsy").await;
    }
    // A client that is not heard of for a second is gone. The default is half a minute.
    let limits = Limits { lease: Duration::from_secs(1), ..Limits::default() };
    let manager = Manager::builder().limits(limits).serve_anywhere().await?;
    let jobs = Arc::new(Mutex::new((0..JOBS).collect()));
    let board = manager.host(Board { jobs, results: BTreeMap::new() })?;
    manager.publish("board", &board).await?;
    manager.publish("file", &manager.host(Lock::new())?).await?;
    let stuck = manager.host(Event::new())?;
    manager.publish("stuck", &stuck).await?;

    // The key is no part of any reference: whoever is to connect is told it.
    let file = std::env::temp_dir().join(format!("proxystore-jobs-{}", std::process::id()));
    let entrance = format!(
        "{}\n{}\n{}\n",
        manager.addresses()?[0],
        manager.authkey()?.to_hex().expose(),
        file.display()
    );
    let mut clumsy = start("clumsy", &entrance).await?;
    let mut workers = Vec::new();
    for _ in 1..WORKERS {
        workers.push(start("worker", &entrance).await?);
    }
    stuck.wait(None).await?;
    println!("{} jobs are done; the worker that has the lock is killed", board.progress().await?);
    clumsy.kill().await?;
    wait_for(&board, JOBS as usize).await?;
    println!("all {} jobs are done", board.progress().await?);
    assert_eq!(read(&file)?.len(), JOBS as usize);
    for mut worker in workers {
        worker.kill().await?;
    }
    std::fs::remove_file(&file)?;
    manager.shutdown().await?;
    Ok(())
}

async fn start(kind: &str, entrance: &str) -> Result<Child> {
    let mut worker = Command::new(std::env::current_exe()?)
        .arg(kind)
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

/// What a worker process does. A clumsy one stops in the middle.
async fn work(is_clumsy: bool) -> Result {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let (address, key) = (lines.next_line().await?, lines.next_line().await?);
    let file = lines.next_line().await?.unwrap_or_default();
    let key = AuthKey::from_hex(&key.unwrap_or_default())?;
    let manager = Manager::connect(&address.unwrap_or_default(), key).await?;
    let board: BoardProxy = manager.lookup("board").await?;
    let lock: LockProxy = manager.lookup("file").await?;
    let stuck: EventProxy = manager.lookup("stuck").await?;
    loop {
        let Some(claim) = board.take().await? else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let job = claim.job().await?;
        tokio::time::sleep(Duration::from_millis(20)).await; // hard work
        // Each writes the whole file: two at once would lose what the other wrote.
        let guard = lock.acquire().await?;
        if is_clumsy && board.progress().await? >= JOBS as usize / 3 {
            stuck.set().await?;
            return std::future::pending().await;
        }
        write(Path::new(&file), job, job * job)?;
        board.finish(claim, job * job).await?;
        guard.release().await?;
    }
}

fn read(file: &Path) -> Result<BTreeMap<u64, u64>> {
    let mut results = BTreeMap::new();
    let text = if file.exists() { std::fs::read_to_string(file)? } else { String::new() };
    for line in text.lines() {
        let (job, result) = line.split_once(' ').ok_or("half a line")?;
        results.insert(job.parse()?, result.parse()?);
    }
    Ok(results)
}

fn write(file: &Path, job: u64, result: u64) -> Result {
    let mut results = read(file)?;
    results.insert(job, result);
    let lines = results.iter().map(|(job, result)| format!("{job} {result}\n"));
    Ok(std::fs::write(file, lines.collect::<String>())?)
}
