//! The factory of proxies whose target lies in a store.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use proxystore_core::{Error, ErrorKind, Factory, Key, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cache::Flight;
use crate::codec::format_name;
use crate::metrics::Timer;
use crate::reference::{Reference, half};
use crate::{Codec, Postcard, Registry, Store, schema};

/// A key, with what is needed to find its store again in another process: the factory behind every proxy that a
/// store makes.
///
/// Serializes as a reference: the store's name, the key, the codec, half of the type's fingerprint, the length, and
/// (unless the store says otherwise) the store's URI without secrets. Decoding one does nothing but check its form.
pub struct Stored<C = Postcard> {
    reference: Reference,
    store: OnceLock<Store>,
    /// The load of an ephemeral object: the object is gone from the store when it has arrived, so it must not be lost
    /// with the task that asked first.
    taken: Mutex<Option<Arc<Flight>>>,
    codec: PhantomData<fn() -> C>,
}

impl<C> Stored<C> {
    pub(crate) fn of(reference: Reference, store: Store) -> Self {
        Self { store: store.into(), ..Self::inert(reference) }
    }

    fn inert(reference: Reference) -> Self {
        Self { reference, store: OnceLock::new(), taken: Mutex::default(), codec: PhantomData }
    }

    pub(crate) fn reference(&self) -> &Reference {
        &self.reference
    }

    /// The key of the target.
    pub fn key(&self) -> &Key {
        &self.reference.key
    }

    /// The name of the store that has the target.
    pub fn store_name(&self) -> &str {
        &self.reference.store
    }

    /// The length of the encoded target in bytes, as the reference says; 0 if it does not know.
    pub fn length(&self) -> u64 {
        self.reference.length
    }

    /// Whether the target is evicted once it is resolved.
    pub fn is_ephemeral(&self) -> bool {
        self.reference.ephemeral
    }

    /// The store that has the target: the one that made the proxy, or else the one that the global registry finds or
    /// opens.
    ///
    /// Errors: `Denied`, `StoreMismatch`, `Unregistered`, `Unsupported`, or whatever connecting reports. Dropping the
    /// future leaves nothing behind.
    pub async fn store(&self) -> Result<Store> {
        if let Some(store) = self.store.get() {
            return Ok(store.clone());
        }
        let store = Registry::global().open(&self.reference).await?;
        Ok(self.store.get_or_init(|| store).clone())
    }

    /// Refuses to resolve as another type than the reference says, before anything is asked of the store.
    fn check<T>(&self) -> Result<()>
    where
        C: Codec<T>,
    {
        if self.reference.codec != C::ID {
            return Err(codec_mismatch::<T, C>(self.reference.codec));
        }
        match (self.reference.fingerprint, C::schema()) {
            (Some(stored), Some(wanted)) if stored != half(&wanted.fingerprint()) => {
                Err(type_mismatch::<T>(schema::difference(&wanted, |f| half(f) == stored)))
            }
            _ => Ok(()),
        }
    }

    async fn resolve<T: Send + Sync + 'static>(&self) -> Result<Arc<T>>
    where
        C: Codec<T>,
    {
        let start = Instant::now();
        self.check::<T>()?;
        let store = self.store().await?;
        let found = if self.is_ephemeral() {
            self.take::<T>(&store).await
        } else {
            store.load::<T, C>(self.key()).await
        };
        store.recorder().time(Timer::Resolve, start);
        found?.ok_or_else(|| Error::new(ErrorKind::Missing, "it was evicted, has expired, or was never put"))
    }

    async fn take<T: Send + Sync + 'static>(&self, store: &Store) -> Result<Option<Arc<T>>>
    where
        C: Codec<T>,
    {
        let flight = {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            match &*taken {
                Some(flight) => flight.clone(),
                None => taken.insert(store.take_alone::<T, C>(self.key())?).clone(),
            }
        };
        let landed = flight.landed().await;
        if !matches!(landed, Some(Ok(Some(_)))) {
            // Nothing was taken: the next call may try again.
            *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        let lost = || Error::new(ErrorKind::Unexpected, "the load ended without a result");
        landed.ok_or_else(lost)?.and_then(Store::downcast)
    }
}

/// The error for an object that was written with another codec.
pub(crate) fn codec_mismatch<T, C: Codec<T>>(stored: u8) -> Error {
    let stored = format_name(stored);
    Error::new(
        ErrorKind::Codec,
        format!("the object is encoded as {stored}, and was asked for as {}", C::NAME),
    )
    .hint("name the codec that it was put with, as in `Proxy<T, Json>` or `.codec::<Json>()`")
}

/// The error for an object of another type, with the first difference if it is known.
pub(crate) fn type_mismatch<T>(difference: Option<String>) -> Error {
    let mut message = format!("the object is not a `{}`", type_name::<T>());
    if let Some(words) = difference {
        message = format!("{message}: {words}");
    }
    Error::new(ErrorKind::TypeMismatch, message).hint(
        "resolve it as the type that was put; after a change of the type, put it again or use a self-describing codec",
    )
}

#[async_trait]
impl<T, C> Factory<T> for Stored<C>
where
    T: Send + Sync + 'static,
    C: Codec<T>,
{
    async fn resolve_async(&self) -> Result<Arc<T>> {
        let resolve = spanned!("proxystore.resolve", self.store_name(), Some(self.key()), self.resolve());
        resolve.await.map_err(|error| {
            error.with("store", self.store_name()).with("operation", "resolve").with("key", self.key())
        })
    }
}

impl<C> fmt::Debug for Stored<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stored({}/{})", self.store_name(), self.key())
    }
}

impl<C> Serialize for Stored<C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.reference.serialize(serializer)
    }
}

impl<'de, C> Deserialize<'de> for Stored<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Reference::deserialize(deserializer).map(Self::inert)
    }
}
