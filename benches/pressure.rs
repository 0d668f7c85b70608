//! What transfers of 400 MiB that are cancelled midway cost small gets on the same store: percentiles, idle and
//! after the cancellation, in turns of one run. Needs `redis-server`.
#![allow(clippy::print_stdout, reason = "it reports")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use proxystore::layers::Policies;
use proxystore::redis::RedisConfig;
use proxystore::{Bytes, ConnectorConfig, Key, Origin, Raw, Registry, Result, Store, Uri};
use proxystore_testkit::redis::RedisServer;
use tokio::time::timeout;

const ROUNDS: usize = 10;
/// Gets in a row, before each transfer and from its cancellation on.
const GETS: usize = 1_000;
const LARGE: usize = 400 << 20;

async fn gets(store: &Store, key: &Key, times: &mut Vec<Duration>) -> Result<()> {
    for _ in 0..GETS {
        let start = Instant::now();
        store.get::<Bytes>(key).codec::<Raw>().await?;
        times.push(start.elapsed());
    }
    Ok(())
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

async fn run(server: &RedisServer) -> Result<bool> {
    let uri: Uri = server.uri().parse()?;
    let connector = RedisConfig::from_uri(&uri)?.connect(Origin::Program).await?;
    let store = Store::builder("pressure").connector(connector).registry(&Registry::new());
    let store = store.policies(Policies::standard()).cache_objects(0).build().await?;
    let small = store.put(&Bytes::from(vec![1; 100])).codec::<Raw>().await?;
    let large = store.put(&Bytes::from(vec![2; LARGE])).codec::<Raw>().await?;
    let (mut idle, mut beside) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        gets(&store, &small, &mut idle).await?;
        // Midway: long after it began, long before its end.
        let after = Duration::from_millis(10 + round as u64);
        let cancelled = timeout(after, async { store.get::<Bytes>(&large).codec::<Raw>().await }).await;
        if cancelled.is_ok() {
            println!("a transfer of 400 MiB took less than {after:?}: it was not cancelled");
            return Ok(false);
        }
        gets(&store, &small, &mut beside).await?;
    }
    let mut within = true;
    for percent in [50, 99, 100] {
        let (idle, beside) = (percentile(&mut idle, percent), percentile(&mut beside, percent));
        let ratio = beside.as_secs_f64() / idle.as_secs_f64();
        println!(
            "small get, p{percent}: idle {idle:?}, after a cancelled transfer {beside:?}, ratio {ratio:.2}"
        );
        within &= percent != 99 || ratio <= 3.0;
    }
    Ok(within)
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(server) = RedisServer::start().await else { return ExitCode::FAILURE };
    match run(&server).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}
