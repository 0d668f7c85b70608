//! Bodies that go out.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use proxystore_core::Transfer;

/// The bytes after which progress is told.
const CHUNK: usize = 64 << 10;

/// A body that tells how much of it has gone, here and to the call that it is part of.
pub(crate) fn counted(bytes: Bytes) -> (ByteStream, Arc<AtomicU64>) {
    let moved = Arc::<AtomicU64>::default();
    let (count, transfer) = (moved.clone(), Transfer::current());
    let body = SdkBody::from(bytes.clone()).map_preserve_contents(move |_| {
        SdkBody::from_body_1_x(Counted {
            rest: bytes.clone(),
            moved: count.clone(),
            transfer: transfer.clone(),
        })
    });
    (ByteStream::new(body), moved)
}

struct Counted {
    rest: Bytes,
    moved: Arc<AtomicU64>,
    transfer: Transfer,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let len = self.rest.len().min(CHUNK);
        if len == 0 {
            return Poll::Ready(None);
        }
        self.moved.fetch_add(len as u64, Ordering::Relaxed);
        self.transfer.moved(len as u64);
        let next = self.rest.split_to(len);
        Poll::Ready(Some(Ok(Frame::data(next))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
