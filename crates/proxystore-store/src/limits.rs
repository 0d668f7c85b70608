//! Decoding bytes that may come from anybody: how deep values nest, and how many elements they have.
//!
//! Each level of nesting costs stack, and a stack that overflows ends the process. An element that takes at least one
//! byte is bounded by the length of the input; one that takes none, such as `()`, is not.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// How many levels sequences, maps, structs, enums, options and newtypes may nest.
const MAX_DEPTH: u32 = 128;

/// How many elements may take no bytes at all.
const FREE_ITEMS: u64 = 65_536;

/// What is left for one decoding.
#[derive(Debug)]
pub(crate) struct Limits {
    depth: Cell<u32>,
    items: Cell<u64>,
    max_items: u64,
    exceeded: Cell<Option<Exceeded>>,
}

#[derive(Debug, Clone, Copy)]
enum Exceeded {
    Depth,
    Items(u64),
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Depth => write!(f, "nesting deeper than {MAX_DEPTH} levels"),
            Self::Items(max) => write!(f, "more than {max} elements"),
        }
    }
}

impl Limits {
    /// The limits for an input of this many bytes.
    pub(crate) fn for_input(length: usize) -> Self {
        let max_items = FREE_ITEMS.saturating_add(length as u64);
        Self {
            depth: Cell::new(MAX_DEPTH),
            items: Cell::new(max_items),
            max_items,
            exceeded: Cell::new(None),
        }
    }

    /// What went wrong: the limit, if it was one, since not all formats keep the message of an error.
    pub(crate) fn explain(&self, error: impl fmt::Display) -> String {
        self.exceeded.get().map_or_else(|| error.to_string(), |exceeded| exceeded.to_string())
    }

    #[cold]
    fn exceed<E: Error>(&self, exceeded: Exceeded) -> E {
        self.exceeded.set(Some(exceeded));
        E::custom(exceeded)
    }

    #[inline]
    fn descend<E: Error>(&self) -> Result<Descent<'_>, E> {
        match self.depth.get().checked_sub(1) {
            Some(left) => {
                self.depth.set(left);
                Ok(Descent(self))
            }
            None => Err(self.exceed(Exceeded::Depth)),
        }
    }

    #[inline]
    fn count<E: Error>(&self) -> Result<(), E> {
        match self.items.get().checked_sub(1) {
            Some(left) => {
                self.items.set(left);
                Ok(())
            }
            None => Err(self.exceed(Exceeded::Items(self.max_items))),
        }
    }
}

/// One level further down, until it is dropped.
struct Descent<'a>(&'a Limits);

impl Drop for Descent<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.depth.set(self.0.depth.get() + 1);
    }
}

/// `deserializer` under `limits`. Beyond one of them it fails, and [`Limits::explain`] tells which it was.
pub(crate) fn limited<'a, 'de, D: Deserializer<'de>>(deserializer: D, limits: &'a Limits) -> Limited<'a, D> {
    Limited { inner: deserializer, limits, counted: false }
}

/// Something of serde's under limits: a deserializer, visitor, seed or access.
pub(crate) struct Limited<'a, X> {
    inner: X,
    limits: &'a Limits,
    /// Whether the parts are elements; the parts of a struct or a tuple are as many as its type says.
    counted: bool,
}

impl<'a, X> Limited<'a, X> {
    #[inline]
    fn wrap<Y>(&self, inner: Y, counted: bool) -> Limited<'a, Y> {
        Limited { inner, limits: self.limits, counted }
    }

    /// What the bytes say of their number, as far as it is likely: types make room for so many, and each takes a byte.
    #[inline]
    fn hint(&self, hint: Option<usize>) -> Option<usize> {
        let length = usize::try_from(self.limits.max_items - FREE_ITEMS).unwrap_or(usize::MAX);
        hint.map(|hint| hint.min(length))
    }
}

macro_rules! pass {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        }
    )*};
}

macro_rules! limit {
    ($($method:ident($($arg:ident: $type:ty),*) $counted:literal;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, $($arg: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.wrap(visitor, $counted);
            self.inner.$method($($arg,)* visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Limited<'_, D> {
    type Error = D::Error;

    pass! {
        deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier
    }

    limit! {
        deserialize_any() true;
        deserialize_ignored_any() true;
        deserialize_option() false;
        deserialize_unit_struct(name: &'static str) false;
        deserialize_newtype_struct(name: &'static str) false;
        deserialize_seq() true;
        deserialize_map() true;
        deserialize_tuple(len: usize) false;
        deserialize_tuple_struct(name: &'static str, len: usize) false;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) false;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) false;
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! visit {
    ($($method:ident $type:ty;)*) => {$(
        #[inline]
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value)
        }
    )*};
}

macro_rules! visit_inside {
    ($($method:ident $access:ident;)*) => {$(
        #[inline]
        fn $method<A: $access<'de>>(self, access: A) -> Result<V::Value, A::Error> {
            let _descent = self.limits.descend()?;
            let access = self.wrap(access, self.counted);
            self.inner.$method(access)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Limited<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    visit! {
        visit_bool bool;
        visit_i8 i8; visit_i16 i16; visit_i32 i32; visit_i64 i64; visit_i128 i128;
        visit_u8 u8; visit_u16 u16; visit_u32 u32; visit_u64 u64; visit_u128 u128;
        visit_f32 f32; visit_f64 f64; visit_char char;
        visit_str &str; visit_borrowed_str &'de str; visit_string String;
        visit_bytes &[u8]; visit_borrowed_bytes &'de [u8]; visit_byte_buf Vec<u8>;
    }

    visit_inside! {
        visit_some Deserializer;
        visit_newtype_struct Deserializer;
        visit_seq SeqAccess;
        visit_map MapAccess;
        visit_enum EnumAccess;
    }

    #[inline]
    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    #[inline]
    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Limited<'_, S> {
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(limited(deserializer, self.limits))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Limited<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.wrap(seed, false);
        let element = self.inner.next_element_seed(seed)?;
        if self.counted && element.is_some() {
            self.limits.count()?;
        }
        Ok(element)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.hint(self.inner.size_hint())
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Limited<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.wrap(seed, false);
        let key = self.inner.next_key_seed(seed)?;
        if self.counted && key.is_some() {
            self.limits.count()?;
        }
        Ok(key)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.wrap(seed, false);
        self.inner.next_value_seed(seed)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.hint(self.inner.size_hint())
    }
}

impl<'a, 'de, A: EnumAccess<'de>> EnumAccess<'de> for Limited<'a, A> {
    type Error = A::Error;
    type Variant = Limited<'a, A::Variant>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let Self { inner, limits, .. } = self;
        let (value, variant) = inner.variant_seed(Limited { inner: seed, limits, counted: false })?;
        Ok((value, Limited { inner: variant, limits, counted: false }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Limited<'_, A> {
    type Error = A::Error;

    #[inline]
    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.wrap(seed, false);
        self.inner.newtype_variant_seed(seed)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.wrap(visitor, false);
        self.inner.tuple_variant(len, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.wrap(visitor, false);
        self.inner.struct_variant(fields, visitor)
    }
}

#[cfg(test)]
mod tests;
