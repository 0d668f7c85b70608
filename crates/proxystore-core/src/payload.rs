//! The bytes of one stored object.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// A short list of [`Bytes`] segments, usually a header and a body.
///
/// Putting a `Bytes` of 100 MB behind a header copies nothing: the segments are handed to the connector side by
/// side. `Debug` shows the length and never the content.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload {
    head: Bytes,
    body: Bytes,
}

impl Payload {
    /// A header in front of a body.
    pub fn new(head: impl Into<Bytes>, body: impl Into<Bytes>) -> Self {
        Self { head: head.into(), body: body.into() }
    }

    /// The length of all segments, in bytes.
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Whether there is not one byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The segments that are not empty, in order.
    pub fn segments(&self) -> impl Iterator<Item = &Bytes> {
        [&self.head, &self.body].into_iter().filter(|segment| !segment.is_empty())
    }

    /// All bytes in one piece. Copies only when there is more than one segment.
    pub fn into_bytes(self) -> Bytes {
        match (self.head.is_empty(), self.body.is_empty()) {
            (_, true) => self.head,
            (true, _) => self.body,
            _ => {
                let mut all = BytesMut::with_capacity(self.len());
                all.extend_from_slice(&self.head);
                all.extend_from_slice(&self.body);
                all.freeze()
            }
        }
    }

    /// Splits after the first `at` bytes, or gives `None` if there are fewer.
    ///
    /// Copies nothing where `at` is a segment's border or lies within the body of an undivided payload.
    pub fn split_at(self, at: usize) -> Option<(Bytes, Bytes)> {
        let (front, rest) = self.split_front(at)?;
        Some((front, rest.into_bytes()))
    }

    /// Puts `front` before everything else. What is copied is a header that is there already, never the body.
    #[must_use]
    pub fn with_front(self, front: impl Into<Bytes>) -> Self {
        let front = front.into();
        match (self.head.is_empty(), self.body.is_empty()) {
            (true, _) => Self { head: front, body: self.body },
            (_, true) => Self { head: front, body: self.head },
            _ => Self { head: Self::new(front, self.head).into_bytes(), body: self.body },
        }
    }

    /// Undoes [`with_front`](Self::with_front): the first `at` bytes, and the rest in its segments. `None` if there are
    /// fewer. Never copies more than `at` bytes.
    pub fn split_front(mut self, at: usize) -> Option<(Bytes, Self)> {
        if at > self.len() {
            return None;
        }
        let from_body = at.saturating_sub(self.head.len());
        let head = self.head.split_to(at - from_body);
        let front = Self { head, body: self.body.split_to(from_body) }.into_bytes();
        Some((front, self))
    }

    /// The header and the body, side by side as they were put; of an undivided payload one is empty.
    pub fn into_parts(self) -> (Bytes, Bytes) {
        (self.head, self.body)
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}

impl From<Bytes> for Payload {
    fn from(body: Bytes) -> Self {
        Self { head: Bytes::new(), body }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(body: Vec<u8>) -> Self {
        Bytes::from(body).into()
    }
}

impl From<&'static [u8]> for Payload {
    fn from(body: &'static [u8]) -> Self {
        Bytes::from_static(body).into()
    }
}
