//! Lists.

use std::borrow::Borrow;
use std::ops::{Bound, RangeBounds};

use futures_util::stream::{Stream, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{decode_all, decode_some, encode_all};
use crate::error::{CallError, RemoteError};
use crate::manager::Manager;
use crate::value::Encoded;

mod object;

pub(super) use object::ListObject;
use object::ListObjectProxy;
pub use object::{OutOfRange, Unordered};

typed! {
    /// A shared list of items of type `T`.
    ///
    /// ```
    /// # use proxystore_manager::Manager;
    /// # use proxystore_manager::builtin::List;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = Manager::builder().in_process()?;
    /// let list = List::<i64>::create(&manager).await?;
    /// list.extend([3, 1, 2]).await?;
    /// list.update_at(0, |item| item * 10).await?;
    /// list.sort().await?;
    /// assert_eq!(list.get_value().await?, [1, 2, 30]);
    /// assert_eq!(list.slice(1..).await?, [2, 30]);
    /// # Ok(()) }
    /// ```
    ///
    /// Every method is one step: nobody sees half of it. What two calls do, others may come between; so there are
    /// [`update_at`](Self::update_at) and [`compare_exchange`](Self::compare_exchange). Indices count from the front,
    /// and negative ones, as Python has them, do not exist: see [`last`](Self::last) and [`pop`](Self::pop). An item is
    /// a copy; for one that is shared, put a proxy in.
    List<T>(ListObjectProxy)
}

/// From where to where, for lists that may have any length.
pub(super) fn bounds(range: impl RangeBounds<usize>) -> (usize, usize) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(to) => *to,
        Bound::Unbounded => usize::MAX,
    };
    (from, to)
}

impl<T: Serialize + DeserializeOwned> List<T> {
    /// An empty list.
    pub async fn create(manager: &Manager) -> Result<Self, RemoteError> {
        Ok(Self::of(ListObjectProxy::create(manager, Vec::new()).await?))
    }

    /// A list of these items.
    pub async fn from_items(
        manager: &Manager,
        items: impl IntoIterator<Item: Borrow<T>>,
    ) -> Result<Self, RemoteError> {
        Ok(Self::of(ListObjectProxy::create(manager, encode_all(items)?).await?))
    }

    /// The list of this name; if there is none, an empty one gets it.
    pub async fn get_or_create(manager: &Manager, name: &str) -> Result<Self, RemoteError> {
        Ok(Self::of(ListObjectProxy::get_or_create(manager, name, Vec::new()).await?))
    }

    /// How many items there are.
    pub async fn len(&self) -> Result<usize, RemoteError> {
        self.proxy.len().await
    }

    /// Whether there are none.
    pub async fn is_empty(&self) -> Result<bool, RemoteError> {
        Ok(self.len().await? == 0)
    }

    /// A copy of the item at `index`.
    pub async fn get(&self, index: usize) -> Result<Option<T>, RemoteError> {
        decode_some(self.proxy.get(index).await?)
    }

    /// A copy of the last item.
    pub async fn last(&self) -> Result<Option<T>, RemoteError> {
        decode_some(self.proxy.last().await?)
    }

    /// Copies of the items in `range`, as far as they exist.
    pub async fn slice(&self, range: impl RangeBounds<usize>) -> Result<Vec<T>, RemoteError> {
        let (from, to) = bounds(range);
        decode_all(self.proxy.slice(from, to).await?)
    }

    /// Copies of all items. Where they are more than one message holds, [`iter`](Self::iter) brings them in pieces.
    pub async fn get_value(&self) -> Result<Vec<T>, RemoteError> {
        self.slice(..).await
    }

    /// Replaces the item at `index`.
    pub async fn set<Q>(&self, index: usize, item: &Q) -> Result<(), CallError<OutOfRange>>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.proxy.set(index, Encoded::new(item)?).await
    }

    /// Replaces several items, all or none.
    pub async fn set_many<I: Borrow<T>>(
        &self,
        items: impl IntoIterator<Item = (usize, I)>,
    ) -> Result<(), CallError<OutOfRange>> {
        let encoded = |(index, item): (usize, I)| Ok((index, Encoded::new(item.borrow())?));
        let items = items.into_iter().map(encoded).collect::<Result<_, RemoteError>>()?;
        self.proxy.set_many(items).await
    }

    /// Replaces the item at `index` if it is `current`. The inner error is the item that is there instead.
    pub async fn compare_exchange(
        &self,
        index: usize,
        current: &T,
        new: &T,
    ) -> Result<Result<(), T>, CallError<OutOfRange>> {
        let (current, new) = (Encoded::new(current)?, Encoded::new(new)?);
        match self.proxy.compare_exchange(index, current, new).await? {
            Ok(()) => Ok(Ok(())),
            Err(other) => Ok(Err(other.decode()?)),
        }
    }

    /// Replaces the item at `index` by what `update` makes of it, and returns that. If somebody else is faster,
    /// `update` is called again, with what they made. It runs here; dropping the future leaves the item as it was or
    /// updated.
    pub async fn update_at(
        &self,
        index: usize,
        mut update: impl FnMut(T) -> T,
    ) -> Result<T, CallError<OutOfRange>> {
        let Some(mut current) = self.proxy.get(index).await? else {
            return Err(CallError::App(OutOfRange { index, len: self.len().await? }));
        };
        loop {
            let updated = Encoded::new(&update(current.decode()?))?;
            match self.proxy.compare_exchange(index, current, updated.clone()).await? {
                Ok(()) => return Ok(updated.decode()?),
                Err(other) => current = other,
            }
        }
    }

    /// Adds an item at the end.
    pub async fn push<Q>(&self, item: &Q) -> Result<(), RemoteError>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.proxy.extend(vec![Encoded::new(item)?]).await
    }

    /// Adds items at the end.
    pub async fn extend(&self, items: impl IntoIterator<Item: Borrow<T>>) -> Result<(), RemoteError> {
        self.proxy.extend(encode_all(items)?).await
    }

    /// Adds an item before the one at `index`; at the end, if that is behind it.
    pub async fn insert<Q>(&self, index: usize, item: &Q) -> Result<(), RemoteError>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.proxy.splice(index, index, vec![Encoded::new(item)?]).await.map(drop)
    }

    /// Replaces the items in `range`, as far as they exist, by others, which may be more or less, and returns the old
    /// ones.
    pub async fn splice(
        &self,
        range: impl RangeBounds<usize>,
        items: impl IntoIterator<Item: Borrow<T>>,
    ) -> Result<Vec<T>, RemoteError> {
        let (from, to) = bounds(range);
        decode_all(self.proxy.splice(from, to, encode_all(items)?).await?)
    }

    /// Takes the last item off.
    pub async fn pop(&self) -> Result<Option<T>, RemoteError> {
        decode_some(self.proxy.pop().await?)
    }

    /// Takes the item at `index` out: Python's `pop(index)`.
    pub async fn remove(&self, index: usize) -> Result<T, CallError<OutOfRange>> {
        Ok(self.proxy.remove(index).await?.decode()?)
    }

    /// Takes the first item that is equal to this one out. Whether there was one.
    pub async fn remove_item<Q>(&self, item: &Q) -> Result<bool, RemoteError>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.proxy.remove_item(Encoded::new(item)?).await
    }

    /// How many items are equal to this one.
    pub async fn count<Q>(&self, item: &Q) -> Result<usize, RemoteError>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.proxy.count(Encoded::new(item)?).await
    }

    /// Where the first item is that is equal to this one.
    pub async fn index_of<Q>(&self, item: &Q) -> Result<Option<usize>, RemoteError>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.proxy.index_of(Encoded::new(item)?).await
    }

    /// Whether an item is equal to this one.
    pub async fn contains<Q>(&self, item: &Q) -> Result<bool, RemoteError>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        Ok(self.index_of(item).await?.is_some())
    }

    /// Whether it has these items and no others, in this order. `==` asks whether two proxies mean the same object.
    pub async fn eq_value(&self, items: impl IntoIterator<Item: Borrow<T>>) -> Result<bool, RemoteError> {
        self.proxy.eq_value(encode_all(items)?).await
    }

    /// Makes the list `count` times as long: Python's `*=`.
    /// `TooLarge` above 16,777,216 items.
    pub async fn repeat(&self, count: usize) -> Result<(), RemoteError> {
        self.proxy.repeat(count).await.map_err(CallError::flatten)
    }

    /// Turns the order around.
    pub async fn reverse(&self) -> Result<(), RemoteError> {
        self.proxy.reverse().await
    }

    /// Sorts numbers by their size, texts by their code points, arrays and structs by their parts, in order. Items that
    /// are equal stay in their order. [`Unordered`] if there are several kinds, such as texts and numbers, or integers
    /// and fractions; then the list is as it was.
    pub async fn sort(&self) -> Result<(), CallError<Unordered>> {
        self.proxy.sort().await
    }

    /// Takes all items out.
    pub async fn clear(&self) -> Result<(), RemoteError> {
        self.proxy.clear().await
    }

    /// Copies of the items, in batches, each as the list is when it is fetched: what was put in behind the last one
    /// comes, too. A stream that has ended stays ended.
    pub async fn iter(
        &self,
    ) -> Result<impl Stream<Item = Result<T, RemoteError>> + Send + Unpin + use<T>, RemoteError> {
        Ok(self.proxy.iter().await?.map(|item| item?.decode()))
    }

    /// As [`iter`](Self::iter), from the last item to the first.
    pub async fn iter_rev(
        &self,
    ) -> Result<impl Stream<Item = Result<T, RemoteError>> + Send + Unpin + use<T>, RemoteError> {
        Ok(self.proxy.iter_rev().await?.map(|item| item?.decode()))
    }

    /// As [`iter`](Self::iter), with the list as it is now.
    pub async fn snapshot(
        &self,
    ) -> Result<impl Stream<Item = Result<T, RemoteError>> + Send + Unpin + use<T>, RemoteError> {
        Ok(self.proxy.snapshot().await?.map(|item| item?.decode()))
    }
}
