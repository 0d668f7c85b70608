//! The shared secret of a manager and its clients.

use std::fmt;
use std::sync::Arc;

use proxystore_core::{Error, ErrorKind, Result, Secret};
use zeroize::Zeroizing;

use crate::{hex, mac};

/// The fewest bytes of a key.
const MIN: usize = 16;
/// The most bytes of a key.
const MAX: usize = 1024;

/// The secret that a manager and its clients share: wiped when the last copy is dropped, never shown, and neither
/// serializable nor part of any reference.
#[derive(Clone)]
pub struct AuthKey(Arc<Zeroizing<Vec<u8>>>);

impl AuthKey {
    /// A key of 16 to 1024 bytes. `Config` otherwise.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self> {
        let bytes = Zeroizing::new(bytes.into());
        if (MIN..=MAX).contains(&bytes.len()) {
            return Ok(Self(Arc::new(bytes)));
        }
        Err(Error::new(ErrorKind::Config, format!("an authkey of {} bytes", bytes.len()))
            .hint("take 16 to 1024 bytes; make one with `openssl rand -hex 32`"))
    }

    /// A fresh key from the operating system's random source.
    pub fn random() -> Result<Self> {
        Self::new(mac::random::<32>()?)
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// As hexadecimal digits, for a file or a child's standard input.
    pub fn to_hex(&self) -> Secret {
        Secret::new(hex::write(&self.0))
    }

    /// From hexadecimal digits. `Config` if it is something else.
    pub fn from_hex(text: &str) -> Result<Self> {
        let bytes = hex::read(text.trim()).ok_or_else(|| {
            Error::new(ErrorKind::Config, "an authkey is not written in hexadecimal digits")
                .hint("make one with `openssl rand -hex 32`")
        })?;
        Self::new(bytes)
    }
}

impl fmt::Debug for AuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthKey(***)")
    }
}
