//! What is in a queue, and who waits for it.
//!
//! Two fair semaphores count the items that are there and the room that is left. Whoever waits has done nothing yet, so
//! whoever stops waiting has nothing to undo.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit, TryAcquireError};
use tokio::time::timeout;

use super::object::{Order, QueueError};
use crate::builtin::plain::Plain;
use crate::value::Encoded;

/// Where an item stands. It has its place again if it comes back.
type Place = (Option<Plain>, i64);

/// An item that was taken out.
#[derive(Debug)]
pub(crate) struct Entry {
    place: Place,
    pub(crate) item: Encoded,
}

#[derive(Debug)]
pub(crate) struct State {
    order: Order,
    capacity: usize,
    inner: Mutex<Inner>,
    ready: Semaphore,
    room: Semaphore,
    finished: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    items: BTreeMap<Place, Encoded>,
    last: i64,
    /// Items that came back and had no room.
    excess: usize,
    /// Items that were put in and are not done.
    unfinished: usize,
    /// Items that wait to be acknowledged.
    out: usize,
    open: Open,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Open {
    #[default]
    Yes,
    /// Nothing goes in any more.
    ForGet,
    No,
}

impl State {
    pub(crate) fn new(order: Order, capacity: usize) -> Self {
        let room = if capacity == 0 { Semaphore::MAX_PERMITS } else { capacity.min(Semaphore::MAX_PERMITS) };
        Self {
            order,
            capacity,
            inner: Mutex::default(),
            ready: Semaphore::new(0),
            room: Semaphore::new(room),
            finished: Notify::new(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.inner().items.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.capacity > 0 && self.len() >= self.capacity
    }

    pub(crate) async fn put(&self, item: Encoded, within: Option<Duration>) -> Result<(), QueueError> {
        // An item that no order can be told of is as good as nothing.
        let rank = (self.order == Order::Priority).then(|| Plain::of(&item).unwrap_or(Plain::Nil));
        let room = match take(&self.room, within).await {
            Taken::Permit(room) => room,
            Taken::Late => return Err(QueueError::Full),
            Taken::Closed => return Err(QueueError::Closed),
        };
        let mut inner = self.inner();
        if inner.open != Open::Yes {
            return Err(QueueError::Closed);
        }
        room.forget();
        inner.last += 1;
        let turn = if self.order == Order::Lifo { -inner.last } else { inner.last };
        inner.items.insert((rank, turn), item);
        inner.unfinished += 1;
        drop(inner);
        self.ready.add_permits(1);
        Ok(())
    }

    /// The first item. One that is to be acknowledged stays an unfinished one until then.
    pub(crate) async fn get(&self, within: Option<Duration>, acked: bool) -> Result<Entry, QueueError> {
        let ready = match take(&self.ready, within).await {
            Taken::Permit(ready) => Some(ready),
            Taken::Late => return Err(QueueError::Empty),
            // An item may have come back after the end.
            Taken::Closed => None,
        };
        let mut inner = self.inner();
        let (place, item) = inner.items.pop_first().ok_or(QueueError::Closed)?;
        if let Some(ready) = ready {
            ready.forget();
        }
        match inner.excess.checked_sub(1) {
            Some(excess) => inner.excess = excess,
            None => self.room.add_permits(1),
        }
        inner.out += usize::from(acked);
        self.end_if_drained(&inner);
        Ok(Entry { place, item })
    }

    /// Puts an item back where it was.
    pub(crate) fn give_back(&self, entry: Entry, acked: bool) {
        let mut inner = self.inner();
        inner.out -= usize::from(acked);
        if inner.open == Open::No {
            inner.unfinished = inner.unfinished.saturating_sub(1);
            self.tell_if_finished(&inner);
            drop(inner);
            drop(entry);
            return;
        }
        inner.items.insert(entry.place, entry.item);
        match self.room.try_acquire() {
            Ok(room) => room.forget(),
            Err(_) => inner.excess += 1,
        }
        drop(inner);
        self.ready.add_permits(1);
    }

    pub(crate) fn acknowledge(&self) {
        let mut inner = self.inner();
        inner.out -= 1;
        inner.unfinished = inner.unfinished.saturating_sub(1);
        self.tell_if_finished(&inner);
        self.end_if_drained(&inner);
    }

    pub(crate) fn task_done(&self) -> Result<(), QueueError> {
        let mut inner = self.inner();
        inner.unfinished = inner.unfinished.checked_sub(1).ok_or(QueueError::NothingToDo)?;
        self.tell_if_finished(&inner);
        Ok(())
    }

    pub(crate) async fn join(&self, within: Option<Duration>) -> Result<(), QueueError> {
        let finished = async {
            loop {
                let finished = self.finished.notified();
                if self.inner().unfinished == 0 {
                    return;
                }
                finished.await;
            }
        };
        wait(finished, within).await.ok_or(QueueError::Unfinished)
    }

    /// Nothing goes in any more. What is there still comes out, and what was given away may come back.
    pub(crate) fn close(&self) {
        let mut inner = self.inner();
        if inner.open == Open::Yes {
            inner.open = Open::ForGet;
        }
        self.room.close();
        self.end_if_drained(&inner);
    }

    /// Nothing goes in or out any more.
    pub(crate) fn close_now(&self) {
        let mut inner = self.inner();
        inner.open = Open::No;
        let items = std::mem::take(&mut inner.items);
        inner.unfinished = inner.unfinished.saturating_sub(items.len());
        self.room.close();
        self.ready.close();
        self.tell_if_finished(&inner);
        drop(inner);
        drop(items);
    }

    fn end_if_drained(&self, inner: &Inner) {
        if inner.open != Open::Yes && inner.items.is_empty() && inner.out == 0 {
            self.ready.close();
        }
    }

    fn tell_if_finished(&self, inner: &Inner) {
        if inner.unfinished == 0 {
            self.finished.notify_waiters();
        }
    }
}

enum Taken<'a> {
    Permit(SemaphorePermit<'a>),
    Late,
    Closed,
}

async fn take(semaphore: &Semaphore, within: Option<Duration>) -> Taken<'_> {
    match semaphore.try_acquire() {
        Ok(permit) => return Taken::Permit(permit),
        Err(TryAcquireError::Closed) => return Taken::Closed,
        Err(TryAcquireError::NoPermits) if within == Some(Duration::ZERO) => return Taken::Late,
        Err(TryAcquireError::NoPermits) => {}
    }
    match wait(semaphore.acquire(), within).await {
        Some(permit) => permit.map_or(Taken::Closed, Taken::Permit),
        None => Taken::Late,
    }
}

/// Waits so long, or for as long as it takes.
async fn wait<T>(future: impl Future<Output = T>, within: Option<Duration>) -> Option<T> {
    match within {
        None => Some(future.await),
        Some(within) => timeout(within, future).await.ok(),
    }
}
