//! A lock.

use std::sync::Arc;
use std::time::Duration;

use super::SyncError;
use super::condition::Condition;
use super::gate::{Gate, Want};
use super::guard::Guard;
use crate::context::Context;
use crate::object;
use crate::object::Remote;

/// Held by one at a time.
///
/// ```
/// use proxystore_manager::{Manager, sync::{Lock, LockProxy}};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = Manager::builder().in_process()?;
/// let lock = LockProxy::create(&manager).await?;
///
/// let guard = lock.acquire().await?;
/// // Nobody else is here.
/// guard.release().await?;
/// # Ok(()) }
/// ```
///
/// Other than Python's, it is free again when its holder dies; `acquire_detached` takes it as Python does.
#[derive(Debug)]
pub struct Lock {
    gate: Arc<Gate>,
}

impl Default for Lock {
    fn default() -> Self {
        Self { gate: Gate::new(1) }
    }
}

#[object(crate = "crate", typeid = "proxystore.Lock")]
impl Lock {
    /// A lock that nobody holds.
    #[ctor]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for the lock. Dropping the future leaves the queue.
    #[idempotent]
    pub async fn acquire(&self, context: &Context) -> Result<Guard, SyncError> {
        super::acquire(&self.gate, Want::ONE, context).await
    }

    /// Waits for the lock, for so long at most: `None` if that was not enough. Without any time, takes it if it is
    /// free. Dropping the future leaves the queue.
    pub async fn acquire_within(
        &self,
        timeout: Duration,
        context: &Context,
    ) -> Result<Option<Guard>, SyncError> {
        super::acquire_within(&self.gate, Want::ONE, timeout, context).await
    }

    /// As Python's `acquire`: waits for the lock, and nobody owns it then: it stays held until somebody, in any
    /// process, calls [`release`](Self::release). Returns the fencing number, or `None` if the time runs out. Dropping
    /// the future leaves the queue.
    pub async fn acquire_detached(&self, timeout: Option<Duration>, context: &Context) -> Option<u64> {
        super::acquire_detached(&self.gate, Want::ONE, timeout, context, Gate::release).await
    }

    /// Gives back what `acquire_detached` took, here or elsewhere. `NotHeld` if the lock is not held so.
    pub fn release(&self) -> Result<(), SyncError> {
        super::held(self.gate.release_detached(None, 1, false))
    }

    /// A condition that uses this lock: those who wait for it, and who notify them, hold the lock. Each call makes
    /// another one.
    pub fn condition(&self, context: &Context) -> Result<Remote<Condition>, SyncError> {
        Ok(context.host(Condition::of(self.gate.clone()))?)
    }
}
