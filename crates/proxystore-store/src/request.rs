//! Requests: what to do with one value, option by option, until it is awaited.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proxystore_core::{Key, PutOptions, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::lifetime::{Attaching, Members};
use crate::metrics::Timer;
use crate::reference::{Reference, Spec, half};
use crate::{Codec, Postcard, Proxy, ProxyLocker, ProxyOr, Store, Stored, trace};

pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl Store {
    /// Puts a value under a fresh key and gives the key: `store.put(&value).ttl(minute).await?`.
    ///
    /// Errors: `Codec` if the value cannot be encoded, or its type not be read back (how deep a value nests is checked
    /// by the get only, see [`Codec`]), `TooLarge`, and whatever the backend reports. Dropping the future may leave the
    /// object in the store, where only its ttl removes it.
    pub fn put<'a, T>(&'a self, value: &'a T) -> Put<'a, T> {
        Put { store: self, value, how: How::default(), codec: PhantomData }
    }

    /// Puts a value and gives a proxy of it: `store.proxy(value).await?`.
    ///
    /// Errors and dropping: as [`put`](Self::put).
    pub fn proxy<T>(&self, value: T) -> ProxyRequest<'_, T> {
        ProxyRequest {
            store: self,
            value,
            how: How::default(),
            mode: Kept { populate: self.config().populate },
            codec: PhantomData,
        }
    }

    /// A proxy of the object under `key`, without asking whether there is one. Does no I/O.
    ///
    /// The codec follows from the type: `let proxy: Proxy<Job, Json> = store.proxy_from_key(key);`
    pub fn proxy_from_key<T, C: Codec<T>>(&self, key: Key) -> Proxy<T, C> {
        let mut reference = self.reference::<T, C>(key, 0, false);
        // If there is no key to sign with, resolving says that it is not signed.
        let _ = self.sign(&mut reference);
        Proxy::new(Stored::of(reference, self.clone()))
    }

    /// Puts a value and gives a proxy of it that nothing can resolve until it is unlocked, and that does not hold the
    /// value here. Errors and dropping: as [`put`](Self::put).
    pub async fn locked_proxy<T>(&self, value: T) -> Result<ProxyLocker<T>>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        self.proxy(value).populate(false).await.map(Proxy::lock)
    }

    /// Gives the value itself if it is small, and a proxy of it if it is large:
    /// `store.offload(value).above(64 << 10).await?`.
    ///
    /// Errors and dropping: as [`put`](Self::put).
    pub fn offload<T>(&self, value: T) -> Offload<'_, T> {
        Offload { store: self, value, above: 64 << 10, how: How::default(), codec: PhantomData }
    }

    pub(crate) fn reference<T, C: Codec<T>>(&self, key: Key, length: u64, ephemeral: bool) -> Reference {
        let spec = if self.config().embed_uri {
            Spec::Uri(self.connector().info().uri.public())
        } else {
            Spec::Name(self.identity())
        };
        Reference {
            store: self.name().into(),
            spec,
            key,
            codec: C::ID,
            fingerprint: C::schema().map(|schema| half(&schema.fingerprint())),
            length,
            ephemeral,
            future: None,
            traceparent: trace::parent(),
            grant: None,
        }
    }

    pub(crate) fn sign(&self, reference: &mut Reference) -> Result<()> {
        self.signer().map_or(Ok(()), |signer| signer.sign(reference))
    }

    pub(crate) fn signed(&self, mut reference: Reference) -> Result<Reference> {
        self.sign(&mut reference).map(|()| reference)
    }

    pub(crate) fn make_proxy<T, C: Codec<T>>(
        &self,
        key: Key,
        length: u64,
        fate: Fate<T>,
    ) -> Result<Proxy<T, C>> {
        let mut reference = self.reference::<T, C>(key, length, matches!(fate, Fate::Ephemeral));
        self.sign(&mut reference).map_err(|error| self.place(error, "proxy", Some(&reference.key)))?;
        let factory = Stored::of(reference, self.clone());
        Ok(match fate {
            Fate::Populated(target) => Proxy::resolved(factory, target),
            Fate::Unresolved | Fate::Ephemeral => Proxy::new(factory),
        })
    }
}

/// What becomes of the target of a fresh proxy.
pub(crate) enum Fate<T> {
    Populated(Arc<T>),
    Unresolved,
    Ephemeral,
}

/// How to put, and what the object is to be attached to.
#[derive(Debug, Clone, Default)]
pub(crate) struct How {
    pub(crate) options: PutOptions,
    pub(crate) lifetime: Option<Arc<Members>>,
}

impl How {
    /// What the connector is told. An object of a lifetime has that one's ttl, unless it has its own.
    pub(crate) fn options(&self, store: &Store) -> PutOptions {
        let mut options = self.options.clone();
        if let (None, Some(lifetime)) = (options.ttl, &self.lifetime) {
            options.ttl = store.ttl(lifetime.term().ttl());
        }
        options
    }

    /// Attaches what is about to be put. An error if the lifetime has ended.
    pub(crate) fn attach(
        &self,
        store: &Store,
        keys: impl IntoIterator<Item = Key>,
    ) -> Result<Option<Attaching>> {
        let attach = |lifetime: &Arc<Members>| lifetime.attach(store, keys.into_iter().collect());
        self.lifetime.as_ref().map(attach).transpose()
    }

    /// What was attached is put now.
    pub(crate) fn finish(&self, attaching: Option<Attaching>) -> Result<()> {
        attaching.map_or(Ok(()), |attaching| attaching.finish(self.options.ttl.is_none()))
    }
}

/// The setter of requests that attach what they put.
macro_rules! lifetime_setter {
    () => {
        /// Attaches the object to a lifetime, at whose end it is evicted. If that has ended, the request fails with
        /// `Closed` or `Expired`, and nothing is put.
        pub fn lifetime(mut self, lifetime: &impl crate::Lifetime) -> Self {
            self.how.lifetime = Some(lifetime.members());
            self
        }
    };
}

/// The setters that every storing request has.
macro_rules! put_setters {
    () => {
        /// The object expires this long after the put, whatever becomes of this process.
        /// `Unsupported` where the backend has no expiry. The cache does not count it: where the object was read or put
        /// through a proxy, that value may be served for longer.
        pub fn ttl(mut self, ttl: Duration) -> Self {
            self.how.options.ttl = Some(ttl);
            self
        }

        /// Attaches words to the object, for connectors that route by them.
        pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
            self.how.options.tags.extend(tags.into_iter().map(Into::into));
            self
        }
    };
}

/// See [`Store::put`].
#[must_use = "a request does nothing until it is awaited"]
pub struct Put<'a, T, C = Postcard> {
    store: &'a Store,
    value: &'a T,
    how: How,
    codec: PhantomData<fn() -> C>,
}

impl<'a, T, C> Put<'a, T, C> {
    put_setters!();
    lifetime_setter!();

    /// Encodes with this codec instead of [`Postcard`].
    pub fn codec<D: Codec<T>>(self) -> Put<'a, T, D> {
        Put { store: self.store, value: self.value, how: self.how, codec: PhantomData }
    }
}

impl<'a, T: Sync, C: Codec<T>> IntoFuture for Put<'a, T, C> {
    type Output = Result<Key>;
    type IntoFuture = Answer<'a, Key>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.store.put_value::<T, C>(self.value, &self.how).await.map(|(key, _)| key) })
    }
}

/// The object stays until it is evicted or expires: the usual [`ProxyRequest`].
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    pub(crate) populate: bool,
}

/// The object is evicted at the end of a lifetime.
#[derive(Debug, Clone, Copy)]
pub struct Attached(Kept);

/// The object is evicted once it is resolved. Such a proxy is never born resolved: that would leave the object.
#[derive(Debug, Clone, Copy)]
pub struct Ephemeral;

/// [`Kept`], [`Attached`] or [`Ephemeral`].
pub(crate) trait Keeping: Send + 'static {
    fn fate<T>(self, value: T) -> Fate<T>;
}

impl Keeping for Kept {
    fn fate<T>(self, value: T) -> Fate<T> {
        if self.populate { Fate::Populated(Arc::new(value)) } else { Fate::Unresolved }
    }
}

impl Keeping for Attached {
    fn fate<T>(self, value: T) -> Fate<T> {
        self.0.fate(value)
    }
}

impl Keeping for Ephemeral {
    fn fate<T>(self, _: T) -> Fate<T> {
        Fate::Ephemeral
    }
}

/// See [`Store::proxy`]. [`Kept`], [`Attached`] and [`Ephemeral`] say what becomes of the object.
///
/// "Is not a future" means that `C` cannot encode `T`: derive `Serialize` and `Deserialize`, or name another codec.
///
/// ```compile_fail
/// # use proxystore_store::Store;
/// # async fn f(store: Store) -> proxystore_core::Result<()> {
/// store.proxy(1).ephemeral().populate(true).await?; // populated, it would never be resolved, and so never evicted
/// # Ok(()) }
/// ```
///
/// ```compile_fail
/// # use proxystore_store::{Scope, Store};
/// # async fn f(store: Store) -> proxystore_core::Result<()> {
/// store.proxy(1).ephemeral().lifetime(&Scope::new()).await?; // who evicts it, the first reader or the scope?
/// # Ok(()) }
/// ```
#[must_use = "a request does nothing until it is awaited"]
pub struct ProxyRequest<'a, T, C = Postcard, M = Kept> {
    store: &'a Store,
    value: T,
    how: How,
    mode: M,
    codec: PhantomData<fn() -> C>,
}

impl<'a, T, C, M> ProxyRequest<'a, T, C, M> {
    put_setters!();

    /// Encodes with this codec instead of [`Postcard`].
    pub fn codec<D: Codec<T>>(self) -> ProxyRequest<'a, T, D, M> {
        let Self { store, value, how, mode, .. } = self;
        ProxyRequest { store, value, how, mode, codec: PhantomData }
    }
}

impl<'a, T, C> ProxyRequest<'a, T, C, Kept> {
    /// Whether the proxy holds the value from the beginning, in this process (by default as the store is set).
    pub fn populate(mut self, populate: bool) -> Self {
        self.mode.populate = populate;
        self
    }

    /// Attaches the object to a lifetime, at whose end it is evicted. If that has ended, the request fails with `Closed`
    /// or `Expired`, and nothing is put.
    pub fn lifetime(self, lifetime: &impl crate::Lifetime) -> ProxyRequest<'a, T, C, Attached> {
        let Self { store, value, how, mode, .. } = self;
        let how = How { lifetime: Some(lifetime.members()), ..how };
        ProxyRequest { store, value, how, mode: Attached(mode), codec: PhantomData }
    }

    /// Evicts the object once somebody resolves it: of all copies of the reference, exactly one gets it. Where the
    /// backend has no `take`, it is read and then evicted.
    pub fn ephemeral(self) -> ProxyRequest<'a, T, C, Ephemeral> {
        let Self { store, value, how, .. } = self;
        ProxyRequest { store, value, how, mode: Ephemeral, codec: PhantomData }
    }
}

impl<T, C> ProxyRequest<'_, T, C, Attached> {
    /// Whether the proxy holds the value from the beginning, in this process (by default as the store is set).
    pub fn populate(mut self, populate: bool) -> Self {
        self.mode.0.populate = populate;
        self
    }
}

impl<'a, T, C, M> IntoFuture for ProxyRequest<'a, T, C, M>
where
    T: Send + Sync + 'static,
    C: Codec<T>,
    M: Keeping,
{
    type Output = Result<Proxy<T, C>>;
    type IntoFuture = Answer<'a, Proxy<T, C>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { store, value, how, mode, .. } = self;
        let proxy = async move {
            let start = Instant::now();
            let (key, length) = store.put_value::<T, C>(&value, &how).await?;
            store.recorder().time(Timer::Proxy, start);
            store.make_proxy(key, length, mode.fate(value))
        };
        Box::pin(spanned!("proxystore.proxy", store.name(), None, proxy))
    }
}

/// See [`Store::offload`].
#[must_use = "a request does nothing until it is awaited"]
pub struct Offload<'a, T, C = Postcard> {
    store: &'a Store,
    value: T,
    above: u64,
    how: How,
    codec: PhantomData<fn() -> C>,
}

impl<'a, T, C> Offload<'a, T, C> {
    put_setters!();
    lifetime_setter!();

    /// The largest encoded value, in bytes, that is passed on as it is (64 KiB).
    pub fn above(mut self, bytes: u64) -> Self {
        self.above = bytes;
        self
    }

    /// Encodes with this codec instead of [`Postcard`].
    pub fn codec<D: Codec<T>>(self) -> Offload<'a, T, D> {
        let Self { store, value, above, how, .. } = self;
        Offload { store, value, above, how, codec: PhantomData }
    }
}

impl<'a, T, C> IntoFuture for Offload<'a, T, C>
where
    T: Send + Sync + 'static,
    C: Codec<T>,
{
    type Output = Result<ProxyOr<T, C>>;
    type IntoFuture = Answer<'a, ProxyOr<T, C>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { store, value, above, how, .. } = self;
        let offload = async move {
            let start = Instant::now();
            let stored = async {
                let body = C::encode(&value)?;
                if body.len() as u64 <= above {
                    return Ok(None);
                }
                let sealed = store.seal_body::<T, C>(body, &how.options).await?;
                store.put_sealed(sealed, &how).await.map(Some)
            };
            let stored = stored.await.map_err(|error| store.place(error, "offload", None))?;
            let Some((key, length)) = stored else { return Ok(ProxyOr::Value(value)) };
            store.recorder().time(Timer::Proxy, start);
            let kept = Kept { populate: store.config().populate };
            store.make_proxy(key, length, kept.fate(value)).map(ProxyOr::Proxy)
        };
        Box::pin(spanned!("proxystore.offload", store.name(), None, offload))
    }
}

macro_rules! debug_as_name {
    ($($Name:ident<$($param:ident),*>),*) => {$(
        impl<$($param),*> fmt::Debug for $Name<'_, $($param),*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($Name), "({:?})"), self.store)
            }
        }
    )*};
}
debug_as_name!(Put<T, C>, ProxyRequest<T, C, M>, Offload<T, C>);
