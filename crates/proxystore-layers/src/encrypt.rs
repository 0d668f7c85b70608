//! Encryption by XChaCha20-Poly1305.
//!
//! A stored object is a [header](header) of 64 bytes and [chunks](cipher). The associated data of every chunk are the
//! header, the store's identity or label, and the key of the object. What is inside, the store's envelope above all, is
//! authenticated with the rest.

mod cipher;
mod header;

use std::fmt;

use proxystore_core::{Error, ErrorKind, Keys, Payload, Place, Result, Stage, Transform};

use header::HEADER_LEN;

/// Encrypts objects, and detects every change of them: an object that was altered, cut, put together from others, or
/// moved to another key or store is `Corrupt`, and not one byte of it is given out.
///
/// New objects are sealed with the active key of the [`Keys`]; others are opened with the key that they name. If that
/// is not known, the error is `Denied`.
///
/// Hidden is the content only: keys, times and, to some bytes, lengths are seen by whoever sees the backend, who can
/// also remove objects, or put an older object back under the key it had.
///
/// ```
/// use std::sync::Arc;
///
/// use proxystore_core::{Connector, KeyRing, SecretKey, WithTransform};
/// use proxystore_layers::Encrypt;
/// use proxystore_local::LocalConnector;
///
/// # fn main() -> proxystore_core::Result<()> {
/// let keys = KeyRing::new(SecretKey::random("2026-11")?);
/// let connector = LocalConnector::named("images");
/// let connector = WithTransform::new(Arc::new(connector), vec![Arc::new(Encrypt::new(keys))])?;
/// assert_eq!(connector.info().uri.option("via"), Some("encrypt"));
/// # Ok(()) }
/// ```
pub struct Encrypt {
    keys: Box<dyn Keys>,
    label: Option<String>,
}

impl Encrypt {
    /// Encrypts with these keys, and binds each object to the identity of its store.
    pub fn new(keys: impl Keys) -> Self {
        Self { keys: Box::new(keys), label: None }
    }

    /// Binds each object to `label` instead, for stores that move from host to host. Writers and readers must give the
    /// same label; within one label, an object can be moved to the same key of another store unseen.
    #[must_use]
    pub fn bound_to(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// What all chunks are bound to.
    fn associated(&self, header: &[u8; HEADER_LEN], at: &Place<'_>) -> Vec<u8> {
        // Who reads may log in as another user than who wrote.
        let store = self.label.clone().unwrap_or_else(|| at.store.public().to_string());
        let mut bytes = header.to_vec();
        bytes.extend_from_slice(&(store.len() as u64).to_le_bytes());
        bytes.extend_from_slice(store.as_bytes());
        bytes.extend_from_slice(at.key.as_str().as_bytes());
        bytes
    }
}

impl Transform for Encrypt {
    fn name(&self) -> &'static str {
        "encrypt"
    }

    fn stage(&self) -> Stage {
        Stage::Encrypt
    }

    fn seal(&self, at: &Place<'_>, value: Payload) -> Result<Payload> {
        let key = self.keys.active()?;
        let header = header::new(&key)?;
        cipher::seal(&key, &header, &self.associated(&header, at), value)
    }

    fn open(&self, at: &Place<'_>, value: Payload) -> Result<Payload> {
        let (front, sealed) =
            value.split_front(HEADER_LEN).ok_or_else(|| corrupt("are shorter than a header"))?;
        let (header, id) = header::parse(&front)?;
        let Some(key) = self.keys.find(id)? else {
            return Err(Error::new(
                ErrorKind::Denied,
                format!("the object is encrypted with the key `{id}`, which is not known here"),
            )
            .hint("add that key to the keys that this program reads with"));
        };
        let plain = cipher::open(&key, &header, &self.associated(&header, at), sealed).ok_or_else(|| {
            Error::new(
                ErrorKind::Corrupt,
                format!("the stored bytes were altered, or moved from another key or store, or `{id}` is another key"),
            )
            .hint("compare the keys and labels of writer and reader; else evict the object and put it again")
        })?;
        Ok(plain.into())
    }
}

impl fmt::Debug for Encrypt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encrypt({:?})", self.keys)
    }
}

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the stored bytes {what}"))
        .hint("evict the object and put it again")
}
