//! The factory of proxies whose target lies in a store.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use proxystore_core::{Backoff, Error, ErrorKind, Factory, Key, Operation, Result, Uri, WithTransform};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::time::timeout_at;

use crate::cache::Flight;
use crate::codec::format_name;
use crate::future::wait;
use crate::grant::Rights;
use crate::metrics::Timer;
use crate::reference::{Reference, Spec, half};
use crate::{Codec, Postcard, Registry, Store, schema, trace};

/// A key, with what is needed to find its store again in another process: the factory behind every proxy that a
/// store makes.
///
/// Serializes as a reference: the store's name, the key, the codec, half of the type's fingerprint, the length, (unless
/// the store says otherwise) the store's URI without secrets, and a signature if the store signs. Decoding one does
/// nothing but check its form.
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

    pub(crate) fn inert(reference: Reference) -> Self {
        Self { reference, store: OnceLock::new(), taken: Mutex::default(), codec: PhantomData }
    }

    /// The same, with a load of its own.
    pub(crate) fn again(&self) -> Self {
        Self { store: self.store.clone(), ..Self::inert(self.reference.clone()) }
    }

    /// The store, if it was found already.
    pub(crate) fn opened(&self) -> Option<&Store> {
        self.store.get()
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

    /// The store, unless it wants a signature and the reference has none that gives these rights.
    pub(crate) async fn allowed(&self, needed: Rights) -> Result<Store> {
        let store = self.store().await?;
        if let Some(signer) = store.signer() {
            signer.check(&self.reference, needed)?;
        }
        Ok(store)
    }

    /// The store, if this reference gives the right to evict.
    pub(crate) async fn evictable(&self) -> Result<Store> {
        self.allowed(Rights::EVICT).await
    }

    /// Evicts the target: as [`Store::evict`], for whoever has the proxy and not the store:
    /// `proxy.factory().evict().await?`. A proxy that is resolved keeps its target.
    ///
    /// Errors: those of [`store`](Self::store) and of [`Store::evict`]. At a store that signs also `Denied` if the
    /// reference gives no right to evict or its signature is wrong, and `Expired` if its time is over. Dropping: as
    /// [`Store::evict`].
    pub async fn evict(&self) -> Result<()> {
        let evict = async { self.evictable().await?.evict(self.key()).await };
        evict.await.map_err(|error| self.place(error, "evict"))
    }

    /// The same with these rights at most, and for this long at most, to be handed on as a proxy. Takes no key, and
    /// can be done again with the result: rights only shrink, and the end only comes nearer.
    ///
    /// The end is a time of day: the clocks of this machine and of the reader's must agree, to the second if you count
    /// in seconds. A store that does not sign does not ask for limits.
    ///
    /// Errors: `Unsupported` if the reference is not signed, `TooLarge` if it was limited eight times.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use proxystore_core::{ErrorKind, KeyRing, SecretKey};
    /// # use proxystore_store::{Proxy, Rights, Store};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
    /// # let connector = proxystore_local::LocalConnector::named("limited");
    /// # let keys = KeyRing::new(SecretKey::random("2026-11")?);
    /// let store = Store::builder("jobs").connector(connector).sign(keys).build().await?;
    /// let proxy = store.proxy(vec![1, 2]).await?;
    ///
    /// let hour = Duration::from_secs(3600);
    /// let limited: Proxy<Vec<i32>> = Proxy::new(proxy.factory().limited(Rights::READ, Some(hour))?);
    /// assert_eq!(limited.resolve_async().await?, &[1, 2]);
    /// assert_eq!(limited.factory().evict().await.unwrap_err().kind(), ErrorKind::Denied);
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "sign")]
    pub fn limited(&self, rights: Rights, time: Option<std::time::Duration>) -> Result<Self> {
        let grant = self.reference.grant.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "the reference is not signed, so no limit would hold")
                .hint("make the proxy with a store that signs: `.sign(keys)` on its builder")
        });
        let grant = grant.and_then(|grant| grant.limited(rights, time));
        let grant = grant.map_err(|error| self.place(error, "limited"))?;
        let reference = Reference { grant: Some(grant), ..self.reference.clone() };
        Ok(Self { store: self.store.clone(), ..Self::inert(reference) })
    }

    /// The same object at `address`, which is signed: whoever has the reference to it may read the object, and needs no
    /// credentials, until the time of the signature is over. `presign` of a connector gives such addresses.
    ///
    /// **The signature is part of the reference**, which is a secret from then on; of no other reference is it. What the
    /// store signs or limits by itself is not carried on. Readers have the driver of `https://`, and trust the address:
    /// `Trust::allow(["https://bucket.s3.amazonaws.com"])`. An encrypted object can be read there if it is bound to a
    /// label.
    ///
    /// Whoever reads there does not see the object's time to live: let the signature be over before it.
    ///
    /// Errors: `Config` if the address is not signed or is that of another object, `Unsupported` if the object is
    /// ephemeral or a future, since there nobody can evict it or see its producer, or if the address is longer than
    /// 2,048 bytes, and those of [`store`](Self::store). Dropping the future leaves
    /// nothing.
    pub async fn presigned(&self, address: &Uri) -> Result<Self> {
        let presigned = async {
            let unsupported = |why: &str| Err(Error::new(ErrorKind::Unsupported, why));
            if self.is_ephemeral() {
                return unsupported("the object is ephemeral, and nobody can evict it there");
            }
            if self.reference.future.is_some() {
                return unsupported("it is a future, and nobody can see its producer there");
            }
            let ours =
                address.path().strip_suffix(self.key().as_str()).is_some_and(|rest| rest.ends_with('/'));
            if !address.is_signed() || !ours {
                return Err(Error::new(ErrorKind::Config, "the address is not a signed one of this object")
                    .with("uri", address.without_options())
                    .hint("make it with `presign` of the connector"));
            }
            let store = self.store().await?;
            let uri = match store.connector().info().uri.option(WithTransform::OPTION) {
                Some(names) => address.clone().with_option(WithTransform::OPTION, names),
                None => address.clone(),
            };
            let fits = |text: proxystore_core::Secret| text.expose().parse::<Uri>().is_ok();
            if !uri.expose_signed().is_some_and(fits) {
                return unsupported("the signed address is too long for a reference");
            }
            let name = Store::name_of(&uri);
            let reference =
                Reference { store: name, spec: Spec::Uri(uri), grant: None, ..self.reference.clone() };
            Ok(Self::inert(reference))
        };
        presigned.await.map_err(|error| self.place(error, "presigned"))
    }

    /// Says where an error happened.
    pub(crate) fn place(&self, error: Error, operation: &'static str) -> Error {
        error.with("store", self.store_name()).with("operation", operation).with("key", self.key())
    }

    /// Refuses to resolve as another type than the reference says, before anything is asked of the store.
    pub(crate) fn check<T>(&self) -> Result<()>
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
        let needed = if self.is_ephemeral() { Rights::ALL } else { Rights::READ };
        if let Some(polling) = &self.reference.future {
            let backoff = polling.backoff();
            let deadline = wait::deadline(backoff.timeout);
            let allowed = timeout_at(deadline, self.allowed(needed)).await;
            let store = allowed.unwrap_or_else(|_| Err(wait::late(backoff.timeout)))?;
            let found = self.awaited(&store, &backoff, deadline).await;
            store.recorder().time(Timer::Resolve, start);
            return found;
        }
        let store = self.allowed(needed).await?;
        let found = if self.is_ephemeral() {
            self.take::<T>(&store).await
        } else {
            store.load::<T, C>(self.key()).await
        };
        store.recorder().time(Timer::Resolve, start);
        found?.ok_or_else(Self::missing)
    }

    pub(crate) fn missing() -> Error {
        Error::new(ErrorKind::Missing, "it was evicted, has expired, or was never put")
    }

    /// The value of a future. An ephemeral one is taken by one of all who wait.
    async fn awaited<T: Send + Sync + 'static>(
        &self,
        store: &Store,
        backoff: &Backoff,
        deadline: tokio::time::Instant,
    ) -> Result<Arc<T>>
    where
        C: Codec<T>,
    {
        if !self.is_ephemeral() {
            return store.wait::<T, C>(self.key(), backoff, deadline).await;
        }
        // What was seen may be taken by others before it is taken here.
        while tokio::time::Instant::now() < deadline {
            let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner).is_some();
            if !taken {
                store.wait_until_set(self.key(), backoff, deadline).await?;
            }
            if let Some(target) = self.take::<T>(store).await? {
                return Ok(target);
            }
        }
        Err(wait::late(backoff.timeout))
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
        // It takes the object, and may have to put it back. One that is late may still bring it to the next call.
        let landed = flight.landed(Operation::Take, store.timeout().saturating_mul(2)).await?;
        if !matches!(landed, Some(Ok(Some(_)))) {
            // Nothing was taken: the next call may try again.
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            taken.take_if(|taken| Arc::ptr_eq(taken, &flight));
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
        trace::resolving(&self.reference, self.resolve()).await.map_err(|error| self.place(error, "resolve"))
    }

    /// All who wait for a future in this process share one wait, and each has a time of its own.
    fn shares(&self) -> bool {
        self.reference.future.is_some()
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
