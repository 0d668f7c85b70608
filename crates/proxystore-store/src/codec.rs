//! From a value to bytes and back.

use std::sync::Arc;

use bytes::Bytes;
use proxystore_core::{Error, ErrorKind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::{self, Limits};
use crate::schema::{Schema, schema};

/// The name of a byte format: what stands in an object's header and in references to it.
pub trait Format: Send + Sync + 'static {
    /// Its id. 0 to 63 are ours; a codec of your own takes one from 64 to 255 and keeps it.
    const ID: u8;
    /// Its name in messages and in readable references: lower-case letters and digits.
    const NAME: &'static str;
}

/// Turns values of type `T` into bytes of a [`Format`] and back. A codec is a type without state.
///
/// A codec of your own is these two functions:
///
/// ```
/// use proxystore_core::{Bytes, Error, ErrorKind, Result};
/// use proxystore_store::{Codec, Format};
///
/// struct Pixels(Vec<u16>);
/// struct BigEndian;
///
/// impl Format for BigEndian {
///     const ID: u8 = 64;
///     const NAME: &'static str = "pixels";
/// }
/// impl Codec<Pixels> for BigEndian {
///     fn encode(value: &Pixels) -> Result<Bytes> {
///         Ok(value.0.iter().flat_map(|pixel| pixel.to_be_bytes()).collect())
///     }
///     fn decode(bytes: Bytes) -> Result<Pixels> {
///         let (pixels, []) = bytes.as_chunks() else {
///             return Err(Error::new(ErrorKind::Codec, "half a pixel is left over"));
///         };
///         Ok(Pixels(pixels.iter().map(|pixel| u16::from_be_bytes(*pixel)).collect()))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the codec `{Self}` cannot encode `{T}`",
    note = "derive `serde::Serialize` and `serde::Deserialize`, and own all data; or implement `Codec<{T}>` yourself"
)]
pub trait Codec<T>: Format {
    /// The bytes of `value`. `Codec` if it has none in this format. Values beyond the limits of
    /// [`decode`](Self::decode) need not be refused here.
    fn encode(value: &T) -> Result<Bytes>;

    /// The value of `bytes`, which may come from anybody: all of them must be used, and none may overflow the stack
    /// or the memory. `Codec` otherwise.
    fn decode(bytes: Bytes) -> Result<T>;

    /// The shape of `T` in this format, if its bytes do not describe themselves: it is compared before decoding.
    fn schema() -> Option<Arc<Schema>> {
        None
    }
}

fn failed(verb: &str, name: &str, type_name: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Codec, format!("cannot {verb} `{type_name}` as {name}: {why}"))
}

/// [Postcard](https://docs.rs/postcard): compact, fast and not self-describing, so the shape of `T` is learnt by
/// itself and checked on every resolve. The default.
///
/// Reading is limited to 128 levels of nesting and 65,536 elements that take no bytes, such as `()`; writing is not, so
/// a value beyond that can be put and not be read back.
#[derive(Debug, Clone, Copy)]
pub struct Postcard;

impl Format for Postcard {
    const ID: u8 = 1;
    const NAME: &'static str = "postcard";
}

impl<T: Serialize + DeserializeOwned + 'static> Codec<T> for Postcard {
    fn encode(value: &T) -> Result<Bytes> {
        let schema = schema::<T>(false);
        if let Some(why) = schema.needs_self_describing() {
            return Err(failed("encode", Self::NAME, std::any::type_name::<T>(), why)
                .hint("choose a self-describing codec, such as `.codec::<MsgPack>()` (feature `msgpack`)"));
        }
        postcard::to_allocvec(value)
            .map(Bytes::from)
            .map_err(|e| failed("encode", Self::NAME, std::any::type_name::<T>(), e))
    }

    fn decode(bytes: Bytes) -> Result<T> {
        let limits = Limits::for_input(bytes.len());
        let mut postcard = postcard::Deserializer::from_bytes(&bytes);
        let value = T::deserialize(limits::limited(&mut postcard, &limits))
            .map_err(|e| failed("decode", Self::NAME, std::any::type_name::<T>(), limits.explain(e)))?;
        match postcard.finalize() {
            Ok([]) => Ok(value),
            _ => Err(failed("decode", Self::NAME, std::any::type_name::<T>(), "bytes are left over")),
        }
    }

    fn schema() -> Option<Arc<Schema>> {
        Some(schema::<T>(false))
    }
}

/// Bytes as they are, for [`Bytes`], `Vec<u8>` and `String`. A put and a get of `Bytes` copy nothing.
#[derive(Debug, Clone, Copy)]
pub struct Raw;

impl Format for Raw {
    const ID: u8 = 0;
    const NAME: &'static str = "raw";
}

impl Codec<Bytes> for Raw {
    fn encode(value: &Bytes) -> Result<Bytes> {
        Ok(value.clone())
    }

    fn decode(bytes: Bytes) -> Result<Bytes> {
        Ok(bytes)
    }
}

impl Codec<Vec<u8>> for Raw {
    fn encode(value: &Vec<u8>) -> Result<Bytes> {
        Ok(Bytes::copy_from_slice(value))
    }

    fn decode(bytes: Bytes) -> Result<Vec<u8>> {
        Ok(bytes.into())
    }
}

impl Codec<String> for Raw {
    fn encode(value: &String) -> Result<Bytes> {
        Ok(Bytes::copy_from_slice(value.as_bytes()))
    }

    fn decode(bytes: Bytes) -> Result<String> {
        String::from_utf8(bytes.into()).map_err(|e| failed("decode", Self::NAME, "String", e.utf8_error()))
    }
}

/// [JSON](https://docs.rs/serde_json): self-describing and readable; types may evolve. Feature `json`.
#[cfg(feature = "json")]
#[derive(Debug, Clone, Copy)]
pub struct Json;

#[cfg(feature = "json")]
impl Format for Json {
    const ID: u8 = 2;
    const NAME: &'static str = "json";
}

#[cfg(feature = "json")]
impl<T: Serialize + DeserializeOwned + 'static> Codec<T> for Json {
    fn encode(value: &T) -> Result<Bytes> {
        serde_json::to_vec(value)
            .map(Bytes::from)
            .map_err(|e| failed("encode", Self::NAME, std::any::type_name::<T>(), e))
    }

    fn decode(bytes: Bytes) -> Result<T> {
        // serde_json limits nesting by itself, and its messages tell a place; the value they may quote is cut off.
        serde_json::from_slice(&bytes).map_err(|e| {
            let why = format!("{:?} error at line {} column {}", e.classify(), e.line(), e.column());
            failed("decode", Self::NAME, std::any::type_name::<T>(), why)
        })
    }
}

/// [MessagePack](https://docs.rs/rmp-serde) with named fields: self-describing and compact; types may evolve.
/// Feature `msgpack`.
#[cfg(feature = "msgpack")]
#[derive(Debug, Clone, Copy)]
pub struct MsgPack;

#[cfg(feature = "msgpack")]
impl Format for MsgPack {
    const ID: u8 = 3;
    const NAME: &'static str = "msgpack";
}

#[cfg(feature = "msgpack")]
impl<T: Serialize + DeserializeOwned + 'static> Codec<T> for MsgPack {
    fn encode(value: &T) -> Result<Bytes> {
        rmp_serde::to_vec_named(value)
            .map(Bytes::from)
            .map_err(|e| failed("encode", Self::NAME, std::any::type_name::<T>(), e))
    }

    fn decode(bytes: Bytes) -> Result<T> {
        let limits = Limits::for_input(bytes.len());
        let mut rest: &[u8] = &bytes;
        let value = T::deserialize(limits::limited(&mut rmp_serde::Deserializer::new(&mut rest), &limits))
            .map_err(|e| {
                failed("decode", Self::NAME, std::any::type_name::<T>(), limits.explain(category(&e)))
            })?;
        if rest.is_empty() {
            Ok(value)
        } else {
            Err(failed("decode", Self::NAME, std::any::type_name::<T>(), "bytes are left over"))
        }
    }
}

/// What went wrong without the message, which may quote the value.
#[cfg(feature = "msgpack")]
fn category(error: &rmp_serde::decode::Error) -> &'static str {
    use rmp_serde::decode::Error;
    match error {
        Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => "the bytes end too early",
        Error::TypeMismatch(_) => "a value is of another kind",
        Error::OutOfRange => "a number is out of range",
        Error::LengthMismatch(_) => "an array has another length",
        Error::Syntax(_) | Error::Uncategorized(_) => "the type refuses what was stored",
        Error::Utf8Error(_) => "a text is not UTF-8",
        Error::DepthLimitExceeded => "nesting is too deep",
    }
}

/// The names of our own formats, for readable references.
const NAMES: [(u8, &str); 4] = [(0, "raw"), (1, "postcard"), (2, "json"), (3, "msgpack")];

/// The name of a format id: ours by name, others by number.
pub(crate) fn format_name(id: u8) -> String {
    NAMES.iter().find(|(known, _)| *known == id).map_or_else(|| id.to_string(), |(_, name)| (*name).into())
}

/// The id of a format name as [`format_name`] writes it.
pub(crate) fn format_id(name: &str) -> Option<u8> {
    NAMES.iter().find(|(_, known)| *known == name).map_or_else(|| name.parse().ok(), |(id, _)| Some(*id))
}
