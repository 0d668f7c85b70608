//! One object by its key.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use proxystore_core::{Key, Result};

use crate::metrics::Timer;
use crate::request::Answer;
use crate::{Codec, Postcard, Store, trace};

impl Store {
    /// The value under a key, from the cache or the backend: `store.get::<T>(&key).await?`. `None` if there is none.
    ///
    /// Many callers cost one load, and a value of the cache costs no allocation. Errors: `TypeMismatch`, `Codec` or
    /// `Corrupt` if the object is not a `T` of that codec, and whatever the backend reports. Dropping the future leaves
    /// the load to the others, or ends it.
    pub fn get<'a, T>(&'a self, key: &'a Key) -> Get<'a, T> {
        Get { store: self, key, target: PhantomData }
    }

    /// The target if it is in the cache.
    fn hit<T: Send + Sync + 'static, C: Codec<T>>(&self, key: &Key) -> Result<Option<Arc<T>>> {
        let start = Instant::now();
        match self.cached::<T, C>(key) {
            Ok(Err(_)) => Ok(None),
            found => self.done(Timer::Get, start, "get", Some(key), found.map(Result::ok)),
        }
    }
}

/// See [`Store::get`].
#[must_use = "a request does nothing until it is awaited"]
pub struct Get<'a, T, C = Postcard> {
    store: &'a Store,
    key: &'a Key,
    target: PhantomData<fn() -> (T, C)>,
}

impl<'a, T, C> Get<'a, T, C> {
    /// Decodes with this codec instead of [`Postcard`].
    pub fn codec<D: Codec<T>>(self) -> Get<'a, T, D> {
        Get { store: self.store, key: self.key, target: PhantomData }
    }
}

impl<'a, T: Send + Sync + 'static, C: Codec<T>> IntoFuture for Get<'a, T, C> {
    type Output = Result<Option<Arc<T>>>;
    type IntoFuture = Getting<'a, T, C>;

    fn into_future(self) -> Self::IntoFuture {
        Getting { get: self, load: None }
    }
}

/// A [`Get`] that is awaited.
#[must_use = "a future does nothing until it is awaited"]
pub struct Getting<'a, T, C> {
    get: Get<'a, T, C>,
    /// Once it is known that the cache does not have it.
    load: Option<Answer<'a, Option<Arc<T>>>>,
}

impl<T: Send + Sync + 'static, C: Codec<T>> Future for Getting<'_, T, C> {
    type Output = Result<Option<Arc<T>>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Get { store, key, .. } = self.get;
        // What is traced has a span from the beginning.
        if self.load.is_none() && !trace::is_on() {
            let hit = store.hit::<T, C>(key);
            if !matches!(hit, Ok(None)) {
                return Poll::Ready(hit);
            }
        }
        let load = || -> Answer<'_, _> {
            Box::pin(spanned!("proxystore.get", store.name(), Some(key), store.load::<T, C>(key)))
        };
        self.load.get_or_insert_with(load).as_mut().poll(context)
    }
}

impl<T, C> fmt::Debug for Get<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Get({:?})", self.store)
    }
}

impl<T, C> fmt::Debug for Getting<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get.fmt(f)
    }
}
