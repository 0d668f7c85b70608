//! The proxy: a factory, and its target once there is one.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::OnceCell;

use crate::{DynFactory, Factory, ProxyLocker, Result};

/// A stand-in for a target of type `T`, which is fetched when somebody asks for it and never before.
///
/// - Making, cloning, sending and dropping a proxy does no I/O. Clones share one target.
/// - [`resolve_async`](Self::resolve_async) runs the factory at most once, however many tasks wait. If the task that
///   runs it is dropped, the next one takes over. A failure is returned to whoever asked and not remembered.
/// - Serializing writes the factory, never the target; a decoded proxy is unresolved and inert.
/// - `Debug` shows the factory, and the target only if it is there already.
///
/// Rust has no transparent proxies in async code, and this one does not pretend: there is no `Deref` that would hide
/// I/O (see `Transparent`, feature `blocking`, for synchronous code).
///
/// ```
/// use proxystore_core::{Proxy, Value};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
/// let proxy = Proxy::new(Value::new(vec![1, 2, 3]));
/// assert_eq!(proxy.get(), None);
/// assert_eq!((&proxy).await?.len(), 3);
/// assert_eq!(proxy.get(), Some(&vec![1, 2, 3]));
/// # Ok(()) }
/// ```
pub struct Proxy<T, F = DynFactory<T>> {
    shared: Arc<Shared<T, F>>,
}

struct Shared<T, F> {
    factory: F,
    target: OnceCell<Arc<T>>,
}

impl<T, F> Proxy<T, F> {
    /// A proxy with this factory. Does not run it.
    pub fn new(factory: F) -> Self {
        Self::with_target(factory, OnceCell::new())
    }

    /// A proxy that is born resolved; its factory serves those who receive it.
    pub fn resolved(factory: F, target: Arc<T>) -> Self {
        Self::with_target(factory, OnceCell::new_with(Some(target)))
    }

    fn with_target(factory: F, target: OnceCell<Arc<T>>) -> Self {
        Self { shared: Arc::new(Shared { factory, target }) }
    }

    /// Whether the target is there. Never resolves.
    pub fn is_resolved(&self) -> bool {
        self.shared.target.initialized()
    }

    /// The target, if it is there. Never resolves.
    pub fn get(&self) -> Option<&T> {
        self.shared.target.get().map(|target| &**target)
    }

    /// The factory.
    pub fn factory(&self) -> &F {
        &self.shared.factory
    }

    /// Puts the proxy where nothing can resolve it until [`ProxyLocker::unlock`].
    pub fn lock(self) -> ProxyLocker<T, F> {
        ProxyLocker::new(self)
    }
}

impl<T: Send + Sync + 'static, F: Factory<T>> Proxy<T, F> {
    /// The target, fetched now unless it is there already.
    ///
    /// Errors: whatever the factory reports; the proxy stays unresolved and may be asked again.
    /// Dropping the future hands the work over to the next task that waits, and loses nothing.
    pub async fn resolve_async(&self) -> Result<&T> {
        self.target().await.map(|target| &**target)
    }

    /// The target itself, out of its proxy. Errors and dropping: as [`resolve_async`](Self::resolve_async).
    pub async fn extract(self) -> Result<Arc<T>> {
        self.target().await.cloned()
    }

    /// Starts to resolve in the background, so that a later [`resolve_async`](Self::resolve_async) finds the target
    /// there or joins the work. A failure is not remembered. Does nothing outside a tokio runtime, or if the proxy is
    /// resolved. The work goes on if this proxy is dropped.
    pub fn prefetch(&self) {
        if self.is_resolved() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let proxy = self.clone();
            runtime.spawn(async move { proxy.target().await.map(drop) });
        }
    }

    /// The same proxy with the type of its factory forgotten. Both cost one call of the factory; but what one of them
    /// resolves from now on, [`get`](Self::get) and [`is_resolved`](Self::is_resolved) of the other see only when that
    /// is asked to resolve, too.
    pub fn erase(self) -> Proxy<T> {
        let target = OnceCell::new_with(self.shared.target.get().cloned());
        Proxy::with_target(DynFactory::new(self), target)
    }

    async fn target(&self) -> Result<&Arc<T>> {
        let Shared { factory, target } = &*self.shared;
        if factory.shares() && !target.initialized() {
            let found = factory.resolve_async().await?;
            return Ok(target.get_or_init(|| async { found }).await);
        }
        target.get_or_try_init(|| factory.resolve_async()).await
    }
}

/// A proxy is a factory, too: of proxies that share its target.
#[async_trait]
impl<T: Send + Sync + 'static, F: Factory<T>> Factory<T> for Proxy<T, F> {
    async fn resolve_async(&self) -> Result<Arc<T>> {
        self.target().await.cloned()
    }

    fn shares(&self) -> bool {
        self.factory().shares()
    }
}

/// The future of `(&proxy).await`: see [`Proxy::resolve_async`].
pub struct Resolve<'a, T>(Pin<Box<dyn Future<Output = Result<&'a T>> + Send + 'a>>);

impl<'a, T> Future for Resolve<'a, T> {
    type Output = Result<&'a T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for Resolve<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolve")
    }
}

impl<'a, T: Send + Sync + 'static, F: Factory<T>> IntoFuture for &'a Proxy<T, F> {
    type Output = Result<&'a T>;
    type IntoFuture = Resolve<'a, T>;

    fn into_future(self) -> Resolve<'a, T> {
        Resolve(Box::pin(self.resolve_async()))
    }
}

impl<T, F> Clone for Proxy<T, F> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T: fmt::Debug, F: fmt::Debug> fmt::Debug for Proxy<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Proxy");
        out.field("factory", self.factory());
        match self.get() {
            Some(target) => out.field("target", target).finish(),
            None => out.finish_non_exhaustive(),
        }
    }
}

impl<T, F: Serialize> Serialize for Proxy<T, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.factory().serialize(serializer)
    }
}

impl<'de, T, F: Deserialize<'de>> Deserialize<'de> for Proxy<T, F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        F::deserialize(deserializer).map(Self::new)
    }
}
