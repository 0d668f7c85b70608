//! Sets.

use std::borrow::Borrow;
use std::collections::HashSet;
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
use crate::value::Encoded;

mod object;

pub(super) use object::SetObject;
use object::{Operation, SetObjectProxy};

typed! {
    /// A shared set of items of type `T`, in the order in which they came.
    ///
    /// ```
    /// # use proxystore_manager::Manager;
    /// # use proxystore_manager::builtin::Set;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = Manager::builder().in_process()?;
    /// let seen = Set::<String>::create(&manager).await?;
    /// assert!(seen.insert("a").await?);
    /// assert!(!seen.insert("a").await?);
    /// assert_eq!(seen.union(["b".to_owned()]).await?, ["a", "b"]);
    /// # Ok(()) }
    /// ```
    ///
    /// Every method is one step: nobody sees half of it. What is compared and combined with it are items, such as those
    /// of another set's [`items`](Self::items).
    Set<T>(SetObjectProxy)
}

fn canonical_all<T: Serialize>(
    items: impl IntoIterator<Item: Borrow<T>>,
) -> Result<Vec<Encoded>, RemoteError> {
    items.into_iter().map(|item| canonical(Encoded::new(item.borrow())?)).collect()
}

impl<T: Serialize + DeserializeOwned> Set<T> {
    /// An empty set.
    pub async fn create(manager: &Manager) -> Result<Self, RemoteError> {
        Ok(Self::of(SetObjectProxy::create(manager, Vec::new()).await?))
    }

    /// A set of these items.
    pub async fn from_items(
        manager: &Manager,
        items: impl IntoIterator<Item: Borrow<T>>,
    ) -> Result<Self, RemoteError> {
        Ok(Self::of(SetObjectProxy::create(manager, canonical_all(items)?).await?))
    }

    /// The set of this name; if there is none, an empty one gets it.
    pub async fn get_or_create(manager: &Manager, name: &str) -> Result<Self, RemoteError> {
        Ok(Self::of(SetObjectProxy::get_or_create(manager, name, Vec::new()).await?))
    }

    /// How many items there are.
    pub async fn len(&self) -> Result<usize, RemoteError> {
        self.proxy.len().await
    }

    /// Whether there are none.
    pub async fn is_empty(&self) -> Result<bool, RemoteError> {
        Ok(self.len().await? == 0)
    }

    /// Whether there is such an item.
    pub async fn contains<Q>(&self, item: &Q) -> Result<bool, RemoteError>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.proxy.contains(canonical(Encoded::new(item)?)?).await
    }

    /// Adds an item. Whether it is new.
    pub async fn insert<Q>(&self, item: &Q) -> Result<bool, RemoteError>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        Ok(self.proxy.extend(vec![canonical(Encoded::new(item)?)?]).await? > 0)
    }

    /// Adds items, in one step, and returns how many are new: Python's `update` and `|=`.
    pub async fn extend(&self, items: impl IntoIterator<Item: Borrow<T>>) -> Result<usize, RemoteError> {
        self.proxy.extend(canonical_all(items)?).await
    }

    /// Takes an item out. Whether it was there: Python's `discard`.
    pub async fn remove<Q>(&self, item: &Q) -> Result<bool, RemoteError>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.proxy.remove(canonical(Encoded::new(item)?)?).await
    }

    /// Takes out any item; it is the one that came last.
    pub async fn pop(&self) -> Result<Option<T>, RemoteError> {
        decode_some(self.proxy.pop().await?)
    }

    /// Takes all items out.
    pub async fn clear(&self) -> Result<(), RemoteError> {
        self.proxy.clear().await
    }

    /// Copies of all items, in order. Where they are more than one message holds, [`iter`](Self::iter) brings them in
    /// pieces.
    pub async fn items(&self) -> Result<Vec<T>, RemoteError> {
        self.proxy.base().get_value().await
    }

    /// Copies of all items, as a set.
    pub async fn get_value(&self) -> Result<HashSet<T>, RemoteError>
    where
        T: Eq + Hash,
    {
        self.proxy.base().get_value().await
    }

    /// The items of the set and the others. The set stays as it is, here and below.
    pub async fn union(&self, others: impl IntoIterator<Item: Borrow<T>>) -> Result<Vec<T>, RemoteError> {
        self.combined(Operation::Union, others).await
    }

    /// The items of the set that are among the others, too.
    pub async fn intersection(
        &self,
        others: impl IntoIterator<Item: Borrow<T>>,
    ) -> Result<Vec<T>, RemoteError> {
        self.combined(Operation::Intersection, others).await
    }

    /// The items of the set that are not among the others.
    pub async fn difference(
        &self,
        others: impl IntoIterator<Item: Borrow<T>>,
    ) -> Result<Vec<T>, RemoteError> {
        self.combined(Operation::Difference, others).await
    }

    /// The items that are either in the set or among the others.
    pub async fn symmetric_difference(
        &self,
        others: impl IntoIterator<Item: Borrow<T>>,
    ) -> Result<Vec<T>, RemoteError> {
        self.combined(Operation::SymmetricDifference, others).await
    }

    async fn combined(
        &self,
        operation: Operation,
        others: impl IntoIterator<Item: Borrow<T>>,
    ) -> Result<Vec<T>, RemoteError> {
        decode_all(self.proxy.combined(operation, canonical_all(others)?).await?)
    }

    /// Keeps the items alone that are among the others: Python's `&=`.
    pub async fn intersect(&self, others: impl IntoIterator<Item: Borrow<T>>) -> Result<(), RemoteError> {
        self.proxy.combine(Operation::Intersection, canonical_all(others)?).await
    }

    /// Takes the others out: Python's `-=`.
    pub async fn subtract(&self, others: impl IntoIterator<Item: Borrow<T>>) -> Result<(), RemoteError> {
        self.proxy.combine(Operation::Difference, canonical_all(others)?).await
    }

    /// Takes out those of the others that are there, and adds those that are not: Python's `^=`.
    pub async fn toggle(&self, others: impl IntoIterator<Item: Borrow<T>>) -> Result<(), RemoteError> {
        self.proxy.combine(Operation::SymmetricDifference, canonical_all(others)?).await
    }

    /// Whether all items are among the others.
    pub async fn is_subset(&self, others: impl IntoIterator<Item: Borrow<T>>) -> Result<bool, RemoteError> {
        self.proxy.is_subset(canonical_all(others)?).await
    }

    /// Whether all the others are in the set.
    pub async fn is_superset(&self, others: impl IntoIterator<Item: Borrow<T>>) -> Result<bool, RemoteError> {
        self.proxy.is_superset(canonical_all(others)?).await
    }

    /// Whether none of the others is in the set.
    pub async fn is_disjoint(&self, others: impl IntoIterator<Item: Borrow<T>>) -> Result<bool, RemoteError> {
        self.proxy.is_disjoint(canonical_all(others)?).await
    }

    /// Whether it has these items and no others. `==` asks whether two proxies mean the same object.
    pub async fn eq_value(&self, others: impl IntoIterator<Item: Borrow<T>>) -> Result<bool, RemoteError> {
        self.proxy.eq_value(canonical_all(others)?).await
    }

    /// Copies of the items, in batches. It fails with [`Resized`] and ends if their number has changed since this call.
    pub async fn iter(
        &self,
    ) -> Result<impl Stream<Item = Result<T, CallError<Resized>>> + Send + Unpin + use<T>, RemoteError> {
        Ok(self.proxy.iter().await?.map(|item| Ok(item?.map_err(CallError::App)?.decode()?)))
    }

    /// As [`iter`](Self::iter), with the items as they are now, whatever happens meanwhile.
    pub async fn snapshot(
        &self,
    ) -> Result<impl Stream<Item = Result<T, RemoteError>> + Send + Unpin + use<T>, RemoteError> {
        Ok(self.proxy.snapshot().await?.map(|item| item?.decode()))
    }
}
