//! How much is under way at once.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use proxystore_core::{Attempts, Budget, Call, Error, ErrorKind, Operation, Policy, Reply, Result};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Bounds the requests (256) and the bytes (64 MiB) that one store has in flight; the rest waits in the order of
/// asking, for at most 20 seconds each.
///
/// The bytes of a put are known; those of a get are counted as soon as the connector knows them. Objects of up to
/// 64 KiB count as requests only, so that a large transfer holds up no small one; one that is larger than all of the
/// limit is let in alone. The limit belongs to the store, so all its clones and proxies share it.
#[derive(Debug)]
pub struct Limit {
    requests: Semaphore,
    total: usize,
    bytes: Arc<Budget>,
    patience: Duration,
    waiting: AtomicU64,
}

impl Default for Limit {
    fn default() -> Self {
        Self::new(256, 64 << 20)
    }
}

impl Limit {
    /// At most this many requests, and this many bytes in whole KiB; at least one of each.
    pub fn new(requests: u32, bytes: u64) -> Self {
        let total = requests.max(1) as usize;
        Self {
            requests: Semaphore::new(total),
            total,
            bytes: Budget::new(bytes),
            patience: Duration::from_secs(20),
            waiting: AtomicU64::new(0),
        }
    }

    /// How long a call may wait for room (20 s). Then it fails with `Timeout`, and nothing has happened.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How many calls wait for room now.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// The requests in flight now.
    pub fn requests_in_flight(&self) -> usize {
        self.total.saturating_sub(self.requests.available_permits())
    }

    /// The bytes in flight now, of objects above 64 KiB.
    pub fn bytes_in_flight(&self) -> u64 {
        self.bytes.in_flight()
    }
}

impl Policy for Limit {
    async fn around<T: Reply>(&self, call: &Call<'_>, attempts: &dyn Attempts<T>) -> Result<T> {
        // To close must not wait for those that it is to end.
        if call.operation == Operation::Close {
            return attempts.begin().await;
        }
        let mut room = pin!(async {
            // Bytes first: what waits for them keeps no small request out.
            let share = self.bytes.admit(call.sends).await;
            (share, self.requests.acquire().await)
        });
        let room = match room.as_mut().now_or_never() {
            Some(room) => Ok(room),
            None => {
                let _waiting = Waiting::begin(self, call);
                timeout(self.patience, room).await
            }
        };
        let Ok((_share, _request)) = room else {
            return Err(Error::new(
                ErrorKind::Timeout,
                "too many requests or bytes are in flight, and no room was left; nothing was sent",
            )
            .with("after", format!("{:.1?}", self.patience))
            .hint("send less at once, or raise the `limit` policy of the store"));
        };
        let _drawing = call.transfer.draw_on(&self.bytes);
        attempts.begin().await
    }
}

/// A call that waits for room, counted as long as it does.
struct Waiting<'a> {
    limit: &'a Limit,
    #[cfg(feature = "metrics")]
    _seen: crate::metrics::Queued,
}

impl<'a> Waiting<'a> {
    fn begin(limit: &'a Limit, _call: &Call<'_>) -> Self {
        limit.waiting.fetch_add(1, Ordering::Relaxed);
        Self {
            limit,
            #[cfg(feature = "metrics")]
            _seen: crate::metrics::Queued::begin(_call),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.limit.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
