//! One load. Who begins it carries it as long as nobody else waits; the next one to come moves it to a task of its own.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
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
    /// Where its value is kept; nowhere, if there is none.
    slot: Option<Slot>,
    cache: Arc<Cache>,
    carrier: Mutex<Carrier>,
    /// Where it began, and where its task is if it gets one: whoever joins may be of a runtime that ends, or stands still.
    runtime: Handle,
    /// How it has ended, once it has: `None` if without a result, because it panicked or its runtime is gone.
    landed: OnceLock<Option<Landed>>,
    told: Notify,
}

/// Tells those who wait of the end, whatever it is.
struct Ends(Weak<Flight>);

impl Ends {
    /// It has brought this, which is kept if the flight could still be joined.
    fn land(&self, loaded: Loaded) {
        let Some(flight) = self.0.upgrade() else { return };
        if let Some(slot) = &flight.slot {
            flight.cache.land(slot, &self.0, &loaded);
        }
        let _ = flight.landed.set(Some(loaded.map(|found| found.map(|(target, _)| target))));
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(flight) = self.0.upgrade() {
            let _ = flight.landed.set(None);
            flight.told.notify_waiters();
        }
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
        let runtime = rt::runtime()?;
        Ok(Arc::new_cyclic(|flight| {
            let ends = Ends(flight.clone());
            let load = in_current_span(async move { ends.land(load().await) });
            Self {
                began: cache.now(),
                news,
                slot: slot.cloned(),
                cache: cache.clone(),
                carrier: Mutex::new(Carrier::Waiter(Box::pin(load))),
                runtime,
                landed: OnceLock::new(),
                told: Notify::new(),
            }
        }))
    }

    fn carrier(&self) -> MutexGuard<'_, Carrier> {
        self.carrier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the load to a task, for all who wait: none of them has to be polled for the others' sake. Who has polled
    /// it is told, and looks to its deadline itself.
    pub(super) fn share(&self) {
        let mut carrier = self.carrier();
        match std::mem::replace(&mut *carrier, Carrier::Nobody) {
            Carrier::Waiter(load) => {
                *carrier = Carrier::Task(self.runtime.spawn(load).abort_handle());
                self.told.notify_waiters();
            }
            Carrier::Polling { .. } => *carrier = Carrier::Polling { shared: true },
            other => *carrier = other,
        }
    }

    /// Drives the load on, if that is for the waiter to do. No lock is held meanwhile.
    pub(super) fn carry(&self, context: &mut Context<'_>) {
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
            Carrier::Polling { shared: true } => {
                context.waker().wake_by_ref();
                Carrier::Task(self.runtime.spawn(load).abort_handle())
            }
            _ => Carrier::Waiter(load),
        };
    }

    /// What it has brought, if it has landed.
    pub(super) fn result(&self) -> Option<Landed> {
        self.landed.get().cloned().flatten()
    }

    /// The result, or `None` if the load ended without one. Dropping the future leaves the load to the others. Whoever
    /// has `carried` the load in this same turn does not do so again.
    pub(super) async fn end(&self, mut carried: bool) -> Option<Landed> {
        let mut told = pin!(self.told.notified());
        let landed = poll_fn(|context| {
            if !std::mem::take(&mut carried) {
                // Whoever brings it to its end need not be woken for that, which would cost a turn more.
                told.set(self.told.notified());
                self.carry(context);
            }
            while self.landed.get().is_none() {
                ready!(told.as_mut().poll(context));
                told.set(self.told.notified());
            }
            Poll::Ready(self.result())
        });
        landed.await
    }

    /// The [`end`](Self::end) of a load that may take `time`, and as long as its bytes take: a runtime that stands still
    /// keeps neither its deadline nor its callers.
    pub(crate) async fn landed(
        &self,
        operation: Operation,
        time: Duration,
        carried: bool,
    ) -> Result<Option<Landed>> {
        rt::deadline(operation, time.saturating_add(GRACE), 0, &self.news.transfer, async {
            Ok(self.end(carried).await)
        })
        .await
    }

    /// Whether it has ended without a result.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.landed.get(), Some(None))
    }

    /// Lets nobody else join it, and keeps its value out of the cache.
    pub(super) fn detach(&self) {
        if let Some(slot) = &self.slot {
            self.cache.leave(slot, self);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        // What has landed has left the flights.
        if matches!(self.landed.get(), Some(Some(_))) {
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
        write!(f, "Flight({:?})", self.slot)
    }
}
