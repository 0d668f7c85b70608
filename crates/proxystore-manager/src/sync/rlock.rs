//! A lock that its holder may acquire again.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SyncError;
use super::gate::{Gate, Want};
use super::guard::Guard;
use crate::context::Context;
use crate::{mac, object};

/// Who holds an [`RLock`]: whoever has the same token is the same holder, also in another task or process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Holder([u8; 16]);

impl Holder {
    /// One like no other. An error if the operating system has no randomness.
    pub fn new() -> proxystore_core::Result<Self> {
        mac::random().map(Self)
    }
}

/// Held by one holder at a time, as often as it likes.
///
/// ```
/// use proxystore_manager::{Manager, sync::{Holder, RLock, RLockProxy}};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = Manager::builder().in_process()?;
/// let lock = RLockProxy::create(&manager).await?;
///
/// let me = Holder::new()?;
/// let outer = lock.acquire(me).await?;
/// let inner = lock.acquire(me).await?; // at once
/// drop(inner);
/// drop(outer); // now it is free
/// # Ok(()) }
/// ```
///
/// Python's is held by a thread. A task has no identity, and moves between threads: so the holder is said here.
#[derive(Debug)]
pub struct RLock {
    gate: Arc<Gate>,
}

impl Default for RLock {
    fn default() -> Self {
        Self { gate: Gate::new(1) }
    }
}

#[object(crate = "crate", typeid = "proxystore.RLock")]
impl RLock {
    /// A lock that nobody holds.
    #[ctor]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until nobody but `holder` holds the lock. Dropping the future leaves the queue.
    #[idempotent]
    pub async fn acquire(&self, holder: Holder, context: &Context) -> Result<Guard, SyncError> {
        super::acquire(&self.gate, want(holder), context).await
    }

    /// As [`acquire`](Self::acquire), for so long at most: `None` if that was not enough.
    pub async fn acquire_within(
        &self,
        holder: Holder,
        timeout: Duration,
        context: &Context,
    ) -> Result<Option<Guard>, SyncError> {
        super::acquire_within(&self.gate, want(holder), timeout, context).await
    }

    /// As Python's `acquire`: the lock stays held, also when the process is gone, until `holder` has called
    /// [`release`](Self::release) as often. Returns the fencing number, or `None` if the time runs out.
    pub async fn acquire_detached(
        &self,
        holder: Holder,
        timeout: Option<Duration>,
        context: &Context,
    ) -> Option<u64> {
        let undo = move |gate: &Gate, _| gate.release_detached(Some(holder), 1, false);
        super::acquire_detached(&self.gate, want(holder), timeout, context, undo).await
    }

    /// Gives back what `acquire_detached` took once for this holder. `NotHeld` if it took nothing.
    pub fn release(&self, holder: Holder) -> Result<(), SyncError> {
        super::held(self.gate.release_detached(Some(holder), 1, false))
    }
}

fn want(holder: Holder) -> Want {
    Want { permits: 1, holder: Some(holder) }
}
