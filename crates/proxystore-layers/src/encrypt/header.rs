//! The header in front of every encrypted object.
//!
//! 64 bytes:
//!
//! | bytes | content |
//! |---|---|
//! | 0..4 | magic `PxEn` |
//! | 4 | version, 1 |
//! | 5 | algorithm, 1: XChaCha20-Poly1305 in STREAM with a 32-bit counter, big-endian |
//! | 6 | length of the key's id |
//! | 7 | zero |
//! | 8..40 | the key's id, filled up with zeros |
//! | 40..59 | nonce, random for each object |
//! | 59 | zero |
//! | 60..64 | the beginning of the blake3 hash of bytes 0..60, which tells a damaged id from an unknown one |

use proxystore_core::{Bytes, Error, ErrorKind, Result, SecretKey};

use super::corrupt;

/// The length of the header in bytes.
pub(super) const HEADER_LEN: usize = 64;
/// What is random of a nonce of 24 bytes: STREAM adds the counter and whether the chunk is the last one.
pub(super) const NONCE_LEN: usize = 19;
const MAGIC: &[u8; 4] = b"PxEn";
const VERSION: u8 = 1;
const XCHACHA20_POLY1305: u8 = 1;
const NONCE_AT: usize = 40;
/// What the check covers.
const CHECKED: usize = 60;

/// A header with a fresh nonce.
pub(super) fn new(key: &SecretKey) -> Result<[u8; HEADER_LEN]> {
    let id = key.id().as_bytes();
    let mut header = [0; HEADER_LEN];
    header[..4].copy_from_slice(MAGIC);
    header[4..7].copy_from_slice(&[VERSION, XCHACHA20_POLY1305, id.len() as u8]);
    header[8..8 + id.len()].copy_from_slice(id);
    getrandom::fill(&mut header[NONCE_AT..NONCE_AT + NONCE_LEN]).map_err(|e| {
        Error::new(ErrorKind::Unexpected, format!("no randomness from the operating system: {e}"))
    })?;
    let check = check(&header);
    header[CHECKED..].copy_from_slice(&check);
    Ok(header)
}

/// The header, and the id of the key.
pub(super) fn parse(front: &Bytes) -> Result<([u8; HEADER_LEN], &str)> {
    let header: [u8; HEADER_LEN] = std::array::from_fn(|i| front[i]);
    if &header[..4] != MAGIC {
        return Err(corrupt("are not encrypted"));
    }
    if header[CHECKED..] != check(&header) {
        return Err(corrupt("have a damaged header"));
    }
    if header[4..6] != [VERSION, XCHACHA20_POLY1305] {
        let why = "the object was encrypted by a newer version of proxystore";
        return Err(Error::new(ErrorKind::Unsupported, why).hint("update this program"));
    }
    let id = front[8..8 + SecretKey::MAX_ID].get(..header[6].into());
    let id = id.filter(|id| !id.is_empty() && id.iter().all(u8::is_ascii_graphic));
    let id =
        id.and_then(|id| std::str::from_utf8(id).ok()).ok_or_else(|| corrupt("have an illegal key id"))?;
    Ok((header, id))
}

/// The nonce of the object, without what each chunk adds to it.
pub(super) fn nonce(header: &[u8; HEADER_LEN]) -> [u8; NONCE_LEN] {
    std::array::from_fn(|i| header[NONCE_AT + i])
}

fn check(header: &[u8; HEADER_LEN]) -> [u8; HEADER_LEN - CHECKED] {
    let hash = blake3::hash(&header[..CHECKED]);
    std::array::from_fn(|i| hash.as_bytes()[i])
}
