//! The dictionary itself, at its manager.

use std::fmt;

use futures_util::stream::{self, Stream};
use serde::Serialize;
use serde::ser::Serializer;

use crate::builtin::Shared;
use crate::builtin::ordered::{Ordered, Resized, live};
use crate::builtin::plain::{Open, same};
use crate::builtin::text::{Entry, Text, surrounded};
use crate::object;
use crate::value::Encoded;

/// Its keys are canonical: clients see to that.
#[derive(Debug, Default)]
pub(crate) struct DictObject(Shared<Ordered<Encoded>>);

impl DictObject {
    fn all(&self) -> Vec<(Encoded, Encoded)> {
        self.0.lock().iter().cloned().collect()
    }
}

impl Serialize for DictObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.all().iter().map(|(key, value)| (Open(key), Open(value))))
    }
}

impl fmt::Display for DictObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        surrounded(f, '{', '}', self.all().iter().map(|(key, value)| Entry(Text(key), Text(value))))
    }
}

#[object(crate = "crate", typeid = "proxystore.Dict", value, display)]
impl DictObject {
    #[ctor]
    fn new(entries: Vec<(Encoded, Encoded)>) -> Self {
        let mut dict = Self::default();
        dict.extend(entries);
        dict
    }

    #[idempotent]
    fn len(&self) -> usize {
        self.0.lock().len()
    }

    #[idempotent]
    fn contains_key(&self, key: Encoded) -> bool {
        self.0.lock().contains(&key)
    }

    #[idempotent]
    fn get(&self, key: Encoded) -> Option<Encoded> {
        self.0.lock().get(&key).cloned()
    }

    #[idempotent]
    fn get_many(&self, keys: Vec<Encoded>) -> Vec<Option<Encoded>> {
        let entries = self.0.lock();
        keys.iter().map(|key| entries.get(key).cloned()).collect()
    }

    fn insert(&mut self, key: Encoded, value: Encoded) -> Option<Encoded> {
        self.0.lock().insert(key, value)
    }

    fn extend(&mut self, new: Vec<(Encoded, Encoded)>) {
        let mut entries = self.0.lock();
        let before: Vec<_> = new.into_iter().map(|(key, value)| entries.insert(key, value)).collect();
        drop(entries);
        drop(before);
    }

    fn get_or_insert(&mut self, key: Encoded, value: Encoded) -> Encoded {
        let mut entries = self.0.lock();
        if let Some(known) = entries.get(&key) {
            return known.clone();
        }
        entries.insert(key, value.clone());
        value
    }

    fn compare_exchange(
        &mut self,
        key: Encoded,
        current: Option<Encoded>,
        new: Option<Encoded>,
    ) -> Result<(), Option<Encoded>> {
        let mut entries = self.0.lock();
        let known = entries.get(&key);
        let expected = match (known, &current) {
            (Some(known), Some(current)) => same(known, current),
            (known, current) => known.is_none() && current.is_none(),
        };
        if !expected {
            return Err(known.cloned());
        }
        let before = match new {
            Some(new) => (entries.insert(key, new), None),
            None => (None, entries.remove(&key)),
        };
        drop(entries);
        drop(before);
        Ok(())
    }

    fn remove(&mut self, key: Encoded) -> Option<Encoded> {
        let removed = self.0.lock().remove(&key);
        removed.map(|(_, value)| value)
    }

    fn pop_last(&mut self) -> Option<(Encoded, Encoded)> {
        self.0.lock().pop_last()
    }

    fn clear(&mut self) {
        let before = std::mem::take(&mut *self.0.lock());
        drop(before);
    }

    #[idempotent]
    fn keys(&self) -> Vec<Encoded> {
        self.0.lock().iter().map(|(key, _)| key.clone()).collect()
    }

    #[idempotent]
    fn values(&self) -> Vec<Encoded> {
        self.0.lock().iter().map(|(_, value)| value.clone()).collect()
    }

    #[idempotent]
    fn entries(&self) -> Vec<(Encoded, Encoded)> {
        self.all()
    }

    #[idempotent]
    fn eq_value(&self, others: Vec<(Encoded, Encoded)>) -> bool {
        let entries = self.0.lock().clone();
        let mut known = Ordered::default();
        for (key, value) in others {
            known.insert(key, value);
        }
        let equal =
            |(key, value): &(Encoded, Encoded)| known.get(key).is_some_and(|other| same(other, value));
        entries.len() == known.len() && entries.iter().all(equal)
    }

    fn iter(&self) -> impl Stream<Item = Result<(Encoded, Encoded), Resized>> + use<> {
        live(&self.0, false)
    }

    fn iter_rev(&self) -> impl Stream<Item = Result<(Encoded, Encoded), Resized>> + use<> {
        live(&self.0, true)
    }

    fn snapshot(&self) -> impl Stream<Item = (Encoded, Encoded)> + use<> {
        stream::iter(self.all())
    }
}
