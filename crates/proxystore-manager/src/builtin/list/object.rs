//! The list itself, at its manager.

use std::fmt;

use futures_util::stream::{self, Stream};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::builtin::Shared;
use crate::builtin::plain::{Open, Plain, same};
use crate::builtin::text::{Text, surrounded};
use crate::error::{RemoteError, RemoteErrorKind};
use crate::object;
use crate::value::Encoded;

/// The longest list that is made by repeating another.
const MAX_REPEATED: usize = 1 << 24;

/// There is nothing at that index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutOfRange {
    /// What was asked for.
    pub index: usize,
    /// How many items there are.
    pub len: usize,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "index {} is out of range: there are {} items", self.index, self.len)
    }
}

impl std::error::Error for OutOfRange {}

/// Items of several kinds, such as numbers and texts, have no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Unordered;

impl fmt::Display for Unordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("items of several kinds have no order: the list is as it was")
    }
}

impl std::error::Error for Unordered {}

/// The list itself.
#[derive(Debug, Default)]
pub(crate) struct ListObject(Shared<Vec<Encoded>>);

impl Serialize for ListObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let items = self.0.lock().clone();
        serializer.collect_seq(items.iter().map(Open))
    }
}

impl fmt::Display for ListObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items = self.0.lock().clone();
        surrounded(f, '[', ']', items.iter().map(Text))
    }
}

/// The item of this index.
fn at(items: &mut [Encoded], index: usize) -> Result<&mut Encoded, OutOfRange> {
    let len = items.len();
    items.get_mut(index).ok_or(OutOfRange { index, len })
}

/// What is in the list of such a range.
fn within(items: &[Encoded], from: usize, to: usize) -> std::ops::Range<usize> {
    let from = from.min(items.len());
    from..to.clamp(from, items.len())
}

#[object(crate = "crate", typeid = "proxystore.List", value, display)]
impl ListObject {
    #[ctor]
    fn new(items: Vec<Encoded>) -> Self {
        Self(Shared::new(items))
    }

    #[idempotent]
    fn len(&self) -> usize {
        self.0.lock().len()
    }

    #[idempotent]
    fn get(&self, index: usize) -> Option<Encoded> {
        self.0.lock().get(index).cloned()
    }

    #[idempotent]
    fn last(&self) -> Option<Encoded> {
        self.0.lock().last().cloned()
    }

    #[idempotent]
    fn slice(&self, from: usize, to: usize) -> Vec<Encoded> {
        let items = self.0.lock();
        items[within(&items, from, to)].to_vec()
    }

    fn set(&mut self, index: usize, item: Encoded) -> Result<(), OutOfRange> {
        self.set_many(vec![(index, item)])
    }

    /// All or none.
    fn set_many(&mut self, mut changes: Vec<(usize, Encoded)>) -> Result<(), OutOfRange> {
        let mut items = self.0.lock();
        for (index, _) in &changes {
            at(&mut items, *index)?;
        }
        for (index, item) in &mut changes {
            std::mem::swap(at(&mut items, *index)?, item);
        }
        drop(items);
        Ok(())
    }

    fn compare_exchange(
        &mut self,
        index: usize,
        current: Encoded,
        mut new: Encoded,
    ) -> Result<Result<(), Encoded>, OutOfRange> {
        let mut items = self.0.lock();
        let item = at(&mut items, index)?;
        if !same(item, &current) {
            return Ok(Err(item.clone()));
        }
        std::mem::swap(item, &mut new);
        drop(items);
        Ok(Ok(()))
    }

    fn extend(&mut self, items: Vec<Encoded>) {
        self.0.lock().extend(items);
    }

    /// Python's rule: whatever is behind the end is the end.
    fn splice(&mut self, from: usize, to: usize, new: Vec<Encoded>) -> Vec<Encoded> {
        let mut items = self.0.lock();
        let range = within(&items, from, to);
        items.splice(range, new).collect()
    }

    fn pop(&mut self) -> Option<Encoded> {
        self.0.lock().pop()
    }

    fn remove(&mut self, index: usize) -> Result<Encoded, OutOfRange> {
        let mut items = self.0.lock();
        at(&mut items, index)?;
        Ok(items.remove(index))
    }

    fn remove_item(&mut self, item: Encoded) -> bool {
        let mut items = self.0.lock();
        let found = items.iter().position(|known| same(known, &item));
        let removed = found.map(|index| items.remove(index));
        drop(items);
        removed.is_some()
    }

    #[idempotent]
    fn count(&self, item: Encoded) -> usize {
        let items = self.0.lock();
        items.iter().filter(|known| same(known, &item)).count()
    }

    #[idempotent]
    fn index_of(&self, item: Encoded) -> Option<usize> {
        let items = self.0.lock();
        items.iter().position(|known| same(known, &item))
    }

    #[idempotent]
    fn eq_value(&self, others: Vec<Encoded>) -> bool {
        let items = self.0.lock();
        items.len() == others.len() && items.iter().zip(&others).all(|(item, other)| same(item, other))
    }

    fn repeat(&mut self, count: usize) -> Result<(), RemoteError> {
        let mut items = self.0.lock();
        if items.len().checked_mul(count).is_none_or(|len| len > MAX_REPEATED) {
            let why = format!("{} items {count} times; {MAX_REPEATED} is the limit", items.len());
            return Err(RemoteError::new(RemoteErrorKind::TooLarge, why));
        }
        let once = items.len();
        let dropped = if count == 0 { std::mem::take(&mut *items) } else { Vec::new() };
        for _ in 1..count {
            items.extend_from_within(..once);
        }
        drop(items);
        drop(dropped);
        Ok(())
    }

    fn reverse(&mut self) {
        self.0.lock().reverse();
    }

    /// Off the runtime: a long list takes its time.
    async fn sort(&mut self) -> Result<(), Unordered> {
        let items = self.0.lock().clone();
        let sorted = tokio::task::spawn_blocking(move || sorted(items)).await;
        *self.0.lock() = sorted.unwrap_or(Err(Unordered))?;
        Ok(())
    }

    fn clear(&mut self) {
        let items = std::mem::take(&mut *self.0.lock());
        drop(items);
    }

    fn iter(&self) -> impl Stream<Item = Encoded> + use<> {
        let items = self.0.clone();
        stream::unfold(0, move |index| {
            let item = items.lock().get(index).cloned();
            std::future::ready(item.map(|item| (item, index + 1)))
        })
    }

    fn iter_rev(&self) -> impl Stream<Item = Encoded> + use<> {
        let items = self.0.clone();
        let end = items.lock().len();
        stream::unfold(end, move |end| {
            let item = end.checked_sub(1).and_then(|index| items.lock().get(index).cloned());
            std::future::ready(item.map(|item| (item, end - 1)))
        })
    }

    fn snapshot(&self) -> impl Stream<Item = Encoded> + use<> {
        stream::iter(self.0.lock().clone())
    }
}

fn sorted(items: Vec<Encoded>) -> Result<Vec<Encoded>, Unordered> {
    let keyed = items.into_iter().map(|item| Ok((Plain::of(&item)?, item)));
    let mut keyed = keyed.collect::<Result<Vec<_>, RemoteError>>().map_err(|_| Unordered)?;
    let mut mixed = false;
    keyed.sort_by(|(a, _), (b, _)| a.compare(b, &mut mixed));
    if mixed { Err(Unordered) } else { Ok(keyed.into_iter().map(|(_, item)| item).collect()) }
}
