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
        if self.load.is_none() {
            // What is traced has a span from the beginning.
            let load: Answer<'_, _> = if trace::is_on() {
                Box::pin(spanned!("proxystore.get", store.name(), Some(key), store.load::<T, C>(key)))
            } else {
                let start = Instant::now();
                match store.cached::<T, C>(key) {
                    Ok(Err(slot)) => Box::pin(store.load_into::<T, C>(slot, start)),
                    found => {
                        let found = found.map(Result::ok);
                        return Poll::Ready(store.done(Timer::Get, start, "get", Some(key), found));
                    }
                }
            };
            self.load = Some(load);
        }
        self.load.as_mut().map_or(Poll::Pending, |load| load.as_mut().poll(context))
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
