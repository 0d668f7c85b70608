//! Values of types that the manager does not know, on their way in.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::plain::{self, Plain};
use crate::value::Encoded;

/// A value in a call that is to be kept encoded: the capsule that typed proxies send, or a value as it is.
pub(crate) fn capsule<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Encoded, D::Error> {
    deserializer.deserialize_any(Capsule)
}

struct Capsule;

/// With its maps in one order, as typed proxies have it where the value is a key.
fn open<E: Error>(plain: Result<Plain, E>) -> Result<Encoded, E> {
    let mut plain = plain?;
    plain.sort_maps();
    Encoded::new(&plain).map_err(E::custom)
}

impl<'de> Visitor<'de> for Capsule {
    type Value = Encoded;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    /// Bytes and a list: that is a capsule, which has its proxies in the list.
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Encoded, A::Error> {
        let mut list = Vec::new();
        match items.next_element()? {
            Some(Plain::Bytes(bytes)) => {
                let proxies = items.next_element()?;
                let proxies = proxies.ok_or_else(|| A::Error::custom("bytes alone in a list"))?;
                return Ok(Encoded { bytes: Bytes::from(bytes), proxies });
            }
            first => list.extend(first),
        }
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        open(Ok(Plain::List(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Encoded, A::Error> {
        open(plain::Visitor.visit_map(entries))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, proxy: D) -> Result<Encoded, D::Error> {
        open(plain::Visitor.visit_newtype_struct(proxy))
    }

    fn visit_unit<E: Error>(self) -> Result<Encoded, E> {
        open(Ok(Plain::Nil))
    }

    fn visit_bool<E: Error>(self, bool: bool) -> Result<Encoded, E> {
        open(Ok(Plain::Bool(bool)))
    }

    fn visit_i64<E: Error>(self, int: i64) -> Result<Encoded, E> {
        open(Ok(Plain::Int(int.into())))
    }

    fn visit_u64<E: Error>(self, int: u64) -> Result<Encoded, E> {
        open(Ok(Plain::Int(int.into())))
    }

    fn visit_f32<E: Error>(self, float: f32) -> Result<Encoded, E> {
        open(Ok(Plain::Float32(float)))
    }

    fn visit_f64<E: Error>(self, float: f64) -> Result<Encoded, E> {
        open(Ok(Plain::Float(float)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Encoded, E> {
        open(Ok(Plain::Text(text.into())))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Encoded, E> {
        open(Ok(Plain::Bytes(bytes.into())))
    }
}
