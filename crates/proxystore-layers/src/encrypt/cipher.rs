//! The chunks of an encrypted object.
//!
//! Each is 64 KiB of plaintext, the last one what remains, and a tag of 16 bytes, sealed by the STREAM construction: a
//! chunk's nonce ends in its number and in whether it is the last one.

use aead_stream::{DecryptorBE32, EncryptorBE32};
use bytes::{Buf, BufMut, BytesMut};
use chacha20poly1305::XChaCha20Poly1305;
use proxystore_core::{Bytes, Error, ErrorKind, Payload, Result, SecretKey};
use zeroize::Zeroizing;

use super::header::{self, HEADER_LEN};

/// The plaintext of every chunk but the last.
const CHUNK: usize = 64 << 10;
const TAG_LEN: usize = 16;
/// Tells the derived keys from everything else that may be derived from the same secret.
const CONTEXT: &str = "proxystore 2026 encrypt v1, key of XChaCha20-Poly1305 for objects";

/// The header and the chunks in one buffer, into which the plaintext is copied once and encrypted in place.
pub(super) fn seal(
    key: &SecretKey,
    header: &[u8; HEADER_LEN],
    associated: &[u8],
    plain: Payload,
) -> Result<Payload> {
    let too_large =
        |_| Error::new(ErrorKind::TooLarge, "an encrypted object has at most 2^32 chunks of 64 KiB");
    let len = plain.len();
    let mut out = BytesMut::with_capacity(HEADER_LEN + len + len.div_ceil(CHUNK).max(1) * TAG_LEN);
    out.extend_from_slice(header);
    let (head, body) = plain.into_parts();
    let mut plain = head.chain(body);
    let mut stream =
        EncryptorBE32::<XChaCha20Poly1305>::new((&*derive(key)).into(), (&header::nonce(header)).into());
    while plain.remaining() > CHUNK {
        let mut chunk = next(&mut out, &mut plain, CHUNK);
        stream.encrypt_next_in_place(associated, &mut chunk).map_err(too_large)?;
        out.unsplit(chunk);
    }
    let mut chunk = next(&mut out, &mut plain, CHUNK);
    stream.encrypt_last_in_place(associated, &mut chunk).map_err(too_large)?;
    out.unsplit(chunk);
    Ok(out.freeze().into())
}

/// The plaintext in one buffer of the sealed size, or `None` if one chunk is not what was sealed.
pub(super) fn open(
    key: &SecretKey,
    header: &[u8; HEADER_LEN],
    associated: &[u8],
    sealed: Payload,
) -> Option<Bytes> {
    let mut out = BytesMut::with_capacity(sealed.len());
    let (head, body) = sealed.into_parts();
    let mut sealed = head.chain(body);
    let mut stream =
        DecryptorBE32::<XChaCha20Poly1305>::new((&*derive(key)).into(), (&header::nonce(header)).into());
    while sealed.remaining() > CHUNK + TAG_LEN {
        let mut chunk = next(&mut out, &mut sealed, CHUNK + TAG_LEN);
        stream.decrypt_next_in_place(associated, &mut chunk).ok()?;
        out.unsplit(chunk);
    }
    let mut chunk = next(&mut out, &mut sealed, CHUNK + TAG_LEN);
    stream.decrypt_last_in_place(associated, &mut chunk).ok()?;
    out.unsplit(chunk);
    Some(out.freeze())
}

/// The next bytes of `from`, at most `most`, as a buffer of their own in the free space of `out`. To put it back
/// copies nothing.
fn next(out: &mut BytesMut, from: &mut impl Buf, most: usize) -> BytesMut {
    let mut chunk = out.split_off(out.len());
    chunk.put(from.take(most));
    chunk
}

fn derive(key: &SecretKey) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(blake3::derive_key(CONTEXT, key.expose()))
}
