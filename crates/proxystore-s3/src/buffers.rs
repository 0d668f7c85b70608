//! Memory for the pieces of an object that are on their way between a file and the server.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};

/// The buffers that a transfer has taken and given back: it takes as many as it has pieces on their way, and not one for
/// each piece, which would leave it to the allocator how much memory that is.
#[derive(Clone, Default)]
pub(crate) struct Buffers(Arc<Mutex<Vec<BytesMut>>>);

impl Buffers {
    /// A buffer, with whatever is in it.
    pub(crate) fn take(&self) -> BytesMut {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    pub(crate) fn give_back(&self, buffer: BytesMut) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }

    /// What is in a buffer, which is given back when nobody needs it any more.
    pub(crate) fn lend(&self, buffer: BytesMut) -> Bytes {
        Bytes::from_owner(Lent { buffer, buffers: self.clone() })
    }
}

struct Lent {
    buffer: BytesMut,
    buffers: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.buffers.give_back(std::mem::take(&mut self.buffer));
    }
}
