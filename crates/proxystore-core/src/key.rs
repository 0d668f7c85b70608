//! Names of objects.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Error, ErrorKind, Result};

/// 128 bits from the operating system's random source, written as 26 lower-case base32 characters.
///
/// Unlike a time-ordered id, it tells nothing about when it was made and cannot be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id([u8; 16]);

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Characters of an [`Id`] as text.
const ID_CHARS: usize = 26;
/// So many characters are so many bytes.
const CHARS: usize = 8;
const BYTES: usize = 5;

impl Id {
    /// A fresh id. Fails only where the operating system has no randomness to give.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|e| {
            Error::new(ErrorKind::Unexpected, format!("no randomness from the operating system: {e}"))
        })?;
        Ok(Self(bytes))
    }

    /// The id of these bits.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bits.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id that is written as `text`, if `text` is exactly an id's form.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != ID_CHARS {
            return None;
        }
        let mut bytes = [0; 16];
        for (digits, bytes) in text.as_bytes().chunks(CHARS).zip(bytes.chunks_mut(BYTES)) {
            let mut bits = 0u64;
            for byte in digits {
                let digit = match byte {
                    b'a'..=b'z' => byte - b'a',
                    b'2'..=b'7' => byte - b'2' + 26,
                    _ => return None,
                };
                bits = bits << 5 | u64::from(digit);
            }
            // The last two characters hold ten bits: the last byte, above two zero bits.
            let spare = 5 * digits.len() - 8 * bytes.len();
            if bits & ((1 << spare) - 1) != 0 {
                return None;
            }
            bits >>= spare;
            for byte in bytes.iter_mut().rev() {
                *byte = bits as u8;
                bits >>= 8;
            }
        }
        Some(Self(bytes))
    }

    /// Writes it as text.
    fn write<'a>(&self, text: &'a mut [u8; ID_CHARS]) -> &'a str {
        for (bytes, digits) in self.0.chunks(BYTES).zip(text.chunks_mut(CHARS)) {
            let bits = bytes.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
            let mut bits = bits << (5 * digits.len() - 8 * bytes.len());
            for digit in digits.iter_mut().rev() {
                *digit = BASE32[(bits & 31) as usize];
                bits >>= 5;
            }
        }
        std::str::from_utf8(text).unwrap_or_default()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.write(&mut [0; ID_CHARS]))
    }
}

/// The name of an object in its store: parsed once, safe everywhere.
///
/// One to 512 bytes of `A-Z a-z 0-9 - _ . ~`, in segments of at most 200 bytes with `/` between them; no segment is
/// empty, `.` or `..`. So no connector needs to escape or sanitize, and no key leaves a directory, a prefix or a
/// tenant. Fresh keys are a random [`Id`].
///
/// ```
/// use proxystore_core::Key;
///
/// let key = Key::parse("frames/2026/cat.png")?;
/// assert_eq!(key.as_str(), "frames/2026/cat.png");
/// assert!(Key::parse("../etc/passwd").is_err());
/// # Ok::<(), proxystore_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// The longest key, in bytes.
    pub const MAX_LEN: usize = 512;
    /// The longest segment, in bytes: a file name on every file system that we know, with room for a suffix.
    pub const MAX_SEGMENT: usize = 200;

    /// A fresh key that nobody has and nobody can guess.
    pub fn random() -> Result<Self> {
        Id::random().map(Self::from)
    }

    /// Checks `text` and makes it a key. Errors with `Config` that names the rule, and never shows a long text.
    pub fn parse(text: &str) -> Result<Self> {
        check(text).map_err(|why| {
            let shown: String = text.chars().take(40).collect();
            Error::new(ErrorKind::Config, format!("{shown:?} is not a key: {why}"))
                .hint("a key is segments of A-Z a-z 0-9 - _ . ~ with `/` between them, at most 512 bytes")
        })?;
        Ok(Self(text.into()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The random id that this key is, if it is one.
    pub fn as_id(&self) -> Option<Id> {
        Id::parse(&self.0)
    }
}

fn check(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > Key::MAX_LEN {
        return Err("it is longer than 512 bytes");
    }
    for segment in text.split('/') {
        match segment {
            "" => return Err("it has an empty segment"),
            "." | ".." => return Err("it has a segment `.` or `..`"),
            _ if segment.len() > Key::MAX_SEGMENT => return Err("it has a segment longer than 200 bytes"),
            _ => {}
        }
        if !segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b)) {
            return Err("it has a character outside A-Z a-z 0-9 - _ . ~");
        }
    }
    Ok(())
}

impl From<Id> for Key {
    fn from(id: Id) -> Self {
        Self(id.write(&mut [0; ID_CHARS]).into())
    }
}

impl FromStr for Key {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0)
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Key, E> {
                Key::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}
