//! A proxy that cannot be resolved by accident.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DynFactory, Proxy};

/// Holds a proxy that nothing can resolve until [`unlock`](Self::unlock): for code that only passes it on.
///
/// Serializes as the proxy itself does, and decodes locked.
///
/// ```compile_fail
/// # use proxystore_core::{Proxy, Value};
/// let locker = Proxy::new(Value::new(1)).lock();
/// let _ = locker.resolve_async(); // no such method: unlock first
/// ```
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound(serialize = "F: Serialize", deserialize = "F: Deserialize<'de>"))]
pub struct ProxyLocker<T, F = DynFactory<T>>(Proxy<T, F>);

impl<T, F> ProxyLocker<T, F> {
    pub(crate) fn new(proxy: Proxy<T, F>) -> Self {
        Self(proxy)
    }

    /// The proxy. Does not resolve it.
    pub fn unlock(self) -> Proxy<T, F> {
        self.0
    }
}

impl<T, F> Clone for ProxyLocker<T, F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T, F: fmt::Debug> fmt::Debug for ProxyLocker<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyLocker").field("factory", self.0.factory()).finish_non_exhaustive()
    }
}
