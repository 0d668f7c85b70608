//! Hints that a key may have changed.

use std::fmt;
use std::future::pending;
use std::pin::Pin;

use futures_util::stream::{Stream, StreamExt};

/// A subscription to one key: a hint, not a promise.
///
/// It may wake spuriously, or never; correctness rests on [`Connector::get`](crate::Connector::get). Subscribe
/// first, then check, then wait for the watch *or* a timer. Dropping it ends the subscription.
pub struct Watch(Option<Pin<Box<dyn Stream<Item = ()> + Send>>>);

impl Watch {
    /// A watch that wakes for every item of `wakes`, and once more when `wakes` ends (the subscription broke:
    /// look again).
    pub fn new(wakes: impl Stream<Item = ()> + Send + 'static) -> Self {
        Self(Some(Box::pin(wakes)))
    }

    /// A watch that never wakes: for backends that cannot tell.
    pub fn never() -> Self {
        Self(None)
    }

    /// Waits until the key may have changed. Cancel-safe: dropping the future loses no wake-up.
    pub async fn wake(&mut self) {
        match &mut self.0 {
            None => pending().await,
            Some(wakes) => {
                if wakes.next().await.is_none() {
                    self.0 = None;
                }
            }
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Watch" } else { "Watch(never)" })
    }
}
