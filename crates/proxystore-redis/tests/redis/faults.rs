//! What networks and servers do.

use std::time::{Duration, Instant};

use proxystore_core::{Connector, Error, ErrorKind, Mode, PutOptions};
use proxystore_testkit::cancel::eventually;
use proxystore_testkit::redis::RedisServer;
use proxystore_testkit::sample;
use proxystore_testkit::tcp_proxy::{Direction, Faults, Scope, TcpProxy};
use tokio::time::sleep;

use crate::{connect, get, is_outage, key, put};

/// What a busy machine may add to a deadline.
const SLACK: Duration = Duration::from_millis(700);

async fn behind_proxy(
    args: &str,
) -> Option<(RedisServer, TcpProxy, std::sync::Arc<proxystore_redis::RedisConnector>)> {
    let server = RedisServer::start().await?;
    let proxy = TcpProxy::start(server.addr()).await;
    let connector = connect(&format!("redis://{}{args}", proxy.addr())).await.unwrap();
    Some((server, proxy, connector))
}

/// A silent network costs one deadline; then the service is back on new connections.
#[tokio::test]
async fn a_black_holed_connection_is_replaced() {
    let Some((_server, proxy, connector)) = behind_proxy("").await else { return };
    for size in [100, 200_000] {
        put(&*connector, "a", sample::make(1, size)).await.unwrap();
        for direction in [None, Some(Direction::Up), Some(Direction::Down)] {
            assert_eq!(sample::seed(get(&*connector, "a").await.unwrap().unwrap()), Ok(1));
            proxy.set(Faults { black_hole: Some((Scope::Existing, direction)), ..Faults::default() }).await;
            let start = Instant::now();
            let mut failed = 0;
            loop {
                match get(&*connector, "a").await {
                    Ok(object) => {
                        assert_eq!(sample::seed(object.expect("an outage is not absence")), Ok(1));
                        break;
                    }
                    Err(error) => assert!(is_outage(&error), "{error}"),
                }
                failed += 1;
                assert!(failed <= 2, "{failed} calls failed");
            }
            assert!(start.elapsed() < Duration::from_secs(5) + SLACK, "back after {:?}", start.elapsed());
            proxy.pass().await;
        }
    }
}

/// However many connections for large objects are dead, they and the control connection cost one deadline in all.
#[tokio::test]
async fn dead_bulk_connections_cost_one_deadline() {
    let Some((_server, proxy, connector)) = behind_proxy("?timeout=1s").await else { return };
    let puts = ["a", "b", "c", "d"].map(|name| put(&*connector, name, vec![1; 200_000]));
    assert!(futures_util::future::join_all(puts).await.iter().all(Result::is_ok));
    proxy.set(Faults { black_hole: Some((Scope::Existing, None)), ..Faults::default() }).await;
    let error = put(&*connector, "a", vec![2; 200_000]).await.unwrap_err();
    assert!(is_outage(&error), "{error}");
    put(&*connector, "a", vec![3; 200_000]).await.unwrap();
    assert!(connector.exists(&key("a")).await.unwrap());
}

/// The same when every caller has less patience than the connector.
#[tokio::test]
async fn impatient_callers_find_a_new_connection_too() {
    let Some((_server, proxy, connector)) = behind_proxy("").await else { return };
    put(&*connector, "a", sample::make(1, 100)).await.unwrap();
    proxy.set(Faults { black_hole: Some((Scope::Existing, None)), ..Faults::default() }).await;
    let start = Instant::now();
    while tokio::time::timeout(Duration::from_millis(1_500), get(&*connector, "a")).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(5), "still dead");
    }
}

/// Every call ends within its deadline, and says that the server does not answer.
#[tokio::test]
async fn a_paused_server_is_an_outage_and_no_more() {
    let Some(server) = RedisServer::start().await else { return };
    let connector = connect(&server.uri()).await.unwrap();
    put(&*connector, "a", sample::make(1, 100)).await.unwrap();
    put(&*connector, "b", sample::make(2, 200_000)).await.unwrap();
    server.pause();
    let start = Instant::now();
    let calls = async |operation: u64| {
        while start.elapsed() < Duration::from_secs(5) {
            let began = Instant::now();
            let error: Error = match operation {
                0 => get(&*connector, "a").await.unwrap_err(),
                1 => get(&*connector, "b").await.unwrap_err(),
                2 => put(&*connector, "c", vec![1; 100]).await.unwrap_err(),
                3 => put(&*connector, "d", vec![1; 200_000]).await.unwrap_err(),
                4 => connector.exists(&key("a")).await.unwrap_err(),
                5 => connector.evict(&key("z")).await.unwrap_err(),
                6 => connector.take(&key("z")).await.unwrap_err(),
                7 => connector.get_many(&[key("a"), key("b")]).await.pop().unwrap().unwrap_err(),
                _ => connector.watch(&key("w")).await.unwrap_err(),
            };
            assert!(is_outage(&error), "operation {operation}: {error}");
            let took = began.elapsed();
            // A subscription may have to set up its connection first.
            let deadline = Duration::from_secs(if operation == 8 { 4 } else { 2 });
            assert!(took < deadline + SLACK, "operation {operation} took {took:?}");
            sleep(Duration::from_millis(10)).await;
        }
    };
    futures_util::future::join_all((0..9).map(calls)).await;
    server.resume();
    eventually(Duration::from_secs(5), || async { get(&*connector, "a").await.is_ok() }).await;
    assert_eq!(sample::seed(get(&*connector, "a").await.unwrap().unwrap()), Ok(1));
    assert_eq!(sample::seed(get(&*connector, "b").await.unwrap().unwrap()), Ok(2));
}

/// While the server is gone calls fail at once; an empty server that came back is believed.
#[tokio::test]
async fn a_killed_server_is_an_outage_until_it_is_back() {
    let Some(mut server) = RedisServer::start().await else { return };
    let connector = connect(&server.uri()).await.unwrap();
    for round in 0..10 {
        let size = if round % 2 == 0 { 100 } else { 200_000 };
        put(&*connector, "a", sample::make(round, size)).await.unwrap();
        server.kill();
        for _ in 0..3 {
            let began = Instant::now();
            let error = get(&*connector, "a").await.expect_err("an outage is not absence");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.is_transient());
            let error = put(&*connector, "a", vec![1; size]).await.unwrap_err();
            assert!(is_outage(&error), "{error}");
            assert!(began.elapsed() < Duration::from_secs(1));
        }
        server.restart().await;
        assert!(get(&*connector, "a").await.unwrap().is_none(), "the new server has nothing");
    }
}

/// Reads, and writes that may be repeated, do not notice that the server was restarted in between.
#[tokio::test]
async fn a_restart_between_calls_is_not_noticed() {
    let Some(mut server) = RedisServer::start().await else { return };
    let connector = connect(&server.uri()).await.unwrap();
    let create = PutOptions { mode: Mode::Create, ..PutOptions::default() };
    for round in 0..10u64 {
        for size in [100, 200_000] {
            put(&*connector, "a", sample::make(round, size)).await.unwrap();
            get(&*connector, "a").await.unwrap();
        }
        server.restart().await;
        match round % 4 {
            0 => assert!(get(&*connector, "a").await.unwrap().is_none()),
            1 => put(&*connector, "a", sample::make(round, 200_000)).await.unwrap(),
            2 => connector.put(&key("c"), vec![1; 100].into(), &create).await.unwrap(),
            _ => connector.put(&key("c"), vec![1; 200_000].into(), &create).await.unwrap(),
        }
    }
}

/// When the answer to a create is lost, nobody claims to know what happened.
#[tokio::test]
async fn a_create_without_an_answer_is_ambiguous() {
    let Some((_server, proxy, connector)) = behind_proxy("").await else { return };
    let create = PutOptions { mode: Mode::Create, ..PutOptions::default() };
    for (i, size) in [100, 200_000].into_iter().enumerate() {
        let (lost, broken) = (key(&format!("lost{i}")), key(&format!("broken{i}")));
        connector.put(&key(&format!("warm{i}")), vec![0; size].into(), &create).await.unwrap();
        proxy
            .set(Faults { black_hole: Some((Scope::All, Some(Direction::Down))), ..Faults::default() })
            .await;
        let error = connector.put(&lost, vec![1; size].into(), &create).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Ambiguous, "{error}");
        assert!(!error.is_transient());
        proxy.pass().await;
        eventually(Duration::from_secs(5), || async { connector.exists(&lost).await.unwrap_or(false) }).await;

        connector.put(&key(&format!("warmer{i}")), vec![0; size].into(), &create).await.unwrap();
        // The answer is `+OK` and an end of line: it breaks in the middle.
        proxy.set(Faults { reset_after: Some((Direction::Down, 2)), ..Faults::default() }).await;
        let error = connector.put(&broken, vec![1; size].into(), &create).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Ambiguous, "{error}");
        proxy.pass().await;
        assert!(connector.exists(&broken).await.unwrap());
    }
}

/// Torn, slow and small pieces change nothing but the time.
#[tokio::test]
async fn pieces_and_delays_do_not_matter() {
    let Some((_server, proxy, connector)) = behind_proxy("").await else { return };
    proxy.set(Faults { slice: Some(7), ..Faults::default() }).await;
    for size in [0, 100, 3_000] {
        put(&*connector, "a", sample::make(3, size)).await.unwrap();
        assert_eq!(get(&*connector, "a").await.unwrap().unwrap(), sample::make(3, size));
    }
    // 24 MiB at 12 MiB/s take two seconds: longer than the deadline of a small operation, and half of their own.
    proxy.set(Faults { rate: Some(12 << 20), ..Faults::default() }).await;
    let fast = connect(&format!("redis://{}?timeout=1s", proxy.addr())).await.unwrap();
    put(&*fast, "b", sample::make(4, 24 << 20)).await.unwrap();
    assert_eq!(sample::seed(get(&*fast, "b").await.unwrap().unwrap()), Ok(4));
}

/// Connections that break midway, again and again, never give a wrong object, and never none.
#[tokio::test]
async fn resets_midway_give_no_wrong_answers() {
    let Some((_server, proxy, connector)) = behind_proxy("").await else { return };
    for (name, size) in [("s", 1_000), ("l", 300_000)] {
        put(&*connector, name, sample::make(9, size)).await.unwrap();
        for bytes in (0..40).map(|i| i * size as u64 / 30) {
            proxy.set(Faults { reset_after: Some((Direction::Down, bytes)), ..Faults::default() }).await;
            match get(&*connector, name).await {
                Ok(object) => assert_eq!(sample::seed(object.expect("an outage is not absence")), Ok(9)),
                Err(error) => assert!(is_outage(&error), "{error}"),
            }
            proxy.pass().await;
            let object = get(&*connector, name).await.unwrap().unwrap();
            assert_eq!(sample::seed(object), Ok(9), "after a reset at byte {bytes}");
        }
    }
}

/// A thousand callers of a server that comes back open one connection, not a thousand.
#[tokio::test]
async fn reconnecting_is_done_once_for_all() {
    let Some((_server, proxy, connector)) = behind_proxy("").await else { return };
    put(&*connector, "a", sample::make(1, 100)).await.unwrap();
    let before = proxy.connections();
    proxy.reset();
    let gets = (0..1_000).map(|_| get(&*connector, "a"));
    for got in futures_util::future::join_all(gets).await {
        assert_eq!(sample::seed(got.unwrap().unwrap()), Ok(1));
    }
    let opened = proxy.connections() - before;
    assert!(opened <= 2, "{opened} connections");
}
