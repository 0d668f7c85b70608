//! The whole idea in one program: this process puts files into a store and sends *references* to two worker
//! processes, which resolve them, count, and answer with small values inline and large ones as references again.
//!
//! ```text
//! cargo run --example quickstart [-- [DIR] [--store URI]]
//! ```
//!
//! Every file below DIR (default: this repository) becomes one object. `.git` and directories that are marked as
//! caches (such as `target`) are left out. Without `--store`, the store is a temporary directory; with
//! `--features redis`, `--store redis://localhost` uses Redis.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its terminal")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use proxystore::{Bytes, Key, Proxy, ProxyOr, Raw, Store, Trust};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use xxhash_rust::xxh3::xxh3_128;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const WORKERS: usize = 2;
/// Files that are read and put at once.
const AT_ONCE: usize = 16;
/// Reports that are larger are answered as proxies.
const INLINE_BYTES: u64 = 140;

/// What the parent sends: a line of JSON.
#[derive(Serialize, Deserialize)]
struct Task {
    id: usize,
    file: Proxy<Bytes, Raw>,
}

/// What a worker answers: a line of JSON.
#[derive(Serialize, Deserialize)]
struct Answer {
    id: usize,
    report: ProxyOr<Report>,
}

/// What a worker finds in a file.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    lines: u64,
    words: u64,
    bytes: u64,
    digest: u128,
    longest_line: String,
}

impl Report {
    fn of(file: &[u8]) -> Self {
        let lines = || file.split_inclusive(|byte| *byte == b'\n');
        let longest = lines().max_by_key(|line| line.len()).unwrap_or_default();
        Self {
            lines: lines().count() as u64,
            words: file.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count() as u64,
            bytes: file.len() as u64,
            digest: xxh3_128(file),
            longest_line: String::from_utf8_lossy(longest).trim_end().into(),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (mut dir, mut uri, mut worker) = (None, None, false);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--store" => uri = args.next(),
            "--worker" => worker = true,
            "--help" | "-h" => {
                println!("usage: quickstart [DIR] [--store URI]");
                return ExitCode::SUCCESS;
            }
            _ if dir.is_none() && !arg.starts_with('-') => dir = Some(PathBuf::from(arg)),
            _ => {
                eprintln!("quickstart: unknown argument {arg:?}; usage: quickstart [DIR] [--store URI]");
                return ExitCode::from(2);
            }
        }
    }
    let done = match (worker, uri) {
        (true, uri) => serve(&uri.unwrap_or_default()).await.map(|()| true),
        (false, uri) => run(dir.unwrap_or_else(repository), uri).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A worker: resolves what it is sent. It has no store of its own, and trusts one place.
async fn serve(uri: &str) -> Result<()> {
    proxystore::install(Trust::allow([uri])?);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut out = tokio::io::stdout();
    while let Some(line) = lines.next_line().await? {
        let Task { id, file } = serde_json::from_str(&line)?;
        let report = Report::of(file.resolve_async().await?);
        let store = file.factory().store().await?;
        let answer = Answer { id, report: store.offload(report).above(INLINE_BYTES).await? };
        out.write_all(format!("{}\n", serde_json::to_string(&answer)?).as_bytes()).await?;
        out.flush().await?;
    }
    Ok(())
}

/// What the parent counts.
#[derive(Default)]
struct Totals {
    bytes_stored: u64,
    bytes_sent: u64,
    inline: usize,
    proxied: usize,
    lines: u64,
    words: u64,
    wrong: Vec<PathBuf>,
}

async fn run(dir: PathBuf, uri: Option<String>) -> Result<bool> {
    let temporary = tempfile::tempdir()?;
    let uri = uri.unwrap_or_else(|| format!("file://{}", temporary.path().display()));
    proxystore::install(Trust::Registered);
    let store = Store::open(&uri).await?;
    let files = files_below(&dir)?;
    let mut totals = Totals::default();

    let start = Instant::now();
    let bar = progress("put", files.len());
    let tasks: Vec<(String, Key)> = stream::iter(files.iter().enumerate())
        .map(|(id, path)| put(&store, id, path))
        .buffered(AT_ONCE)
        .inspect_ok(|(_, _, size)| {
            totals.bytes_stored += size;
            bar.inc(1);
        })
        .map_ok(|(line, key, _)| (line, key))
        .try_collect()
        .await?;
    bar.finish_and_clear();
    let put_time = start.elapsed();
    totals.bytes_sent = tasks.iter().map(|(line, _)| line.len() as u64).sum();

    let start = Instant::now();
    let bar = progress("resolve", files.len());
    let mut lines: Vec<Vec<String>> = vec![Vec::new(); WORKERS];
    let mut keys = Vec::with_capacity(tasks.len());
    for (i, (line, key)) in tasks.into_iter().enumerate() {
        lines[i % WORKERS].push(line);
        keys.push(key);
    }
    let workers = lines.into_iter().map(|lines| work(&uri, lines, &bar));
    let answers: Vec<Answer> =
        futures_util::future::try_join_all(workers).await?.into_iter().flatten().collect();
    bar.finish_and_clear();
    let work_time = start.elapsed();

    let mut reports = BTreeMap::new();
    for Answer { id, report } in answers {
        match &report {
            ProxyOr::Value(_) => totals.inline += 1,
            ProxyOr::Proxy(proxy) => {
                totals.proxied += 1;
                keys.push(proxy.factory().key().clone());
            }
        }
        reports.insert(id, report);
    }
    for (id, path) in files.iter().enumerate() {
        let expected = Report::of(&fs::read(path)?);
        match reports.get(&id) {
            Some(report) => {
                let report = report.resolve_async().await?;
                totals.lines += report.lines;
                totals.words += report.words;
                if report.digest != expected.digest || report.bytes != expected.bytes {
                    totals.wrong.push(path.clone());
                }
            }
            None => totals.wrong.push(path.clone()),
        }
    }
    for evicted in store.evict_many(&keys).await {
        evicted?;
    }
    store.close().await?;
    print(&dir, &uri, files.len(), &totals, put_time, work_time);
    Ok(totals.wrong.is_empty())
}

/// Puts one file, and gives the line for the worker, the key and the size.
async fn put(store: &Store, id: usize, path: &Path) -> Result<(String, Key, u64)> {
    let content = Bytes::from(
        tokio::task::spawn_blocking({
            let path = path.to_owned();
            move || fs::read(path)
        })
        .await??,
    );
    let size = content.len() as u64;
    let file = store.proxy(content).codec::<Raw>().populate(false).await?;
    let key = file.factory().key().clone();
    Ok((serde_json::to_string(&Task { id, file })? + "\n", key, size))
}

/// Starts a worker process, sends it all its lines, and collects its answers.
async fn work(uri: &str, lines: Vec<String>, bar: &ProgressBar) -> Result<Vec<Answer>> {
    let mut worker = Command::new(std::env::current_exe()?)
        .args(["--worker", "--store", uri])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (Some(mut stdin), Some(stdout)) = (worker.stdin.take(), worker.stdout.take()) else {
        return Err("the worker has no pipes".into());
    };
    let send = async move {
        for line in lines {
            stdin.write_all(line.as_bytes()).await?;
        }
        Ok(()) // dropping stdin tells the worker that there is no more
    };
    let receive = async {
        let mut answers = Vec::new();
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            answers.push(serde_json::from_str(&line)?);
            bar.inc(1);
        }
        Result::Ok(answers)
    };
    let (sent, answers) = tokio::join!(send, receive);
    let status = worker.wait().await?;
    if !status.success() {
        return Err(format!("a worker ended with {status}").into());
    }
    sent.map_err(|error: std::io::Error| format!("a worker stopped reading: {error}"))?;
    answers
}

/// This repository, or the current directory if the program was taken elsewhere.
fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().unwrap_or_else(|_| PathBuf::from("."))
}

/// Every file below `dir`, in order, without `.git` and directories marked as caches.
fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let entries =
            fs::read_dir(&dir).map_err(|error| format!("cannot read {}: {error}", dir.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let kind = entry.file_type()?;
            if kind.is_file() {
                files.push(path);
            } else if kind.is_dir() && entry.file_name() != ".git" && !path.join("CACHEDIR.TAG").exists() {
                dirs.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A progress bar on a terminal, and nothing elsewhere.
fn progress(verb: &'static str, length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:>8} {bar:40} {pos}/{len} files {elapsed}");
    let bar = ProgressBar::new(length as u64).with_message(verb);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn print(dir: &Path, uri: &str, files: usize, totals: &Totals, put: Duration, work: Duration) {
    let Totals { bytes_stored, bytes_sent, inline, proxied, lines, words, wrong } = totals;
    let store = uri.parse::<proxystore::Uri>().map_or_else(|_| String::new(), |uri| uri.to_string());
    let mean = if files == 0 { 0 } else { *bytes_sent / files as u64 };
    println!("directory            {}", dir.display());
    println!("store                {store}");
    println!("objects              {files}");
    println!("bytes stored         {}", HumanBytes(*bytes_stored));
    println!("references sent      {} ({mean} bytes each)", HumanBytes(*bytes_sent));
    println!("reports              {inline} inline, {proxied} as proxies, from {WORKERS} worker processes");
    println!("counted              {lines} lines, {words} words");
    println!("put                  {put:.1?}");
    println!("resolved and counted {work:.1?}");
    println!("digests              {} right, {} wrong", files - wrong.len(), wrong.len());
    for path in wrong {
        println!("  wrong: {}", path.display());
    }
}
