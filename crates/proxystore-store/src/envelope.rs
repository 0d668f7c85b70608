//! The header in front of every stored object.
//!
//! 80 bytes, little-endian, checked before anything is decoded:
//!
//! | bytes | content |
//! |---|---|
//! | 0..4 | magic `PxSt` |
//! | 4 | version, 1 |
//! | 5 | codec id |
//! | 6 | flags: 1 the body says why there is no value; a reader refuses those that it does not know |
//! | 7 | digest algorithm, 1: xxh3-128 |
//! | 8..16 | length of the body |
//! | 16..32 | fingerprint of the type, zero for self-describing codecs |
//! | 32..48 | writer nonce |
//! | 48..64 | digest over bytes 0..48, the key, and the body |
//! | 64..80 | zero, room for a 32-byte digest |
//!
//! The digest binds the body to its header and its key: a valid object served under another key is corrupt.

use bytes::Bytes;
use proxystore_core::{Error, ErrorKind, Id, Key, Payload, Result};
use xxhash_rust::xxh3::Xxh3;

use crate::schema::Fingerprint;

/// The length of the header in bytes.
pub(crate) const HEADER_LEN: usize = 80;
const MAGIC: &[u8; 4] = b"PxSt";
const VERSION: u8 = 1;
const DIGEST_XXH3: u8 = 1;
const FAILURE: u8 = 1;
/// The longest reason why there is no value, in bytes.
const LONGEST_REASON: usize = 4096;
/// What the digest covers of the header.
const DIGESTED: usize = 48;

/// What a header says of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) codec: u8,
    /// `None` for self-describing codecs.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// Tells this write from every other one.
    pub(crate) nonce: Id,
}

/// Puts the header in front of `body`, which is not copied.
pub(crate) fn seal(header: &Header, key: &Key, body: Bytes) -> Payload {
    seal_as(0, header, key, body)
}

/// What stands in the place of a value that there will never be: all who read it get `Failed` with this reason, of
/// which 4 KiB are kept.
pub(crate) fn seal_failure(key: &Key, reason: &str) -> Result<Payload> {
    let reason = &reason[..reason.floor_char_boundary(LONGEST_REASON)];
    let header = Header { codec: 0, fingerprint: None, nonce: Id::random()? };
    Ok(seal_as(FAILURE, &header, key, Bytes::copy_from_slice(reason.as_bytes())))
}

fn seal_as(flags: u8, header: &Header, key: &Key, body: Bytes) -> Payload {
    let mut bytes = [0u8; HEADER_LEN];
    bytes[..4].copy_from_slice(MAGIC);
    bytes[4] = VERSION;
    bytes[5] = header.codec;
    bytes[6] = flags;
    bytes[7] = DIGEST_XXH3;
    bytes[8..16].copy_from_slice(&(body.len() as u64).to_le_bytes());
    bytes[16..32].copy_from_slice(header.fingerprint.as_ref().map_or(&[0; 16], |f| f.as_bytes()));
    bytes[32..48].copy_from_slice(header.nonce.as_bytes());
    let digest = digest(&bytes[..DIGESTED], key, &body);
    bytes[48..64].copy_from_slice(&digest);
    Payload::new(Bytes::copy_from_slice(&bytes), body)
}

/// Takes the header off and checks everything that it says, but not whether it is the type that the reader wants.
/// `Corrupt` otherwise, and `Failed` if there is a failure in the place of a value. The body is not copied.
pub(crate) fn open(key: &Key, payload: Payload) -> Result<(Header, Bytes)> {
    let corrupt = |why: &str| {
        Error::new(ErrorKind::Corrupt, format!("the stored bytes {why}"))
            .with("key", key)
            .hint("evict the object and put it again")
    };
    let (header, body) = payload.split_at(HEADER_LEN).ok_or_else(|| corrupt("are shorter than a header"))?;
    let header: &[u8; HEADER_LEN] =
        header.as_ref().try_into().map_err(|_| corrupt("are shorter than a header"))?;
    if &header[..4] != MAGIC {
        return Err(corrupt("were not written by proxystore"));
    }
    let field = |at: usize| -> [u8; 16] { std::array::from_fn(|i| header[at + i]) };
    if header[4] != VERSION || header[6] & !FAILURE != 0 || header[7] != DIGEST_XXH3 {
        // A header that would be whole as one of this version is altered, and not newer.
        let ours = |flags| {
            let mut ours = *header;
            [ours[4], ours[6], ours[7]] = [VERSION, flags, DIGEST_XXH3];
            field(48) == digest(&ours[..DIGESTED], key, &body)
        };
        if ours(0) || ours(FAILURE) {
            return Err(corrupt("do not match their digest"));
        }
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the object was written by a newer version of proxystore",
        )
        .with("key", key)
        .hint("update this program"));
    }
    let length = u64::from_le_bytes(std::array::from_fn(|i| header[8 + i]));
    if length != body.len() as u64 {
        return Err(corrupt(&format!("are torn: {} of {length} bytes are there", body.len())));
    }
    if field(48) != digest(&header[..DIGESTED], key, &body) || header[64..].iter().any(|byte| *byte != 0) {
        return Err(corrupt("do not match their digest"));
    }
    if header[6] & FAILURE != 0 {
        return Err(failure(&body).with("key", key));
    }
    let fingerprint = Some(field(16)).filter(|bytes| *bytes != [0; 16]).map(Fingerprint::from_bytes);
    Ok((Header { codec: header[5], fingerprint, nonce: Id::from_bytes(field(32)) }, body))
}

/// The reason is another's text: one line of it, and no more than we would have written.
fn failure(reason: &[u8]) -> Error {
    let reason = String::from_utf8_lossy(&reason[..reason.len().min(LONGEST_REASON)]);
    Error::new(ErrorKind::Failed, reason.replace(char::is_control, " "))
}

fn digest(header: &[u8], key: &Key, body: &[u8]) -> [u8; 16] {
    let mut hasher = Xxh3::new();
    hasher.update(header);
    hasher.update(key.as_str().as_bytes());
    hasher.update(body);
    hasher.digest128().to_le_bytes()
}

#[cfg(test)]
mod tests;
