//! The vocabulary of proxystore: what a proxy, a connector, a key and an error *are*.
//!
//! Everything else of the project speaks these words and adds none of its own to them: connectors implement
//! [`Connector`] and export a [`Driver`], the store implements [`Factory`], users hold a [`Proxy`]. This crate
//! opens no connection and starts no timer. It spawns what [`Proxy::prefetch`] is asked to, and the work of
//! [`WithTransform`] on large objects and on files; feature `blocking` has a runtime of its own for threads without one.
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
mod deadline;
mod driver;
mod error;
mod factory;
mod file;
mod key;
mod keys;
mod locker;
mod payload;
mod policy;
mod proxy;
mod proxy_or;
mod secret;
mod transfer;
mod transform;
#[cfg(feature = "blocking")]
mod transparent;
mod uri;
mod watch;
mod with_policy;
mod with_transform;

pub use async_trait::async_trait;
pub use bytes::Bytes;

pub use backoff::{Backoff, Delays};
pub use connector::{Capabilities, Connector, ConnectorInfo, KeyHint, Mode, PutOptions, Reach, Tags};
pub use deadline::until;
pub use driver::{ConnectorConfig, Driver, Opener, Origin};
pub use error::{Error, ErrorKind, Result};
pub use factory::{DynFactory, Factory, Value};
pub use file::{Draft, FileSource, FileTarget};
pub use key::{Id, Key};
pub use keys::{KeyRing, Keys, SecretKey};
pub use locker::ProxyLocker;
pub use payload::Payload;
pub use policy::{Attempts, Call, Operation, Policy, Reply, Within};
pub use proxy::{Proxy, Resolve};
pub use proxy_or::ProxyOr;
pub use secret::Secret;
pub use transfer::{Room, Transfer};
pub use transform::{Place, Stage, Transform};
#[cfg(feature = "blocking")]
pub use transparent::Transparent;
pub use uri::{Options, Uri};
pub use watch::Watch;
pub use with_policy::WithPolicy;
pub use with_transform::WithTransform;
