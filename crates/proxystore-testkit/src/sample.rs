//! Objects that tell whether they are whole.

use proxystore_core::{Bytes, Payload};

/// Bytes in front of the pattern: the seed and the length.
const HEAD: usize = 16;
const ODD: u64 = 0x9E37_79B9_7F4A_7C15;

/// `len` bytes that depend on `seed`: both, then a pattern in which no two words are alike.
/// Below 16 bytes it is only the beginning of that.
pub fn make(seed: u64, len: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(len + HEAD);
    bytes.extend_from_slice(&seed.to_le_bytes());
    bytes.extend_from_slice(&(len as u64).to_le_bytes());
    let mut word = seed;
    while bytes.len() < len {
        word = word.wrapping_add(ODD);
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

/// The seed of a sample that came back whole; says what is wrong with one that did not.
///
/// ```
/// use proxystore_testkit::sample;
///
/// let whole = sample::make(7, 1_000);
/// assert_eq!(sample::seed(whole.clone()), Ok(7));
/// assert!(sample::seed(whole.slice(..999)).is_err());
/// ```
pub fn seed(object: impl Into<Payload>) -> Result<u64, String> {
    let bytes = object.into().into_bytes();
    let word = |at: usize| {
        let slice = bytes.get(at..at + 8).and_then(|slice| <[u8; 8]>::try_from(slice).ok());
        slice.map(u64::from_le_bytes).ok_or_else(|| format!("{} bytes are too few for a sample", bytes.len()))
    };
    let (seed, len) = (word(0)?, word(8)?);
    if len != bytes.len() as u64 {
        return Err(format!("torn: {} bytes of {len} (seed {seed})", bytes.len()));
    }
    let whole = make(seed, bytes.len());
    match whole.iter().zip(&bytes).position(|(a, b)| a != b) {
        None => Ok(seed),
        Some(at) => Err(format!("altered: byte {at} of {len} is not that of seed {seed}")),
    }
}
