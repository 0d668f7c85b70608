//! Values that are passed on before they exist: between tasks, and between processes.
//!
//! ```text
//! cargo run --example futures
//! ```
//!
//! The program starts itself again as a second process, with nothing in common but a directory.
#![allow(clippy::print_stdout, reason = "a program talks to its terminal")]

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use proxystore::{Proxy, Store, StoreFuture, Trust};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// What the other process gets: it waits for one future, and sets the other.
#[derive(Serialize, Deserialize)]
struct Job {
    question: Proxy<String>,
    answer: StoreFuture<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    if let Some(job) = std::env::args().nth(1) {
        return work(serde_json::from_str(&job)?).await;
    }
    proxystore::install(Trust::Registered);
    let directory = tempfile::tempdir()?;
    let store = Store::open(format!("file://{}", directory.path().display())).await?;
    between_tasks(&store).await?;
    between_processes(&store).await
}

/// A pipeline of tasks that all start at once: each waits for what it needs.
async fn between_tasks(store: &Store) -> Result<()> {
    let numbers = store.future::<Vec<u64>>().await?;
    let sum = store.future::<u64>().await?;
    let (needs_numbers, needs_sum) = (numbers.proxy(), sum.proxy());

    let print = tokio::spawn(async move {
        println!("the sum is {}", needs_sum.resolve_async().await?);
        Ok::<_, proxystore::Error>(())
    });
    let add = tokio::spawn(async move { sum.set(&needs_numbers.resolve_async().await?.iter().sum()).await });
    numbers.set(&vec![1, 2, 3]).await?;
    add.await??;
    print.await??;
    Ok(())
}

/// A worker that is started before it has anything to work on.
async fn between_processes(store: &Store) -> Result<()> {
    let question = store.future::<String>().await?;
    let answer = store.future::<String>().await?;
    let reply = answer.proxy();
    // Serializing the future hands it over: who gets the bytes sets it, or fails it by dropping it.
    let job = serde_json::to_string(&Job { question: question.proxy(), answer })?;
    let mut worker = Command::new(std::env::current_exe()?).arg(job).spawn()?;

    sleep(Duration::from_millis(100)).await;
    question.set(&"who is there".into()).await?;
    println!("{}", reply.resolve_async().await?);
    worker.wait()?;

    // Nobody answers: whoever waits is told, instead of waiting for ever.
    let broken = store.future::<String>().await?;
    let waits = broken.proxy();
    broken.fail("the worker was given no question").await?;
    println!("{}", waits.resolve_async().await.err().ok_or("a value?")?);
    Ok(())
}

async fn work(Job { question, mut answer }: Job) -> Result<()> {
    proxystore::install(Trust::Any); // this program trusts who has started it
    answer.claim().await?; // if it dies from here on, the other process gets `ProducerLost`
    let question = question.resolve_async().await?;
    answer.set(&format!("{question}? process {}", std::process::id())).await?;
    Ok(())
}
