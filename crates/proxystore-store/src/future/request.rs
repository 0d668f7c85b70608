//! How to make a future, option by option, until it is awaited.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use proxystore_core::{Backoff, Error, ErrorKind, KeyHint, Result};

use super::{Setter, StoreFuture, Terms};
use crate::background::pulse::{Pulse, beside};
use crate::future::polling::Polling;
use crate::future::wait::PRODUCER;
use crate::reference::Reference;
use crate::{Codec, Postcard, Store, Stored};

/// How long a producer may be silent before it counts as dead, unless told otherwise.
const LEASE: Duration = Duration::from_secs(30);

impl Store {
    /// A value that somebody will set later: `store.future::<T>().await?`.
    ///
    /// Its [`proxy`](StoreFuture::proxy) can be passed on right away; who resolves it waits. It puts a small record
    /// beside the future's key, which is renewed in the background while this process lives.
    ///
    /// Errors: `Unsupported` where the backend cannot create a key just once; `Config` if a setting is wrong; whatever
    /// the backend reports. Dropping the request's future may leave the record, where only its ttl removes it.
    ///
    /// ```
    /// # use proxystore_store::Store;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
    /// # let store = Store::builder("later").connector(proxystore_local::LocalConnector::new()?).build().await?;
    /// let future = store.future::<String>().await?;
    /// let proxy = future.proxy(); // to whoever needs the value, in any process
    /// let consumer = tokio::spawn(async move { proxy.resolve_async().await.cloned() });
    ///
    /// future.set(&"done".into()).await?;
    /// assert_eq!(consumer.await.unwrap()?, "done");
    /// # Ok(()) }
    /// ```
    pub fn future<T>(&self) -> FutureRequest<'_, T> {
        FutureRequest {
            store: self,
            backoff: Backoff::default(),
            ephemeral: false,
            terms: Terms { ttl: None, lease: LEASE },
            target: PhantomData,
        }
    }
}

/// See [`Store::future`].
#[must_use = "a request does nothing until it is awaited"]
pub struct FutureRequest<'a, T, C = Postcard> {
    store: &'a Store,
    backoff: Backoff,
    ephemeral: bool,
    terms: Terms,
    target: PhantomData<fn() -> (T, C)>,
}

impl<'a, T, C> FutureRequest<'a, T, C> {
    /// The first delay between two looks for the value (10 ms): ProxyStore's `polling_interval`. Waiting does not rest
    /// on looking where the backend tells of changes.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.backoff.first = interval;
        self
    }

    /// What each delay is multiplied with to give the next (2): ProxyStore's `polling_backoff_factor`. At least 1.
    pub fn backoff_factor(mut self, factor: f64) -> Self {
        self.backoff.factor = factor;
        self
    }

    /// The longest delay (1 s), the first one included: ProxyStore's `polling_interval_limit`.
    pub fn interval_limit(mut self, limit: Duration) -> Self {
        self.backoff.max = limit;
        self
    }

    /// Each wait ends in `Timeout` after this time (60 s), all that it does included: ProxyStore's `polling_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.backoff.timeout = timeout;
        self
    }

    /// Whether each delay is drawn evenly from zero to its length, so that many who wait do not march in step (on).
    pub fn jitter(mut self, jitter: bool) -> Self {
        self.backoff.jitter = jitter;
        self
    }

    /// The value is evicted once it is resolved: of all who wait, exactly one gets it.
    pub fn ephemeral(mut self) -> Self {
        self.ephemeral = true;
        self
    }

    /// The value expires this long after it was set. `Unsupported` where the backend has no expiry.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.terms.ttl = Some(ttl);
        self
    }

    /// How long the producer may be silent (30 s; 100 ms at least): whoever waits longer gets `ProducerLost`.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.terms.lease = lease;
        self
    }

    /// Encodes with this codec instead of [`Postcard`].
    pub fn codec<D: Codec<T>>(self) -> FutureRequest<'a, T, D> {
        let Self { store, backoff, ephemeral, terms, .. } = self;
        FutureRequest { store, backoff, ephemeral, terms, target: PhantomData }
    }
}

impl<'a, T, C> IntoFuture for FutureRequest<'a, T, C>
where
    T: 'static,
    C: Codec<T>,
{
    type Output = Result<StoreFuture<T, C>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let store = self.store;
            self.begin().await.map_err(|error| store.place(error, "future", None))
        })
    }
}

impl<T, C: Codec<T>> FutureRequest<'_, T, C> {
    async fn begin(self) -> Result<StoreFuture<T, C>> {
        let Self { store, backoff, ephemeral, terms, .. } = self;
        let future = Some(Polling::of(&backoff)?);
        let connector = store.connector_open()?;
        let unsupported = |what| Error::new(ErrorKind::Unsupported, format!("this backend {what}"));
        if !connector.info().capabilities.create {
            return Err(unsupported("cannot create a key just once, which a future takes"));
        }
        if terms.ttl.is_some() && !store.expires() {
            return Err(unsupported("has no expiry, so the value can have no ttl"));
        }
        let key = connector.new_key(KeyHint::default())?;
        let mut reference = Reference { future, ..store.reference::<T, C>(key, 0, ephemeral) };
        store.sign(&mut reference)?;
        let pulse = Pulse::start(store, &beside(&reference.key, PRODUCER)?, terms.lease).await?;
        Ok(StoreFuture::of(Stored::of(reference, store.clone()), terms, Setter::Producing(pulse)))
    }
}

impl<T, C> fmt::Debug for FutureRequest<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FutureRequest({:?})", self.store)
    }
}
