//! `redis://`: objects in Redis or Valkey, for whoever reaches the server over the network.
//!
//! | URI | leads to |
//! | --- | --- |
//! | `redis://[user[:password]@]host[:6379][/db]` | one server |
//! | `rediss://…` | the same over TLS (feature `tls`) |
//! | `redis+unix:///path/to.sock?db=0` | one server, by its unix socket |
//! | `redis+sentinel://host[:26379],…[/db]?master=name` | the master that the sentinels know by that name |
//! | `redis+cluster://host[:6379],…` | a cluster, found by any of its nodes (feature `cluster`) |
//!
//! | option | meaning | default |
//! | --- | --- | --- |
//! | `prefix` | objects are named `<prefix>:<key>`; part of the identity | `proxystore` |
//! | `timeout` | deadline of an operation, to which its bytes add a second per 8 MiB | `2s` |
//! | `connect_timeout` | deadline of a connection's set-up | `2s` |
//! | `bulk` | connections for objects above 64 KiB, opened as needed | `4` |
//! | `ca` | a file of PEM certificates to trust instead of the public ones (`rediss://`) | |
//!
//! An object is one string value, its bytes as they are. Needed of the server: version 6.2 (`GETDEL`, only for
//! `take`), and permission for `GET`, `GETRANGE`, `STRLEN`, `SET`, `UNLINK`, `EXISTS`, `PEXPIRE`, `PING`; for a
//! database other than 0 `SELECT`; by way of sentinels `ROLE`; to be woken by watches `HELLO` and `CLIENT TRACKING`; to
//! clear `SCAN`; to be warned `INFO`.
//!
//! # Connections
//!
//! Connections have roles, so that no large object stands before a small one. One *control* connection carries all
//! small commands at once. *Bulk* connections carry one large transfer each; a transfer that is dropped or late closes
//! its connection, and its bytes with it. A `get` takes one that has nothing to do, and so one round trip whatever the
//! size. One *subscribe* connection, opened by the first watch, hears of changes. The first two kinds are our own, which
//! copy no large value; by TLS and to a cluster they are of the `redis` crate, as the third always is.
//! A connection that owes an answer is probed before it is used again, and replaced if it is dead: a network that
//! swallows packets without a word costs one deadline, not the service.
//!
//! ```no_run
//! use proxystore_core::{Connector, ConnectorConfig, Origin};
//! use proxystore_redis::RedisConfig;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
//! let uri = "redis://app:${REDIS_PASSWORD}@cache.example/0?prefix=jobs".parse()?;
//! let connector = RedisConfig::from_uri(&uri)?.connect(Origin::Program).await?;
//! let key = connector.new_key(Default::default())?;
//! connector.put(&key, b"an object".as_slice().into(), &Default::default()).await?;
//! assert_eq!(connector.get(&key).await?.map(|object| object.len()), Some(9));
//! # Ok(()) }
//! ```

mod batch;
mod bulk;
#[cfg(feature = "cluster")]
mod cluster;
mod config;
mod connector;
mod endpoint;
mod error;
mod lanes;
mod link;
mod mux;
mod reply;
mod request;
mod slot;
mod watch;
mod wire;

pub use config::{RedisConfig, Server};
pub use connector::RedisConnector;

use proxystore_core::Driver;

/// The driver that a registry installs.
pub const DRIVER: Driver = Driver::of::<RedisConfig>();
