//! What an operator sees: some work on two stores, and what Prometheus would get of it.
//!
//! ```text
//! cargo run --example metrics --features metrics [-- --serve 127.0.0.1:9464]
//! ```
//!
//! Without `--serve` it works for a moment and prints. With it, it works on and answers every request at that address,
//! so that a Prometheus can scrape it; `docs/dashboards/grafana.json` shows the rest.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its terminal")]

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use proxystore::{Key, Store, Trust};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// 50 µs to 30 s.
const SECONDS: [f64; 12] = [5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
/// 1 KiB to 1 GiB.
const BYTES: [f64; 6] = [1024.0, 16384.0, 262_144.0, 4_194_304.0, 67_108_864.0, 1_073_741_824.0];

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match &args[..] {
        [] => run(None).await,
        [flag, address] if flag == "--serve" => run(Some(address)).await,
        _ => {
            eprintln!("usage: metrics [--serve ADDRESS]");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = done {
        eprintln!("metrics: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn run(serve: Option<&str>) -> Result<()> {
    // First the recorder, then the stores. With buckets, so that percentiles can be taken over many processes.
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".into()), &BYTES)?
        .install_recorder()?;
    proxystore::install(Trust::Registered);
    let directory = tempfile::tempdir()?;
    let memory = Store::builder("memory").uri("local:///metrics").build().await?;
    let files = Store::builder("files").uri(format!("file://{}", directory.path().display())).build().await?;

    let Some(address) = serve else {
        for round in 0..20 {
            tokio::try_join!(work(&memory, round), work(&files, round))?;
        }
        println!("{}", prometheus.render());
        return Ok(());
    };
    let listener = TcpListener::bind(address).await?;
    println!("http://{}/metrics", listener.local_addr()?);
    for round in 0.. {
        tokio::try_join!(work(&memory, round), work(&files, round))?;
        prometheus.run_upkeep();
        // One that hangs up in the middle of its request harms nobody.
        let serve = async { answer(listener.accept().await?.0, &prometheus).await };
        let _ = tokio::time::timeout(Duration::from_millis(100), serve).await;
    }
    Ok(())
}

/// A bit of everything: a put, a get that loads, a get from the cache, a get of what is not there, an evict.
async fn work(store: &Store, round: usize) -> Result<()> {
    let proxy = store.proxy(vec![round as u8; (round % 8 + 1) * 20_000]).populate(false).await?;
    let key = proxy.factory().key();
    let (first, second) = tokio::join!(store.get::<Vec<u8>>(key), proxy.resolve_async());
    assert_eq!(first?.as_deref(), Some(second?));
    store.get::<Vec<u8>>(key).await?;
    assert!(store.get::<Vec<u8>>(&Key::random()?).await?.is_none());
    if round.is_multiple_of(2) {
        store.evict(key).await?;
    }
    Ok(())
}

/// Whatever was asked for, it gets the metrics.
async fn answer(mut scraper: TcpStream, prometheus: &PrometheusHandle) -> Result<()> {
    let _ = scraper.read(&mut [0; 4096]).await?;
    let body = prometheus.render();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close\r\n";
    let head = format!("{head}content-length: {}\r\n\r\n", body.len());
    scraper.write_all(head.as_bytes()).await?;
    scraper.write_all(body.as_bytes()).await?;
    Ok(scraper.shutdown().await?)
}
