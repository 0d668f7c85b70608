//! A number of permits.

use std::sync::Arc;
use std::time::Duration;

use super::SyncError;
use super::gate::{Gate, Want};
use super::guard::Guard;
use crate::context::Context;
use crate::object;

/// Held by a number of holders at a time, each of which has a permit.
///
/// ```
/// use proxystore_manager::{Manager, sync::{Semaphore, SemaphoreProxy}};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = Manager::builder().in_process()?;
/// let downloads = SemaphoreProxy::bounded(&manager, 4).await?;
///
/// let permit = downloads.acquire().await?;
/// // Three others may be here.
/// permit.release().await?;
/// # Ok(()) }
/// ```
///
/// Other than Python's, it has the permit again when a holder dies; `acquire_detached` takes one as Python does.
#[derive(Debug)]
pub struct Semaphore {
    gate: Arc<Gate>,
    is_bounded: bool,
}

#[object(crate = "crate", typeid = "proxystore.Semaphore")]
impl Semaphore {
    /// With so many permits, to which `release` may add others.
    #[ctor]
    pub fn new(permits: u32) -> Self {
        Self { gate: Gate::new(permits.into()), is_bounded: false }
    }

    /// With so many permits and never more: releasing what was not acquired is an error.
    #[ctor]
    pub fn bounded(permits: u32) -> Self {
        Self { is_bounded: true, ..Self::new(permits) }
    }

    /// Waits for a permit. Dropping the future leaves the queue.
    #[idempotent]
    pub async fn acquire(&self, context: &Context) -> Result<Guard, SyncError> {
        super::acquire(&self.gate, Want::ONE, context).await
    }

    /// Waits for a permit, for so long at most: `None` if that was not enough. Without any time, takes one if it is
    /// free. Dropping the future leaves the queue.
    pub async fn acquire_within(
        &self,
        timeout: Duration,
        context: &Context,
    ) -> Result<Option<Guard>, SyncError> {
        super::acquire_within(&self.gate, Want::ONE, timeout, context).await
    }

    /// As Python's `acquire`: waits for a permit, which is nobody's then and stays away until somebody, in any process,
    /// calls [`release`](Self::release). `false` if the time runs out. Dropping the future leaves the queue.
    pub async fn acquire_detached(&self, timeout: Option<Duration>, context: &Context) -> bool {
        let may_grow = !self.is_bounded;
        // Permits are all the same: `release` may have given back this one instead of another.
        let undo = move |gate: &Gate, _| gate.release_detached(None, 1, may_grow);
        super::acquire_detached(&self.gate, Want::ONE, timeout, context, undo).await.is_some()
    }

    /// Gives back so many permits that `acquire_detached` took, here or elsewhere. If there are not so many, a bounded
    /// semaphore does nothing and says `TooMany`, another has more permits from then on.
    pub fn release(&self, permits: u32) -> Result<(), SyncError> {
        let released = self.gate.release_detached(None, permits as usize, !self.is_bounded);
        if released { Ok(()) } else { Err(SyncError::TooMany) }
    }
}
