//! What layers promise, one by one and around real connectors.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]
#![cfg_attr(not(feature = "encrypt"), allow(dead_code, reason = "what transforms need"))]

#[cfg(all(feature = "zstd", feature = "lz4"))]
mod compress;
#[cfg(all(feature = "zstd", not(feature = "lz4")))]
mod without_lz4 {
    use super::{At, text};

    #[test]
    fn what_lz4_wrote_is_unsupported() {
        let mut frame =
            At::new().seal(&proxystore_layers::Compress::zstd(), text(2_000)).into_bytes().to_vec();
        frame[5] = 2;
        let check = xxhash_rust::xxh3::xxh3_64(&frame[..16]);
        frame[16..24].copy_from_slice(&check.to_le_bytes());
        let error = At::new().fail(&proxystore_layers::Compress::zstd(), frame);
        assert_eq!(error.kind(), proxystore_core::ErrorKind::Unsupported);
        assert!(error.to_string().contains("the feature `lz4`"), "{error}");
    }
}
#[cfg(feature = "encrypt")]
mod encrypt;
#[cfg(all(feature = "zstd", feature = "lz4", feature = "encrypt"))]
mod golden;
#[cfg(all(feature = "zstd", feature = "lz4", feature = "encrypt"))]
mod transforms;

mod conformance;
mod policies;
mod slow;

use proxystore_core::{Error, Key, Payload, Place, Result, Transform, Uri};

/// A place of its own.
#[derive(Debug, Clone)]
struct At {
    store: Uri,
    key: Key,
    max: u64,
}

impl At {
    fn new() -> Self {
        Self { store: Uri::new("local").with_host("here", None), key: key("some/key"), max: 1 << 30 }
    }

    fn seal(&self, transform: &impl Transform, value: impl Into<Payload>) -> Payload {
        transform.seal(&self.place(), value.into()).unwrap()
    }

    fn open(&self, transform: &impl Transform, value: impl Into<Payload>) -> Result<Payload> {
        transform.open(&self.place(), value.into())
    }

    fn fail(&self, transform: &impl Transform, value: impl Into<Payload>) -> Error {
        self.open(transform, value).unwrap_err()
    }

    fn place(&self) -> Place<'_> {
        Place { store: &self.store, key: &self.key, max: self.max }
    }
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

/// Bytes that do not compress, the same in every run.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| word()).collect();
    bytes.truncate(len);
    bytes
}

/// Bytes that compress well.
fn text(len: usize) -> Vec<u8> {
    (0..).flat_map(|n: u32| format!("line {n}; ").into_bytes()).take(len).collect()
}
