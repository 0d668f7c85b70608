//! Dictionaries.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use futures_util::stream::{Stream, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ordered::Resized;
use super::plain::canonical;
use super::{decode_all, decode_some};
use crate::error::{CallError, RemoteError};
use crate::manager::Manager;
use crate::object::ObjectProxy;
use crate::stream::RemoteStream;
use crate::value::Encoded;

mod object;

pub(super) use object::DictObject;
use object::DictObjectProxy;

typed! {
    /// A shared dictionary: values of type `V` by keys of type `K`, in the order in which the keys came.
    ///
    /// ```
    /// # use proxystore_manager::Manager;
    /// # use proxystore_manager::builtin::Dict;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = Manager::builder().in_process()?;
    /// let counts = Dict::<String, u64>::create(&manager).await?;
    /// for word in ["one", "two", "one"] {
    ///     counts.update_at(word, |count| Some(count.unwrap_or(0) + 1)).await?;
    /// }
    /// assert_eq!(counts.get("one").await?, Some(2));
    /// assert_eq!(counts.entries().await?, [("one".into(), 2), ("two".into(), 1)]);
    /// # Ok(()) }
    /// ```
    ///
    /// Every method is one step: nobody sees half of it. What two calls do, others may come between; so there are
    /// [`update_at`](Self::update_at), [`get_or_insert`](Self::get_or_insert) and
    /// [`compare_exchange`](Self::compare_exchange). A key that is not there is `None`, and no error as in Python.
    Dict<K, V>(DictObjectProxy)
}

/// Entries as they travel.
type Entries = Vec<(Encoded, Encoded)>;

fn key<K: Serialize + ?Sized>(key: &K) -> Result<Encoded, RemoteError> {
    canonical(Encoded::new(key)?)
}

fn encode_entries<K: Serialize, V: Serialize>(
    entries: impl IntoIterator<Item = (impl Borrow<K>, impl Borrow<V>)>,
) -> Result<Entries, RemoteError> {
    entries.into_iter().map(|(k, v)| Ok((key(k.borrow())?, Encoded::new(v.borrow())?))).collect()
}

fn decode_entry<K, V>((key, value): (Encoded, Encoded)) -> Result<(K, V), RemoteError>
where
    K: DeserializeOwned,
    V: DeserializeOwned,
{
    Ok((key.decode()?, value.decode()?))
}

impl<K, V> Dict<K, V>
where
    K: Serialize + DeserializeOwned,
    V: Serialize + DeserializeOwned,
{
    /// An empty dictionary.
    pub async fn create(manager: &Manager) -> Result<Self, RemoteError> {
        Ok(Self::of(DictObjectProxy::create(manager, Vec::new()).await?))
    }

    /// A dictionary of these entries. The last one of a key counts.
    pub async fn from_entries(
        manager: &Manager,
        entries: impl IntoIterator<Item = (impl Borrow<K>, impl Borrow<V>)>,
    ) -> Result<Self, RemoteError> {
        Ok(Self::of(DictObjectProxy::create(manager, encode_entries(entries)?).await?))
    }

    /// The dictionary of this name; if there is none, an empty one gets it.
    pub async fn get_or_create(manager: &Manager, name: &str) -> Result<Self, RemoteError> {
        Ok(Self::of(DictObjectProxy::get_or_create(manager, name, Vec::new()).await?))
    }

    /// How many entries there are.
    pub async fn len(&self) -> Result<usize, RemoteError> {
        self.proxy.len().await
    }

    /// Whether there are none.
    pub async fn is_empty(&self) -> Result<bool, RemoteError> {
        Ok(self.len().await? == 0)
    }

    /// Whether there is such a key.
    pub async fn contains_key<Q>(&self, k: &Q) -> Result<bool, RemoteError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.proxy.contains_key(key(k)?).await
    }

    /// A copy of the value of a key.
    pub async fn get<Q>(&self, k: &Q) -> Result<Option<V>, RemoteError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        decode_some(self.proxy.get(key(k)?).await?)
    }

    /// Copies of the values of several keys, in their order.
    pub async fn get_many(
        &self,
        keys: impl IntoIterator<Item: Borrow<K>>,
    ) -> Result<Vec<Option<V>>, RemoteError> {
        let keys = keys.into_iter().map(|k| key(k.borrow())).collect::<Result<_, _>>()?;
        self.proxy.get_many(keys).await?.into_iter().map(decode_some).collect()
    }

    /// Gives a key a value, and returns the one that it had. A key that was there stays in its place.
    pub async fn insert<Q, R>(&self, k: &Q, value: &R) -> Result<Option<V>, RemoteError>
    where
        K: Borrow<Q>,
        V: Borrow<R>,
        Q: Serialize + ?Sized,
        R: Serialize + ?Sized,
    {
        decode_some(self.proxy.insert(key(k)?, Encoded::new(value)?).await?)
    }

    /// Gives several keys values, in one step: Python's `update` and `|=`.
    pub async fn extend(
        &self,
        entries: impl IntoIterator<Item = (impl Borrow<K>, impl Borrow<V>)>,
    ) -> Result<(), RemoteError> {
        self.proxy.extend(encode_entries(entries)?).await
    }

    /// The value of a key, which is this one if there was none: Python's `setdefault`.
    pub async fn get_or_insert<Q, R>(&self, k: &Q, value: &R) -> Result<V, RemoteError>
    where
        K: Borrow<Q>,
        V: Borrow<R>,
        Q: Serialize + ?Sized,
        R: Serialize + ?Sized,
    {
        self.proxy.get_or_insert(key(k)?, Encoded::new(value)?).await?.decode()
    }

    /// Replaces the value of a key if it is `current`; `None` is no value, before and after. The inner error is what is
    /// there instead.
    pub async fn compare_exchange<Q>(
        &self,
        k: &Q,
        current: Option<&V>,
        new: Option<&V>,
    ) -> Result<Result<(), Option<V>>, RemoteError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        let (current, new) = (current.map(Encoded::new).transpose()?, new.map(Encoded::new).transpose()?);
        match self.exchange(key(k)?, current, new).await? {
            Ok(()) => Ok(Ok(())),
            Err(other) => Ok(Err(decode_some(other)?)),
        }
    }

    async fn exchange(
        &self,
        key: Encoded,
        current: Option<Encoded>,
        new: Option<Encoded>,
    ) -> Result<Result<(), Option<Encoded>>, RemoteError> {
        match self.proxy.compare_exchange(key, current, new).await {
            Ok(()) => Ok(Ok(())),
            Err(CallError::App(other)) => Ok(Err(other)),
            Err(CallError::Remote(error)) => Err(error),
        }
    }

    /// Replaces the value of a key by what `update` makes of it, and returns that; `None` is no value, before and after.
    /// If somebody else is faster, `update` is called again, with what they made. It runs here; dropping the future
    /// leaves the value as it was or updated.
    pub async fn update_at<Q>(
        &self,
        k: &Q,
        mut update: impl FnMut(Option<V>) -> Option<V>,
    ) -> Result<Option<V>, RemoteError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        let key = key(k)?;
        let mut current = self.proxy.get(key.clone()).await?;
        loop {
            let updated = update(decode_some(current.clone())?);
            let new = updated.as_ref().map(Encoded::new).transpose()?;
            match self.exchange(key.clone(), current, new).await? {
                Ok(()) => return Ok(updated),
                Err(other) => current = other,
            }
        }
    }

    /// Takes a key out, and returns its value.
    pub async fn remove<Q>(&self, k: &Q) -> Result<Option<V>, RemoteError>
    where
        K: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        decode_some(self.proxy.remove(key(k)?).await?)
    }

    /// Takes out the entry that came last: Python's `popitem`.
    pub async fn pop_last(&self) -> Result<Option<(K, V)>, RemoteError> {
        self.proxy.pop_last().await?.map(decode_entry).transpose()
    }

    /// Takes all entries out.
    pub async fn clear(&self) -> Result<(), RemoteError> {
        self.proxy.clear().await
    }

    /// The keys, in their order.
    pub async fn keys(&self) -> Result<Vec<K>, RemoteError> {
        decode_all(self.proxy.keys().await?)
    }

    /// The values, in the order of their keys.
    pub async fn values(&self) -> Result<Vec<V>, RemoteError> {
        decode_all(self.proxy.values().await?)
    }

    /// Copies of all entries, in order. Where they are more than one message holds, [`iter`](Self::iter) brings them in
    /// pieces.
    pub async fn entries(&self) -> Result<Vec<(K, V)>, RemoteError> {
        self.proxy.entries().await?.into_iter().map(decode_entry).collect()
    }

    /// Copies of all entries, as a map.
    pub async fn get_value(&self) -> Result<HashMap<K, V>, RemoteError>
    where
        K: Eq + Hash,
    {
        self.proxy.base().get_value().await
    }

    /// Whether it has these entries and no others, in any order. `==` asks whether two proxies mean the same object.
    pub async fn eq_value(
        &self,
        entries: impl IntoIterator<Item = (impl Borrow<K>, impl Borrow<V>)>,
    ) -> Result<bool, RemoteError> {
        self.proxy.eq_value(encode_entries(entries)?).await
    }

    /// Copies of the entries, in batches, each as the dictionary is when it is fetched. It fails with [`Resized`] and
    /// ends if their number has changed since this call.
    pub async fn iter(
        &self,
    ) -> Result<impl Stream<Item = Result<(K, V), CallError<Resized>>> + Send + Unpin + use<K, V>, RemoteError>
    {
        Ok(entries(self.proxy.iter().await?))
    }

    /// As [`iter`](Self::iter), from the last entry to the first.
    pub async fn iter_rev(
        &self,
    ) -> Result<impl Stream<Item = Result<(K, V), CallError<Resized>>> + Send + Unpin + use<K, V>, RemoteError>
    {
        Ok(entries(self.proxy.iter_rev().await?))
    }

    /// As [`iter`](Self::iter), with the entries as they are now, whatever happens meanwhile.
    pub async fn snapshot(
        &self,
    ) -> Result<impl Stream<Item = Result<(K, V), RemoteError>> + Send + Unpin + use<K, V>, RemoteError> {
        Ok(self.proxy.snapshot().await?.map(|entry| decode_entry(entry?)))
    }
}

fn entries<K: DeserializeOwned, V: DeserializeOwned>(
    stream: RemoteStream<Result<(Encoded, Encoded), Resized>>,
) -> impl Stream<Item = Result<(K, V), CallError<Resized>>> + Send + Unpin + use<K, V> {
    stream.map(|entry| Ok(decode_entry(entry?.map_err(CallError::App)?)?))
}
