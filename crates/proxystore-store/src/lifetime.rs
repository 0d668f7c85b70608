//! How long objects live: as long as a [`Scope`], a [`Lease`] or the [`Process`].
//!
//! All three keep a list of objects, renew their time in the backend, and evict them at their end. They differ in what
//! ends them.

mod lease;
mod process;
mod scope;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use proxystore_core::{Error, Key, Result};
use tokio::time::Instant;

use crate::background::heartbeat::{Beat, Renewal, Term};
use crate::{Evictions, Proxy, Store};

pub use lease::Lease;
pub use process::Process;
pub(crate) use process::end_process;
pub use scope::Scope;

/// How long an object outlives a holder that dies, unless the holder says otherwise.
pub(crate) const TTL: Duration = Duration::from_secs(60);

/// What objects can be attached to: they are evicted when it ends.
///
/// Attach them as they are put, `store.proxy(value).lifetime(&scope).await?`, or later with
/// [`add_key`](Self::add_key) and [`add_proxy`](Self::add_proxy). Where the backend has expiry, an attached object has
/// a ttl, which is renewed in the background every quarter of it: when this process dies, its objects expire. What was
/// put with a [`ttl`](crate::Put::ttl) of its own keeps that and is not renewed.
pub trait Lifetime: private::Members {
    /// Attaches the object under `key`. It need not be there yet; what is not there is not renewed.
    ///
    /// Errors: `Closed` or `Expired` if this has ended; the object is left as it is. What the backend reports when its
    /// time is renewed; it is attached all the same. Dropping the future leaves the object attached.
    fn add_key(&self, store: &Store, key: &Key) -> impl Future<Output = Result<()>> + Send {
        let members = self.members();
        let (store, key) = (store.clone(), key.clone());
        async move { members.add(&store, &key).await }
    }

    /// Attaches the target of `proxy`, whose store is found or opened. Does not resolve it.
    ///
    /// Errors and dropping: as [`add_key`](Self::add_key), and those of [`Stored::store`](crate::Stored::store). At a
    /// store that signs also `Denied` if the proxy gives no right to evict.
    fn add_proxy<T, C>(&self, proxy: &Proxy<T, C>) -> impl Future<Output = Result<()>> + Send
    where
        T: Send + Sync,
        C: 'static,
    {
        let members = self.members();
        async move {
            let factory = proxy.factory();
            members.check()?;
            let store = factory.evictable().await?;
            members.add(&store, factory.key()).await
        }
    }

    /// Ends it, and evicts what is attached: each object, whatever becomes of the others. What could not be evicted yet
    /// is tried again in the background. Idempotent: called again, it finds nothing attached, and does not wait for what
    /// the first call evicts. Dropping the future stops nothing.
    fn end(&self) -> impl Future<Output = Evictions> + Send {
        self.members().end()
    }

    /// Whether it has ended.
    fn done(&self) -> bool {
        self.members().check().is_err()
    }
}

pub(crate) mod private {
    /// Only the lifetimes of this crate.
    pub trait Members {
        #[doc(hidden)]
        fn members(&self) -> std::sync::Arc<super::Members>;
    }
}

/// The objects that live as long as something.
#[doc(hidden)]
pub struct Members {
    term: Arc<Term>,
    state: Mutex<State>,
    /// Why nothing can be attached any more when it has ended.
    ended: fn() -> Error,
}

#[derive(Default)]
struct State {
    ended: bool,
    /// By store and key, each with its renewal: none until it is put, and where there is nothing to renew.
    objects: HashMap<(usize, Key), (Store, Option<Beat>)>,
    /// At how many those that are gone are forgotten.
    full: usize,
}

impl Members {
    pub(crate) fn new(term: Arc<Term>, ended: fn() -> Error) -> Arc<Self> {
        Arc::new(Self { term, state: Mutex::default(), ended })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn term(&self) -> &Arc<Term> {
        &self.term
    }

    /// Whether it has ended, if only by its time. Then that cannot be moved any more.
    fn has_ended(&self, state: &mut State) -> bool {
        state.ended |= self.term.is_over();
        state.ended
    }

    /// An error if it has ended.
    pub(crate) fn check(&self) -> Result<()> {
        if self.has_ended(&mut self.state()) { Err((self.ended)()) } else { Ok(()) }
    }

    /// Moves the end of its time, unless it has ended.
    pub(crate) fn move_end(&self, to: impl FnOnce(Option<Instant>) -> Option<Instant>) -> Result<()> {
        let mut state = self.state();
        if self.has_ended(&mut state) {
            return Err((self.ended)());
        }
        let mut end = self.term.end();
        *end = to(*end);
        Ok(())
    }

    /// Attaches objects that are about to be put.
    pub(crate) fn attach(self: &Arc<Self>, store: &Store, keys: Vec<Key>) -> Result<Attaching> {
        // Dropped after the lock: with the last handle of a store goes what others have made.
        let _lost: Vec<_>;
        let mut state = self.state();
        if self.has_ended(&mut state) {
            return Err((self.ended)());
        }
        if state.objects.len() + keys.len() > state.full {
            let is_lost =
                |_: &_, (_, beat): &mut (Store, Option<Beat>)| beat.as_ref().is_some_and(Beat::is_lost);
            _lost = state.objects.extract_if(is_lost).collect();
            state.full = 2 * (state.objects.len() + keys.len()) + 64;
        }
        for key in &keys {
            state.objects.entry((store.address(), key.clone())).or_insert_with(|| (store.clone(), None));
        }
        Ok(Attaching { members: self.clone(), store: store.clone(), keys, ttl: self.term.ttl() })
    }

    async fn add(self: &Arc<Self>, store: &Store, key: &Key) -> Result<()> {
        // First of all: who gives it a time must renew that, even if nobody waits for the touch any more.
        self.attach(store, vec![key.clone()])?.finish(true)?;
        match store.ttl(self.term.ttl()) {
            Some(ttl) => store.touch(key, ttl).await.map(drop),
            None => Ok(()),
        }
    }

    /// Ends it, and hands over what is attached. Dropping the future stops nothing.
    pub(crate) fn end(&self) -> impl Future<Output = Evictions> + Send + use<> {
        let objects = {
            let mut state = self.state();
            state.ended = true;
            std::mem::take(&mut state.objects)
        };
        let mut by_store = HashMap::<_, (Store, Vec<Key>)>::new();
        for ((address, key), (store, _)) in objects {
            by_store.entry(address).or_insert_with(|| (store, Vec::new())).1.push(key);
        }
        let evictions: Vec<_> = by_store.into_values().map(|(store, keys)| store.reap_now(keys)).collect();
        async move {
            let mut all = Evictions::default();
            for evictions in join_all(evictions).await {
                all += evictions;
            }
            all
        }
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(f, "{} objects{}", state.objects.len(), if state.ended { ", ended" } else { "" })
    }
}

/// Objects that are being put, and are attached already: so nothing is left when the put is given up half-way.
pub(crate) struct Attaching {
    members: Arc<Members>,
    store: Store,
    keys: Vec<Key>,
    /// With which they are put, even if the end is moved meanwhile.
    ttl: Duration,
}

impl Attaching {
    /// They are put now: renews them from now on, if they are `renewed` at all. If the lifetime has ended meanwhile,
    /// they are evicted, and the error says so.
    pub(crate) fn finish(mut self, renewed: bool) -> Result<()> {
        let members = self.members.clone();
        let mut state = members.state();
        if members.has_ended(&mut state) {
            // Dropped after the lock, evicts them.
            drop(state);
            return Err((members.ended)());
        }
        let renewed = renewed && self.store.expires();
        for key in std::mem::take(&mut self.keys) {
            if let Some((_, beat)) = state.objects.get_mut(&(self.store.address(), key.clone()))
                && beat.is_none()
                && renewed
            {
                let term = &members.term;
                *beat = Some(Beat::after(self.ttl / 4, &self.store, &key, term, Renewal::Touch)?);
            }
        }
        Ok(())
    }
}

impl Drop for Attaching {
    fn drop(&mut self) {
        if self.members.check().is_err() {
            self.store.reap(std::mem::take(&mut self.keys));
        }
    }
}
