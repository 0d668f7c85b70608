//! The set itself, at its manager.

use std::collections::HashSet;
use std::fmt;

use futures_util::stream::{self, Stream, StreamExt};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::builtin::Shared;
use crate::builtin::ordered::{Ordered, Resized, live};
use crate::builtin::plain::Open;
use crate::builtin::text::{Text, surrounded};
use crate::object;
use crate::value::Encoded;

/// What becomes of two sets.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Operation {
    Union,
    Intersection,
    Difference,
    SymmetricDifference,
}

/// Its items are canonical: clients see to that.
#[derive(Debug, Default)]
pub(crate) struct SetObject(Shared<Ordered<()>>);

impl SetObject {
    fn all(&self) -> Vec<Encoded> {
        self.0.lock().iter().map(|(item, ())| item.clone()).collect()
    }
}

impl Serialize for SetObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.all().iter().map(Open))
    }
}

impl fmt::Display for SetObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.all()[..] {
            [] => f.write_str("set()"),
            items => surrounded(f, '{', '}', items.iter().map(Text)),
        }
    }
}

#[object(crate = "crate", typeid = "proxystore.Set", value, display)]
impl SetObject {
    #[ctor]
    fn new(items: Vec<Encoded>) -> Self {
        let mut set = Self::default();
        set.extend(items);
        set
    }

    #[idempotent]
    fn len(&self) -> usize {
        self.0.lock().len()
    }

    #[idempotent]
    fn contains(&self, item: Encoded) -> bool {
        self.0.lock().contains(&item)
    }

    /// How many are new.
    fn extend(&mut self, new: Vec<Encoded>) -> usize {
        let mut items = self.0.lock();
        let before = items.len();
        for item in new {
            items.insert(item, ());
        }
        items.len() - before
    }

    fn remove(&mut self, item: Encoded) -> bool {
        let removed = self.0.lock().remove(&item);
        removed.is_some()
    }

    fn pop(&mut self) -> Option<Encoded> {
        let popped = self.0.lock().pop_last();
        popped.map(|(item, ())| item)
    }

    fn clear(&mut self) {
        let before = std::mem::take(&mut *self.0.lock());
        drop(before);
    }

    #[idempotent]
    fn combined(&self, operation: Operation, others: Vec<Encoded>) -> Vec<Encoded> {
        let mine = self.0.lock().clone();
        let theirs: HashSet<_> = others.iter().collect();
        let kept = |item: &Encoded| match operation {
            Operation::Union => true,
            Operation::Intersection => theirs.contains(item),
            Operation::Difference | Operation::SymmetricDifference => !theirs.contains(item),
        };
        let mut result: Vec<_> =
            mine.iter().map(|(item, ())| item).filter(|item| kept(item)).cloned().collect();
        if let Operation::Union | Operation::SymmetricDifference = operation {
            let mut known = HashSet::new();
            let new = others.iter().filter(|item| !mine.contains(item) && known.insert(*item));
            result.extend(new.cloned());
        }
        result
    }

    fn combine(&mut self, operation: Operation, others: Vec<Encoded>) {
        let mut after = Ordered::default();
        for item in self.combined(operation, others) {
            after.insert(item, ());
        }
        let before = std::mem::replace(&mut *self.0.lock(), after);
        drop(before);
    }

    #[idempotent]
    fn is_subset(&self, others: Vec<Encoded>) -> bool {
        let others: HashSet<_> = others.iter().collect();
        let items = self.0.lock();
        items.iter().all(|(item, ())| others.contains(item))
    }

    #[idempotent]
    fn is_superset(&self, others: Vec<Encoded>) -> bool {
        let items = self.0.lock();
        others.iter().all(|item| items.contains(item))
    }

    #[idempotent]
    fn is_disjoint(&self, others: Vec<Encoded>) -> bool {
        let items = self.0.lock();
        !others.iter().any(|item| items.contains(item))
    }

    #[idempotent]
    fn eq_value(&self, others: Vec<Encoded>) -> bool {
        let others: HashSet<_> = others.iter().collect();
        let items = self.0.lock();
        items.len() == others.len() && others.iter().all(|item| items.contains(item))
    }

    fn iter(&self) -> impl Stream<Item = Result<Encoded, Resized>> + use<> {
        live(&self.0, false).map(|entry| entry.map(|(item, ())| item))
    }

    fn snapshot(&self) -> impl Stream<Item = Encoded> + use<> {
        stream::iter(self.all())
    }
}
