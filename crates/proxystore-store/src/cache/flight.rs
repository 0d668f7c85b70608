//! One load. Who begins it carries it as long as nobody else waits; the next one to come moves it to a task of its own.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use proxystore_core::{Operation, Result, Transfer};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::{AnyTarget, Cache, Loaded, News, Slot};
use crate::rt;
use crate::trace::in_current_span;

/// How much longer than a load itself its callers wait: they are to hear from it.
const GRACE: Duration = Duration::from_secs(5);

/// What a load has brought.
pub(super) type Landed = Result<Option<AnyTarget>>;

/// A load under way. Lives as long as somebody waits for it; dropping the last handle ends it.
pub(crate) struct Flight {
    pub(super) began: u64,
    pub(super) news: News,
    pub(super) fate: Arc<Fate>,
    carrier: Mutex<Carrier>,
    /// Where it began, and where its task is if it gets one: whoever joins may be of a runtime that ends, or stands still.
    runtime: Handle,
}

/// What becomes of a load.
pub(super) struct Fate {
    /// Where its value is kept; nowhere, if there is none.
    slot: Option<Slot>,
    cache: Weak<Cache>,
    /// Set when its value must not be cached any more.
    pub(super) stale: AtomicBool,
    /// How it has ended, once it has: `None` if without a result, because it panicked or its runtime is gone.
    landed: OnceLock<Option<Landed>>,
    told: Notify,
}

/// Tells of the end, whatever it is.
struct Ends(Arc<Fate>);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.landed.set(None);
        self.0.told.notify_waiters();
    }
}

/// Who drives a load.
enum Carrier {
    /// The one who waits for it, when that is polled.
    Waiter(BoxFuture<'static, ()>),
    /// The one who waits for it, just now; and whether others have come meanwhile.
    Polling { shared: bool },
    /// A task.
    Task(AbortHandle),
    /// Nobody: it has ended.
    Nobody,
}

impl Flight {
    /// A load that nobody else joins and that is not cached: for objects that can be read only once. In a task from the
    /// beginning: who begins it may leave.
    pub(crate) fn alone<F: Future<Output = Loaded> + Send + 'static>(
        cache: &Arc<Cache>,
        transfer: Transfer,
        load: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Arc<Self>> {
        let flight = Self::begin(cache, None, transfer.into(), load)?;
        flight.share();
        Ok(flight)
    }

    /// `load` makes the future where it stays: it is large.
    pub(super) fn begin<F: Future<Output = Loaded> + Send + 'static>(
        cache: &Arc<Cache>,
        slot: Option<&Slot>,
        news: News,
        load: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Arc<Self>> {
        let fate = Arc::new(Fate {
            slot: slot.cloned(),
            cache: Arc::downgrade(cache),
            stale: AtomicBool::new(false),
            landed: OnceLock::new(),
            told: Notify::new(),
        });
        let ends = Ends(fate.clone());
        let load = in_current_span(async move {
            let loaded = load().await;
            let Ends(fate) = &ends;
            if let (Some(cache), Some(slot)) = (fate.cache.upgrade(), &fate.slot) {
                cache.land(slot, fate, &loaded);
            }
            let _ = fate.landed.set(Some(loaded.map(|found| found.map(|(target, _)| target))));
        });
        Ok(Arc::new(Self {
            began: cache.now(),
            news,
            fate,
            carrier: Mutex::new(Carrier::Waiter(Box::pin(load))),
            runtime: rt::runtime()?,
        }))
    }

    fn carrier(&self) -> MutexGuard<'_, Carrier> {
        self.carrier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the load to a task, for all who wait: none of them has to be polled for the others' sake.
    pub(super) fn share(&self) {
        let mut carrier = self.carrier();
        match std::mem::replace(&mut *carrier, Carrier::Nobody) {
            Carrier::Waiter(load) => *carrier = Carrier::Task(self.runtime.spawn(load).abort_handle()),
            Carrier::Polling { .. } => *carrier = Carrier::Polling { shared: true },
            other => *carrier = other,
        }
    }

    /// Drives the load on, if that is for the waiter to do. No lock is held meanwhile.
    fn carry(&self, context: &mut Context<'_>) {
        let mut carrier = self.carrier();
        let mut load = match std::mem::replace(&mut *carrier, Carrier::Nobody) {
            Carrier::Waiter(load) => load,
            other => {
                *carrier = other;
                return;
            }
        };
        *carrier = Carrier::Polling { shared: false };
        drop(carrier);
        // One that panics ends without a result.
        let polled = catch_unwind(AssertUnwindSafe(|| load.as_mut().poll(context)));
        let goes_on = polled.is_ok_and(|polled| polled.is_pending());
        let mut carrier = self.carrier();
        *carrier = match *carrier {
            _ if !goes_on => Carrier::Nobody,
            Carrier::Polling { shared: true } => Carrier::Task(self.runtime.spawn(load).abort_handle()),
            _ => Carrier::Waiter(load),
        };
    }

    /// The result, or `None` if the load ended without one. Dropping the future leaves the load to the others.
    pub(super) async fn end(&self) -> Option<Landed> {
        let mut told = pin!(self.fate.told.notified());
        let landed = poll_fn(|context| {
            self.carry(context);
            if self.fate.landed.get().is_none() {
                ready!(told.as_mut().poll(context));
            }
            Poll::Ready(self.fate.landed.get().cloned().flatten())
        });
        landed.await
    }

    /// The [`end`](Self::end) of a load that may take `time`, and as long as its bytes take: a runtime that stands still
    /// keeps neither its deadline nor its callers.
    pub(crate) async fn landed(&self, operation: Operation, time: Duration) -> Result<Option<Landed>> {
        rt::deadline(operation, time.saturating_add(GRACE), 0, &self.news.transfer, async {
            Ok(self.end().await)
        })
        .await
    }

    /// Whether it has ended without a result.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.fate.landed.get(), Some(None))
    }

    /// Lets nobody else join it, and keeps its value out of the cache.
    pub(super) fn detach(&self) {
        if let (Some(slot), Some(cache)) = (&self.fate.slot, self.fate.cache.upgrade()) {
            cache.leave(slot, &self.fate);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        // What has landed has left the flights.
        if matches!(self.fate.landed.get(), Some(Some(_))) {
            return;
        }
        if let Carrier::Task(task) = &*self.carrier() {
            task.abort();
        }
        self.detach();
    }
}

impl std::fmt::Debug for Flight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Flight({:?})", self.fate.slot)
    }
}
