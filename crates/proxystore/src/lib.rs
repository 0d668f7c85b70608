//! Pass references instead of values: put an object into memory, files or Redis, and send a [`Proxy`] of it, a serde
//! value of some hundred bytes. Whoever needs the target awaits `proxy.resolve_async()`, in any process; whoever only
//! passes it on pays nothing.
//!
//! ```
//! use proxystore::{Proxy, Store, Trust};
//!
//! # #[cfg(feature = "local")]
//! #[tokio::main]
//! async fn main() -> proxystore::Result<()> {
//!     proxystore::install(Trust::Registered); // the drivers of the enabled features, and whom references may lead to
//!
//!     let store = Store::open("local:///frames").await?;
//!     let proxy = store.proxy(vec![0.5f32; 1_000_000]).await?;
//!
//!     let reference = serde_json::to_string(&proxy).unwrap(); // some hundred bytes, for a queue, an RPC, a file …
//!     let received: Proxy<Vec<f32>> = serde_json::from_str(&reference).unwrap(); // does nothing yet
//!     assert_eq!(received.resolve_async().await?.len(), 1_000_000);
//!     Ok(())
//! }
//! # #[cfg(not(feature = "local"))] fn main() {}
//! ```
//!
//! # Features
//! `local` and `file` are on by default; `multi`, `redis`, `redis-tls`, `redis-cluster`, `s3`, `object-store`, `manager`,
//! `manager-tls`, `json`, `msgpack`, `zstd`, `lz4`, `encrypt`, `blocking`, `metrics`, `tracing`, `signal`, or `full`; and
//! the other clouds, which are not part of it: `gcs`, `azure`, `http`, `object-store-s3`. A feature that names a connector
//! is a module here, a crate `proxystore-…` and a URI scheme.

#[cfg(feature = "blocking")]
pub use proxystore_core::Transparent;
pub use proxystore_core::{
    Backoff, Bytes, Capabilities, Connector, ConnectorConfig, ConnectorInfo, Driver, DynFactory, Error,
    ErrorKind, Factory, Id, Key, KeyHint, KeyRing, Keys, Mode, Opener, Options, Origin, Payload, Policy,
    PutOptions, Reach, Resolve, Result, Secret, SecretKey, Tags, Transfer, Transform, Uri, Value, Watch,
    async_trait,
};
pub use proxystore_store::*;

/// Policies and transforms: what stands between a store and its connector.
pub use proxystore_layers as layers;

/// The vocabulary whole: `proxystore_core::Proxy` is a proxy with any factory, which the alias here narrows to stores.
pub use proxystore_core;

#[cfg(feature = "file")]
pub use proxystore_file as file;
#[cfg(feature = "local")]
pub use proxystore_local as local;
/// Live objects that are shared between processes.
#[cfg(feature = "manager")]
pub use proxystore_manager as manager;
#[cfg(feature = "manager")]
pub use proxystore_manager::facade::{interface, object};
#[cfg(feature = "multi")]
pub use proxystore_multi as multi;
#[cfg(feature = "object-store")]
pub use proxystore_object_store as object_store;
#[cfg(feature = "redis")]
pub use proxystore_redis as redis;
#[cfg(feature = "s3")]
pub use proxystore_s3 as s3;

/// Makes the connectors and compressions of the enabled features known to the [global registry](Registry::global),
/// gives the stores that are opened from now on the [standard policies](layers::Policies::standard), and says which
/// stores the references that this process receives may open. Call it once, at the start; calling it again sets all of
/// this again.
///
/// Encryption needs keys, and is installed by itself:
/// `Registry::global().install_transform(layers::Encrypt::new(keys))`.
///
/// ```
/// use proxystore::Trust;
///
/// proxystore::install(Trust::allow(["file:///var/lib/objects"])?);
/// # Ok::<(), proxystore::Error>(())
/// ```
pub fn install(trust: Trust) {
    let registry = Registry::global();
    #[cfg(feature = "local")]
    registry.install(local::DRIVER);
    #[cfg(feature = "file")]
    registry.install(file::DRIVER);
    #[cfg(feature = "multi")]
    registry.install(multi::DRIVER);
    #[cfg(feature = "object-store")]
    registry.install(object_store::DRIVER);
    #[cfg(feature = "redis")]
    registry.install(self::redis::DRIVER);
    #[cfg(feature = "s3")]
    registry.install(s3::DRIVER);
    #[cfg(feature = "zstd")]
    registry.install_transform(layers::Compress::zstd());
    #[cfg(feature = "lz4")]
    registry.install_transform(layers::Compress::lz4());
    registry.set_policies(layers::Policies::standard);
    registry.set_trust(trust);
}

/// The programs in the guides compile and run.
#[cfg(all(doctest, feature = "file", feature = "zstd", feature = "encrypt"))]
#[doc = include_str!("../../../docs/guides/operations.md")]
struct Operations;

#[cfg(all(doctest, feature = "file"))]
#[doc = include_str!("../../../docs/guides/futures.md")]
struct Futures;

#[cfg(all(doctest, feature = "file"))]
#[doc = include_str!("../../../docs/guides/lifetimes.md")]
struct Lifetimes;

#[cfg(all(doctest, feature = "file"))]
#[doc = include_str!("../../../docs/guides/ownership.md")]
struct Ownership;

#[cfg(all(doctest, feature = "manager-tls"))]
#[doc = include_str!("../../../docs/guides/manager.md")]
struct ManagerGuide;

/// The programs in the README compile and run.
#[cfg(all(doctest, feature = "file"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
