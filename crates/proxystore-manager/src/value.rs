//! Values as bytes, and the proxies in them.
//!
//! A proxy that is serialized for a call becomes the number of a capability, marked as such; the capability itself goes
//! beside the bytes. So a server that does not know a type still knows which objects a value leads to. That the proxies know
//! where they are serialized is the work of a stack per thread: serde is synchronous.

use std::cell::RefCell;
use std::io::ErrorKind;

use bytes::Bytes;
use serde::de::{self, DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{RemoteError, RemoteErrorKind};
use crate::proxy::ProxyBase;

/// What marks a number as that of a proxy: a MessagePack extension.
const SLOT: i8 = 1;
/// The deepest nesting that is decoded.
const MAX_DEPTH: usize = 128;

thread_local! {
    static ENCODING: RefCell<Vec<Vec<ProxyBase>>> = const { RefCell::new(Vec::new()) };
    static DECODING: RefCell<Vec<Vec<ProxyBase>>> = const { RefCell::new(Vec::new()) };
}

/// An encoded value: MessagePack with field names, and the proxies that it holds, which stay alive with it.
///
/// It is a serde value itself, so that an object can keep values of types that it does not know: a method that takes and
/// returns `Encoded` is one whose proxy encodes and decodes. Two are equal if their bytes are and their proxies mean the
/// same objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Encoded {
    pub(crate) bytes: Bytes,
    pub(crate) proxies: Vec<ProxyBase>,
}

/// Ends a scope also when serde code panics.
struct Scope(&'static std::thread::LocalKey<RefCell<Vec<Vec<ProxyBase>>>>);

impl Scope {
    fn enter(
        stack: &'static std::thread::LocalKey<RefCell<Vec<Vec<ProxyBase>>>>,
        proxies: Vec<ProxyBase>,
    ) -> Self {
        stack.with_borrow_mut(|stack| stack.push(proxies));
        Self(stack)
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        // What was in it may be dropped outside of the borrow alone: a proxy's end is not our business here.
        let _proxies = self.0.with_borrow_mut(Vec::pop);
    }
}

impl Encoded {
    /// Encodes a value, with the proxies in it. `Encode` if its type cannot be serialized.
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Result<Self, RemoteError> {
        let _scope = Scope::enter(&ENCODING, Vec::new());
        let mut bytes = Vec::with_capacity(64);
        value
            .serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map())
            .map_err(|error| RemoteError::new(RemoteErrorKind::Encode, error.to_string()))?;
        let proxies =
            ENCODING.with_borrow_mut(|stack| stack.last_mut().map(std::mem::take).unwrap_or_default());
        Ok(Self { bytes: bytes.into(), proxies })
    }

    /// Decodes the value. `Encode` if it is of another type, too deep, or followed by something.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, RemoteError> {
        let bad = |why: String| RemoteError::new(RemoteErrorKind::Encode, why);
        let _scope = Scope::enter(&DECODING, self.proxies.clone());
        let mut deserializer = rmp_serde::Deserializer::from_read_ref(&*self.bytes);
        deserializer.set_max_depth(MAX_DEPTH);
        let value = T::deserialize(&mut deserializer).map_err(|error| bad(unlike(&error)))?;
        // The reader does not show how far it is; that nothing more can be read says it, too.
        match IgnoredAny::deserialize(&mut deserializer) {
            Err(rmp_serde::decode::Error::InvalidMarkerRead(end))
                if end.kind() == ErrorKind::UnexpectedEof =>
            {
                Ok(value)
            }
            _ => Err(bad("there are bytes behind the value".into())),
        }
    }
}

/// What a value is not. What it is, serde says, too, and an error must not.
fn unlike(error: &rmp_serde::decode::Error) -> String {
    use rmp_serde::decode::Error as E;

    let E::Syntax(text) = error else {
        return match error {
            E::TypeMismatch(_) => "it is of another type".into(),
            error => error.to_string(),
        };
    };
    let ours = ["missing field", "duplicate field", RemoteErrorKind::NoSuchType.words()];
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None if ours.iter().any(|ours| text.starts_with(ours)) => text.clone(),
        None => "it does not decode".into(),
    }
}

/// Bytes and proxies, without names: there are many of them.
impl Serialize for Encoded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.bytes, &self.proxies).serialize(serializer)
    }
}

/// In a call it may also be a value as it is: what those send who do not know that the method takes any value.
impl<'de> Deserialize<'de> for Encoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if is_decoding() {
            return crate::builtin::capsule(deserializer);
        }
        let (bytes, proxies) = Deserialize::deserialize(deserializer)?;
        Ok(Self { bytes, proxies })
    }
}

/// Inside of [`Encoded::new`]: takes the proxy, and says which number it has.
pub(crate) fn capture(proxy: &ProxyBase) -> Option<u32> {
    ENCODING.with_borrow_mut(|stack| {
        let proxies = stack.last_mut()?;
        proxies.push(proxy.clone());
        u32::try_from(proxies.len() - 1).ok()
    })
}

/// Whether this is inside of [`Encoded::decode`].
pub(crate) fn is_decoding() -> bool {
    DECODING.with_borrow(|stack| !stack.is_empty())
}

/// Inside of [`Encoded::decode`]: the proxy of this number.
pub(crate) fn captured(number: u32) -> Option<ProxyBase> {
    DECODING.with_borrow(|stack| stack.last()?.get(number as usize).cloned())
}

/// A proxy in an encoded value: its number, as MessagePack that nothing else looks like.
pub(crate) struct Slot(pub(crate) u32);

/// The four bytes of it.
struct Number([u8; 4]);

impl Slot {
    /// From what is inside of the extension.
    pub(crate) fn inner<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (tag, Number(number)) = <(i8, Number)>::deserialize(deserializer)?;
        if tag == SLOT {
            Ok(Self(u32::from_be_bytes(number)))
        } else {
            Err(de::Error::custom("a MessagePack extension that is no proxy"))
        }
    }
}

impl Serialize for Slot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let inner = (SLOT, Number(self.0.to_be_bytes()));
        serializer.serialize_newtype_struct(rmp_serde::MSGPACK_EXT_STRUCT_NAME, &inner)
    }
}

impl<'de> Deserialize<'de> for Slot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Slot;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a proxy")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Slot, D::Error> {
                Slot::inner(inner)
            }
        }

        deserializer.deserialize_newtype_struct(rmp_serde::MSGPACK_EXT_STRUCT_NAME, Visitor)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Bytes::deserialize(deserializer)?;
        bytes[..].try_into().map(Self).map_err(|_| de::Error::custom("the number of a proxy has four bytes"))
    }
}
