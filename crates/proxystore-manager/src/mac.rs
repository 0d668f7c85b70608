//! HMAC-SHA-256, hashes, randomness, and comparison that takes the same time wherever bytes differ.

use hmac::{Hmac, KeyInit, Mac};
use proxystore_core::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

pub(crate) type Tag = [u8; 32];

/// The MAC of all parts, one after the other. The caller sees to it that their borders cannot move.
pub(crate) fn sign(key: &[u8], parts: &[&[u8]]) -> Tag {
    let mut mac = start(key);
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Whether `tag`, or its beginning of at least 16 bytes, is the MAC of all parts.
pub(crate) fn verify(key: &[u8], parts: &[&[u8]], tag: &[u8]) -> bool {
    let mut mac = start(key);
    parts.iter().for_each(|part| mac.update(part));
    tag.len() >= 16 && mac.verify_truncated_left(tag).is_ok()
}

/// A key as long as a block needs no check; a longer one is hashed first, as HMAC does.
fn start(key: &[u8]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    match block.get_mut(..key.len()) {
        Some(start) => start.copy_from_slice(key),
        None => block[..32].copy_from_slice(&hash(&[key])),
    }
    let mac = Hmac::<Sha256>::new(&block.into());
    block.zeroize();
    mac
}

pub(crate) fn hash(parts: &[&[u8]]) -> Tag {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| {
        Error::new(ErrorKind::Unexpected, format!("no randomness from the operating system: {e}"))
    })?;
    Ok(bytes)
}
