//! Owners: each of them has one object, which goes when the owner does.

pub(crate) mod borrowed;
pub(crate) mod handover;
pub(crate) mod hold;
pub(crate) mod lend;
pub(crate) mod lent;
pub(crate) mod ticket;

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Duration;

use proxystore_core::{Error, ErrorKind, Id, Key, Operation, Result, Tags};

use crate::background::pulse::beside;
use crate::grant::Rights;
use crate::lifetime::TTL;
use crate::owned::borrowed::{RefMutProxy, RefProxy};
use crate::owned::hold::{Hold, Manner};
use crate::request::{Answer, Fate};
use crate::{Codec, Evictions, Postcard, Proxy, Store, envelope};

/// A proxy that owns its object: Python ProxyStore's `OwnedProxy`. The object is evicted when this is dropped, however
/// that happens, and expires when the process dies.
///
/// It lends the object out, by [`borrow`](Self::borrow) and [`borrow_mut`](Self::borrow_mut) to whoever is near, and by
/// [`lend`](Self::lend) and [`lend_mut`](Self::lend_mut) to other tasks and processes. Any number of shared borrows, or
/// a single mutable one: here the compiler sees to it, elsewhere the store does. To give it away to another process,
/// [`hand_over`](Self::hand_over).
///
/// Where the backend has expiry, the object's time is renewed in the background every quarter of its ttl. When the owner
/// was away for longer, the object is gone, and each operation says `Expired` as soon as a renewal has found that out.
///
/// Dropping does no I/O: the key is handed to the background thread. [`evict`](Self::evict) says what became of it.
///
/// ```
/// # use proxystore_store::Store;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
/// # let store = Store::builder("owned").connector(proxystore_local::LocalConnector::new()?).build().await?;
/// let mut owned = store.owned_proxy(vec![1, 2, 3]).await?;
/// let borrowed = owned.borrow();
/// assert_eq!(borrowed.resolve_async().await?, &[1, 2, 3]);
///
/// owned.borrow_mut().update(vec![4]).await?; // `borrowed` would not compile from here on
/// assert_eq!(owned.resolve_async().await?, &[4]);
///
/// let key = owned.key().clone();
/// owned.evict().await;
/// assert!(!store.exists(&key).await?);
/// # Ok(()) }
/// ```
#[must_use = "the object is evicted when its owner is dropped"]
pub struct OwnedProxy<T, C = Postcard> {
    pub(crate) proxy: Proxy<T, C>,
    pub(crate) hold: Hold,
    pub(crate) manner: Manner,
    /// How often it is lent out by `lend`, or -1 if it is by `lend_mut`.
    pub(crate) lends: AtomicIsize,
}

impl Store {
    /// Puts a value and gives the owner of the object: `store.owned_proxy(value).await?`.
    ///
    /// Errors: as [`put`](Self::put). Dropping the future evicts the object in the background if it was put.
    pub fn owned_proxy<T>(&self, value: T) -> OwnedRequest<'_, T> {
        let manner = Manner { ttl: TTL, tags: Tags::new(), populate: self.config().populate };
        OwnedRequest { store: self, value, manner, codec: PhantomData }
    }
}

/// See [`Store::owned_proxy`].
#[must_use = "a request does nothing until it is awaited"]
pub struct OwnedRequest<'a, T, C = Postcard> {
    store: &'a Store,
    value: T,
    manner: Manner,
    codec: PhantomData<fn() -> C>,
}

impl<'a, T, C> OwnedRequest<'a, T, C> {
    /// How long the object outlives its owner if that dies: a minute unless told otherwise, 100 ms at least. It is also
    /// how long a borrower in another process may be silent before it is taken for dead.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.manner.ttl = ttl;
        self
    }

    /// Attaches words to the object, for connectors that route by them; to all later values of the owner, too.
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.manner.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Whether the owner holds the value from the beginning, and from each update, in this process (by default as the
    /// store is set).
    pub fn populate(mut self, populate: bool) -> Self {
        self.manner.populate = populate;
        self
    }

    /// Encodes with this codec instead of [`Postcard`].
    pub fn codec<D: Codec<T>>(self) -> OwnedRequest<'a, T, D> {
        let Self { store, value, manner, .. } = self;
        OwnedRequest { store, value, manner, codec: PhantomData }
    }
}

impl<'a, T, C> IntoFuture for OwnedRequest<'a, T, C>
where
    T: Send + Sync + 'static,
    C: Codec<T>,
{
    type Output = Result<OwnedProxy<T, C>>;
    type IntoFuture = Answer<'a, OwnedProxy<T, C>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { store, value, manner, .. } = self;
        Box::pin(spanned!(
            "proxystore.owned_proxy",
            store.name(),
            None,
            OwnedProxy::put(store, value, manner)
        ))
    }
}

impl<T, C> fmt::Debug for OwnedRequest<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnedRequest({:?})", self.store)
    }
}

impl<T, C> OwnedProxy<T, C> {
    /// The owner of what is held, and renewed from now on.
    pub(crate) fn of(proxy: Proxy<T, C>, mut hold: Hold, manner: Manner) -> Result<Self> {
        hold.renew(manner.ttl)?;
        Ok(Self { proxy, hold, manner, lends: AtomicIsize::new(0) })
    }

    /// The key of the object; each [`update`](Self::update) changes it.
    pub fn key(&self) -> &Key {
        self.proxy.factory().key()
    }

    /// Whether the value is here. Never resolves.
    pub fn is_resolved(&self) -> bool {
        self.proxy.is_resolved()
    }

    /// The value, if it is here. Never resolves.
    pub fn get(&self) -> Option<&T> {
        self.proxy.get()
    }

    /// A shared borrow. Any number of them, as long as nothing is updated.
    pub fn borrow(&self) -> RefProxy<'_, T, C> {
        RefProxy::new(self)
    }

    /// The mutable borrow. While there is one, there is no other borrow.
    pub fn borrow_mut(&mut self) -> RefMutProxy<'_, T, C> {
        RefMutProxy::new(self)
    }

    /// Evicts the object now, and says what came of it: what could not be evicted yet is tried again in the background.
    /// Dropping the future stops nothing.
    pub async fn evict(self) -> Evictions {
        self.hold.evict().await
    }

    /// `Expired` if the object is known to be gone.
    pub(crate) fn check(&self, operation: &'static str) -> Result<()> {
        if !self.hold.is_lost() {
            return Ok(());
        }
        let ttl = self.manner.ttl;
        let why =
            format!("the object is gone: its owner was away for longer than {ttl:?}, or somebody evicted it");
        Err(self.place(Error::new(ErrorKind::Expired, why).hint("give it a longer ttl"), operation))
    }

    /// The same, and `Conflict` if something was lent out and not given back.
    pub(crate) fn check_alone(&self, operation: &'static str) -> Result<()> {
        self.check(operation)?;
        if self.lends.load(Ordering::Acquire) == 0 { Ok(()) } else { Err(self.lent_out(operation)) }
    }

    /// The error for a borrow that was leaked.
    pub(crate) fn lent_out(&self, operation: &'static str) -> Error {
        let error = Error::new(
            ErrorKind::Conflict,
            "it is lent out, by a future that was neither polled to its end nor dropped",
        )
        .hint("drop the futures of `lend` and `lend_mut`: they must not be leaked");
        self.place(error, operation)
    }

    pub(crate) fn place(&self, error: Error, operation: &'static str) -> Error {
        self.hold.store.place(error, operation, Some(self.key()))
    }
}

impl<T, C> OwnedProxy<T, C>
where
    T: Send + Sync + 'static,
    C: Codec<T>,
{
    async fn put(store: &Store, value: T, manner: Manner) -> Result<Self> {
        let (hold, key, length) = store.put_held::<T, C>(&value, &manner).await?;
        let fate = if manner.populate { Fate::Populated(Arc::new(value)) } else { Fate::Unresolved };
        Self::of(store.make_proxy(key, length, fate)?, hold, manner)
    }

    /// The value, fetched now unless it is here already.
    ///
    /// Errors: `Expired` if the owner was away for too long, and those of a [`Proxy`]. Dropping the future leaves
    /// everything as it was.
    pub async fn resolve_async(&self) -> Result<&T> {
        self.check("resolve")?;
        self.proxy.resolve_async().await
    }

    /// Replaces the value. It gets a new key, so that nobody, in any process, takes an old copy of it for the new one;
    /// the old object is evicted in the background.
    ///
    /// Errors: as [`Store::put`]; `Expired` if the owner was away for too long. After an error, and if the future is
    /// dropped, the old value stays.
    pub async fn update(&mut self, value: T) -> Result<()> {
        self.check_alone("update")?;
        *self = Self::put(&self.hold.store, value, self.manner.clone()).await?;
        Ok(())
    }

    /// A second object with the same content, and the owner of that: copies the bytes and decodes nothing.
    ///
    /// Errors: `Missing` if the object is gone; as [`Store::put`]. Dropping the future evicts what was put.
    pub async fn clone_object(&self) -> Result<Self> {
        self.check("clone_object")?;
        self.copy().await.map_err(|error| self.place(error, "clone_object"))
    }

    async fn copy(&self) -> Result<Self> {
        let store = self.proxy.factory().allowed(Rights::READ).await?;
        let transfer = store.transfer();
        let get = store.connector_open()?.get(self.key());
        let payload = store.limited(Operation::Get, 0, &transfer, get).await?;
        let payload =
            payload.ok_or_else(|| Error::new(ErrorKind::Missing, "it was evicted, or has expired"))?;
        let (header, body) = envelope::open(self.key(), payload)?;
        let how = self.manner.how(&store);
        let sealed = store.seal_as(header.codec, header.fingerprint, body, &how.options).await?;
        let hold = Hold::of(&store, vec![sealed.key.clone()]);
        let (key, length) = store.put_sealed(sealed, &how).await?;
        Self::of(store.make_proxy(key, length, Fate::Unresolved)?, hold, self.manner.clone())
    }
}

/// Makes the proxy the owner of its object, which it evicts from now on when it is dropped: Python ProxyStore's
/// `into_owned`. Other proxies of the object are not told. Of all who try, in any processes, the first one gets it.
///
/// An object that was put by [`Store::owned_proxy`] has an owner from birth, which this does not notice.
///
/// Errors: `Conflict` if the object has an owner; `Missing` if there is no object; `TypeMismatch` or `Codec` if it is
/// something else; `Config` if the proxy is ephemeral; `Unsupported` where the backend has no expiry or no atomic
/// create; what finding the store reports, and at a store that signs `Denied` unless the proxy gives all rights.
///
/// After an error the object stays as it was. If an answer of the backend was lost, or the future is dropped while it
/// waits for one, the object may have got an owner's ttl: it expires after a minute unless somebody gets to own it, and
/// who tries may get `Conflict` for as long.
pub async fn into_owned<T, C>(proxy: Proxy<T, C>) -> Result<OwnedProxy<T, C>>
where
    T: Send + Sync + 'static,
    C: Codec<T>,
{
    let key = proxy.factory().key().clone();
    if proxy.factory().is_ephemeral() {
        return Err(Error::new(ErrorKind::Config, "an ephemeral object belongs to whoever resolves it")
            .with("operation", "into_owned")
            .with("key", &key)
            .hint("make the proxy without `.ephemeral()`"));
    }
    proxy.factory().check::<T>().map_err(|error| proxy.factory().place(error, "into_owned"))?;
    let store = proxy.factory().allowed(Rights::ALL).await?;
    let own = async {
        store.needs_claims()?;
        let mark = beside(&key, "owner")?;
        if !store.claim(&mark, Id::random()?, TTL).await? {
            return Err(Error::new(ErrorKind::Conflict, "the object has an owner already")
                .hint("let that one lend it or hand it over"));
        }
        let mut marked = Hold::of(&store, vec![mark.clone()]);
        marked.renew(TTL)?;
        if !store.touch(&key, TTL).await? {
            return Err(Error::new(ErrorKind::Missing, "it was evicted, has expired, or was never put"));
        }
        let manner = Manner { ttl: TTL, tags: Tags::new(), populate: proxy.is_resolved() };
        let hold = Hold::of(&store, vec![key.clone(), mark]);
        marked.release();
        OwnedProxy::of(proxy, hold, manner)
    };
    own.await.map_err(|error| store.place(error, "into_owned", Some(&key)))
}

impl<T: fmt::Debug, C> fmt::Debug for OwnedProxy<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedProxy").field(&self.proxy).finish()
    }
}

#[cfg(test)]
mod tests;
