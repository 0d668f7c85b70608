//! Objects that every manager has: containers, and what coordinates those who use them.
//!
//! ```
//! use proxystore_manager::Manager;
//! use proxystore_manager::builtin::{Dict, List};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let manager = Manager::builder().in_process()?;
//! let words = List::<String>::create(&manager).await?;
//! words.push("hello").await?;
//! let shelf = Dict::<String, List<String>>::create(&manager).await?;
//! shelf.insert("words", &words).await?;
//!
//! // The list is shared and not copied: a change is seen by all ways that lead to it.
//! shelf.get("words").await?.ok_or("none")?.push("world").await?;
//! assert_eq!(words.get_value().await?, ["hello", "world"]);
//! assert_eq!(shelf.display().await, "{'words': ['hello', 'world']}");
//! # Ok(()) }
//! ```
//!
//! Their types are those of the client. The manager keeps items as they are encoded and needs not know what they are: two
//! are the same if their encodings are. Proxies in items keep their objects for as long as the item is there.
//!
//! Every method is one step: dropping its future leaves that done or not done, and never half. How many items a container
//! may have is not limited, but for a [`Queue`] with a bound; how large they are is, by
//! [`Limits::max_frame`](crate::Limits::max_frame).

#![allow(
    clippy::mutable_key_type,
    reason = "a proxy equals those of the same object, whatever happens to that"
)]

use std::borrow::Borrow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::RemoteError;
use crate::server::Type;
use crate::sync;
use crate::value::Encoded;

#[macro_use]
mod typed;

mod array;
mod capsule;
mod counter;
mod dict;
mod list;
mod namespace;
mod ordered;
mod plain;
mod queue;
mod set;
mod text;
mod value;

pub use array::{Array, ArrayError, Element};
pub(crate) use capsule::capsule;
pub use counter::{Counter, Overflow};
pub use dict::Dict;
pub use list::{List, OutOfRange, Unordered};
pub use namespace::Namespace;
pub use ordered::Resized;
#[cfg(feature = "cli")]
pub(crate) use plain::Plain;
pub use queue::{Delivery, Order, Queue, QueueError};
pub use set::Set;
pub(crate) use text::whole;
pub use value::Value;

/// What clients may create without anybody's word.
pub(crate) fn types() -> Vec<Type> {
    vec![
        Type::of::<array::ArrayObject>(),
        Type::of::<counter::CounterObject>(),
        Type::of::<dict::DictObject>(),
        Type::of::<list::ListObject>(),
        Type::of::<namespace::NamespaceObject>(),
        Type::of::<queue::QueueObject>(),
        Type::of::<set::SetObject>(),
        Type::of::<value::ValueObject>(),
        Type::of::<sync::Barrier>(),
        Type::of::<sync::Condition>(),
        Type::of::<sync::Event>(),
        Type::of::<sync::Lock>(),
        Type::of::<sync::RLock>(),
        Type::of::<sync::RwLock>(),
        Type::of::<sync::Semaphore>(),
    ]
}

/// What an object shares with its streams and guards. Locked for moments; nothing is dropped in it that may be an object.
#[derive(Debug, Default)]
struct Shared<T>(Arc<Mutex<T>>);

impl<T> Shared<T> {
    fn new(inner: T) -> Self {
        Self(Arc::new(Mutex::new(inner)))
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

fn encode_all<T: Serialize>(items: impl IntoIterator<Item: Borrow<T>>) -> Result<Vec<Encoded>, RemoteError> {
    items.into_iter().map(|item| Encoded::new(item.borrow())).collect()
}

fn decode_all<T: DeserializeOwned>(items: Vec<Encoded>) -> Result<Vec<T>, RemoteError> {
    items.iter().map(Encoded::decode).collect()
}

fn decode_some<T: DeserializeOwned>(item: Option<Encoded>) -> Result<Option<T>, RemoteError> {
    item.map(|item| item.decode()).transpose()
}
