//! What processes hold that die, or whose clocks jump.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use proxystore::{Key, Lease, Lifetime, Scope, Store};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::redis::RedisServer;
use proxystore_testkit::role;
use proxystore_testkit::wall_clock::WallClock;
use tokio::time::{Instant, sleep, sleep_until};

use super::gone;
use crate::stores::files;

const TTL: Duration = Duration::from_secs(1);

/// A process that holds objects in all ways, until it is killed.
#[tokio::test]
async fn holder() {
    role!("lifetimes::processes::holder");
    proxystore::install(proxystore::Trust::Registered);
    let store = Store::open(std::env::var("STORE").unwrap()).await.unwrap();
    let (scope, lease) = (Scope::with_ttl(TTL), Lease::new(TTL).unwrap());
    let scoped = store.put(&1).lifetime(&scope).await.unwrap();
    let leased = store.put(&2).lifetime(&lease).await.unwrap();
    let owned = store.owned_proxy(3).ttl(TTL).await.unwrap();
    let added = store.put(&4).await.unwrap();
    scope.add_key(&store, &added).await.unwrap();
    process::say(&format!("{scoped} {leased} {} {added}", owned.key()));
    process::hear().await;
    unreachable!("it is killed");
}

/// Kills a hundred holders, and gives the keys of what they held and when the last of them died.
async fn kill_a_hundred(uri: &str, store: &Store) -> (Vec<Key>, Instant) {
    let died = stream::iter(0..100)
        .map(async |_| {
            let mut holder = Role::spawn("lifetimes::processes::holder", &[("STORE", uri)]);
            let keys = holder.hear().await.expect("the keys");
            let keys: Vec<Key> = keys.split(' ').map(|key| key.parse().unwrap()).collect();
            // It is still there; what is renewed, is there for longer than its ttl.
            assert!(store.exists(&keys[0]).await.unwrap());
            holder.kill().await;
            (keys, Instant::now())
        })
        .buffer_unordered(4)
        .collect::<Vec<_>>()
        .await;
    let last = died.iter().map(|(_, died)| *died).max().unwrap();
    (died.into_iter().flat_map(|(keys, _)| keys).collect(), last)
}

#[tokio::test]
async fn killed_holders_leave_nothing_in_redis() {
    proxystore::install(proxystore::Trust::Registered);
    let Some(server) = RedisServer::start().await else { return };
    let store = Store::builder("left").uri(server.uri()).build().await.unwrap();
    let (keys, died) = kill_a_hundred(&server.uri(), &store).await;
    sleep_until(died + TTL + Duration::from_secs(1)).await;
    assert_eq!(keys.len(), 400);
    assert!(gone(&store, &keys).await);
}

#[tokio::test]
async fn killed_holders_leave_nothing_in_files() {
    proxystore::install(proxystore::Trust::Registered);
    let dir = tempfile::tempdir().unwrap();
    let uri = format!("file://{}", dir.path().display());
    let store = Store::builder("left").uri(&uri).build().await.unwrap();
    let (keys, died) = kill_a_hundred(&uri, &store).await;
    sleep_until(died + TTL + Duration::from_secs(1)).await;
    assert_eq!(keys.len(), 400);
    assert!(gone(&store, &keys).await);
    // Nor on the disk, when it has been swept.
    let config = proxystore::file::FileConfig { root: dir.path().into(), ..Default::default() };
    let connector = proxystore::ConnectorConfig::connect(config, proxystore::Origin::Program).await.unwrap();
    connector.sweep().await.unwrap();
    assert_eq!(files(dir.path()), Vec::<std::path::PathBuf>::new());
}

/// A holder whose wall clock jumps by an hour, to and fro, and the reader's does not.
async fn a_holder_whose_clock_jumps(uri: &str) {
    proxystore::install(proxystore::Trust::Registered);
    let Some(clock) = WallClock::new() else { return };
    let store = Store::builder("jumps").uri(uri).build().await.unwrap();
    let environment = [&[("STORE", uri)], &clock.environment()[..]].concat();
    let mut holder = Role::spawn("lifetimes::processes::holder", &environment);
    let keys = holder.hear().await.expect("the keys");
    let keys: Vec<Key> = keys.split(' ').map(|key| key.parse().unwrap()).collect();
    // The lease is over after its second, and the others are renewed for as long as the holder lives.
    let renewed = [&keys[0], &keys[2], &keys[3]];
    for jump in [3_600, 0, -3_600, 3_600] {
        clock.set(jump);
        sleep(TTL).await;
        for key in renewed {
            assert!(store.exists(key).await.unwrap(), "lost by a jump to {jump} s");
        }
    }
    assert!(gone(&store, [&keys[1]]).await);
    holder.kill().await;
    sleep(TTL + Duration::from_secs(1)).await;
    assert!(gone(&store, &keys).await);
}

#[tokio::test]
async fn a_wall_clock_that_jumps_costs_nothing_in_redis() {
    let Some(server) = RedisServer::start().await else { return };
    a_holder_whose_clock_jumps(&server.uri()).await;
}

#[tokio::test]
async fn a_wall_clock_that_jumps_costs_nothing_in_files() {
    let dir = tempfile::tempdir().unwrap();
    a_holder_whose_clock_jumps(&format!("file://{}", dir.path().display())).await;
}
