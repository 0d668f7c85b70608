//! Values of types that the manager does not know: what they consist of, their order, and their text.

use std::cmp::Ordering;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::error::RemoteError;
use crate::proxy::ProxyBase;
use crate::value::{self, Encoded, Slot};

/// A value of any type. Its order is total: first by kind, then as within the kind; entries of a map and fields of a
/// struct count in the order in which they are.
#[derive(Clone, Debug)]
pub(crate) enum Plain {
    Nil,
    Bool(bool),
    Int(i128),
    Float32(f32),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Plain>),
    Map(Vec<(Plain, Plain)>),
    Proxy(ProxyBase),
}

impl Plain {
    pub(crate) fn of(value: &Encoded) -> Result<Self, RemoteError> {
        value.decode()
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Nil => 0,
            Self::Bool(_) => 1,
            Self::Int(_) => 2,
            Self::Float32(_) | Self::Float(_) => 3,
            Self::Text(_) => 4,
            Self::Bytes(_) => 5,
            Self::List(_) => 6,
            Self::Map(_) => 7,
            Self::Proxy(_) => 8,
        }
    }

    /// The order of the two, and in `mixed` whether it is one between kinds.
    pub(crate) fn compare(&self, other: &Self, mixed: &mut bool) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::List(a), Self::List(b)) => first(a, b, |a, b| a.compare(b, mixed)),
            (Self::Map(a), Self::Map(b)) => {
                first(a, b, |(ak, av), (bk, bv)| ak.compare(bk, mixed).then_with(|| av.compare(bv, mixed)))
            }
            (Self::Proxy(a), Self::Proxy(b)) => {
                *mixed |= a != b;
                a.object().cmp(&b.object())
            }
            _ => match (self.float(), other.float()) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                _ => {
                    let order = self.kind().cmp(&other.kind());
                    *mixed |= order.is_ne();
                    order
                }
            },
        }
    }

    fn float(&self) -> Option<f64> {
        match self {
            Self::Float32(float) => Some((*float).into()),
            Self::Float(float) => Some(*float),
            _ => None,
        }
    }

    /// Brings the entries of maps into one order. Whether there was something to do.
    pub(crate) fn sort_maps(&mut self) -> bool {
        match self {
            Self::List(items) => items.iter_mut().fold(false, |sorted, item| item.sort_maps() | sorted),
            Self::Map(entries) => {
                let inner = entries
                    .iter_mut()
                    .fold(false, |sorted, (key, value)| key.sort_maps() | value.sort_maps() | sorted);
                let sorted = entries.is_sorted_by(|(a, _), (b, _)| a <= b);
                entries.sort_by(|(a, _), (b, _)| a.cmp(b));
                inner | !sorted
            }
            _ => false,
        }
    }
}

/// The first difference, or that of the lengths.
fn first<T>(a: &[T], b: &[T], mut compare: impl FnMut(&T, &T) -> Ordering) -> Ordering {
    let differences = a.iter().zip(b).map(|(a, b)| compare(a, b));
    differences.into_iter().find(|order| order.is_ne()).unwrap_or(a.len().cmp(&b.len()))
}

impl Ord for Plain {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare(other, &mut false)
    }
}

impl PartialOrd for Plain {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Plain {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Plain {}

/// The same value with one encoding, whatever order its maps and fields came in: what makes two values the same key.
pub(crate) fn canonical(value: Encoded) -> Result<Encoded, RemoteError> {
    if !has_parts(&value) {
        return Ok(value);
    }
    let mut plain = Plain::of(&value)?;
    if plain.sort_maps() { Encoded::new(&plain) } else { Ok(value) }
}

/// Whether the two are the same value.
pub(crate) fn same(a: &Encoded, b: &Encoded) -> bool {
    // Another order of the same entries is one of the same bytes.
    let sum = |value: &Encoded| value.bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    let may_be = || a.bytes.len() == b.bytes.len() && has_parts(a) && has_parts(b) && sum(a) == sum(b);
    a == b || may_be() && matches!((canonical(a.clone()), canonical(b.clone())), (Ok(a), Ok(b)) if a == b)
}

/// Whether it is an array or a map.
fn has_parts(value: &Encoded) -> bool {
    matches!(value.bytes.first(), Some(0x80..=0x9f | 0xdc..=0xdf))
}

/// Writes what is encoded as what it is, and not as a capsule.
pub(crate) struct Open<'a>(pub(crate) &'a Encoded);

impl Serialize for Open<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Plain::of(self.0).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl Serialize for Plain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nil => serializer.serialize_unit(),
            Self::Bool(bool) => serializer.serialize_bool(*bool),
            Self::Int(int) => match (u64::try_from(*int), i64::try_from(*int)) {
                (Ok(int), _) => serializer.serialize_u64(int),
                (_, Ok(int)) => serializer.serialize_i64(int),
                _ => Err(serde::ser::Error::custom("an integer of more than 64 bits")),
            },
            Self::Float32(float) => serializer.serialize_f32(*float),
            Self::Float(float) => serializer.serialize_f64(*float),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
            Self::Proxy(proxy) => proxy.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

pub(super) struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Plain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Plain, E> {
        Ok(Plain::Nil)
    }

    fn visit_bool<E>(self, bool: bool) -> Result<Plain, E> {
        Ok(Plain::Bool(bool))
    }

    fn visit_i64<E>(self, int: i64) -> Result<Plain, E> {
        Ok(Plain::Int(int.into()))
    }

    fn visit_u64<E>(self, int: u64) -> Result<Plain, E> {
        Ok(Plain::Int(int.into()))
    }

    fn visit_f32<E>(self, float: f32) -> Result<Plain, E> {
        Ok(Plain::Float32(float))
    }

    fn visit_f64<E>(self, float: f64) -> Result<Plain, E> {
        Ok(Plain::Float(float))
    }

    fn visit_str<E>(self, text: &str) -> Result<Plain, E> {
        Ok(Plain::Text(text.into()))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Plain, E> {
        Ok(Plain::Bytes(bytes.into()))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Plain, D::Error> {
        let Slot(number) = Slot::inner(inner)?;
        let proxy = value::captured(number).map(Plain::Proxy);
        proxy.ok_or_else(|| de::Error::custom("a proxy that did not come along"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Plain, A::Error> {
        let mut list = Vec::with_capacity(items.size_hint().unwrap_or(0).min(1024));
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Plain::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Plain, A::Error> {
        let mut map = Vec::with_capacity(entries.size_hint().unwrap_or(0).min(1024));
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Plain::Map(map))
    }
}

#[cfg(test)]
mod tests;
