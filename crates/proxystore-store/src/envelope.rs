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
use proxystore_core::{Draft, Error, ErrorKind, FileSource, Id, Key, Payload, Result};
use twox_hash::xxhash3_128::{DEFAULT_SECRET_LENGTH, RawHasher, SecretBuffer};

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
    let mut bytes = unsigned(flags, header, body.len() as u64);
    let digest = Digest::of(&bytes, key).with(&body);
    bytes[DIGESTED..DIGESTED + 16].copy_from_slice(&digest);
    // One piece of memory, however often it is cloned.
    Payload::new(Bytes::from_owner(bytes), body)
}

/// The header of a body that is in a file. Blocks.
pub(crate) fn seal_file(header: &Header, key: &Key, source: &FileSource) -> Result<Bytes> {
    let mut bytes = unsigned(0, header, source.size());
    let mut digest = Digest::of(&bytes, key);
    source.each(|body| {
        digest.update(body);
        Ok(())
    })?;
    bytes[DIGESTED..DIGESTED + 16].copy_from_slice(&digest.done());
    Ok(Bytes::from_owner(bytes))
}

/// The header without its digest.
fn unsigned(flags: u8, header: &Header, length: u64) -> [u8; HEADER_LEN] {
    let mut bytes = [0u8; HEADER_LEN];
    bytes[..4].copy_from_slice(MAGIC);
    bytes[4] = VERSION;
    bytes[5] = header.codec;
    bytes[6] = flags;
    bytes[7] = DIGEST_XXH3;
    bytes[8..16].copy_from_slice(&length.to_le_bytes());
    bytes[16..32].copy_from_slice(header.fingerprint.as_ref().map_or(&[0; 16], |f| f.as_bytes()));
    bytes[32..48].copy_from_slice(header.nonce.as_bytes());
    bytes
}

/// Takes the header off and checks everything that it says, but not whether it is the type that the reader wants.
/// `Corrupt` otherwise, and `Failed` if there is a failure in the place of a value. The body is not copied.
pub(crate) fn open(key: &Key, payload: Payload) -> Result<(Header, Bytes)> {
    let (header, body) = payload.split_at(HEADER_LEN).ok_or_else(|| corrupt(key, SHORT))?;
    let header = check(key, &header, body.len() as u64, |work| work(&body))?;
    Ok((header, body))
}

/// The same for a file that has come without its header. Blocks.
pub(crate) fn open_file(key: &Key, draft: &Draft) -> Result<Header> {
    let length = draft.size().checked_sub(HEADER_LEN as u64).ok_or_else(|| corrupt(key, SHORT))?;
    check(key, &draft.head(), length, |work| draft.each(work))
}

/// Checks a header, with the body's bytes as often as `each` is asked for them.
fn check(
    key: &Key,
    header: &[u8],
    length: u64,
    each: impl Fn(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
) -> Result<Header> {
    let corrupt = |why: &str| corrupt(key, why);
    let header: &[u8; HEADER_LEN] = header.try_into().map_err(|_| corrupt(SHORT))?;
    let ([_, fingerprint, nonce, digest, rest], _) = header.as_chunks::<16>() else {
        return Err(corrupt(SHORT));
    };
    if &header[..4] != MAGIC {
        return Err(corrupt("were not written by proxystore"));
    }
    let digest_of = |header: &[u8; HEADER_LEN]| {
        let mut digest = Digest::of(header, key);
        let read = each(&mut |body| {
            digest.update(body);
            Ok(())
        });
        read.map(|()| digest.done())
    };
    if header[4] != VERSION || header[6] & !FAILURE != 0 || header[7] != DIGEST_XXH3 {
        // A header that would be whole as one of this version is altered, and not newer.
        for flags in [0, FAILURE] {
            let mut ours = *header;
            [ours[4], ours[6], ours[7]] = [VERSION, flags, DIGEST_XXH3];
            if *digest == digest_of(&ours)? {
                return Err(corrupt("do not match their digest"));
            }
        }
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the object was written by a newer version of proxystore",
        )
        .with("key", key)
        .hint("update this program"));
    }
    let told = u64::from_le_bytes(std::array::from_fn(|i| header[8 + i]));
    if told != length {
        return Err(corrupt(&format!("are torn: {length} of {told} bytes are there")));
    }
    if *digest != digest_of(header)? || *rest != [0; 16] {
        return Err(corrupt("do not match their digest"));
    }
    if header[6] & FAILURE != 0 {
        let mut reason = Vec::new();
        each(&mut |body| {
            reason.extend_from_slice(&body[..body.len().min(LONGEST_REASON - reason.len())]);
            Ok(())
        })?;
        return Err(failure(&reason).with("key", key));
    }
    let fingerprint = Some(*fingerprint).filter(|bytes| *bytes != [0; 16]).map(Fingerprint::from_bytes);
    Ok(Header { codec: header[5], fingerprint, nonce: Id::from_bytes(*nonce) })
}

const SHORT: &str = "are shorter than a header";

fn corrupt(key: &Key, why: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the stored bytes {why}"))
        .with("key", key)
        .hint("evict the object and put it again")
}

/// The reason is another's text: one line of it.
fn failure(reason: &[u8]) -> Error {
    Error::new(ErrorKind::Failed, String::from_utf8_lossy(reason).replace(char::is_control, " "))
}

/// The digest over what it covers of a header, the key, and a body that may come in pieces.
struct Digest(RawHasher<&'static [u8; DEFAULT_SECRET_LENGTH]>);

impl Digest {
    fn of(header: &[u8; HEADER_LEN], key: &Key) -> Self {
        // The usual hasher has a copy of its secret.
        let mut hasher = RawHasher::new(SecretBuffer::default());
        hasher.write(&header[..DIGESTED]);
        hasher.write(key.as_str().as_bytes());
        Self(hasher)
    }

    fn update(&mut self, body: &[u8]) {
        self.0.write(body);
    }

    fn with(mut self, body: &[u8]) -> [u8; 16] {
        self.update(body);
        self.done()
    }

    fn done(self) -> [u8; 16] {
        self.0.finish_128().to_le_bytes()
    }
}

#[cfg(test)]
mod tests;
