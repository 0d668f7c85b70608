//! Live shared objects: they stay in the process of a manager, and proxies call their methods from anywhere.

mod address;
mod auth;
mod away;
mod child;
mod client;
mod context;
mod error;
mod frame;
mod handshake;
mod heard;
mod hex;
mod home;
mod id;
mod limits;
mod locator;
mod mac;
mod manager;
mod object;
mod proxy;
mod registry;
mod server;
mod token;
mod value;
mod wire;

pub use address::Address;
pub use auth::AuthKey;
pub use child::child_hook;
pub use context::Context;
pub use error::{CallError, RemoteError, RemoteErrorKind};
pub use id::{Access, ManagerId, Method, MethodId, ObjectId};
pub use limits::Limits;
pub use manager::{Builder, Manager};
pub use object::{Answer, Call, Created, Interface, Object, ObjectProxy, Outcome, Remote};
pub use proxy::ProxyBase;
pub use registry::trust;
pub use server::{ObjectInfo, Stats};
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
