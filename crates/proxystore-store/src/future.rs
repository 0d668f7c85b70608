//! Values that are passed on before they exist.

pub(crate) mod polling;
pub(crate) mod wait;

mod request;

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proxystore_core::{Error, ErrorKind, Factory, Id, Key, Mode, Operation, Payload, PutOptions, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::background::pulse::{Life, Pulse, Watcher, beside, write_done};
use crate::future::wait::PRODUCER;
use crate::grant::Rights;
use crate::reference::Reference;
use crate::{Codec, Postcard, Proxy, Store, Stored, background, envelope};

pub use request::FutureRequest;

/// How long a failure stays if the value has no ttl.
const FAILURE_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long the first of several setters of an ephemeral value is known.
const SETTER_KEPT: Duration = Duration::from_secs(600);
/// How long the end of a future may take in the background.
const ATTEMPT: Duration = Duration::from_secs(10);

/// What its producer keeps to.
#[derive(Debug, Clone, Copy)]
struct Terms {
    /// Of the value.
    ttl: Option<Duration>,
    lease: Duration,
}

/// A value that is set later, once, by whoever has this: ProxyStore's `Future`.
///
/// Whoever needs the value gets a [`proxy`](Self::proxy). The one who has this is the producer, and is known to live as
/// long as its process does: when it dies, those who wait get `ProducerLost`, and when it drops this unset, `Failed`.
///
/// Serializing hands the setter over: the bytes are it now, and dropping this one fails nothing. A decoded one is inert:
/// nobody is known to produce the value, and those who wait do so until their timeout, until the receiver
/// [`claim`](Self::claim)s it; from then on its death is noticed, and dropping it fails the future. Dropping one that was
/// neither claimed nor set does nothing.
///
/// Awaiting it, or a reference to it, waits for the value as [`result`](Self::result) does.
///
/// Dropping does no I/O: what is to be said is said in the background.
#[must_use = "dropped without a value, the future fails"]
pub struct StoreFuture<T, C = Postcard> {
    stored: Arc<Stored<C>>,
    terms: Terms,
    setter: Mutex<Setter>,
    /// Held while the producer's record is changed in the background: what is said later is written later.
    record: Arc<tokio::sync::Mutex<()>>,
    /// It was in bytes: there may be other setters.
    travelled: AtomicBool,
    /// It was found to be done: that does not change any more.
    done: AtomicBool,
    target: PhantomData<fn() -> T>,
}

/// What becomes of the future if its handle is dropped.
enum Setter {
    /// It fails; until then, this process says that it works on it.
    Producing(Pulse),
    /// It fails: this process has begun to set it.
    Setting,
    /// Nothing: it came from elsewhere, and was not used yet.
    Inert,
    /// Nothing: it was set, or handed over.
    Released,
}

impl<T, C> StoreFuture<T, C> {
    fn of(stored: Stored<C>, terms: Terms, setter: Setter) -> Self {
        let travelled = AtomicBool::new(matches!(setter, Setter::Inert));
        let (stored, setter) = (Arc::new(stored), Mutex::new(setter));
        let (record, done) = (Arc::default(), AtomicBool::new(false));
        Self { stored, terms, setter, record, travelled, done, target: PhantomData }
    }

    /// The key of the value.
    pub fn key(&self) -> &Key {
        self.stored.key()
    }

    /// A proxy of the value, as many as needed: resolving one waits until the value is set.
    ///
    /// Resolving fails with `Timeout` after the future's timeout (or with what the backend said last), with
    /// `ProducerLost`, `Failed`, `Closed` if the reader's own store is closed, and `Missing` if the value was set and is
    /// gone. Each resolve of each clone has a timeout of its own; in a process, they share the waiting.
    pub fn proxy(&self) -> Proxy<T, C> {
        Proxy::new(self.stored.again())
    }

    /// Whether there is a value, or a failure: then there always was one, also if it is evicted, as far as this process
    /// has seen it or the store remembers (ten minutes). Asks the backend, not the cache.
    pub async fn done(&self) -> Result<bool> {
        if self.done.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let ask = async {
            let store = self.stored.allowed(Rights::READ).await?;
            if store.exists(self.key()).await? {
                return Ok(true);
            }
            self.is_over(&store).await
        };
        let done = ask.await.map_err(|error| self.stored.place(error, "done"))?;
        self.done.store(done, Ordering::Relaxed);
        Ok(done)
    }

    /// Sets an error instead of a value: whoever waits gets `Failed` with this text, of which 4 KiB are kept, on one
    /// line. It must hold no secret. Errors and dropping: as [`set`](Self::set).
    pub async fn fail(self, error: impl fmt::Display) -> Result<()> {
        let reason = error.to_string();
        let fail = async {
            let store = self.begin().await?;
            let payload = envelope::seal_failure(self.key(), &reason)?;
            self.settle(&store, payload, self.terms.failure_ttl(&store)).await
        };
        fail.await.map_err(|error| self.stored.place(error, "fail"))
    }

    /// Says that this process works on the value from now on: what a receiver does first. When it dies, whoever waits
    /// gets `ProducerLost`; when it drops this unset, `Failed`.
    ///
    /// Errors: `Exists` if it is set already; `Denied` at a store that signs; whatever the backend reports. This stays as
    /// it was then. Dropping the future may leave a record that goes silent.
    pub async fn claim(&mut self) -> Result<()> {
        if matches!(*self.setter(), Setter::Producing(_)) {
            return Ok(());
        }
        let claim = async {
            let store = self.stored.allowed(Rights::ALL).await?;
            if self.done().await? {
                return Err(set_already());
            }
            let _turn = self.record.lock().await;
            Pulse::start(&store, &beside(self.key(), PRODUCER)?, self.terms.lease).await
        };
        let pulse = claim.await.map_err(|error| self.stored.place(error, "claim"))?;
        *self.setter() = Setter::Producing(pulse);
        Ok(())
    }

    /// The store, if this may be set. From now on it fails when it is dropped.
    async fn begin(&self) -> Result<Store> {
        let store = self.stored.allowed(Rights::ALL).await?;
        let mut setter = self.setter();
        if let Setter::Inert = *setter {
            *setter = Setter::Setting;
        }
        Ok(store)
    }

    /// Whether the producer has said that it is.
    async fn is_over(&self, store: &Store) -> Result<bool> {
        let producer = Watcher::default().look(store, &beside(self.key(), PRODUCER)?).await?;
        Ok(producer == Life::Done)
    }

    /// Puts what readers find, unless somebody has.
    async fn settle(&self, store: &Store, payload: Payload, ttl: Option<Duration>) -> Result<()> {
        // What another has put may be gone by now.
        if self.travelled.load(Ordering::Relaxed) {
            let ephemeral = self.stored.is_ephemeral() && store.expires();
            let taken = self.is_over(store).await?
                || ephemeral && !store.claim(&beside(self.key(), "set")?, Id::random()?, SETTER_KEPT).await?;
            if taken {
                *self.setter() = Setter::Released;
                return Err(set_already());
            }
        }
        let options = PutOptions { mode: Mode::Create, ttl, ..PutOptions::default() };
        let sends = payload.len() as u64;
        let key = self.key();
        let put = store.call(Operation::Put, sends, |connector| connector.put(key, payload, &options)).await;
        match put {
            Err(error) if error.kind() == ErrorKind::Exists => {
                self.finish(None);
                Err(set_already())
            }
            put => {
                put?;
                let _settled = Settled(self);
                // Who waits on this thread goes first: to finish wakes another one.
                tokio::task::yield_now().await;
                Ok(())
            }
        }
    }

    fn setter(&self) -> MutexGuard<'_, Setter> {
        self.setter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of the setter, with a failure in place of a value if there is a reason for one. In the background: does
    /// no I/O and waits for nothing.
    fn finish(&self, reason: Option<&'static str>) {
        let pulse = match std::mem::replace(&mut *self.setter(), Setter::Released) {
            Setter::Producing(pulse) => Some(pulse),
            Setter::Setting => None,
            Setter::Inert | Setter::Released if reason.is_some() => return,
            Setter::Inert | Setter::Released => None,
        };
        // Who has not been asked for its store has not been used.
        let Some(store) = self.stored.opened().cloned() else { return };
        let (key, terms, record) = (self.key().clone(), self.terms, self.record.clone());
        let end = async move {
            let _turn = record.lock().await;
            if let Some(pulse) = pulse {
                pulse.stop().await;
            }
            if let Some(reason) = reason {
                let options = PutOptions {
                    mode: Mode::Create,
                    ttl: terms.failure_ttl(&store),
                    ..PutOptions::default()
                };
                let failure = envelope::seal_failure(&key, reason)?;
                match store.aside().await?.put(&key, failure, &options).await {
                    Err(error) if error.kind() != ErrorKind::Exists => return Err(error),
                    _ => {}
                }
            }
            write_done(&store, &beside(&key, PRODUCER)?).await
        };
        // What is not said leaves those who wait with the end of the lease.
        let _ = background::finish(async {
            let _ = tokio::time::timeout(ATTEMPT, end).await;
        });
    }
}

/// Its value is there. When this is dropped, it lets go of the setter.
struct Settled<'a, T, C>(&'a StoreFuture<T, C>);

impl<T, C> Drop for Settled<'_, T, C> {
    fn drop(&mut self) {
        self.0.finish(None);
    }
}

impl<T, C: Codec<T>> StoreFuture<T, C> {
    /// Sets the value, and wakes all who wait for it.
    ///
    /// Errors: `Exists` if it was set before, here or elsewhere: of all who set, one wins, and all who read see its
    /// value. Else as [`Store::put`]; the future then fails, as it does if this is dropped halfway, unless the value
    /// has arrived all the same.
    pub async fn set(self, value: &T) -> Result<()> {
        let set = async {
            let store = self.begin().await?;
            let fingerprint = C::schema().map(|schema| schema.fingerprint());
            let body = C::encode(value)?;
            let sealed = store.seal_under(self.key().clone(), C::ID, fingerprint, body).await?;
            self.settle(&store, sealed.payload, self.terms.ttl).await
        };
        set.await.map_err(|error| self.stored.place(error, "set"))
    }
}

impl<T: Send + Sync + 'static, C: Codec<T>> StoreFuture<T, C> {
    /// The value once it is set: a future of its own, which combinators such as `join_all`, `select` and `timeout` take.
    /// It goes on waiting if this is dropped, and is told of that.
    ///
    /// Errors: as [`proxy`](Self::proxy) says. Dropping it leaves the others who wait alone.
    pub fn result(&self) -> Pin<Box<dyn Future<Output = Result<Arc<T>>> + Send + 'static>> {
        let stored = self.stored.clone();
        Box::pin(async move { stored.resolve_async().await })
    }
}

impl Terms {
    /// Nobody may know of a failure's key any more, so it has an end.
    fn failure_ttl(self, store: &Store) -> Option<Duration> {
        self.ttl.or_else(|| store.ttl(FAILURE_KEPT))
    }
}

fn set_already() -> Error {
    Error::new(ErrorKind::Exists, "the future was set already")
        .hint("a future has one value: make another for another value")
}

impl<T: Send + Sync + 'static, C: Codec<T>> IntoFuture for &StoreFuture<T, C> {
    type Output = Result<Arc<T>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'static>>;

    fn into_future(self) -> Self::IntoFuture {
        self.result()
    }
}

/// Holds the setter while it waits.
impl<T: Send + Sync + 'static, C: Codec<T>> IntoFuture for StoreFuture<T, C> {
    type Output = Result<Arc<T>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'static>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.result().await })
    }
}

impl<T, C> Drop for StoreFuture<T, C> {
    fn drop(&mut self) {
        self.finish(Some("the producer dropped the future without setting it"));
    }
}

impl<T, C> fmt::Debug for StoreFuture<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreFuture({}/{})", self.stored.store_name(), self.key())
    }
}

/// What travels.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    future: Reference,
    ttl_ms: Option<u64>,
    lease_ms: u64,
}

impl<T, C> Serialize for StoreFuture<T, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let wire = Wire {
            future: self.stored.reference().clone(),
            ttl_ms: self.terms.ttl.map(millis),
            lease_ms: millis(self.terms.lease),
        };
        let serialized = wire.serialize(serializer)?;
        // Whoever gets the bytes sets it: this process produces nothing any more.
        if let Setter::Producing(pulse) = std::mem::replace(&mut *self.setter(), Setter::Released) {
            pulse.withdraw(self.record.clone().try_lock_owned().ok());
        }
        self.travelled.store(true, Ordering::Relaxed);
        Ok(serialized)
    }
}

impl<'de, T, C> Deserialize<'de> for StoreFuture<T, C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Wire { future, ttl_ms, lease_ms } = Wire::deserialize(deserializer)?;
        if future.future.is_none() {
            return Err(de::Error::custom("not a future: it is a reference to a value"));
        }
        let terms = Terms { ttl: ttl_ms.map(Duration::from_millis), lease: Duration::from_millis(lease_ms) };
        Ok(Self::of(Stored::inert(future), terms, Setter::Inert))
    }
}
