//! Many values at once.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proxystore_core::{Key, Operation, Payload, Result};

use crate::metrics::{Counter, Timer};
use crate::request::{How, Keeping, Kept};
use crate::{Codec, Postcard, Proxy, Store};

type Answers<'a, T> = Pin<Box<dyn Future<Output = Vec<Result<T>>> + Send + 'a>>;

impl Store {
    /// [`put`](Self::put) for many in one go, with one result per value, in order: a failing value neither stops nor
    /// hides the others. Dropping the future may leave any of them in the store.
    pub fn put_many<'a, T>(&'a self, values: &'a [T]) -> PutMany<'a, T> {
        PutMany { store: self, values, how: How::default(), codec: PhantomData }
    }

    /// [`get`](Self::get) for many in one go, with one result per key, in order. What is in the cache is taken from
    /// there, and what is loaded is not added to it: a large batch would push out everything else.
    pub fn get_many<'a, T>(&'a self, keys: &'a [Key]) -> GetMany<'a, T> {
        GetMany { store: self, keys, target: PhantomData }
    }

    /// [`proxy`](Self::proxy) for many in one go, with one result per value, in order.
    pub fn proxy_many<T>(&self, values: impl IntoIterator<Item = T>) -> ProxyMany<'_, T> {
        ProxyMany {
            store: self,
            values: values.into_iter().collect(),
            how: How::default(),
            mode: Kept { populate: self.config().populate },
            codec: PhantomData,
        }
    }

    async fn put_values<T, C: Codec<T>>(&self, values: &[T], how: &How) -> Vec<Result<(Key, u64)>> {
        let start = Instant::now();
        let mut items = Vec::with_capacity(values.len());
        let mut results = Vec::with_capacity(values.len());
        for value in values {
            results.push(self.seal::<T, C>(value, &how.options).await.map(|sealed| {
                items.push((sealed.key.clone(), sealed.payload));
                (sealed.key, sealed.length)
            }));
        }
        let sent = Instant::now();
        let mut put = self.put_items(items, how).await.into_iter();
        self.recorder().time(Timer::PutManyConnector, sent);
        for result in &mut results {
            if let Ok((key, _)) = result
                && let Some(Err(error)) = put.next()
            {
                *result = Err(error.with("key", key));
            }
        }
        self.recorder().time(Timer::PutMany, start);
        results
            .into_iter()
            .map(|result| result.map_err(|error| self.place(error, "put_many", None)))
            .collect()
    }

    async fn put_items(&self, items: Vec<(Key, Payload)>, how: &How) -> Vec<Result<()>> {
        let count = items.len();
        let attaching = match how.attach(self, items.iter().map(|(key, _)| key.clone())) {
            Ok(attaching) => attaching,
            Err(ended) => return vec![Err(ended); count],
        };
        let sends = items.iter().map(|(_, payload)| payload.len() as u64).sum();
        let options = how.options(self);
        let put =
            self.call_many(Operation::PutMany, count, sends, |connector| connector.put_many(items, &options));
        let put = put.await;
        match how.finish(attaching) {
            Ok(()) => put,
            Err(ended) => vec![Err(ended); count],
        }
    }

    async fn get_values<T, C>(&self, keys: &[Key]) -> Vec<Result<Option<Arc<T>>>>
    where
        T: Send + Sync + 'static,
        C: Codec<T>,
    {
        let start = Instant::now();
        let mut results: Vec<_> = keys.iter().map(|key| self.cached::<T, C>(key).map(Result::ok)).collect();
        let missing: Vec<usize> = (0..keys.len()).filter(|i| matches!(results[*i], Ok(None))).collect();
        let wanted: Vec<Key> = missing.iter().map(|i| keys[*i].clone()).collect();
        let sent = Instant::now();
        let got = self
            .call_many(Operation::GetMany, wanted.len(), 0, |connector| connector.get_many(&wanted))
            .await;
        self.recorder().time(Timer::GetManyConnector, sent);
        for ((i, key), payload) in missing.into_iter().zip(&wanted).zip(got) {
            self.recorder().count(Counter::CacheMisses);
            self.recorder().loaded(true);
            results[i] = match payload {
                Ok(Some(payload)) => {
                    let decoded = self.decode::<T, C>(key, payload, Instant::now()).await;
                    decoded.and_then(|(target, _)| Self::downcast(Some(target)))
                }
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
        }
        self.recorder().time(Timer::GetMany, start);
        self.each("get_many", keys, results)
    }
}

/// See [`Store::put_many`].
#[must_use = "a request does nothing until it is awaited"]
pub struct PutMany<'a, T, C = Postcard> {
    store: &'a Store,
    values: &'a [T],
    how: How,
    codec: PhantomData<fn() -> C>,
}

impl<'a, T, C> PutMany<'a, T, C> {
    put_setters!();
    lifetime_setter!();

    /// Encodes with this codec instead of [`Postcard`].
    pub fn codec<D: Codec<T>>(self) -> PutMany<'a, T, D> {
        PutMany { store: self.store, values: self.values, how: self.how, codec: PhantomData }
    }
}

impl<'a, T: Sync, C: Codec<T>> IntoFuture for PutMany<'a, T, C> {
    type Output = Vec<Result<Key>>;
    type IntoFuture = Answers<'a, Key>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let put = self.store.put_values::<T, C>(self.values, &self.how).await;
            put.into_iter().map(|result| result.map(|(key, _)| key)).collect()
        })
    }
}

/// See [`Store::get_many`].
#[must_use = "a request does nothing until it is awaited"]
pub struct GetMany<'a, T, C = Postcard> {
    store: &'a Store,
    keys: &'a [Key],
    target: PhantomData<fn() -> (T, C)>,
}

impl<'a, T, C> GetMany<'a, T, C> {
    /// Decodes with this codec instead of [`Postcard`].
    pub fn codec<D: Codec<T>>(self) -> GetMany<'a, T, D> {
        GetMany { store: self.store, keys: self.keys, target: PhantomData }
    }
}

impl<'a, T: Send + Sync + 'static, C: Codec<T>> IntoFuture for GetMany<'a, T, C> {
    type Output = Vec<Result<Option<Arc<T>>>>;
    type IntoFuture = Answers<'a, Option<Arc<T>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.store.get_values::<T, C>(self.keys))
    }
}

/// See [`Store::proxy_many`].
#[must_use = "a request does nothing until it is awaited"]
pub struct ProxyMany<'a, T, C = Postcard> {
    store: &'a Store,
    values: Vec<T>,
    how: How,
    mode: Kept,
    codec: PhantomData<fn() -> C>,
}

impl<'a, T, C> ProxyMany<'a, T, C> {
    put_setters!();
    lifetime_setter!();

    /// Whether the proxies hold the values from the beginning (by default as the store is set).
    pub fn populate(mut self, populate: bool) -> Self {
        self.mode.populate = populate;
        self
    }

    /// Encodes with this codec instead of [`Postcard`].
    pub fn codec<D: Codec<T>>(self) -> ProxyMany<'a, T, D> {
        let Self { store, values, how, mode, .. } = self;
        ProxyMany { store, values, how, mode, codec: PhantomData }
    }
}

impl<'a, T: Send + Sync + 'static, C: Codec<T>> IntoFuture for ProxyMany<'a, T, C> {
    type Output = Vec<Result<Proxy<T, C>>>;
    type IntoFuture = Answers<'a, Proxy<T, C>>;

    fn into_future(self) -> Self::IntoFuture {
        let store = self.store;
        let proxy_many = async move {
            let put = store.put_values::<T, C>(&self.values, &self.how).await;
            let proxies = put.into_iter().zip(self.values).map(|(result, value)| {
                let (key, length) = result?;
                store.make_proxy(key, length, self.mode.fate(value))
            });
            proxies.collect()
        };
        Box::pin(spanned!("proxystore.proxy_many", store.name(), None, proxy_many))
    }
}

debug_as_name!(PutMany<T, C>, GetMany<T, C>, ProxyMany<T, C>);
