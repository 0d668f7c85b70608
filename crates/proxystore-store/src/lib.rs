//! Typed objects over one connector: [`Store`], its proxies, codecs, cache, registry and trust.
//!
//! A value goes `codec → envelope → connector`, and comes back `registry → store → cache → connector → envelope →
//! codec`; each step is one file of this crate.

#[macro_use]
mod trace;

#[macro_use]
mod request;

mod background;
mod batch;
mod builder;
mod cache;
mod codec;
mod config;
mod envelope;
mod executor;
mod files;
mod future;
mod get;
mod grant;
mod layers;
mod lifetime;
mod limits;
mod load;
mod metrics;
mod owned;
mod reference;
mod registry;
mod rt;
pub mod schema;
mod seal;
mod shutdown;
mod store;
mod stored;
mod traceparent;
mod trust;

pub use background::reaper::Evictions;
pub use batch::{GetMany, ProxyMany, PutMany};
pub use builder::{Named, StoreBuilder};
#[cfg(feature = "json")]
pub use codec::Json;
#[cfg(feature = "msgpack")]
pub use codec::MsgPack;
pub use codec::{Codec, Format, Postcard, Raw};
pub use config::{CacheConfig, LimitsConfig, StoreConfig};
pub use executor::{Executor, Function, Functions, Returned, ShouldProxy, StoreExecutor};
pub use files::ProxyFile;
pub use future::{FutureRequest, StoreFuture};
pub use get::{Get, Getting};
pub use grant::Rights;
pub use lifetime::{Lease, Lifetime, Process, Scope};
pub use metrics::{Metrics, TimeStats};
pub use owned::borrowed::{RefMutProxy, RefProxy};
pub use owned::handover::{Handover, NotHandedOver};
pub use owned::lent::{Lent, LentMut};
pub use owned::{OwnedProxy, OwnedRequest, into_owned};
pub use registry::{Registration, Registry, get_store};
pub use request::{Attached, Ephemeral, Kept, Offload, ProxyRequest, Put};
#[cfg(feature = "signal")]
pub use shutdown::shutdown_on_signal;
pub use shutdown::{ShutdownGuard, shutdown};
pub use store::Store;
pub use stored::Stored;
#[cfg(feature = "tracing")]
pub use trace::{Propagator, propagate};
pub use traceparent::TraceParent;
pub use trust::Trust;

/// A proxy of an object in a store: [`proxystore_core::Proxy`] with the store's factory.
pub type Proxy<T, C = Postcard> = proxystore_core::Proxy<T, Stored<C>>;
/// A proxy of an object in a store that nothing can resolve until it is unlocked.
pub type ProxyLocker<T, C = Postcard> = proxystore_core::ProxyLocker<T, Stored<C>>;
/// A value, or a proxy of one in a store.
pub type ProxyOr<T, C = Postcard> = proxystore_core::ProxyOr<T, Stored<C>>;
