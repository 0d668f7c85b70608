//! Counters.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{CallError, RemoteError};
use crate::manager::Manager;
use crate::object;

/// The sum is outside of what 64 bits hold; the counter is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Overflow;

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sum does not fit into 64 bits: the counter is as it was")
    }
}

impl std::error::Error for Overflow {}

/// The counter itself, at its manager.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct CounterObject(i64);

impl fmt::Display for CounterObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[object(crate = "crate", typeid = "proxystore.Counter", value, display)]
impl CounterObject {
    #[ctor]
    fn new(start: i64) -> Self {
        Self(start)
    }

    #[idempotent]
    fn get(&self) -> i64 {
        self.0
    }

    fn add(&mut self, k: i64) -> Result<i64, Overflow> {
        self.0 = self.0.checked_add(k).ok_or(Overflow)?;
        Ok(self.0)
    }

    fn swap(&mut self, count: i64) -> i64 {
        std::mem::replace(&mut self.0, count)
    }

    fn compare_exchange(&mut self, current: i64, new: i64) -> Result<(), i64> {
        if self.0 != current {
            return Err(self.0);
        }
        self.0 = new;
        Ok(())
    }
}

typed! {
    /// A shared number that is counted up and down. Each method is one step, so no count is lost.
    ///
    /// ```
    /// # use proxystore_manager::Manager;
    /// # use proxystore_manager::builtin::Counter;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = Manager::builder().in_process()?;
    /// let done = Counter::create(&manager, 0).await?;
    /// assert_eq!(done.add(1).await?, 1);
    /// # Ok(()) }
    /// ```
    Counter(CounterObjectProxy)
}

impl Counter {
    /// A counter that stands at `start`.
    pub async fn create(manager: &Manager, start: i64) -> Result<Self, RemoteError> {
        Ok(Self::of(CounterObjectProxy::create(manager, start).await?))
    }

    /// The counter of this name; if there is none, one gets it that stands at `start`.
    pub async fn get_or_create(manager: &Manager, name: &str, start: i64) -> Result<Self, RemoteError> {
        Ok(Self::of(CounterObjectProxy::get_or_create(manager, name, start).await?))
    }

    /// Where it stands.
    pub async fn get(&self) -> Result<i64, RemoteError> {
        self.proxy.get().await
    }

    /// Counts by `k`, which may be negative, and returns the sum. [`Overflow`] if that is none of 64 bits.
    pub async fn add(&self, k: i64) -> Result<i64, CallError<Overflow>> {
        self.proxy.add(k).await
    }

    /// Puts it to `count`, and returns where it stood.
    pub async fn swap(&self, count: i64) -> Result<i64, RemoteError> {
        self.proxy.swap(count).await
    }

    /// Puts it to `new` if it stands at `current`. The inner error is where it stands instead.
    pub async fn compare_exchange(&self, current: i64, new: i64) -> Result<Result<(), i64>, RemoteError> {
        match self.proxy.compare_exchange(current, new).await {
            Ok(()) => Ok(Ok(())),
            Err(CallError::App(count)) => Ok(Err(count)),
            Err(CallError::Remote(error)) => Err(error),
        }
    }
}
