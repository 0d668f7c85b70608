//! A value, or a proxy of one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DynFactory, Factory, Proxy, Result};

/// A value or a proxy of one, in one serde type: its consumer need not know which it got.
///
/// ```
/// use proxystore_core::{Proxy, ProxyOr, Value};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
/// let small: ProxyOr<u32> = ProxyOr::Value(7);
/// let large: ProxyOr<u32, _> = ProxyOr::Proxy(Proxy::new(Value::new(7)));
/// assert_eq!(small.resolve_async().await?, large.resolve_async().await?);
/// # Ok(()) }
/// ```
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[serde(bound(
    serialize = "T: Serialize, F: Serialize",
    deserialize = "T: Deserialize<'de>, F: Deserialize<'de>"
))]
pub enum ProxyOr<T, F = DynFactory<T>> {
    /// The value itself.
    Value(T),
    /// Where to get it.
    Proxy(Proxy<T, F>),
}

impl<T: Send + Sync + 'static, F: Factory<T>> ProxyOr<T, F> {
    /// The value, or the target of the proxy. Errors and dropping: as [`Proxy::resolve_async`].
    pub async fn resolve_async(&self) -> Result<&T> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Proxy(proxy) => proxy.resolve_async().await,
        }
    }

    /// Whether the value is here, without asking anybody.
    pub fn is_resolved(&self) -> bool {
        match self {
            Self::Value(_) => true,
            Self::Proxy(proxy) => proxy.is_resolved(),
        }
    }
}

impl<T, F> From<Proxy<T, F>> for ProxyOr<T, F> {
    fn from(proxy: Proxy<T, F>) -> Self {
        Self::Proxy(proxy)
    }
}

impl<T: Clone, F> Clone for ProxyOr<T, F> {
    fn clone(&self) -> Self {
        match self {
            Self::Value(value) => Self::Value(value.clone()),
            Self::Proxy(proxy) => Self::Proxy(proxy.clone()),
        }
    }
}

impl<T: fmt::Debug, F: fmt::Debug> fmt::Debug for ProxyOr<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => f.debug_tuple("Value").field(value).finish(),
            Self::Proxy(proxy) => proxy.fmt(f),
        }
    }
}
