//! Live shared objects: they stay in the process of a manager, and proxies call their methods from anywhere.
//!
//! ```
//! use proxystore_manager::{Manager, object};
//!
//! struct Counter(i64);
//!
//! #[object]
//! impl Counter {
//!     #[ctor]
//!     fn new(start: i64) -> Self {
//!         Self(start)
//!     }
//!
//!     fn add(&mut self, k: i64) -> i64 {
//!         self.0 += k;
//!         self.0
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Here, and open to other processes: they `Manager::connect` with its address and key.
//! let manager = Manager::builder().register::<Counter>().serve_anywhere().await?;
//! let counter = CounterProxy::create(&manager, 40).await?;
//! manager.publish("hits", &counter).await?;
//!
//! let client = Manager::connect(&manager.addresses()?[0].to_string(), manager.authkey()?).await?;
//! let same: CounterProxy = client.lookup("hits").await?;
//! assert_eq!(same.add(2).await?, 42);
//! # manager.shutdown().await?;
//! # Ok(()) }
//! ```
//!
//! A proxy is a serde value. Serialized anywhere it is a reference; deserialized where the manager runs it is the object
//! itself. Objects live while anybody has a proxy of them, and a client that dies holds nothing for longer than its lease.
//!
//! From the outside in: `manager.rs` is what users hold; `proxy.rs` with `home.rs` and `away.rs` is a proxy here and
//! there; `client` has the session of a client, `server` its other end, the table of objects and their locks; `frame.rs`,
//! `wire.rs` and `handshake.rs` are what travels, `quiet.rs` and `steady.rs` how it is waited for. `tls.rs`, `store.rs`
//! and `cli.rs` are the features of these names.

mod address;
mod auth;
mod away;
mod bounded;
mod builder;
pub mod builtin;
mod child;
#[cfg(feature = "cli")]
pub mod cli;
mod client;
mod context;
mod error;
mod frame;
mod handshake;
mod heard;
mod hex;
mod home;
mod id;
mod interfaces;
mod limits;
mod locator;
mod mac;
mod manager;
mod object;
pub mod pool;
mod proxy;
mod quiet;
mod registry;
#[cfg(feature = "tls")]
mod secret_file;
mod server;
mod steady;
#[cfg(not(feature = "store"))]
#[path = "no_store.rs"]
mod store;
#[cfg(feature = "store")]
mod store;
mod stream;
pub mod sync;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
#[cfg(feature = "tls")]
mod tls;
mod token;
mod value;
mod wire;

pub use address::Address;
pub use auth::AuthKey;
pub use builder::Builder;
pub use child::child_hook;
pub use context::Context;
pub use error::{CallError, RemoteError, RemoteErrorKind};
pub use id::{Access, ManagerId, Method, MethodId, ObjectId};
pub use interfaces::Interfaces;
pub use limits::Limits;
pub use manager::Manager;
pub use object::{Answer, Call, Created, Interface, Object, ObjectProxy, Outcome, Remote};
pub use proxy::ProxyBase;
pub use registry::trust;
pub use server::{Inspected, MethodInfo, ObjectInfo, Stats};
#[cfg(feature = "store")]
pub use store::{LazyProxy, Live};
pub use stream::RemoteStream;
#[cfg(feature = "tls")]
pub use tls::Identity;
pub use value::Encoded;

pub use proxystore_manager_macros::{interface, object};

/// What generated code uses.
#[doc(hidden)]
pub mod generated {
    pub use crate::home::{Direct, Home};
    pub use crate::id::distinct;
    pub use crate::manager::deserialize;
    pub use crate::proxy::{DISPLAY, GET_VALUE, only_remote};
    pub use futures_util::future::BoxFuture;
    pub use serde;
}

/// The attributes for programs that depend on `proxystore`, which exports them.
#[doc(hidden)]
pub mod facade {
    pub use proxystore_manager_macros::{facade_interface as interface, facade_object as object};
}
