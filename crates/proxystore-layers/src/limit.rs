//! How much is under way at once.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use proxystore_core::{
    Attempts, Call, Error, ErrorKind, Operation, Policy, Reply, Result, Room, async_trait,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Up to this many bytes an object needs no room of its own.
const SMALL: u64 = 64 << 10;

/// Bounds the requests (256) and the bytes (64 MiB) that one store has in flight; the rest waits in the order of
/// asking, for at most 20 seconds each.
///
/// The bytes of a put are known; those of a get are counted as soon as the connector knows them, and those of a batch
/// once. They are the bytes that the connector moves, so after compression where they come and before it where they
/// go. Objects of up to 64 KiB count as requests only, and who waits for bytes is no request meanwhile: so large
/// transfers keep no small one out. An object that is larger than all of the limit is let in when it is alone. The
/// limit belongs to the store, so all its clones and proxies share it.
#[derive(Debug)]
pub struct Limit {
    shared: Arc<Shared>,
    patience: Duration,
}

#[derive(Debug)]
struct Shared {
    requests: Arc<Semaphore>,
    most_requests: usize,
    /// In units of a KiB.
    bytes: Arc<Semaphore>,
    most_bytes: u32,
    waiting: AtomicU64,
    #[cfg(feature = "metrics")]
    seen: crate::metrics::Queue,
}

impl Default for Limit {
    fn default() -> Self {
        Self::new(256, 64 << 20)
    }
}

impl Limit {
    /// At most this many requests, and this many bytes in whole KiB; at least one of each.
    pub fn new(requests: u32, bytes: u64) -> Self {
        let most_requests = requests.max(1) as usize;
        let most_bytes = units(bytes).clamp(1, 1 << 30);
        let shared = Shared {
            requests: Arc::new(Semaphore::new(most_requests)),
            most_requests,
            bytes: Arc::new(Semaphore::new(most_bytes as usize)),
            most_bytes,
            waiting: AtomicU64::new(0),
            #[cfg(feature = "metrics")]
            seen: crate::metrics::Queue::default(),
        };
        Self { shared: Arc::new(shared), patience: Duration::from_secs(20) }
    }

    /// How long a call may wait for room (20 s). Then it fails with `Timeout`, and nothing has happened.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How many calls wait for room now.
    pub fn waiting(&self) -> u64 {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// The requests in flight now.
    pub fn requests_in_flight(&self) -> usize {
        self.shared.most_requests.saturating_sub(self.shared.requests.available_permits())
    }

    /// The bytes in flight now, of objects above 64 KiB.
    pub fn bytes_in_flight(&self) -> u64 {
        u64::from(self.shared.most_bytes).saturating_sub(self.shared.bytes.available_permits() as u64) << 10
    }
}

impl Policy for Limit {
    async fn around<T: Reply, A: Attempts<T>>(&self, call: &Call<'_>, attempts: &A) -> Result<T> {
        // To close must not wait for those that it is to end.
        let _within = match call.operation {
            Operation::Close => None,
            _ => {
                #[cfg(feature = "metrics")]
                self.shared.seen.by(call);
                let held = match self.shared.enter_now(call.sends) {
                    Some(held) => held,
                    None => self.shared.enter(call.sends, self.patience).boxed().await?,
                };
                let asked = AtomicBool::new(held.share.is_some());
                let (shared, held) = (self.shared.clone(), Mutex::new(held));
                let seat = Seat { shared, patience: self.patience, asked, held };
                Some(call.transfer.within(Arc::new(seat)))
            }
        };
        attempts.begin().await
    }
}

impl Shared {
    /// The room of a small request, if there is some.
    fn enter_now(&self, bytes: u64) -> Option<Held> {
        let request = (bytes <= SMALL).then(|| self.requests.clone().try_acquire_owned().ok())??;
        Some(Held { share: None, request: Some(request) })
    }

    /// Waits for room for a request that moves this many bytes. The bytes first: who waits for them keeps no small
    /// request out.
    async fn enter(&self, bytes: u64, patience: Duration) -> Result<Held> {
        let mut room = pin!(async {
            let share = match bytes {
                0..=SMALL => None,
                // The semaphores are never closed.
                _ => self.bytes.clone().acquire_many_owned(units(bytes).min(self.most_bytes)).await.ok(),
            };
            Held { share, request: self.requests.clone().acquire_owned().await.ok() }
        });
        if let Some(held) = room.as_mut().now_or_never() {
            return Ok(held);
        }
        let _waiting = Waiting::begin(self);
        timeout(patience, room).await.map_err(|_| {
            Error::new(
                ErrorKind::Timeout,
                "too many requests or bytes are in flight, and no room was left; nothing was done",
            )
            .with("after", format!("{patience:.1?}"))
            .hint("ask for less at once, or raise the `limit` policy of the store")
        })
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX)
}

/// What a call has of the limit.
#[derive(Debug, Default)]
struct Held {
    share: Option<OwnedSemaphorePermit>,
    request: Option<OwnedSemaphorePermit>,
}

/// The place of a call that is under way.
#[derive(Debug)]
struct Seat {
    shared: Arc<Shared>,
    patience: Duration,
    /// Whether it has room for bytes, or has asked for it.
    asked: AtomicBool,
    held: Mutex<Held>,
}

impl Seat {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Room for Seat {
    /// A call asks once: for more, it would wait for itself.
    async fn make(&self, bytes: u64) -> Result<()> {
        if bytes <= SMALL || self.asked.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let share =
            self.shared.bytes.clone().try_acquire_many_owned(units(bytes).min(self.shared.most_bytes));
        if let Ok(share) = share {
            self.held().share = Some(share);
            return Ok(());
        }
        // It leaves its place while it waits, and enters again with the bytes.
        drop(self.held().request.take());
        let held = self.shared.enter(bytes, self.patience).await?;
        *self.held() = held;
        Ok(())
    }
}

/// A call that waits for room, counted as long as it does.
struct Waiting<'a> {
    shared: &'a Shared,
    #[cfg(feature = "metrics")]
    _seen: Option<crate::metrics::Queued>,
}

impl<'a> Waiting<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        Self {
            shared,
            #[cfg(feature = "metrics")]
            _seen: shared.seen.begin(),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
