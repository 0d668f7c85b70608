//! Functions with large arguments and results, run by a pool of tasks and by a pool of child processes:
//! what is large goes through a store, and is gone when it is not needed any more.
//!
//! `cargo run --example executor`

#![allow(clippy::print_stdout, reason = "a program talks to its terminal")]

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use proxystore::{
    Bytes, Error, ErrorKind, Executor, Function, Functions, Result, ShouldProxy, Store, StoreExecutor, Trust,
    async_trait,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

/// How often each word occurs in a text. Whoever calls it and whoever runs it share this line.
const COUNT: Function<String, BTreeMap<String, u64>> = Function::new("count");

fn functions() -> Functions {
    Functions::new().with(COUNT, async |text| {
        let mut words = BTreeMap::new();
        for word in text.split_whitespace() {
            *words.entry(word.to_owned()).or_default() += 1;
        }
        Ok(words)
    })
}

/// Runs calls in tasks of this process, so many at once.
struct Tasks {
    functions: Arc<Functions>,
    room: Semaphore,
}

#[async_trait]
impl Executor for Tasks {
    async fn execute(&self, call: Bytes) -> Result<Bytes> {
        let _room = self.room.acquire().await.map_err(lost)?;
        let functions = self.functions.clone();
        tokio::spawn(async move { functions.run(call).await }).await.map_err(lost)
    }
}

/// Runs calls in child processes, so many at once. A child that fails or is left in the middle of a call is replaced.
struct Processes {
    idle: Mutex<Vec<Child>>,
    room: Semaphore,
}

#[async_trait]
impl Executor for Processes {
    async fn execute(&self, call: Bytes) -> Result<Bytes> {
        let _room = self.room.acquire().await.map_err(lost)?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut child = match idle {
            Some(child) => child,
            None => Command::new(std::env::current_exe().map_err(lost)?)
                .arg("worker")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .map_err(lost)?,
        };
        let (Some(stdin), Some(stdout)) = (&mut child.stdin, &mut child.stdout) else {
            return Err(lost("no pipes"));
        };
        let exchange = async {
            write(stdin, &call).await?;
            read(stdout).await
        };
        let answer = exchange.await.map_err(lost)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        Ok(answer)
    }
}

fn lost(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the worker is lost: {why}"))
}

/// A message is its length, in four bytes, and its bytes.
async fn write(to: &mut (impl AsyncWriteExt + Unpin), message: &[u8]) -> std::io::Result<()> {
    to.write_u32_le(message.len() as u32).await?;
    to.write_all(message).await?;
    to.flush().await
}

async fn read(from: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<Bytes> {
    let length = from.read_u32_le().await?;
    let mut message = Vec::new();
    // Room is made for what comes, and not for what is announced.
    match from.take(length.into()).read_to_end(&mut message).await? as u64 == u64::from(length) {
        true => Ok(message.into()),
        false => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The life of a child process.
async fn worker() -> Result<()> {
    let functions = functions();
    let (mut stdin, mut stdout) = (tokio::io::stdin(), tokio::io::stdout());
    while let Ok(call) = read(&mut stdin).await {
        write(&mut stdout, &functions.run(call).await).await.map_err(lost)?;
    }
    Ok(())
}

async fn count(pool: &str, executor: impl Executor, store: &Store) -> Result<()> {
    // By default what is larger than 64 KiB goes through the store; here, what is larger than a kilobyte.
    let executor = StoreExecutor::new(executor, store.clone()).should_proxy(ShouldProxy::above(1 << 10));
    let text: String = (0..200_000).map(|n| format!("word{} ", n % 1000)).collect();
    println!("{pool}: a text of {} bytes", text.len());
    let counts = executor.submit(COUNT, &text).await?;
    let counts = counts.resolve_async().await?;
    println!("{pool}: {} words, the first of them {} times", counts.len(), counts["word0"]);
    assert_eq!((counts.len(), counts["word0"]), (1000, 200));
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let dir = std::env::temp_dir().join("proxystore-executor");
    let uri = format!("file://{}", dir.display());
    // References may lead the workers to this directory and nowhere else.
    proxystore::install(Trust::allow([&uri])?);
    if std::env::args().nth(1).as_deref() == Some("worker") {
        return worker().await;
    }
    let store = Store::open(&uri).await?;
    count("tasks", Tasks { functions: functions().into(), room: Semaphore::new(2) }, &store).await?;
    count("processes", Processes { idle: Mutex::default(), room: Semaphore::new(2) }, &store).await?;

    store.close_and_clear().await?;
    Ok(())
}
