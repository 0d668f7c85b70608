//! A lifetime that ends by itself.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proxystore_core::{Error, ErrorKind, Result};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::{Lifetime, Members, TTL, private};
use crate::background;
use crate::background::heartbeat::Term;

/// Objects that live until a moment that may be moved: Python ProxyStore's `LeaseLifetime`.
///
/// Time is counted by the monotonic clock, whatever happens to the wall clock. The lease is held by this process: where
/// the backend has expiry, objects are given a minute at most, or half a second longer than the lease if that is less, and
/// the holder renews that as long as it lives. Dropping the lease ends it; so does [`end`](Lifetime::end).
///
/// ```
/// use std::time::Duration;
/// use proxystore_store::{Lease, Lifetime};
/// # use proxystore_store::Store;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
/// # let store = Store::builder("leased").connector(proxystore_local::LocalConnector::new()?).build().await?;
///
/// let lease = Lease::new(Duration::from_secs(30))?;
/// let proxy = store.proxy("for half a minute".to_string()).lifetime(&lease).await?;
/// lease.extend(Duration::from_secs(30))?;
/// assert!(lease.remaining() > Duration::from_secs(59));
///
/// lease.expire_in(Duration::ZERO)?;
/// assert!(lease.done() && lease.extend(Duration::from_secs(1)).is_err());
/// # Ok(()) }
/// ```
#[must_use = "a lease ends when it is dropped"]
pub struct Lease {
    members: Arc<Members>,
    /// Its end was moved, or it is over.
    moved: Arc<Notify>,
}

impl Lease {
    /// A lease that ends after `time`; at once if that is zero.
    /// `Unexpected` where the system gives no thread for the background.
    pub fn new(time: Duration) -> Result<Self> {
        // A time beyond the clock's range never comes.
        let end = Instant::now().checked_add(time);
        let members = Members::new(Term::new(TTL, end), expired);
        let moved = Arc::new(Notify::new());
        background::spawn(keep(members.clone(), moved.clone()))?;
        Ok(Self { members, moved })
    }

    /// A lease that ends when this machine's clock shows `time`, as it goes now; at once if that is past.
    pub fn until(time: SystemTime) -> Result<Self> {
        Self::new(from_now(time))
    }

    /// How long it still lasts; zero if it is over.
    pub fn remaining(&self) -> Duration {
        if self.done() {
            return Duration::ZERO;
        }
        self.members.term().end().map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()))
    }

    /// Moves the end by `time`. `Expired` if it is over: what was attached is gone.
    pub fn extend(&self, time: Duration) -> Result<()> {
        self.move_end(|end| end.and_then(|end| end.checked_add(time)))
    }

    /// Ends it `time` from now, be that earlier or later than before; at once if it is zero.
    /// `Expired` if it is over.
    pub fn expire_in(&self, time: Duration) -> Result<()> {
        self.move_end(|_| Instant::now().checked_add(time))
    }

    /// Ends it when this machine's clock shows `time`, as it goes now: see [`expire_in`](Self::expire_in).
    pub fn expire_at(&self, time: SystemTime) -> Result<()> {
        self.expire_in(from_now(time))
    }

    fn move_end(&self, to: impl FnOnce(Option<Instant>) -> Option<Instant>) -> Result<()> {
        self.members.move_end(to)?;
        if self.done() {
            drop(self.members.end());
        }
        self.moved.notify_one();
        Ok(())
    }
}

fn expired() -> Error {
    Error::new(ErrorKind::Expired, "the lease is over").hint("take a new one")
}

fn from_now(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::now()).unwrap_or_default()
}

/// Ends the lease when it is over.
async fn keep(members: Arc<Members>, moved: Arc<Notify>) {
    while members.check().is_ok() {
        let end = *members.term().end();
        match end {
            // Moved or over, it looks again.
            Some(end) => drop(timeout_at(end, moved.notified()).await),
            None => moved.notified().await,
        }
    }
    drop(members.end());
}

impl private::Members for Lease {
    fn members(&self) -> Arc<Members> {
        self.members.clone()
    }
}

impl Lifetime for Lease {}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.members.end());
        self.moved.notify_one();
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({:?}, ends in {:?})", self.members, self.remaining())
    }
}
