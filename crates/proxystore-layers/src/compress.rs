//! Compression by zstd or lz4.
//!
//! A stored frame is a header of 24 bytes, little-endian, and what it describes:
//!
//! | bytes | content |
//! |---|---|
//! | 0..4 | magic `PxCm` |
//! | 4 | version, 1 |
//! | 5 | algorithm of the body, 0: stored as it is, 1: one zstd frame, 2: one lz4 block |
//! | 6..8 | length of the head, which stands uncompressed behind this header |
//! | 8..16 | length of the body when it is opened |
//! | 16..24 | xxh3 of bytes 0..16, which tells a damaged header from another one |
//!
//! The head is what was a segment of its own in front: the store's envelope, which does not compress. So neither side
//! has to join or to divide a large body.

mod algorithm;

use proxystore_core::{Bytes, Error, ErrorKind, Payload, Place, Result, Stage, Transform};

use algorithm::Algorithm;
use xxhash_rust::xxh3::xxh3_64;

const HEADER_LEN: usize = 24;
/// What the check covers of the header.
const CHECKED: usize = 16;
const MAGIC: &[u8; 4] = b"PxCm";
const VERSION: u8 = 1;
/// Bodies below this many bytes are stored as they are.
const THRESHOLD: usize = 1 << 10;
/// How much of a body is tried first.
const SAMPLE: usize = 64 << 10;

/// Compresses objects where that pays: bodies of at least 1 KiB of which a sample of 64 KiB, and then the whole, gets
/// at least 5 % smaller. Others are stored as they are, without a copy.
///
/// Opens what either algorithm wrote; `Unsupported` if that algorithm is not built in. The length that an object will
/// have is checked against the caller's limit before memory is allocated, and nothing is decoded beyond it: an object
/// that would be larger is `TooLarge`, one that is not of that length is `Corrupt`.
///
/// ```
/// use std::sync::Arc;
///
/// use proxystore_core::{Connector, WithTransform};
/// use proxystore_layers::Compress;
/// use proxystore_local::LocalConnector;
///
/// # fn main() -> proxystore_core::Result<()> {
/// let connector = LocalConnector::named("images");
/// let connector = WithTransform::new(Arc::new(connector), vec![Arc::new(Compress::zstd())])?;
/// assert_eq!(connector.info().uri.option("via"), Some("zstd"));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Compress(Algorithm);

impl Compress {
    /// By zstd at level 3: named `zstd` in URIs.
    #[cfg(feature = "zstd")]
    pub fn zstd() -> Self {
        Self(Algorithm::Zstd)
    }

    /// By lz4, which is faster and saves less: named `lz4` in URIs.
    #[cfg(feature = "lz4")]
    pub fn lz4() -> Self {
        Self(Algorithm::Lz4)
    }

    /// The body in less room, or `None` where it does not pay.
    fn smaller(&self, body: &Bytes) -> Option<Bytes> {
        if body.len() < THRESHOLD {
            return None;
        }
        if body.len() > 2 * SAMPLE {
            // From the middle, since the beginning of many formats is not like the rest.
            let from = (body.len() - SAMPLE) / 2;
            self.0.compress(&body[from..from + SAMPLE])?;
        }
        self.0.compress(body)
    }
}

impl Transform for Compress {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn stage(&self) -> Stage {
        Stage::Compress
    }

    fn seal(&self, _: &Place<'_>, value: Payload) -> Result<Payload> {
        let (mut head, mut body) = value.into_parts();
        if head.len() > u16::MAX.into() {
            (head, body) = (Bytes::new(), Payload::new(head, body).into_bytes());
        }
        let (algorithm, packed) = match self.smaller(&body) {
            Some(packed) => (self.0, packed),
            None => (Algorithm::Stored, body.clone()),
        };
        let mut front = Vec::with_capacity(HEADER_LEN);
        front.extend_from_slice(MAGIC);
        front.extend_from_slice(&[VERSION, algorithm as u8]);
        front.extend_from_slice(&(head.len() as u16).to_le_bytes());
        front.extend_from_slice(&(body.len() as u64).to_le_bytes());
        let check = xxh3_64(&front);
        front.extend_from_slice(&check.to_le_bytes());
        Ok(Payload::new(head, packed).with_front(front))
    }

    fn open(&self, at: &Place<'_>, value: Payload) -> Result<Payload> {
        let (front, rest) =
            value.split_front(HEADER_LEN).ok_or_else(|| corrupt("are shorter than a header"))?;
        let front: [u8; HEADER_LEN] = std::array::from_fn(|i| front[i]);
        if &front[..4] != MAGIC {
            return Err(corrupt("are not a compressed object"));
        }
        if front[CHECKED..] != xxh3_64(&front[..CHECKED]).to_le_bytes() {
            return Err(corrupt("have a damaged header"));
        }
        let algorithm = match (front[4], front[5]) {
            (VERSION, 0) => Algorithm::Stored,
            (VERSION, 1) => Algorithm::Zstd,
            (VERSION, 2) => Algorithm::Lz4,
            _ => {
                let why = "the object was compressed by a newer version of proxystore";
                return Err(Error::new(ErrorKind::Unsupported, why).hint("update this program"));
            }
        };
        let head_len = u16::from_le_bytes(std::array::from_fn(|i| front[6 + i]));
        let body_len = u64::from_le_bytes(std::array::from_fn(|i| front[8 + i]));
        let whole = body_len.saturating_add(head_len.into());
        if whole > at.max {
            let why = format!("the object would have {whole} bytes when opened, and the limit is {}", at.max);
            return Err(
                Error::new(ErrorKind::TooLarge, why).hint("raise `max_object` where the store is opened")
            );
        }
        let (head, packed) = rest.split_at(head_len.into()).ok_or_else(|| corrupt("are torn"))?;
        let body_len = usize::try_from(body_len).map_err(|_| corrupt("are of an impossible length"))?;
        let body = algorithm.decompress(packed, body_len)?;
        if body.len() == body_len {
            Ok(Payload::new(head, body))
        } else {
            Err(corrupt("are not of the length that they declare"))
        }
    }
}

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the stored bytes {what}"))
        .hint("evict the object and put it again")
}
