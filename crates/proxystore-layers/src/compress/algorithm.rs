//! The two algorithms.

use proxystore_core::{Bytes, Error, ErrorKind, Result};

use super::corrupt;

/// How a body is stored, with its number in the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "some are not made where an algorithm is not built in")]
pub(super) enum Algorithm {
    Stored = 0,
    Zstd = 1,
    Lz4 = 2,
}

impl Algorithm {
    /// Its name, in URIs and as a feature.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        }
    }

    /// `None` if that saves under 5 %.
    pub(super) fn compress(self, plain: &[u8]) -> Option<Bytes> {
        let most = plain.len() - plain.len() / 20;
        let mut packed = match self {
            #[cfg(feature = "zstd")]
            Self::Zstd => {
                let mut packed = buffer(most).ok()?;
                // What does not fit is an error.
                zstd::bulk::Compressor::new(3).ok()?.compress_to_buffer(plain, &mut packed).ok()?;
                packed
            }
            #[cfg(feature = "lz4")]
            Self::Lz4 => lz4_flex::block::compress(plain),
            _ => return None,
        };
        packed.shrink_to_fit();
        (packed.len() <= most).then(|| packed.into())
    }

    /// At most `len` bytes, in one buffer of that size: there is no window beside it that could grow.
    pub(super) fn decompress(self, packed: Bytes, len: usize) -> Result<Bytes> {
        match self {
            Self::Stored => Ok(packed),
            #[cfg(feature = "zstd")]
            Self::Zstd => {
                let garbage = |_| corrupt("are not a zstd frame of the length that they declare");
                let frame = zstd::zstd_safe::find_frame_compressed_size(&packed);
                if frame != Ok(packed.len()) {
                    return Err(corrupt("are not exactly one zstd frame"));
                }
                let mut plain = buffer(len)?;
                let mut decoder = zstd::bulk::Decompressor::new().map_err(garbage)?;
                decoder.decompress_to_buffer(&packed, &mut plain).map_err(garbage)?;
                Ok(plain.into())
            }
            #[cfg(feature = "lz4")]
            Self::Lz4 => {
                let garbage = || corrupt("are not an lz4 block of the length that they declare");
                let mut plain = buffer(len)?;
                // No byte of a block stands for more: a short one does not get to fill memory.
                if len / 255 > packed.len() {
                    return Err(garbage());
                }
                plain.resize(len, 0);
                let written = lz4_flex::block::decompress_into(&packed, &mut plain).map_err(|_| garbage())?;
                plain.truncate(written);
                Ok(plain.into())
            }
            #[allow(unreachable_patterns, reason = "it is reached where an algorithm is not built in")]
            _ => {
                let why = format!("the object was compressed by {}", self.name());
                let hint = format!("build proxystore with the feature `{}`", self.name());
                Err(Error::new(ErrorKind::Unsupported, why).hint(hint))
            }
        }
    }
}

/// Memory for an object of `len` bytes.
#[cfg(any(feature = "zstd", feature = "lz4"))]
fn buffer(len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| {
        Error::new(ErrorKind::TooLarge, "the object does not fit into memory").with("bytes", len)
    })?;
    Ok(bytes)
}
