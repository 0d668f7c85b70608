//! What a signed reference allows: a grant names the key that signed it, and the limits it was given since.
//!
//! | bytes | content |
//! |---|---|
//! | 1 + n | the key's id |
//! | 1 | how many limits follow, at most 8 |
//! | 1 + varint, each | rights: 1 read, 2 evict; when they end, in milliseconds since 1970, or 0 |
//! | 32 | the tag |
//!
//! The first tag is the blake3 hash of the key's id and of the reference, keyed by a key that is derived from the
//! secret. Each limit makes the next tag: the hash of its bytes, keyed by the tag before. Only the last tag travels, so
//! that whoever holds a reference can add a limit and cannot take one away.
//!
//! Human-readable formats carry one text: the key's id, the limits and the tag, with spaces between.

#[cfg(feature = "sign")]
mod signer;

use std::fmt;
use std::num::NonZeroU64;
use std::ops::BitOr;

use proxystore_core::SecretKey;

use crate::reference::{Reader, check_name, hex, put_text, put_varint, unhex};

#[cfg(feature = "sign")]
pub(crate) use signer::Signer;

/// How often a reference can be limited.
const MAX_LIMITS: usize = 8;

/// What the holder of a signed reference may do with the object: `Rights::READ`, `Rights::EVICT`, or both.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rights(u8);

impl Rights {
    /// To resolve the proxy, unless that evicts the object.
    pub const READ: Self = Self(1);
    /// To evict the object.
    pub const EVICT: Self = Self(2);
    /// All there are. Resolving an ephemeral proxy takes them all.
    pub const ALL: Self = Self(3);

    /// By their bits.
    const WORDS: [&str; 4] = ["none", "read", "evict", "read+evict"];
}

impl BitOr for Rights {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::WORDS[usize::from(self.0)])
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rights({self})")
    }
}

/// No more than these rights, and not after this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) rights: Rights,
    /// In milliseconds since 1970.
    pub(crate) end: Option<NonZeroU64>,
}

impl Limit {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.rights.0);
        put_varint(out, self.end.map_or(0, NonZeroU64::get));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        let [rights] = reader.array()?;
        if rights > Rights::ALL.0 {
            return Err("it was written by a newer version of proxystore");
        }
        Ok(Self { rights: Rights(rights), end: NonZeroU64::new(reader.varint()?) })
    }

    fn text(&self) -> String {
        self.end.map_or_else(|| self.rights.to_string(), |end| format!("{}@{end}", self.rights))
    }

    fn parse(text: &str) -> Option<Self> {
        let (rights, end) = text.split_once('@').map_or((text, None), |(rights, end)| (rights, Some(end)));
        let rights = Rights::WORDS.iter().position(|words| *words == rights)?;
        let end = end.map(str::parse).transpose().ok()?;
        Some(Self { rights: Rights(rights as u8), end })
    }
}

/// A signature, and what it is limited to.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) key_id: String,
    pub(crate) limits: Vec<Limit>,
    pub(crate) tag: [u8; 32],
}

impl Grant {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, &self.key_id);
        out.push(self.limits.len() as u8);
        for limit in &self.limits {
            limit.encode(out);
        }
        out.extend_from_slice(&self.tag);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        let key_id = reader.text()?;
        let [limits] = reader.array()?;
        check(key_id, limits.into())?;
        let limits = (0..limits).map(|_| Limit::decode(reader)).collect::<Result<_, _>>()?;
        Ok(Self { key_id: key_id.into(), limits, tag: reader.array()? })
    }

    pub(crate) fn text(&self) -> String {
        let limits = self.limits.iter().map(Limit::text);
        let words: Vec<_> =
            std::iter::once(self.key_id.clone()).chain(limits).chain([hex(&self.tag)]).collect();
        words.join(" ")
    }

    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        const ILLEGAL: &str = "its grant is not of the form `key limit… tag`";
        let mut words = text.split(' ');
        let (Some(key_id), Some(tag)) = (words.next(), words.next_back()) else { return Err(ILLEGAL) };
        check(key_id, words.clone().count())?;
        let limits = words.map(Limit::parse).collect::<Option<_>>().ok_or(ILLEGAL)?;
        let grant = Self { key_id: key_id.into(), limits, tag: unhex(tag)? };
        // One form per grant: no `@007`.
        if grant.text() == text { Ok(grant) } else { Err(ILLEGAL) }
    }
}

fn check(key_id: &str, limits: usize) -> Result<(), &'static str> {
    if key_id.len() > SecretKey::MAX_ID || check_name(key_id).is_err() {
        return Err("the id of the key that signed it is not legal");
    }
    if limits > MAX_LIMITS {
        return Err("it has more than 8 limits");
    }
    Ok(())
}

/// Without the tag: who has it, has the rights.
impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("key_id", &self.key_id)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Nobody signs or asks for signatures without the feature `sign`.
#[cfg(not(feature = "sign"))]
#[derive(Debug)]
pub(crate) enum Signer {}

#[cfg(not(feature = "sign"))]
impl Signer {
    pub(crate) fn sign(&self, _: &mut crate::reference::Reference) -> proxystore_core::Result<()> {
        match *self {}
    }

    pub(crate) fn check(&self, _: &crate::reference::Reference, _: Rights) -> proxystore_core::Result<()> {
        match *self {}
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::any_grant;
