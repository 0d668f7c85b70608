//! Connections that carry one large transfer each.

use std::sync::Mutex;

use proxystore_core::Result;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error;
use crate::link::{Link, lock};
use crate::slot::Open;

/// A pool of connections with one user at a time.
///
/// Whoever does not give a connection back, being late, dropped or failed, closes it, and its bytes go with it: nothing
/// is queued on behalf of nobody. A put that waits for a connection holds its object twice, as its caller's value and
/// as a command; a limit of the bytes in flight bounds that.
pub(crate) struct Bulk {
    open: Open,
    permits: Semaphore,
    idle: Mutex<Vec<Link>>,
}

impl Bulk {
    pub(crate) fn new(open: Open, size: usize) -> Self {
        Self { open, permits: Semaphore::new(size), idle: Mutex::default() }
    }

    /// Waits for a connection, in the order of asking. Dropping the future leaves nothing.
    pub(crate) async fn lease(&self) -> Result<Lease<'_>> {
        let permit = self.permits.acquire().await.map_err(|_| error::closed())?;
        let idle = {
            let mut idle = lock(&self.idle);
            idle.retain(Link::is_alive);
            idle.pop()
        };
        let link = match idle {
            Some(link) => link,
            None => (self.open)().await?,
        };
        Ok(Lease { link, pool: self, _permit: permit })
    }

    /// Forgets the connections that nobody uses: one of them turned out to be dead, and they are of one age.
    pub(crate) fn forget(&self) {
        lock(&self.idle).clear();
    }

    /// Lets the connections go. Transfers under way come to their end.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.forget();
    }
}

/// The use of one connection.
pub(crate) struct Lease<'a> {
    link: Link,
    pool: &'a Bulk,
    _permit: SemaphorePermit<'a>,
}

impl Lease<'_> {
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Gives it back in order.
    pub(crate) fn give_back(self) {
        if !self.pool.permits.is_closed() {
            lock(&self.pool.idle).push(self.link);
        }
    }
}
