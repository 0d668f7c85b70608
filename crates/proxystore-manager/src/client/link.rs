//! The connection that a session has at the moment, and what is to be said on it besides calls.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tarpc::client::{Channel, Config};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::dial::Stream;
use crate::frame::{Item, MAX_ITEMS, Reply, Request};
use crate::heard::{Heard, Watched};
use crate::steady::Steady;
use crate::wire;

/// Calls of a session at once. What the connection takes is above it, so that beats always pass.
pub(super) const MAX_CALLS: usize = 4096;
/// How long items wait for others.
const GATHER: Duration = Duration::from_millis(10);

/// An open connection.
pub(super) struct Link {
    pub(super) channel: Channel<Request, Reply>,
    /// Which connection of its session it is.
    pub(super) generation: u64,
    /// When bytes last moved on it.
    pub(super) heard: Arc<Heard>,
}

impl Link {
    /// Starts it; the task ends when the connection breaks.
    pub(super) fn start(stream: Stream, max_frame: usize, generation: u64) -> (Self, JoinHandle<()>) {
        let heard = Arc::new(Heard::new());
        let stream = Watched::new(stream.io, heard.clone());
        let transport = wire::framed::<_, wire::Client>(stream, max_frame);
        let mut config = Config::default();
        config.max_in_flight_requests = 2 * MAX_CALLS;
        config.pending_request_buffer = 2 * MAX_CALLS;
        let client = tarpc::client::new(config, transport);
        let dispatch = tokio::spawn(async move {
            if let Err(error) = Steady::new(client.dispatch).await {
                tracing::debug!(%error, "the connection to a manager broke");
            }
        });
        (Self { channel: client.client, generation, heard }, dispatch)
    }
}

/// Items on their way: kept until the server has applied them, sent again after a reconnect.
#[derive(Default)]
pub(super) struct Outbox {
    state: Mutex<Waiting>,
    some: Notify,
    urgent: Notify,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    /// How many were applied before the first of them.
    before: u64,
}

impl Outbox {
    fn state(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be said soon, or at once. Does not block, and needs no runtime: destructors use it.
    pub(super) fn push(&self, item: Item, urgent: bool) {
        self.state().items.push_back(item);
        self.some.notify_one();
        if urgent {
            self.urgent.notify_one();
        }
    }

    /// Waits until there is something to say, and then a little for more; at most `idle`.
    pub(super) async fn ready(&self, idle: Duration) {
        let some = async {
            self.some.notified().await;
            // Nothing is lost if the time runs out.
            let _ = tokio::time::timeout(GATHER, self.urgent.notified()).await;
        };
        // Then a beat without items is due.
        let _ = tokio::time::timeout(idle, some).await;
    }

    /// The next message.
    pub(super) fn beat(&self) -> Request {
        let state = self.state();
        Request::Beat {
            first: state.before + 1,
            items: state.items.iter().take(MAX_ITEMS).cloned().collect(),
        }
    }

    /// The server has applied items up to this one. Whether none is left.
    pub(super) fn applied(&self, seen: u64) -> bool {
        let mut state = self.state();
        let count =
            usize::try_from(seen.saturating_sub(state.before)).unwrap_or(usize::MAX).min(state.items.len());
        state.items.drain(..count);
        state.before += count as u64;
        if !state.items.is_empty() {
            self.some.notify_one();
        }
        state.items.is_empty()
    }
}
