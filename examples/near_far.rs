//! Two processes of one host share a directory, which is near, and S3, which is far. What one puts the other has from
//! the directory at once, while it is copied to S3 behind it; hosts that do not have the directory read from S3.
//!
//! ```text
//! cargo run --example near_far --features near-far
//! ```
//!
//! runs on a server of its own, in memory. With a bucket of yours, and your AWS credentials:
//!
//! ```text
//! cargo run --example near_far --features near-far -- s3://bucket/prefix?region=eu-west-1
//! ```
//!
//! Both processes are this program once more: one puts, and prints references; the other reads and resolves them.
#![allow(clippy::print_stdout, reason = "a program talks to its terminal")]

use std::error::Error;
use std::process::Stdio;
use std::time::Instant;

use proxystore::{Bytes, Proxy, Raw, Store, Trust, Uri};
use proxystore_testkit::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, stdin};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const ARRAYS: usize = 3;
const SIZE: usize = 8 << 20;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            let server = S3Server::start().await;
            let far = format!("s3://{BUCKET}/arrays?endpoint={}", server.endpoint());
            show(&far, &[("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)]).await
        }
        [far] => show(far, &[]).await,
        ["put", place] => put(place).await,
        [_, place] => resolve(place).await,
        _ => Err("give no argument, or the URI of a bucket".into()),
    }
}

/// Starts both processes, and passes the references on from one to the other.
async fn show(far: &str, credentials: &[(&str, &str)]) -> Result<()> {
    let near = tempfile::tempdir()?;
    // One URI is all that both must agree on: `far` takes the objects, and has copies of them in `near`.
    let place = Uri::new("multi")
        .with_host("far", None)
        .with_host("near", None)
        .with_option("far", far)
        .with_option("far.near", "near")
        .with_option("near", format!("file://{}", near.path().display()));
    let start = |role: &str| -> Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([role, &place.to_string()]).envs(credentials.iter().copied()).kill_on_drop(true);
        Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
    };

    println!("this host");
    let mut putting = start("put")?;
    let mut other = Other::new(start("resolve")?)?;
    let mut references = Vec::new();
    let mut lines = BufReader::new(putting.stdout.take().ok_or("no pipe")?).lines();
    while let Some(line) = lines.next_line().await? {
        match line.strip_prefix("  ") {
            Some(_) => println!("{line}"),
            None => {
                println!("{}", other.resolve(&line).await?);
                references.push(line);
            }
        }
    }
    putting.wait().await?;

    println!("another host, which has not this directory");
    std::fs::remove_dir_all(near.path())?;
    let mut other = Other::new(start("resolve")?)?;
    for reference in &references {
        println!("{}", other.resolve(reference).await?);
    }
    Ok(())
}

/// The process that resolves, as this one sees it.
struct Other {
    _process: Child,
    references: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn new(mut process: Child) -> Result<Self> {
        let (Some(references), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("the process has no pipes".into());
        };
        Ok(Self { _process: process, references, answers: BufReader::new(answers).lines() })
    }

    async fn resolve(&mut self, reference: &str) -> Result<String> {
        self.references.write_all(format!("{reference}\n").as_bytes()).await?;
        self.answers.next_line().await?.ok_or_else(|| "the process has ended".into())
    }
}

/// Puts arrays, and prints a reference to each.
async fn put(place: &str) -> Result<()> {
    proxystore::install(Trust::Registered);
    let store = Store::open(place).await?;
    for i in 0..ARRAYS {
        let array = Bytes::from(vec![u8::try_from(i)?; SIZE]);
        let start = Instant::now();
        let proxy: Proxy<Bytes, Raw> = store.proxy(array).codec::<Raw>().await?;
        println!("  put near in       {:.1?}", start.elapsed());
        println!("{}", serde_json::to_string(&proxy)?);
    }
    // Waits for the copies.
    let start = Instant::now();
    store.close().await?;
    println!("  all far after     {:.1?}", start.elapsed());
    Ok(())
}

/// Reads references, and resolves each.
async fn resolve(place: &str) -> Result<()> {
    proxystore::install(Trust::Registered);
    let store = Store::open(place).await?;
    let mut references = BufReader::new(stdin()).lines();
    while let Some(reference) = references.next_line().await? {
        let proxy: Proxy<Bytes, Raw> = serde_json::from_str(&reference)?;
        let start = Instant::now();
        let bytes = proxy.resolve_async().await?.len();
        println!("  resolved {} MiB in {:.1?}", bytes >> 20, start.elapsed());
    }
    store.close().await?;
    Ok(())
}
