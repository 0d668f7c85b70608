//! Locks and other ways to wait for each other, shared by processes.
//!
//! Whoever waits first goes first. Dropping the future of a wait leaves nothing behind: what was granted meanwhile goes
//! to the next. Times are arguments; without one a wait lasts as long as its caller waits.
//!
//! What somebody holds is a [`Guard`], an object of their session: it is given back when it is dropped, when the
//! session ends, and when its lease is over because the process was killed. The `detached` methods are those of
//! Python's managers: what they take belongs to nobody, so anybody can give it back, and nobody else does. Until the
//! manager has heard that the result arrived, for some milliseconds, it goes back with its caller, too.
//!
//! A wait and what ends it run side by side, so all these methods are `&self`: a `read_only` proxy has them all, and
//! `only_methods` makes one that may wait for an event and not set it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::gate::{Gate, Want};
use crate::context::Context;
use crate::error::{CallError, RemoteError, RemoteErrorKind};

mod barrier;
mod condition;
mod event;
mod gate;
mod guard;
mod lock;
mod rlock;
mod rwlock;
mod semaphore;

pub use barrier::{Barrier, BarrierProxy, Party, PartyProxy};
pub use condition::{Condition, ConditionProxy, Woken};
pub use event::{Event, EventProxy};
pub use guard::{Guard, Held, HeldProxy};
pub use lock::{Lock, LockProxy};
pub use rlock::{Holder, RLock, RLockProxy};
pub use rwlock::{RwLock, RwLockProxy};
pub use semaphore::{Semaphore, SemaphoreProxy};

/// Why a lock, or what else processes wait at, does not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SyncError {
    /// What is to be given back, or is needed, is not held: not at all, not any more, or by somebody else.
    NotHeld,
    /// A semaphore would have more permits than it may.
    TooMany,
    /// The barrier is broken: somebody was too late, has gone, or broke it. `reset` mends it.
    Broken,
    /// The manager failed.
    Remote(RemoteError),
}

impl fmt::Display for SyncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHeld => "it is not held: acquire it first, and release it once",
            Self::TooMany => {
                "the semaphore would have more permits than it may: release what was acquired, once"
            }
            Self::Broken => "the barrier is broken: somebody was too late or has gone; `reset` mends it",
            Self::Remote(error) => return error.fmt(f),
        })
    }
}

impl std::error::Error for SyncError {}

impl From<RemoteError> for SyncError {
    fn from(error: RemoteError) -> Self {
        Self::Remote(error)
    }
}

/// What methods of this module bring.
pub type Result<T, E = CallError<SyncError>> = std::result::Result<T, E>;

/// Waits for as long as this at most; without a time, for as long as the caller does. What is ready is taken also
/// when there is no time at all.
async fn within<F: Future>(timeout: Option<Duration>, future: F) -> Option<F::Output> {
    match timeout {
        None => Some(future.await),
        Some(timeout) => tokio::time::timeout(timeout, future).await.ok(),
    }
}

async fn acquire(gate: &Arc<Gate>, want: Want, context: &Context) -> Result<Guard, SyncError> {
    match gate.pass(want, None).await {
        Some(pass) => Ok(Guard::host(pass, context)?),
        None => Err(RemoteError::from(RemoteErrorKind::Cancelled).into()),
    }
}

async fn acquire_within(
    gate: &Arc<Gate>,
    want: Want,
    timeout: Duration,
    context: &Context,
) -> Result<Option<Guard>, SyncError> {
    let pass = gate.pass(want, Some(timeout)).await;
    Ok(pass.map(|pass| Guard::host(pass, context)).transpose()?)
}

/// If the result reaches nobody, `undo` gives it back.
async fn acquire_detached(
    gate: &Arc<Gate>,
    want: Want,
    timeout: Option<Duration>,
    context: &Context,
    undo: impl FnOnce(&Gate, u64) -> bool + Send + 'static,
) -> Option<u64> {
    let fence = gate.pass(want, timeout).await?.detach();
    let gate = gate.clone();
    // Somebody may have given it back meanwhile.
    context.on_discard(move || _ = undo(&gate, fence));
    Some(fence)
}

fn held(was_held: bool) -> Result<(), SyncError> {
    if was_held { Ok(()) } else { Err(SyncError::NotHeld) }
}
