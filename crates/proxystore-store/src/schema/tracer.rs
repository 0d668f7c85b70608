//! The deserializer that hands out made-up values and writes down what it was asked for.

use std::any::type_name;

use serde::de::value::U32Deserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::graph::{Key, Kind, NodeId, Place, length};
use super::samples::{BYTES, CHARS, FLOATS, LENGTHS, NUMBERS, TEXTS};
use super::search::{Class, Refusal, Trace, key};

type Result<T> = std::result::Result<T, Refusal>;

/// A deserializer for the value at one place.
#[derive(Clone, Copy)]
pub(super) struct Tracer<'a> {
    pub(super) trace: &'a Trace,
    pub(super) place: Place,
}

impl<'a> Tracer<'a> {
    /// A value without parts: `visit` hands over the sample of that number, of `samples`.
    fn leaf<'de, V: Visitor<'de>>(
        self,
        name: &'static str,
        samples: usize,
        visit: impl FnOnce(usize) -> Result<V::Value>,
    ) -> Result<V::Value> {
        self.trace.inside(self.place, Key::plain(Kind::Leaf(name)), |_| {
            let visitor = type_name::<V>();
            let attempt = {
                let mut state = self.trace.state();
                let attempt = state.attempt(visitor, samples);
                state.choose(attempt, samples);
                attempt
            };
            let result = visit(attempt);
            if result.is_err() {
                self.trace.state().skip(visitor, attempt);
            }
            result
        })
    }

    /// A value that is either there or not, or has as many elements as one likes: `visit` gets their number.
    fn many<'de, V: Visitor<'de>>(
        self,
        kind: Kind,
        attempts: usize,
        visit: impl FnOnce(NodeId, usize) -> Result<V::Value>,
    ) -> Result<V::Value> {
        self.trace.inside(self.place, key::<V>(kind, "", &[]), |id| {
            let (attempt, wanted) = {
                let mut state = self.trace.state();
                let wanted = state.has_room() && state.graph.is_open(id);
                (state.attempt(type_name::<V>(), attempts), wanted)
            };
            let result = visit(id, length(attempt, wanted));
            // After the samples inside it, so that it changes before they do.
            self.trace.state().choose(attempt, attempts);
            result
        })
    }

    /// A value with a fixed number of parts.
    fn parts<'de, V: Visitor<'de>>(self, key: Key, count: usize, visitor: V) -> Result<V::Value> {
        self.trace.inside(self.place, key, |id| {
            visitor.visit_seq(Elements { trace: self.trace, id, next: 0, count, shared: false })
        })
    }

    /// Formats that do not describe themselves know neither the kind of a value nor the names of its parts.
    fn undescribed<T>(self, reason: &str) -> Result<T> {
        self.trace.inside(self.place, Key::plain(Kind::Leaf("any")), |_| {
            Err(self.trace.state().self_describing(reason))
        })
    }
}

macro_rules! leaves {
    ($($method:ident $visit:ident $name:literal $count:expr, $sample:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.leaf::<V>($name, $count, |i| visitor.$visit($sample(i)))
        }
    )*};
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            let fit = NUMBERS.iter().map_while(|n| $type::try_from(*n).ok());
            self.leaf::<V>(stringify!($type), fit.clone().count(), |i| {
                visitor.$visit(fit.clone().nth(i).unwrap_or_default())
            })
        }
    )*};
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Refusal;

    fn is_human_readable(&self) -> bool {
        self.trace.human_readable
    }

    numbers! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_i128 visit_i128 i128;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_u128 visit_u128 u128;
    }

    leaves! {
        deserialize_bool visit_bool "bool" 2, |i| i == 1;
        deserialize_f32 visit_f32 "f32" FLOATS.len(), |i: usize| FLOATS[i];
        deserialize_f64 visit_f64 "f64" FLOATS.len(), |i: usize| f64::from(FLOATS[i]);
        deserialize_char visit_char "char" CHARS.len(), |i: usize| CHARS[i];
        deserialize_str visit_borrowed_str "str" TEXTS.len(), |i: usize| TEXTS[i];
        deserialize_string visit_str "str" TEXTS.len(), |i: usize| TEXTS[i];
        deserialize_bytes visit_borrowed_bytes "bytes" BYTES.len(), |i: usize| BYTES[i];
        deserialize_byte_buf visit_bytes "bytes" BYTES.len(), |i: usize| BYTES[i];
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.leaf::<V>("unit", 1, |_| visitor.visit_unit())
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        self.trace.inside(self.place, key::<V>(Kind::UnitStruct, name, &[]), |_| visitor.visit_unit())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.many::<V>(Kind::Option, 2, |id, count| match count {
            0 => visitor.visit_none(),
            _ => self.trace.watch((id, 0), |inner| visitor.visit_some(inner)),
        })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.many::<V>(Kind::Seq, LENGTHS.len(), |id, count| {
            visitor.visit_seq(Elements { trace: self.trace, id, next: 0, count, shared: true })
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.many::<V>(Kind::Map, LENGTHS.len(), |id, count| {
            visitor.visit_map(Elements { trace: self.trace, id, next: 0, count, shared: true })
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        self.trace.inside(self.place, key::<V>(Kind::Newtype, name, &[]), |id| {
            self.trace.watch((id, 0), |inner| visitor.visit_newtype_struct(inner))
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.parts(key::<V>(Kind::Tuple, "", &[]), len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.parts(key::<V>(Kind::TupleStruct, name, &[]), len, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.trace.inside(self.place, key::<V>(Kind::Struct, name, fields), |id| {
            let elements = Elements { trace: self.trace, id, next: 0, count: fields.len(), shared: false };
            let result = visitor.visit_seq(elements);
            match &result {
                Err(refusal) if refusal.class == Class::Kind && !self.trace.state().is_blamed() => {
                    Err(self.trace.state().self_describing("its fields are found by name only"))
                }
                _ => result,
            }
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.trace.inside(self.place, key::<V>(Kind::Enum, name, variants), |id| {
            let index = {
                let mut state = self.trace.state();
                let room = state.has_room();
                let Some(index) = state.graph.pick(id, room) else {
                    return Err(state.partial("it has no variant that ends".into()));
                };
                state.graph.nodes[id].entered.push(index);
                index
            };
            let result = visitor.visit_enum(Variant { trace: self.trace, id, index });
            let node = &mut self.trace.state().graph.nodes[id];
            node.entered.pop();
            if result.is_ok() {
                node.ends.get_or_insert(index);
            }
            result
        })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value> {
        self.undescribed("it asks the bytes what comes next (untagged, internally tagged or any value)")
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value> {
        self.undescribed("it asks the bytes for a name (flattened or adjacently tagged)")
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value> {
        self.undescribed("it skips a value without knowing its type")
    }
}

/// The parts of a value; `shared` ones, elements, all stand at one place.
struct Elements<'a> {
    trace: &'a Trace,
    id: NodeId,
    next: usize,
    count: usize,
    shared: bool,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Refusal;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if self.next == self.count {
            return Ok(None);
        }
        let index = if self.shared { 0 } else { self.next };
        self.next += 1;
        self.trace.at((self.id, index), seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.count - self.next)
    }
}

impl<'de> MapAccess<'de> for Elements<'_> {
    type Error = Refusal;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if self.next == self.count {
            return Ok(None);
        }
        self.next += 1;
        self.trace.at((self.id, 0), seed).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        self.trace.at((self.id, 1), seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.count - self.next)
    }
}

/// One variant of an enum.
struct Variant<'a> {
    trace: &'a Trace,
    id: NodeId,
    index: usize,
}

impl Variant<'_> {
    fn inside<R>(
        self,
        kind: Kind,
        labels: &'static [&'static str],
        visit: impl FnOnce(NodeId) -> Result<R>,
    ) -> Result<R> {
        let place = (self.id, self.index);
        self.trace.inside(place, Key { labels, variant: Some(place), ..Key::plain(kind) }, visit)
    }
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Refusal;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self)> {
        // By number, as the formats do that do not describe themselves.
        let number: U32Deserializer<Refusal> =
            u32::try_from(self.index).unwrap_or(u32::MAX).into_deserializer();
        let variant = seed.deserialize(number).map_err(|refusal| {
            let mut state = self.trace.state();
            match refusal.class {
                Class::Kind => state.self_describing("its variants are found by name only"),
                // Serde lists aliases among the variants: so there are fewer than it seemed.
                Class::Value if self.index > 0 => {
                    state.graph.nodes[self.id].variants = self.index;
                    state.again()
                }
                _ => refusal,
            }
        })?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Refusal;

    fn unit_variant(self) -> Result<()> {
        self.inside(Kind::UnitVariant, &[], |_| Ok(()))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        let trace = self.trace;
        self.inside(Kind::NewtypeVariant, &[], |id| trace.at((id, 0), seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        let trace = self.trace;
        self.inside(Kind::TupleVariant, &[], |id| {
            visitor.visit_seq(Elements { trace, id, next: 0, count: len, shared: false })
        })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let trace = self.trace;
        self.inside(Kind::StructVariant, fields, |id| {
            visitor.visit_seq(Elements { trace, id, next: 0, count: fields.len(), shared: false })
        })
    }
}
