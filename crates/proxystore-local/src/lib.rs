//! `local://`: objects in the memory of this process, and the reference implementation of the connector contract.
//!
//! `local:///name` is one map per name and process. Nothing is copied: a get gives the very memory that was put.
//! References to it resolve in this process only; elsewhere they fail with a sentence instead of finding nothing,
//! because the identity of a local store holds a random id of its process.
//!
//! ```
//! use proxystore_core::{Bytes, Connector, Key};
//! use proxystore_local::LocalConnector;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
//! let connector = LocalConnector::named("images");
//! let (key, image) = (Key::random()?, Bytes::from_static(b"pixels"));
//! connector.put(&key, image.clone().into(), &Default::default()).await?;
//! let same = connector.get(&key).await?.unwrap().into_bytes();
//! assert_eq!(same.as_ptr(), image.as_ptr());
//! # Ok(()) }
//! ```

mod config;
mod connector;
mod space;
mod watch;

pub use config::LocalConfig;
pub use connector::LocalConnector;

/// Serves `local://`.
pub const DRIVER: proxystore_core::Driver = proxystore_core::Driver::of::<LocalConfig>();
