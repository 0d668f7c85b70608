//! What somebody holds.

use serde::{Deserialize, Serialize};

use super::gate::Pass;
use super::{Result, SyncError};
use crate::context::Context;
use crate::error::RemoteError;
use crate::object;

/// Something that is held: a lock, or a permit of a semaphore.
///
/// It is given back with the last clone, when the session of its holder ends or expires, and with
/// [`release`](Self::release). A guard can be sent: then the lock is held for as long as anybody has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[must_use = "what a guard stands for is given back when it is dropped"]
pub struct Guard {
    fence: u64,
    held: HeldProxy,
}

impl Guard {
    pub(super) fn host(pass: Pass, context: &Context) -> Result<Self, RemoteError> {
        Ok(Self { fence: pass.fence(), held: context.host(Held(Some(pass)))? })
    }

    /// The fencing number of this acquisition, greater than those of all before it. A resource that remembers the
    /// greatest one that it has seen, and refuses smaller ones, is safe from a holder that does not know yet that its
    /// lease is over. Numbers grow also over a restart of the manager, unless its clock is set back.
    pub fn fence(&self) -> u64 {
        self.fence
    }

    /// Gives it back now, and waits until that is done; a guard that is dropped is given back a few milliseconds
    /// later. `NotHeld` if it was given back before.
    pub async fn release(self) -> Result<()> {
        self.held.release().await
    }
}

/// The object behind a [`Guard`].
#[derive(Debug)]
pub struct Held(Option<Pass>);

#[object(crate = "crate", typeid = "proxystore.Held")]
impl Held {
    /// Gives back what is held. `NotHeld` if it was given back before.
    fn release(&mut self) -> std::result::Result<(), SyncError> {
        super::held(self.0.take().is_some_and(Pass::release))
    }
}
