//! Futures that are dropped midway.

use std::time::Duration;

use futures_util::future::join_all;
use proxystore_core::{Connector, PutOptions};
use proxystore_testkit::cancel::poll_and_drop;
use proxystore_testkit::redis::RedisServer;
use proxystore_testkit::sample;

use crate::{connect, get, key, put};

/// However many calls are dropped, the next ones get their own answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_stay_with_their_questions() {
    let Some(server) = RedisServer::start().await else { return };
    let connector = connect(&server.uri()).await.unwrap();
    let sizes = [100, 3_000, 70_000];
    for i in 0..30u64 {
        put(&*connector, &format!("k{i}"), sample::make(i, sizes[i as usize % 3])).await.unwrap();
    }
    let tasks = (0..30u64).map(|i| {
        let connector = connector.clone();
        tokio::spawn(async move {
            let name = format!("k{i}");
            for round in 0..60 {
                let polls = (round % 4) as usize;
                poll_and_drop(get(&*connector, &format!("k{}", (i + round) % 30)), polls).await;
                let again = sample::make(i, sizes[i as usize % 3]);
                poll_and_drop(put(&*connector, &name, again), polls).await;
                let object = get(&*connector, &name).await.unwrap().unwrap();
                assert_eq!(sample::seed(object), Ok(i));
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(|task| task.unwrap());
}

/// What dropped puts leave in memory is bounded, also when nothing flows.
#[tokio::test]
async fn dropped_puts_to_a_paused_server_cost_no_memory() {
    let Some(server) = RedisServer::start().await else { return };
    let connector = connect(&server.uri()).await.unwrap();
    put(&*connector, "before", vec![0; 1 << 20]).await.unwrap();
    server.pause();
    let before = resident();
    let mut most = before;
    let value = sample::make(1, 1 << 20);
    for i in 0..2_000 {
        let name = key(&format!("k{i}"));
        let size = if i % 2 == 0 { 1 << 20 } else { 60_000 };
        let options = PutOptions::default();
        let put = connector.put(&name, value.slice(..size).into(), &options);
        assert!(tokio::time::timeout(Duration::from_millis(1), put).await.is_err(), "the server is paused");
        most = most.max(resident());
    }
    let grown = most.saturating_sub(before) >> 20;
    server.resume();
    assert!(grown <= 96, "grown by {grown} MiB");
    put(&*connector, "after", vec![1; 1 << 20]).await.unwrap();
    assert_eq!(get(&*connector, "after").await.unwrap().unwrap().len(), 1 << 20);
}

/// The resident memory of this process in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// A dropped transfer of a large object frees its connection for the next one.
#[tokio::test]
async fn dropped_transfers_block_nobody() {
    let Some(server) = RedisServer::start().await else { return };
    let connector = connect(&format!("{}?bulk=1", server.uri())).await.unwrap();
    put(&*connector, "large", sample::make(7, 8 << 20)).await.unwrap();
    for polls in 0..40 {
        poll_and_drop(get(&*connector, "large"), polls).await;
        poll_and_drop(put(&*connector, "large", sample::make(7, 8 << 20)), polls).await;
    }
    assert_eq!(sample::seed(get(&*connector, "large").await.unwrap().unwrap()), Ok(7));
}
