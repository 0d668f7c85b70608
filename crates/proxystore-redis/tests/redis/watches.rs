//! Who is woken, by what.

use std::time::Duration;

use futures_util::future::join_all;
use proxystore_core::{Connector, PutOptions, Watch};
use proxystore_testkit::redis::RedisServer;
use tokio::time::{sleep, timeout};

use crate::{connect, key, put, raw};

async fn wakes(watch: &mut Watch) -> bool {
    timeout(Duration::from_secs(5), watch.wake()).await.is_ok()
}

async fn sleeps(watch: &mut Watch) -> bool {
    timeout(Duration::from_millis(150), watch.wake()).await.is_err()
}

#[tokio::test]
async fn every_change_wakes() {
    let Some(server) = RedisServer::start().await else { return };
    let (watcher, writer) = (connect(&server.uri()).await.unwrap(), connect(&server.uri()).await.unwrap());
    let (a, b) = (key("a"), key("b"));
    let mut watch = watcher.watch(&a).await.unwrap();
    assert!(sleeps(&mut watch).await, "nothing happened");
    put(&*writer, "b", vec![1]).await.unwrap();
    assert!(sleeps(&mut watch).await, "another key was put");
    for round in 0..5 {
        put(&*writer, "a", vec![round]).await.unwrap();
        assert!(wakes(&mut watch).await, "put {round}");
        writer.touch(&a, Duration::from_secs(60)).await.unwrap();
        assert!(wakes(&mut watch).await, "touch {round}");
        writer.evict(&a).await.unwrap();
        assert!(wakes(&mut watch).await, "evict {round}");
    }
    let short = PutOptions { ttl: Some(Duration::from_millis(200)), ..PutOptions::default() };
    writer.put(&a, vec![1].into(), &short).await.unwrap();
    assert!(wakes(&mut watch).await, "put with a time to live");
    assert!(wakes(&mut watch).await, "expiry");
    put(&*writer, "a", vec![1; 200_000]).await.unwrap();
    assert!(wakes(&mut watch).await, "a large object");
    watcher.clear().await.unwrap();
    assert!(wakes(&mut watch).await, "clear");
    drop(watch);
    let mut again = watcher.watch(&b).await.unwrap();
    put(&*writer, "b", vec![2]).await.unwrap();
    assert!(wakes(&mut again).await, "after another watch was dropped");
    raw(server.port(), &["flushall"]).await;
    assert!(wakes(&mut again).await, "flushed");
}

#[tokio::test]
async fn a_lost_connection_wakes_and_the_watch_goes_on() {
    let Some(mut server) = RedisServer::start().await else { return };
    let (watcher, writer) = (connect(&server.uri()).await.unwrap(), connect(&server.uri()).await.unwrap());
    let mut watch = watcher.watch(&key("a")).await.unwrap();
    for _ in 0..3 {
        server.restart().await;
        assert!(wakes(&mut watch).await, "the server was restarted");
        // The new subscription may count as a wake or two before it stands.
        while !sleeps(&mut watch).await {}
        put(&*writer, "a", vec![1]).await.unwrap();
        assert!(wakes(&mut watch).await, "a put at the new server");
    }
    server.kill();
    for _ in 0..3 {
        assert!(wakes(&mut watch).await, "while the server is gone, it wakes time and again");
    }
    server.restart().await;
    timeout(Duration::from_secs(10), async { while !sleeps(&mut watch).await {} })
        .await
        .expect("it rests again");
    put(&*writer, "a", vec![1]).await.unwrap();
    assert!(wakes(&mut watch).await, "a put at the server that came back");
}

#[tokio::test]
async fn where_tracking_is_refused_it_polls() {
    for args in [["--rename-command", "HELLO", ""], ["--rename-command", "CLIENT", ""]] {
        let Some(server) = RedisServer::with(&args).await else { return };
        let connector = connect(&server.uri()).await.unwrap();
        let mut watch = connector.watch(&key("a")).await.unwrap();
        for _ in 0..3 {
            assert!(wakes(&mut watch).await, "{args:?}");
        }
        put(&*connector, "a", vec![1]).await.unwrap();
        assert!(wakes(&mut watch).await);
    }
}

/// However many watches a key has here, the server is asked once.
#[tokio::test]
async fn watches_of_one_key_share_a_subscription() {
    let Some(server) = RedisServer::start().await else { return };
    let (watcher, writer) = (connect(&server.uri()).await.unwrap(), connect(&server.uri()).await.unwrap());
    let a = key("a");
    let mut watches: Vec<_> = join_all((0..500).map(|_| watcher.watch(&a))).await;
    let calls = async || {
        let redis::Value::BulkString(stats) = raw(server.port(), &["info", "commandstats"]).await else {
            panic!()
        };
        let stats = String::from_utf8(stats).unwrap();
        let line = stats.lines().find(|line| line.starts_with("cmdstat_exists:")).unwrap();
        line.split(['=', ',']).nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = calls().await;
    put(&*writer, "a", vec![1]).await.unwrap();
    let woken = join_all(watches.iter_mut().map(|watch| wakes(watch.as_mut().unwrap()))).await;
    assert!(woken.into_iter().all(|woken| woken));
    let asked = calls().await - before;
    assert!(asked <= 3, "the server was asked {asked} times");
}

#[tokio::test]
async fn closing_ends_watches() {
    let Some(server) = RedisServer::start().await else { return };
    let connector = connect(&server.uri()).await.unwrap();
    let mut watch = connector.watch(&key("a")).await.unwrap();
    connector.close().await.unwrap();
    assert!(wakes(&mut watch).await, "the subscription broke");
    sleep(Duration::from_millis(50)).await;
    assert!(sleeps(&mut watch).await, "and is over");
}
