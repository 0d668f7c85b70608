//! The place in a trace, as W3C Trace Context writes it.

use std::fmt;
use std::str::FromStr;

use proxystore_core::{Error, ErrorKind, Result};

/// Which span of which trace something belongs to: the `traceparent` of W3C Trace Context, version 00.
///
/// ```
/// use proxystore_store::TraceParent;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let parent: TraceParent = text.parse()?;
/// assert_eq!(parent.to_string(), text);
/// assert_eq!(parent.parent_id()[7], 0xb7);
/// # Ok::<(), proxystore_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace_id: [u8; 16],
    parent_id: [u8; 8],
    flags: u8,
}

impl TraceParent {
    /// Its length in a binary reference.
    pub(crate) const LEN: usize = 25;

    /// The trace, the span in it, and the flags, of which 1 says that the trace is sampled. `Config` if an id is zero.
    pub fn new(trace_id: [u8; 16], parent_id: [u8; 8], flags: u8) -> Result<Self> {
        if trace_id == [0; 16] || parent_id == [0; 8] {
            return Err(Error::new(ErrorKind::Config, "the id of a trace or span is zero"));
        }
        Ok(Self { trace_id, parent_id, flags })
    }

    /// The trace.
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The span.
    pub fn parent_id(&self) -> [u8; 8] {
        self.parent_id
    }

    /// The flags; 1: the trace is sampled.
    pub fn flags(&self) -> u8 {
        self.flags
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [self.flags; Self::LEN];
        bytes[..16].copy_from_slice(&self.trace_id);
        bytes[16..24].copy_from_slice(&self.parent_id);
        bytes
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::LEN]) -> Result<Self> {
        let (trace_id, rest) = bytes.split_at(16);
        let mut ids = ([0; 16], [0; 8]);
        ids.0.copy_from_slice(trace_id);
        ids.1.copy_from_slice(&rest[..8]);
        Self::new(ids.0, ids.1, rest[8])
    }
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        hex(f, &self.trace_id)?;
        f.write_str("-")?;
        hex(f, &self.parent_id)?;
        write!(f, "-{:02x}", self.flags)
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceParent({self})")
    }
}

/// Strict: version 00, lower-case digits, no zero ids. `Config` otherwise.
impl FromStr for TraceParent {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let legal = |(i, byte): (usize, u8)| match i {
            0 | 1 => byte == b'0',
            2 | 35 | 52 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        };
        if text.len() != 55 || !text.bytes().enumerate().all(legal) {
            return Err(Error::new(ErrorKind::Config, "not a traceparent")
                .hint("it has the form `00-<32 hex digits>-<16 hex digits>-<2 hex digits>`, in lower case"));
        }
        let number = |from: usize, to: usize| u128::from_str_radix(&text[from..to], 16).unwrap_or(0);
        let flags = number(53, 55) as u8;
        Self::new(number(3, 35).to_be_bytes(), (number(36, 52) as u64).to_be_bytes(), flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn text_and_bytes_say_the_same() {
        let parent: TraceParent = TEXT.parse().unwrap();
        assert_eq!(TraceParent::from_bytes(parent.to_bytes()).unwrap(), parent);
        assert_eq!(parent.to_string(), TEXT);
        assert_eq!(parent.trace_id()[..4], [0x4b, 0xf9, 0x2f, 0x35]);
        assert_eq!((parent.parent_id()[7], parent.flags()), (0xb7, 1));
    }

    #[test]
    fn anything_else_is_refused() {
        for (from, to) in [
            ("00-4", "01-4"),
            ("00-4", "ff-4"),
            ("4bf9", "4BF9"),
            ("4bf9", "4bg9"),
            ("4bf9", "4b é"),
            ("4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000"),
            ("00f067aa0ba902b7", "0000000000000000"),
            ("b7-01", "b7-01-"),
            ("b7-01", "b7-1"),
            ("b7-01", "b7-+1"),
            ("b7-01", "b7"),
            (TEXT, ""),
        ] {
            let text = TEXT.replace(from, to);
            assert_eq!(text.parse::<TraceParent>().unwrap_err().kind(), ErrorKind::Config, "{text}");
        }
    }
}
