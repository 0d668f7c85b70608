//! What a serialized proxy consists of.
//!
//! A reference is inert: decoding it does no I/O, registers nothing and allocates no more than its own length. It
//! holds no secret: the URI in it has no user, no password and no option that concerns only one process. The exception
//! is a reference that was [presigned](crate::Stored::presigned): its URI holds the signature.
//!
//! Binary formats carry one byte string:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version, 1 |
//! | 1 | flags: 1 the key is an id, 2 a fingerprint follows, 4 a URI follows, 8 ephemeral, 16 a traceparent follows, 32 a grant, 64 a future |
//! | 1 | codec id |
//! | 1..10 | length of the encoded value, as a varint |
//! | 1 + n | store name |
//! | 16, or varint + n | key, as the bits of an id or as text |
//! | 8 | the first half of the type's fingerprint, if any |
//! | varint + n, or 8 | the store's URI, or its identity |
//! | 4.. | of a future, how to wait for it: see `polling` |
//! | 25 | the traceparent, if any: trace id, parent id, flags |
//! | 35.. | the grant, if the reference is signed: see `grant` |
//!
//! Human-readable formats carry a map with the same content.

use std::borrow::Cow;
use std::fmt;

use proxystore_core::{Error, ErrorKind, Id, Key, Result, Uri};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use xxhash_rust::xxh3::xxh3_64;

use crate::TraceParent;
use crate::codec::{format_id, format_name};
use crate::future::polling::Polling;
use crate::grant::Grant;
use crate::schema::Fingerprint;

const VERSION: u8 = 1;
const KEY_IS_ID: u8 = 1;
const HAS_FINGERPRINT: u8 = 2;
const HAS_URI: u8 = 4;
const EPHEMERAL: u8 = 8;
const HAS_TRACEPARENT: u8 = 16;
const HAS_GRANT: u8 = 32;
const FUTURE: u8 = 64;
/// The longest reference that is decoded, in bytes: a URI and a key of the longest kind fit.
const MAX_LEN: usize = 4096;

/// The name of a store: 1 to 64 characters of `A-Z a-z 0-9 - _ .`.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if (1..=64).contains(&name.len()) && name.bytes().all(legal) {
        return Ok(());
    }
    let shown: String = name.chars().take(40).collect();
    Err(Error::new(ErrorKind::Config, format!("{shown:?} is not a store name"))
        .hint("a store name is 1 to 64 characters of A-Z a-z 0-9 - _ ."))
}

/// Which backend a store leads to, in eight bytes: stores of the same name that differ in it are not the same store.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity(pub(crate) [u8; 8]);

impl Identity {
    /// The identity of a store at this canonical URI.
    pub(crate) fn of(uri: &Uri) -> Self {
        Self(xxh3_64(uri.public_text().as_bytes()).to_le_bytes())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// How a reader finds the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spec {
    /// By name only; the identity tells whether it is the right one.
    Name(Identity),
    /// By name, or by opening this URI if the reader trusts it.
    Uri(Uri),
}

impl Spec {
    pub(crate) fn identity(&self) -> Identity {
        match self {
            Self::Name(identity) => *identity,
            Self::Uri(uri) => Identity::of(uri),
        }
    }
}

/// Which object of which store, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) store: String,
    pub(crate) spec: Spec,
    pub(crate) key: Key,
    pub(crate) codec: u8,
    /// The first half of the type's fingerprint; `None` for self-describing codecs.
    pub(crate) fingerprint: Option<[u8; 8]>,
    /// The length of the encoded value in bytes; 0 if not known.
    pub(crate) length: u64,
    pub(crate) ephemeral: bool,
    /// How to wait for the object, if it may not be there yet.
    pub(crate) future: Option<Polling>,
    /// The span that made it, if traces are carried on.
    pub(crate) traceparent: Option<TraceParent>,
    /// Who signed it, and what it is limited to.
    pub(crate) grant: Option<Grant>,
}

/// The half of a fingerprint that stands in references. The other half is checked with the object's header.
pub(crate) fn half(fingerprint: &Fingerprint) -> [u8; 8] {
    std::array::from_fn(|i| fingerprint.as_bytes()[i])
}

impl Reference {
    fn encode(&self) -> Vec<u8> {
        let mut out = self.encode_content();
        if let Some(traceparent) = self.traceparent {
            out[1] |= HAS_TRACEPARENT;
            out.extend_from_slice(&traceparent.to_bytes());
        }
        if let Some(grant) = &self.grant {
            out[1] |= HAS_GRANT;
            grant.encode(&mut out);
        }
        out
    }

    /// What a signature covers: all but the traceparent and the grant.
    pub(crate) fn encode_content(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        let id = self.key.as_id();
        let flag = |on: bool, flag: u8| if on { flag } else { 0 };
        out.push(VERSION);
        out.push(
            flag(id.is_some(), KEY_IS_ID)
                | flag(self.fingerprint.is_some(), HAS_FINGERPRINT)
                | flag(matches!(self.spec, Spec::Uri(_)), HAS_URI)
                | flag(self.ephemeral, EPHEMERAL)
                | flag(self.future.is_some(), FUTURE),
        );
        out.push(self.codec);
        put_varint(&mut out, self.length);
        put_text(&mut out, &self.store);
        match id {
            Some(id) => out.extend_from_slice(id.as_bytes()),
            None => put_text(&mut out, self.key.as_str()),
        }
        if let Some(fingerprint) = &self.fingerprint {
            out.extend_from_slice(fingerprint);
        }
        match &self.spec {
            Spec::Name(identity) => out.extend_from_slice(&identity.0),
            Spec::Uri(uri) => put_text(&mut out, &text_of(uri)),
        }
        if let Some(polling) = &self.future {
            polling.encode(&mut out);
        }
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > MAX_LEN {
            return Err("it is longer than 4096 bytes");
        }
        let mut reader = Reader(bytes);
        let [version, flags, codec] = reader.array()?;
        if version != VERSION || flags >= 128 {
            return Err("it was written by a newer version of proxystore");
        }
        let length = reader.varint()?;
        let store = reader.text()?;
        let key = if flags & KEY_IS_ID != 0 {
            Id::from_bytes(reader.array()?).into()
        } else {
            // One form per key, so that equal references have equal bytes.
            Key::parse(reader.text()?)
                .ok()
                .filter(|key| key.as_id().is_none())
                .ok_or("its key is not legal")?
        };
        let fingerprint = if flags & HAS_FINGERPRINT != 0 { Some(reader.array()?) } else { None };
        let spec = if flags & HAS_URI != 0 {
            spec_uri(reader.text()?)?
        } else {
            Spec::Name(Identity(reader.array()?))
        };
        let future = if flags & FUTURE != 0 { Some(Polling::decode(&mut reader)?) } else { None };
        let traceparent = if flags & HAS_TRACEPARENT != 0 { Some(reader.traceparent()?) } else { None };
        let grant = if flags & HAS_GRANT != 0 { Some(Grant::decode(&mut reader)?) } else { None };
        if !reader.0.is_empty() {
            return Err("bytes are left over");
        }
        check_name(store).map_err(|_| "its store name is not legal")?;
        Ok(Self {
            store: store.into(),
            spec,
            key,
            codec,
            fingerprint,
            length,
            ephemeral: flags & EPHEMERAL != 0,
            future,
            traceparent,
            grant,
        })
    }
}

const ILLEGAL_TRACEPARENT: &str = "its traceparent is not legal";

/// The URI as it travels: without credentials, but for a signature.
fn text_of(uri: &Uri) -> Cow<'_, str> {
    uri.expose_signed().map_or_else(|| uri.public_text().into(), |text| text.expose().to_owned().into())
}

/// The URI of a reference: canonical, and without credentials, but for a signature.
fn spec_uri(text: &str) -> Result<Spec, &'static str> {
    let uri: Uri = text.parse().map_err(|_| "its URI is not legal")?;
    if text_of(&uri) != text {
        return Err("its URI has credentials or is not canonical");
    }
    Ok(Spec::Uri(uri))
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("it is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        self.take(N)?.try_into().map_err(|_| "it is cut off")
    }

    pub(crate) fn varint(&mut self) -> Result<u64, &'static str> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || (shift > 0 && byte == 0) {
                return Err("a number in it is too large or not in its shortest form");
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number in it is too long")
    }

    fn traceparent(&mut self) -> Result<TraceParent, &'static str> {
        TraceParent::from_bytes(self.array()?).map_err(|_| ILLEGAL_TRACEPARENT)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, &'static str> {
        let length = usize::try_from(self.varint()?).map_err(|_| "it is cut off")?;
        std::str::from_utf8(self.take(length)?).map_err(|_| "a text in it is not UTF-8")
    }
}

/// The human-readable form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Readable {
    /// The version.
    proxystore: u8,
    store: String,
    key: Key,
    codec: String,
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    length: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ephemeral: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    future: Option<Polling>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
}

fn is_zero(length: &u64) -> bool {
    *length == 0
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex<const N: usize>(text: &str) -> Result<[u8; N], &'static str> {
    let digit = |at: usize| match text.as_bytes()[at] {
        byte @ b'0'..=b'9' => Some(byte - b'0'),
        byte @ b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (i, byte) in bytes.iter_mut().enumerate() {
        let digits = if text.len() == 2 * N { digit(2 * i).zip(digit(2 * i + 1)) } else { None };
        let (high, low) =
            digits.ok_or("a hash in it is not of lower-case hex digits, or has not the right length")?;
        *byte = high << 4 | low;
    }
    Ok(bytes)
}

impl From<&Reference> for Readable {
    fn from(reference: &Reference) -> Self {
        let (uri, identity) = match &reference.spec {
            Spec::Uri(uri) => (Some(text_of(uri).into_owned()), None),
            Spec::Name(identity) => (None, Some(hex(&identity.0))),
        };
        Self {
            proxystore: VERSION,
            store: reference.store.clone(),
            key: reference.key.clone(),
            codec: format_name(reference.codec),
            fingerprint: reference.fingerprint.map(|half| hex(&half)),
            length: reference.length,
            uri,
            identity,
            ephemeral: reference.ephemeral,
            future: reference.future,
            traceparent: reference.traceparent.map(|parent| parent.to_string()),
            grant: reference.grant.as_ref().map(Grant::text),
        }
    }
}

impl TryFrom<Readable> for Reference {
    type Error = &'static str;

    fn try_from(readable: Readable) -> Result<Self, &'static str> {
        if readable.proxystore != VERSION {
            return Err("it was written by a newer version of proxystore");
        }
        check_name(&readable.store).map_err(|_| "its store name is not legal")?;
        let spec = match (readable.uri, readable.identity) {
            (Some(uri), None) => spec_uri(&uri)?,
            (None, Some(identity)) => Spec::Name(Identity(unhex(&identity)?)),
            _ => return Err("it must have either `uri` or `identity`"),
        };
        Ok(Self {
            store: readable.store,
            spec,
            key: readable.key,
            codec: format_id(&readable.codec).ok_or("its codec has no known name or number")?,
            fingerprint: readable.fingerprint.as_deref().map(unhex).transpose()?,
            length: readable.length,
            ephemeral: readable.ephemeral,
            future: readable.future,
            traceparent: readable
                .traceparent
                .map(|text| text.parse().map_err(|_| ILLEGAL_TRACEPARENT))
                .transpose()?,
            grant: readable.grant.as_deref().map(Grant::parse).transpose()?,
        })
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            Readable::from(self).serialize(serializer)
        } else {
            serializer.serialize_bytes(&self.encode())
        }
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Reference;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a reference")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Reference, E> {
                Reference::decode(bytes).map_err(|why| E::custom(format_args!("not a reference: {why}")))
            }

            // Formats without byte strings hand the bytes over one by one.
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Reference, A::Error> {
                let mut bytes = Vec::with_capacity(128);
                while let Some(byte) = seq.next_element()? {
                    if bytes.len() == MAX_LEN {
                        return Err(de::Error::custom("not a reference: it is longer than 4096 bytes"));
                    }
                    bytes.push(byte);
                }
                self.visit_bytes(&bytes)
            }
        }
        if deserializer.is_human_readable() {
            Reference::try_from(Readable::deserialize(deserializer)?)
                .map_err(|why| de::Error::custom(format_args!("not a reference: {why}")))
        } else {
            deserializer.deserialize_bytes(Visitor)
        }
    }
}

#[cfg(test)]
mod tests;
