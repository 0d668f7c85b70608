//! Waiting for the value of a future: told by the backend, and looking time and again behind that.
//!
//! A notification only wakes a check, so a lost one costs a tick at most. Each tick looks at the value and at the
//! producer's record in one call, and all who wait for the same value in this process share it.

use std::any::TypeId;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, join, select};
use proxystore_core::{Backoff, Error, ErrorKind, Key, Operation, Payload, Result, Watch};
use tokio::time::{Instant, timeout_at};

use crate::background::pulse::{Life, Watcher, beside};
use crate::cache::{Loaded, News, Slot};
use crate::metrics::Counter;
use crate::{Codec, Store};

/// Beside the key of a future.
pub(crate) const PRODUCER: &str = "producer";

/// The moment when a wait that begins now is over.
pub(crate) fn deadline(timeout: Duration) -> Instant {
    const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    Instant::now() + timeout.min(FOREVER)
}

/// The error for a wait that is over.
pub(crate) fn late(timeout: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("no value was set within {timeout:?}"))
        .transient()
        .hint("wait again, or set a longer `timeout` where the future is made")
}

impl Store {
    /// The value of the future under `key`, once it is set. One wait is for all who want it as this type.
    pub(crate) async fn wait<T, C>(&self, key: &Key, backoff: &Backoff, deadline: Instant) -> Result<Arc<T>>
    where
        T: Send + Sync + 'static,
        C: Codec<T>,
    {
        let slot = match self.cached::<T, C>(key)? {
            Ok(target) => return Ok(target),
            Err(slot) => Slot { waits: true, ..slot },
        };
        self.recorder().count(Counter::CacheMisses);
        let wait = || {
            let wait = Wait::new(self, key, false);
            let backoff = *backoff;
            (wait.news.clone(), move || wait.load::<T, C>(backoff))
        };
        let found = self.cache().wait(slot, deadline, || late(backoff.timeout), wait).await?;
        Self::downcast(found)?
            .ok_or_else(|| Error::new(ErrorKind::Unexpected, "the wait ended without a value"))
    }

    /// Waits until the future under `key` is set, and reads nothing.
    pub(crate) async fn wait_until_set(&self, key: &Key, backoff: &Backoff, deadline: Instant) -> Result<()> {
        let (backoff, timeout) = (*backoff, backoff.timeout);
        let slot = Slot { key: key.clone(), type_id: TypeId::of::<Wait>(), codec: 0, waits: true };
        let wait = || {
            let wait = Wait::new(self, key, true);
            let news = wait.news.clone();
            (news, move || async move { wait.until_set(backoff).await.map(|_| None) })
        };
        self.cache().wait(slot, deadline, || late(timeout), wait).await.map(drop)
    }
}

/// A wait for one key.
struct Wait {
    store: Store,
    key: Key,
    /// Only whether the value is there is asked for.
    unread: bool,
    producer: Watcher,
    news: News,
}

impl Wait {
    fn new(store: &Store, key: &Key, unread: bool) -> Self {
        let (store, key) = (store.clone(), key.clone());
        let news = News::of_wait(store.transfer());
        Self { store, key, unread, producer: Watcher::default(), news }
    }

    async fn load<T: Send + Sync + 'static, C: Codec<T>>(self, backoff: Backoff) -> Loaded {
        let (store, key) = (self.store.clone(), self.key.clone());
        let payload = self.until_set(backoff).await?;
        store.decode::<T, C>(&key, payload, std::time::Instant::now()).await.map(Some)
    }

    /// The stored bytes once they are there. `Closed` as soon as the store is.
    async fn until_set(mut self, backoff: Backoff) -> Result<Payload> {
        let store = self.store.clone();
        match select(pin!(store.closed()), pin!(self.poll(backoff))).await {
            Either::Left(_) => Err(store.closed_error()),
            Either::Right((found, _)) => found,
        }
    }

    async fn poll(&mut self, backoff: Backoff) -> Result<Payload> {
        if let Some(found) = self.check(false).await? {
            return Ok(found);
        }
        let mut hints = Hints::new(&self.store, &self.key);
        let mut delays = backoff.delays();
        let mut next = || Instant::now() + delays.next().unwrap_or(backoff.max);
        let mut tick = next();
        loop {
            // The producer may have to be looked for before the next tick. Whatever wakes us in between, both come.
            let due = self.producer.due().filter(|due| *due > Instant::now());
            let until = due.map_or(tick, |due| due.min(tick));
            let ticks = timeout_at(until, hints.wake()).await.is_err();
            if let Some(found) = self.check(ticks).await? {
                return Ok(found);
            }
            if ticks {
                tick = next();
                hints.renew();
            }
        }
    }

    /// Looks for the value, and also for its producer at a tick. A fault that passes is waited through.
    async fn check(&mut self, ticks: bool) -> Result<Option<Payload>> {
        let checked = self.look(ticks).await;
        let fault = checked.as_ref().err().filter(|error| passes(error)).cloned();
        let waits = fault.is_some();
        self.news.set_fault(fault);
        if waits { Ok(None) } else { checked }
    }

    async fn look(&mut self, ticks: bool) -> Result<Option<Payload>> {
        if !ticks {
            return self.value().await;
        }
        let (found, life) = self.value_and_producer().await;
        let found = found?;
        if found.is_some() || matches!(life, Life::Alive | Life::Unknown) {
            return Ok(found);
        }
        // It may have been set between the two looks.
        match (self.value().await?, life) {
            (None, Life::Lost) => Err(Error::new(
                ErrorKind::ProducerLost,
                "the producer has been silent for longer than its lease, and set no value",
            )
            .hint(
                "start it again; a producer that works for long without the future's handle must `claim` it",
            )),
            (None, Life::Done) => {
                Err(Error::new(ErrorKind::Missing, "it was set, and then evicted or taken, or has expired"))
            }
            (found, _) => Ok(found),
        }
    }

    async fn value(&self) -> Result<Option<Payload>> {
        let (store, key, transfer) = (&self.store, &self.key, &self.news.transfer);
        let connector = store.connector_open()?;
        if self.unread {
            let there = store.limited(Operation::Exists, 0, transfer, connector.exists(key)).await?;
            return Ok(there.then(|| Payload::from(Vec::new())));
        }
        store.limited(Operation::Get, 0, transfer, connector.get(key)).await
    }

    async fn value_and_producer(&mut self) -> (Result<Option<Payload>>, Life) {
        // Without a record nobody knows its producer.
        let Ok(record) = beside(&self.key, PRODUCER) else { return (self.value().await, Life::Unknown) };
        let (value, producer) = if self.unread {
            let read = self.store.call(Operation::Get, 0, |connector| connector.get(&record));
            join(self.value(), read).await
        } else {
            let keys = [self.key.clone(), record.clone()];
            let get = self.store.call_many(Operation::GetMany, 2, 0, |connector| connector.get_many(&keys));
            let mut found = get.await;
            let unanswered = || Err(Error::new(ErrorKind::Unexpected, "the connector gave no answer"));
            let producer = found.pop().unwrap_or_else(unanswered);
            (found.pop().unwrap_or_else(unanswered), producer)
        };
        let life = producer.and_then(|producer| self.producer.see(&record, producer));
        // A record that cannot be read says nothing; the value counts.
        (value, life.unwrap_or(Life::Unknown))
    }
}

/// Whether it may be over at the next tick.
fn passes(error: &Error) -> bool {
    error.is_transient() || matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
}

/// The subscription to a key: opened beside the waiting, which it never holds up, and again when it may have ended.
struct Hints {
    store: Store,
    key: Key,
    opening: Option<BoxFuture<'static, Result<Watch>>>,
    watch: Watch,
    /// It may have ended.
    spent: bool,
}

impl Hints {
    fn new(store: &Store, key: &Key) -> Self {
        let (store, key) = (store.clone(), key.clone());
        let mut hints = Self { store, key, opening: None, watch: Watch::never(), spent: true };
        hints.renew();
        hints
    }

    /// Subscribes once more if the subscription may have ended.
    fn renew(&mut self) {
        if self.spent && self.opening.is_none() {
            let (store, key) = (self.store.clone(), self.key.clone());
            let open =
                async move { store.call(Operation::Watch, 0, |connector| connector.watch(&key)).await };
            self.opening = Some(Box::pin(open));
        }
    }

    /// Waits until the value may be there: it is told of, or it may have been set before the subscription stood. A
    /// dropped future loses nothing.
    async fn wake(&mut self) {
        if let Some(opening) = &mut self.opening {
            let opened = opening.await;
            self.opening = None;
            match opened {
                Ok(watch) => (self.watch, self.spent) = (watch, false),
                // Until the next tick.
                Err(_) => pending().await,
            }
        } else {
            self.watch.wake().await;
            self.spent = true;
        }
    }
}
