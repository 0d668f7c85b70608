//! Connections that carry one transfer each.

use std::sync::Mutex;

use proxystore_core::Result;
use redis::{RedisResult, Value};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::{self, Effect};
use crate::link::{Link, lock};
use crate::request::Request;
use crate::slot::Open;
use crate::wire::Wire;

/// A pool of connections with one user at a time.
///
/// Whoever does not give a connection back, being late, dropped or failed, closes it, and its bytes go with it: nothing
/// is queued on behalf of nobody.
pub(crate) struct Bulk {
    open: Open<Carrier>,
    permits: Semaphore,
    idle: Mutex<Vec<Carrier>>,
}

/// A connection of the pool.
pub(crate) enum Carrier {
    Wire(Wire),
    /// Where our own cannot lead: by TLS, and to a cluster.
    Link(Link),
}

impl Bulk {
    pub(crate) fn new(open: Open<Carrier>, size: usize) -> Self {
        Self { open, permits: Semaphore::new(size), idle: Mutex::default() }
    }

    /// Waits for a connection, in the order of asking. Dropping the future leaves nothing.
    pub(crate) async fn lease(&self) -> Result<Lease<'_, Carrier>> {
        let permit = self.permits.acquire().await.map_err(|_| error::closed())?;
        let carrier = match self.pop() {
            Some(carrier) => carrier,
            None => (self.open)().await?,
        };
        Ok(Lease { carrier, pool: self, _permit: permit })
    }

    /// A connection of our own that is open and has nothing to do, if there is one.
    pub(crate) fn idle(&self) -> Option<Lease<'_, Wire>> {
        let permit = self.permits.try_acquire().ok()?;
        match self.pop()? {
            Carrier::Wire(carrier) => Some(Lease { carrier, pool: self, _permit: permit }),
            link => {
                lock(&self.idle).push(link);
                None
            }
        }
    }

    fn pop(&self) -> Option<Carrier> {
        let mut idle = lock(&self.idle);
        while let Some(mut carrier) = idle.pop() {
            if carrier.is_idle() {
                return Some(carrier);
            }
        }
        None
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

impl Carrier {
    /// Sends the request and waits for all answers, errors of the server among them.
    pub(crate) async fn send(&mut self, request: &Request, effect: Effect) -> RedisResult<Vec<Value>> {
        match self {
            Self::Wire(wire) => wire.send(request, effect).await,
            Self::Link(link) => link.send(request).await,
        }
    }

    fn is_idle(&mut self) -> bool {
        match self {
            Self::Wire(wire) => wire.is_idle(),
            Self::Link(link) => link.is_alive(),
        }
    }
}

/// The use of one connection.
pub(crate) struct Lease<'a, C> {
    pub(crate) carrier: C,
    pool: &'a Bulk,
    _permit: SemaphorePermit<'a>,
}

impl<C: Into<Carrier>> Lease<'_, C> {
    /// Gives it back in order.
    pub(crate) fn give_back(self) {
        if !self.pool.permits.is_closed() {
            lock(&self.pool.idle).push(self.carrier.into());
        }
    }
}

impl From<Wire> for Carrier {
    fn from(wire: Wire) -> Self {
        Self::Wire(wire)
    }
}
