//! One owner, whatever happens: this process owns a list of numbers, lends it to a task and to another process, and
//! hands it over to that process for good. The other process is this program once more.
//!
//! ```text
//! cargo run --example ownership
//! ```
#![allow(clippy::print_stdout, reason = "a program talks to its terminal")]

use std::error::Error;
use std::process::Stdio;
use std::time::Duration;

use proxystore::{Handover, LentMut, OwnedProxy, Store, Trust, shutdown};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

type Numbers = Vec<u64>;
type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// What this process sends to the other one: a line of JSON.
#[derive(Serialize, Deserialize)]
enum Message {
    /// Do with it what you like until you answer.
    Sort(LentMut<Numbers>),
    /// It is yours.
    Keep(Handover<Numbers>),
}

#[tokio::main]
async fn main() -> Result<()> {
    match std::env::args().nth(1) {
        Some(place) => other(&place).await,
        None => owner().await,
    }
}

async fn owner() -> Result<()> {
    proxystore::install(Trust::Registered);
    let directory = tempfile::tempdir()?;
    let place = format!("file://{}", directory.path().display());
    let store = Store::open(&place).await?;
    let mut other = Other::start(&place)?;

    // The object goes when its owner does: by a drop, a panic, or within ten seconds after a kill.
    let mut owned: OwnedProxy<Numbers> =
        store.owned_proxy(vec![3, 1, 2]).ttl(Duration::from_secs(10)).await?;

    // Near the owner, the compiler keeps the rules. An update is a new object, so no cache has a stale copy of it.
    println!("owned     {:?}", owned.borrow().resolve_async().await?);
    owned.borrow_mut().update(vec![5, 4, 3, 1, 2]).await?;

    // Shared: any number of tasks may read it while they are awaited here, and nobody may update it.
    let sum = |lent: proxystore::Lent<Numbers>| {
        tokio::spawn(async move { lent.resolve_async().await.map(|numbers| numbers.iter().sum::<u64>()) })
    };
    println!("sum       {}", owned.lend(sum).await???);

    // Mutable: one process has it until it answers. If it dies first, this ends with `Expired`.
    let answer = owned.lend_mut(async |lent| other.ask(Message::Sort(lent)).await).await??;
    println!("answer    {answer}");
    println!("sorted    {:?}", owned.resolve_async().await?);

    // For good: of all copies of the message, one is claimed. If none is in time, the object expires.
    let handover = owned.hand_over().await.map_err(|kept| kept.error)?;
    println!("answer    {}", other.ask(Message::Keep(handover)).await?);
    other.end().await?;
    store.close().await?;
    Ok(())
}

/// The other process: answers each message by a line.
async fn other(place: &str) -> Result<()> {
    proxystore::install(Trust::allow([place])?);
    let mut messages = BufReader::new(tokio::io::stdin()).lines();
    let mut kept = Vec::new();
    while let Some(message) = messages.next_line().await? {
        match serde_json::from_str(&message)? {
            Message::Sort(mut lent) => {
                let mut numbers = lent.resolve_async().await?.clone();
                numbers.sort_unstable();
                lent.update(numbers).await?;
                println!("I have sorted them");
            }
            Message::Keep(handover) => {
                let owned = handover.claim().await?;
                println!("I own {:?}", owned.resolve_async().await?);
                kept.push(owned);
            }
        }
    }
    drop(kept);
    shutdown(Duration::from_secs(2)).await; // what was dropped is evicted in the background
    Ok(())
}

/// The other process, as this one sees it.
struct Other {
    process: Child,
    messages: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn start(place: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(place).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn()?;
        let (Some(messages), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("the process has no pipes".into());
        };
        Ok(Self { process, messages, answers: BufReader::new(answers).lines() })
    }

    async fn ask(&mut self, message: Message) -> Result<String> {
        self.messages.write_all(format!("{}\n", serde_json::to_string(&message)?).as_bytes()).await?;
        self.answers.next_line().await?.ok_or_else(|| "the process has ended".into())
    }

    async fn end(mut self) -> Result<()> {
        drop(self.messages);
        self.process.wait().await?;
        Ok(())
    }
}
