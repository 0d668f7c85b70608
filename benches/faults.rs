//! What a caller sees of each fault, and after how long: a store with the standard policies over a real Redis, of
//! which the network and the server fail. Prints a table. Needs `redis-server`.
#![allow(clippy::print_stdout, reason = "it reports")]

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proxystore::layers::Policies;
use proxystore::redis::RedisConfig;
use proxystore::{Bytes, ConnectorConfig, Error, Key, Origin, Raw, Registry, Result, Store, Uri};
use proxystore_testkit::fault::{Fault, FaultConnector, Op};
use proxystore_testkit::redis::RedisServer;
use proxystore_testkit::tcp_proxy::{Faults, Scope, TcpProxy};
use tokio::time::sleep;

struct Bench {
    server: RedisServer,
    proxy: TcpProxy,
    faulty: Arc<FaultConnector>,
    store: Store,
    key: Key,
}

impl Bench {
    async fn new(server: RedisServer) -> Result<Self> {
        let proxy = TcpProxy::start(server.addr()).await;
        let uri: Uri = format!("redis://{}/0", proxy.addr()).parse()?;
        let connector = RedisConfig::from_uri(&uri)?.connect(Origin::Program).await?;
        let faulty = FaultConnector::new(Arc::new(connector));
        let store = Store::builder("faults").shared_connector(faulty.clone()).registry(&Registry::new());
        let store = store.policies(Policies::standard()).cache_objects(0).build().await?;
        let key = store.put(&value(1_000)).codec::<Raw>().await?;
        Ok(Self { server, proxy, faulty, store, key })
    }

    async fn get(&self) -> Result<()> {
        self.store.get::<Bytes>(&self.key).codec::<Raw>().await.map(drop)
    }

    async fn put(&self, size: usize) -> Result<()> {
        self.store.put(&value(size)).codec::<Raw>().await.map(drop)
    }

    /// Until a get is answered again.
    async fn back(&self) -> Duration {
        let start = Instant::now();
        while self.get().await.is_err() {
            sleep(Duration::from_millis(1)).await;
        }
        start.elapsed()
    }

    async fn hole(&self, scope: Scope) {
        self.proxy.set(Faults { black_hole: Some((scope, None)), ..Faults::default() }).await;
    }
}

fn value(size: usize) -> Bytes {
    Bytes::from(vec![7; size])
}

/// Runs `call`, and prints what it gave, after how long.
async fn row(fault: &str, call: impl Future<Output = Result<()>>) {
    let start = Instant::now();
    let seen = match call.await {
        Ok(()) => "served".into(),
        Err(error) => said(&error),
    };
    println!("| {fault} | {seen} | {:.1?} |", start.elapsed());
}

fn said(error: &Error) -> String {
    format!("`{:?}` after {} attempts", error.kind(), error.context("attempts").unwrap_or("1"))
}

async fn run(bench: &mut Bench) -> Result<()> {
    println!("| fault | what the caller sees | after |\n|---|---|---|");
    row("none: a get of 1 kB", bench.get()).await;

    bench.proxy.reset();
    row("all connections are reset: a get", bench.get()).await;

    bench.hole(Scope::Existing).await;
    row("all connections fall silent: a get", bench.get()).await;
    bench.proxy.pass().await;

    bench.server.pause();
    let resume = async {
        sleep(Duration::from_secs(5)).await;
        bench.server.resume();
    };
    tokio::join!(row("the server stands still for 5 s: a get", bench.get()), resume);
    println!("| the server goes on | served again | {:.1?} |", bench.back().await);

    bench.hole(Scope::All).await;
    row("nothing comes through any more: a get", bench.get()).await;
    row("nothing comes through any more: a put of 1 kB", bench.put(1_000)).await;
    row("nothing comes through any more: a put of 10 MB", bench.put(10_000_000)).await;
    bench.proxy.pass().await;
    println!("| it comes through again | served again | {:.1?} |", bench.back().await);

    bench.proxy.set(Faults { refuse: true, ..Faults::default() }).await;
    bench.proxy.reset();
    row("nobody listens: a get", bench.get()).await;
    bench.proxy.pass().await;

    bench.faulty.next(Op::Get, Fault::Flip(500));
    row("a bit of the object is flipped: a get", bench.get()).await;
    bench.faulty.next(Op::Get, Fault::Truncate(500));
    row("half of the object is missing: a get", bench.get()).await;
    let lost = Error::new(proxystore::ErrorKind::Ambiguous, "the reply is lost");
    bench.faulty.next(Op::Put, Fault::FailAfter(lost));
    row("the reply of a put is lost", bench.put(1_000)).await;

    bench.server.kill();
    row("the server is killed: a get", bench.get()).await;
    bench.server.restart().await;
    println!(
        "| it is there again, empty | served again (`None`: it has lost its objects) | {:.1?} |",
        bench.back().await
    );
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(server) = RedisServer::with(&["--maxmemory", "64mb"]).await else { return ExitCode::FAILURE };
    let done = async {
        let mut bench = Bench::new(server).await?;
        run(&mut bench).await?;
        bench.store.put(&value(1_000)).codec::<Raw>().await?;
        for _ in 0..10 {
            if bench.put(10_000_000).await.is_err() {
                break;
            }
        }
        row("the server has no memory left: a put", bench.put(10_000_000)).await;
        bench.store.connector().close().await
    };
    match done.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}
