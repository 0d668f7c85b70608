//! A lock for readers and writers.

use std::sync::Arc;
use std::time::Duration;

use super::SyncError;
use super::gate::{Gate, Want};
use super::guard::Guard;
use crate::context::Context;
use crate::object;

/// More readers than there can be, and what a writer needs.
const ALL: u64 = u32::MAX as u64;
const WRITE: Want = Want { permits: ALL, holder: None };

/// Held by readers together, or by one writer.
///
/// Who waits first goes first: a reader that comes after a waiting writer waits for it, so neither side starves the
/// other. For the same reason a reader that waits for a second guard while it has one may wait for ever.
///
/// ```
/// use proxystore_manager::{Manager, sync::{RwLock, RwLockProxy}};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = Manager::builder().in_process()?;
/// let lock = RwLockProxy::create(&manager).await?;
///
/// let (one, two) = (lock.read().await?, lock.read().await?);
/// drop((one, two));
/// let alone = lock.write().await?;
/// # drop(alone);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RwLock {
    gate: Arc<Gate>,
}

impl Default for RwLock {
    fn default() -> Self {
        Self { gate: Gate::new(ALL) }
    }
}

#[object(crate = "crate", typeid = "proxystore.RwLock")]
impl RwLock {
    /// A lock that nobody holds.
    #[ctor]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until no writer is there or was there first. Dropping the future leaves the queue.
    #[idempotent]
    pub async fn read(&self, context: &Context) -> Result<Guard, SyncError> {
        super::acquire(&self.gate, Want::ONE, context).await
    }

    /// As [`read`](Self::read), for so long at most: `None` if that was not enough.
    pub async fn read_within(
        &self,
        timeout: Duration,
        context: &Context,
    ) -> Result<Option<Guard>, SyncError> {
        super::acquire_within(&self.gate, Want::ONE, timeout, context).await
    }

    /// Waits until nobody is there or was there first. Dropping the future leaves the queue.
    #[idempotent]
    pub async fn write(&self, context: &Context) -> Result<Guard, SyncError> {
        super::acquire(&self.gate, WRITE, context).await
    }

    /// As [`write`](Self::write), for so long at most: `None` if that was not enough.
    pub async fn write_within(
        &self,
        timeout: Duration,
        context: &Context,
    ) -> Result<Option<Guard>, SyncError> {
        super::acquire_within(&self.gate, WRITE, timeout, context).await
    }
}
