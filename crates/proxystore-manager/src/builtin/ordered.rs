//! Entries in the order in which their keys came, which removing does not change: what dictionaries and sets are.

use std::collections::{BTreeMap, HashMap};

use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};

use super::Shared;
use crate::value::Encoded;

#[derive(Clone, Debug)]
pub(crate) struct Ordered<V> {
    places: HashMap<Encoded, u64>,
    entries: BTreeMap<u64, (Encoded, V)>,
    next: u64,
}

impl<V> Default for Ordered<V> {
    fn default() -> Self {
        Self { places: HashMap::new(), entries: BTreeMap::new(), next: 0 }
    }
}

impl<V> Ordered<V> {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn contains(&self, key: &Encoded) -> bool {
        self.places.contains_key(key)
    }

    pub(crate) fn get(&self, key: &Encoded) -> Option<&V> {
        let (_, value) = self.entries.get(self.places.get(key)?)?;
        Some(value)
    }

    /// The value that was there.
    pub(crate) fn insert(&mut self, key: Encoded, value: V) -> Option<V> {
        if let Some(place) = self.places.get(&key)
            && let Some((_, known)) = self.entries.get_mut(place)
        {
            return Some(std::mem::replace(known, value));
        }
        self.places.insert(key.clone(), self.next);
        self.entries.insert(self.next, (key, value));
        self.next += 1;
        None
    }

    pub(crate) fn remove(&mut self, key: &Encoded) -> Option<(Encoded, V)> {
        let place = self.places.remove(key)?;
        self.entries.remove(&place)
    }

    pub(crate) fn pop_last(&mut self) -> Option<(Encoded, V)> {
        let (_, entry) = self.entries.pop_last()?;
        self.places.remove(&entry.0);
        Some(entry)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Encoded, V)> {
        self.entries.values()
    }
}

/// The number of entries changed since the iteration began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Resized;

impl std::fmt::Display for Resized {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the number of entries changed during the iteration: take a snapshot, or begin again")
    }
}

impl std::error::Error for Resized {}

/// The entries, each as it is when it is fetched, until their number changes.
pub(crate) fn live<V: Clone + Send + 'static>(
    entries: &Shared<Ordered<V>>,
    backwards: bool,
) -> impl Stream<Item = Result<(Encoded, V), Resized>> + Send + use<V> {
    let entries = entries.clone();
    let len = entries.lock().len();
    let (from, to) = (0, u64::MAX);
    stream::unfold(Some((from, to)), move |rest| {
        let next = || {
            let (from, to) = rest?;
            let entries = entries.lock();
            if entries.len() != len {
                return Some((Err(Resized), None));
            }
            let mut range = entries.entries.range(from..to);
            let (place, entry) = if backwards { range.next_back() } else { range.next() }?;
            let rest = if backwards { (from, *place) } else { (place + 1, to) };
            Some((Ok(entry.clone()), Some(rest)))
        };
        std::future::ready(next())
    })
}
