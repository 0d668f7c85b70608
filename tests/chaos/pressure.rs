//! A backend that stands still costs no memory.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use proxystore::layers::Policies;
use proxystore::{Bytes, ErrorKind, Raw, Registry, Store};
use proxystore_testkit::sample;
use tokio::time::{Instant, timeout};

use crate::stack;

const MIB: usize = 1 << 20;

async fn store(uri: &str) -> Store {
    let store =
        Store::builder("pressure").shared_connector(stack::redis(uri).await).registry(&Registry::new());
    store.policies(Policies::standard()).populate(false).cache_objects(0).build().await.unwrap()
}

/// The resident memory of this process in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// 2,000 puts of 1 MiB each, dropped after a few milliseconds while the server stands still: one after the other, and a
/// hundred at a time.
#[tokio::test]
async fn dropped_puts_to_a_paused_server_cost_no_memory() {
    let Some((server, uri)) = stack::server().await else { return };
    let store = store(&uri).await;
    let value = sample::make(1, MIB);
    store.put(&value).codec::<Raw>().await.unwrap();
    server.pause();
    let before = resident();
    let mut most = before;
    for _ in 0..1_000 {
        let put = async { store.put(&value).codec::<Raw>().await };
        assert!(timeout(Duration::from_millis(2), put).await.is_err(), "the server is paused");
        most = most.max(resident());
    }
    let put = |_| {
        let (store, value) = (&store, &value);
        async move {
            let put = async { store.put(value).codec::<Raw>().await };
            assert!(timeout(Duration::from_millis(20), put).await.is_err(), "the server is paused");
            resident()
        }
    };
    let crowd = stream::iter(0..1_000).map(put).buffer_unordered(100);
    most = crowd.fold(most, async |most, now| most.max(now)).await;
    server.resume();
    let grown = most.saturating_sub(before) >> 20;
    println!("grown by {grown} MiB");
    assert!(grown <= 96, "grown by {grown} MiB");
    let key = store.put(&value).codec::<Raw>().await.unwrap();
    assert_eq!(*store.get::<Bytes>(&key).codec::<Raw>().await.unwrap().unwrap(), value);
}

/// While the server is paused for 5 seconds, every call ends within its deadline or is served after; then all is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_is_survived() {
    let Some((server, uri)) = stack::server().await else { return };
    let store = store(&uri).await;
    let value = sample::make(1, 1_000);
    let key = store.put(&value).codec::<Raw>().await.unwrap();
    server.pause();
    let start = Instant::now();
    let ask = |_| async {
        match store.get::<Bytes>(&key).codec::<Raw>().await {
            Ok(found) => assert_eq!(*found.expect("a pause is not absence"), value),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable), "{error}")
            }
        }
    };
    let asks = stream::iter(0..200).for_each_concurrent(50, ask);
    let wake = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        server.resume();
    };
    tokio::join!(asks, wake);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    assert_eq!(*store.get::<Bytes>(&key).codec::<Raw>().await.unwrap().unwrap(), value);
}
