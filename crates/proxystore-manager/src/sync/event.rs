//! Something that has happened, or has not.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::within;
use crate::object;

/// A flag that many wait for.
///
/// ```
/// use proxystore_manager::{Manager, sync::{Event, EventProxy}};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = Manager::builder().in_process()?;
/// let ready = EventProxy::create(&manager).await?;
///
/// let waiter = tokio::spawn({
///     let ready = ready.clone();
///     async move { ready.wait(None).await }
/// });
/// ready.set().await?;
/// assert!(waiter.await??);
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct Event {
    is_set: Mutex<bool>,
    woken: Notify,
}

impl Event {
    fn flag(&self) -> MutexGuard<'_, bool> {
        self.is_set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[object(crate = "crate", typeid = "proxystore.Event")]
impl Event {
    /// One that is not set.
    #[ctor]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it is set.
    #[idempotent]
    pub fn is_set(&self) -> bool {
        *self.flag()
    }

    /// Sets it. All who wait go on, also if it is cleared at once.
    #[idempotent]
    pub fn set(&self) {
        let mut flag = self.flag();
        *flag = true;
        self.woken.notify_waiters();
    }

    /// Takes it back.
    #[idempotent]
    pub fn clear(&self) {
        *self.flag() = false;
    }

    /// Waits until it is set. `false` if the time runs out. Dropping the future leaves nothing.
    #[idempotent]
    pub async fn wait(&self, timeout: Option<Duration>) -> bool {
        // From here on it hears of every `set`.
        let woken = self.woken.notified();
        self.is_set() || within(timeout, woken).await.is_some()
    }
}
