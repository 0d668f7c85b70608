//! The vocabulary of proxystore: what a proxy, a connector, a key and an error *are*.
//!
//! Everything else of the project speaks these words and adds none of its own to them: connectors implement
//! [`Connector`] and export a [`Driver`], the store implements [`Factory`], users hold a [`Proxy`]. This crate
//! opens no connection, starts no timer, and spawns nothing but what [`Proxy::prefetch`] is asked to.
//!
//! ```
//! use proxystore_core::Proxy;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
//! // Any async closure is a factory; it runs once, on first use.
//! let proxy = Proxy::new(async || Ok(String::from("the target")));
//! assert!(!proxy.is_resolved());
//! assert_eq!(proxy.resolve_async().await?, "the target");
//! # Ok(()) }
//! ```

mod backoff;
mod connector;
mod driver;
mod error;
mod factory;
mod key;
mod locker;
mod payload;
mod proxy;
mod proxy_or;
mod secret;
#[cfg(feature = "blocking")]
mod transparent;
mod uri;
mod watch;

pub use async_trait::async_trait;
pub use bytes::Bytes;

pub use backoff::{Backoff, Delays};
pub use connector::{Capabilities, Connector, ConnectorInfo, KeyHint, Mode, PutOptions, Reach, Tags};
pub use driver::{ConnectorConfig, Driver, Origin};
pub use error::{Error, ErrorKind, Result};
pub use factory::{DynFactory, Factory, Value};
pub use key::{Id, Key};
pub use locker::ProxyLocker;
pub use payload::Payload;
pub use proxy::{Proxy, Resolve};
pub use proxy_or::ProxyOr;
pub use secret::Secret;
#[cfg(feature = "blocking")]
pub use transparent::Transparent;
pub use uri::{Options, Uri};
pub use watch::Watch;
