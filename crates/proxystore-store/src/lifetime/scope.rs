//! A lifetime that a program ends where it likes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use proxystore_core::{Error, ErrorKind};

use super::private;
use super::{Members, TTL};
use crate::background::heartbeat::Term;
use crate::background::pulse::SHORTEST_LEASE;

/// Objects that live until [`end`](crate::Lifetime::end) is awaited or this is dropped: Python ProxyStore's
/// `ContextLifetime`.
///
/// Dropping it hands the objects over to be evicted in the background; only `end` tells what became of them.
///
/// ```
/// use proxystore_store::{Lifetime, Scope};
/// # use proxystore_store::Store;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
/// # let store = Store::builder("scoped").connector(proxystore_local::LocalConnector::new()?).build().await?;
///
/// let scope = Scope::new();
/// let proxy = store.proxy(vec![1, 2, 3]).lifetime(&scope).await?;
/// let key = store.put(&String::from("a word")).lifetime(&scope).await?;
/// assert!(store.exists(&key).await?);
///
/// let evictions = scope.end().await;
/// assert_eq!((evictions.evicted, evictions.failed), (2, 0));
/// assert!(!store.exists(&key).await? && !store.exists(proxy.factory().key()).await?);
/// # Ok(()) }
/// ```
#[must_use = "what is attached is evicted when this is dropped"]
pub struct Scope(Arc<Members>);

impl Scope {
    /// A scope whose objects outlive this process by a minute at most if it dies.
    pub fn new() -> Self {
        Self::with_ttl(TTL)
    }

    /// A scope whose objects outlive this process by `ttl` at most if it dies, a tenth of a second if that is less. Each
    /// is renewed every quarter of that time.
    pub fn with_ttl(ttl: Duration) -> Self {
        let ended = || {
            Error::new(ErrorKind::Closed, "the scope has ended")
                .hint("attach to a scope that has not, or to none")
        };
        Self(Members::new(Term::new(ttl.max(SHORTEST_LEASE), None), ended))
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self::new()
    }
}

impl private::Members for Scope {
    fn members(&self) -> Arc<Members> {
        self.0.clone()
    }
}

impl super::Lifetime for Scope {}

impl Drop for Scope {
    fn drop(&mut self) {
        // Handed over; nobody waits for the outcome.
        drop(self.0.end());
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({:?})", self.0)
    }
}
