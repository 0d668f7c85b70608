//! Where the target of a proxy comes from.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Result;

/// Produces the target of a proxy.
///
/// Any async closure that returns `Result<T>` is a factory, and so is [`Value`]. The store's factory is a key with
/// what is needed to find its store again. A factory behind a proxy is run by one task at a time,
/// unless it [`shares`](Self::shares).
#[async_trait]
pub trait Factory<T>: Send + Sync + 'static {
    /// Produces the target. Dropping the future must leave the factory able to run again.
    async fn resolve_async(&self) -> Result<Arc<T>>;

    /// Whether calls at the same time share their work by themselves. A proxy then makes a call for each of its callers,
    /// so that each has a deadline of its own, instead of one after the other. By default they do not.
    fn shares(&self) -> bool {
        false
    }
}

#[async_trait]
impl<T, C, Fut> Factory<T> for C
where
    T: Send + Sync + 'static,
    C: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
{
    async fn resolve_async(&self) -> Result<Arc<T>> {
        self().await.map(Arc::new)
    }
}

/// A factory that holds its target: serializing the proxy then sends the value itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value<T>(pub Arc<T>);

impl<T> Value<T> {
    /// The factory of `target`.
    pub fn new(target: T) -> Self {
        Self(Arc::new(target))
    }
}

#[async_trait]
impl<T: Send + Sync + 'static> Factory<T> for Value<T> {
    async fn resolve_async(&self) -> Result<Arc<T>> {
        Ok(self.0.clone())
    }
}

/// A factory whose own type is forgotten.
pub struct DynFactory<T>(Arc<dyn Factory<T>>);

impl<T> DynFactory<T> {
    /// Forgets the type of `factory`.
    pub fn new(factory: impl Factory<T>) -> Self {
        Self(Arc::new(factory))
    }
}

impl<T> Clone for DynFactory<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for DynFactory<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DynFactory<{}>", std::any::type_name::<T>())
    }
}

#[async_trait]
impl<T: Send + Sync + 'static> Factory<T> for DynFactory<T> {
    async fn resolve_async(&self) -> Result<Arc<T>> {
        self.0.resolve_async().await
    }

    fn shares(&self) -> bool {
        self.0.shares()
    }
}
