//! A place for one connection that many callers share.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use proxystore_core::Result;
use tokio::time::Instant;

use crate::error;
use crate::link::{Link, lock};

type Opening = BoxFuture<'static, Result<Arc<Link>>>;

/// Opens a connection.
pub(crate) type Open<T> = Arc<dyn Fn() -> BoxFuture<'static, Result<T>> + Send + Sync>;

/// Opens its connection when first asked for, and anew when it is dead.
///
/// However many callers ask, there is one attempt at a time, unless it takes longer than any may, and they share its
/// outcome. The attempt is a shared future that its callers drive, whoever of them is left; with the last one it is
/// dropped. So no lock is held while it runs, nothing is spawned, and dropping callers leaves no connection behind.
pub(crate) struct Slot {
    open: Open<Link>,
    /// How long the connection may owe an answer before it is probed, and how long the probe may take.
    patience: Duration,
    /// How long an opening may take in all.
    limit: Duration,
    state: Arc<Mutex<State>>,
}

enum State {
    Empty,
    /// Since when.
    Opening(WeakShared<Opening>, Instant),
    Ready(Arc<Link>),
    Closed,
}

impl Slot {
    /// `open` ends within `connect_timeout`.
    pub(crate) fn new(open: Open<Link>, patience: Duration, connect_timeout: Duration) -> Self {
        Self { open, patience, limit: patience + connect_timeout, state: Arc::new(Mutex::new(State::Empty)) }
    }

    /// The connection. Dropping the future leaves the attempt to the other callers.
    pub(crate) async fn link(&self) -> Result<Arc<Link>> {
        let opening = {
            let mut state = lock(&self.state);
            let owing = match &*state {
                State::Closed => return Err(error::closed()),
                State::Ready(link) if !link.is_alive() => None,
                State::Ready(link) if link.owes_for(self.patience) => Some(link.clone()),
                State::Ready(link) => return Ok(link.clone()),
                State::Empty | State::Opening(..) => None,
            };
            match &*state {
                // What takes longer hangs on a runtime that stands still.
                State::Opening(opening, since)
                    if since.elapsed() <= self.limit
                        && let Some(opening) = opening.upgrade() =>
                {
                    opening
                }
                _ => {
                    let opening = self.opening(owing);
                    if let Some(weak) = opening.downgrade() {
                        *state = State::Opening(weak, Instant::now());
                    }
                    opening
                }
            }
        };
        opening.await
    }

    /// Probes the link that owes an answer, then opens another.
    fn opening(&self, owing: Option<Arc<Link>>) -> Shared<Opening> {
        let (open, patience, state) = (self.open.clone(), self.patience, self.state.clone());
        let opening = async move {
            let link = match owing {
                Some(link) if link.answers(patience).await => Ok(link),
                _ => open().await.map(Arc::new),
            };
            let mut state = lock(&state);
            match (&*state, link) {
                (State::Closed, _) => Err(error::closed()),
                (_, Ok(link)) => {
                    *state = State::Ready(link.clone());
                    Ok(link)
                }
                // Another one was faster.
                (State::Ready(_), Err(error)) => Err(error),
                (_, Err(error)) => {
                    *state = State::Empty;
                    Err(error)
                }
            }
        };
        opening.boxed().shared()
    }

    /// Has the connection probed before it is used again: another one to the same server is silent since then.
    pub(crate) fn doubt(&self, since: Instant) {
        if let State::Ready(link) = &*lock(&self.state) {
            link.doubt(since);
        }
    }

    /// `Closed` if it is.
    pub(crate) fn check_open(&self) -> Result<()> {
        if matches!(*lock(&self.state), State::Closed) { Err(error::closed()) } else { Ok(()) }
    }

    /// Lets the connection go. Commands under way on it come to their end.
    pub(crate) fn close(&self) {
        *lock(&self.state) = State::Closed;
    }
}

#[cfg(test)]
mod tests;
