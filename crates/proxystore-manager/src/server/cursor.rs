//! A stream that a client reads in batches. It belongs to the session, not to the object: whoever made it let it go.

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};

use super::panics;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::value::Encoded;

type Items = BoxStream<'static, Result<Encoded, RemoteError>>;

/// What is left of a stream.
struct Rest {
    /// What did not fit into the last batch.
    held: Option<Result<Encoded, RemoteError>>,
    items: Items,
}

/// A stream. While a batch is made, what is left is with that.
pub(crate) struct Cursor(Mutex<Option<Rest>>);

impl Cursor {
    pub(crate) fn new(items: Items) -> Self {
        Self(Mutex::new(Some(Rest { held: None, items })))
    }

    /// Whether nothing is left of it, unless a batch is being made.
    pub(crate) fn is_taken(&self) -> bool {
        self.rest().is_none()
    }

    fn rest(&self) -> std::sync::MutexGuard<'_, Option<Rest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an item, and takes those along that are ready and fit; and whether that was the last. A stream that
    /// panics or whose items cannot be encoded has ended with that. Dropping the future ends the stream.
    pub(crate) async fn batch(
        &self,
        max_items: usize,
        max_bytes: usize,
    ) -> Result<(Vec<Encoded>, bool), RemoteError> {
        let taken = self.rest().take();
        let Some(mut rest) = taken else {
            return Err(RemoteError::new(
                RemoteErrorKind::NoSuchMethod,
                "the stream has ended, or is being read",
            ));
        };
        let mut batch = Vec::new();
        let mut bytes = 0;
        // What is left of the stream. Its end may panic, too, so a stream that is over ends in here.
        let fill = async move {
            let mut next = match rest.held.take() {
                None => rest.items.next().await,
                held => held,
            };
            while let Some(item) = next {
                bytes += item.as_ref().map_or(0, |item| item.bytes.len());
                if !batch.is_empty() && (item.is_err() || bytes > max_bytes) {
                    rest.held = Some(item);
                    return Ok((batch, Some(rest)));
                }
                batch.push(item?);
                if batch.len() >= max_items {
                    return Ok((batch, Some(rest)));
                }
                match rest.items.next().now_or_never() {
                    Some(ready) => next = ready,
                    None => return Ok((batch, Some(rest))),
                }
            }
            Ok::<_, RemoteError>((batch, None))
        };
        let filled = AssertUnwindSafe(fill).catch_unwind().await;
        let (batch, rest) = filled.unwrap_or_else(|panic| Err(panics::caught(&*panic)))?;
        let last = rest.is_none();
        *self.rest() = rest;
        Ok((batch, last))
    }
}

/// The stream is somebody's code: if its end panics, the panic hook tells that, and it stops nothing else.
impl Drop for Cursor {
    fn drop(&mut self) {
        let rest = self.rest().take();
        let _ = std::panic::catch_unwind(AssertUnwindSafe(move || drop(rest)));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_comes_with_the_next_batch_and_an_error_after_what_was_before_it() {
        let item = |size| Ok(Encoded { bytes: vec![0; size].into(), proxies: Vec::new() });
        let error = Err(RemoteErrorKind::Encode.into());
        let items = [item(10), item(90), item(95), item(200), item(1), error, item(1)];
        let cursor = Cursor::new(stream::iter(items).boxed());
        for expected in [&[10, 90][..], &[95], &[200], &[1]] {
            let (batch, last) = cursor.batch(10, 100).await.unwrap();
            assert_eq!(batch.iter().map(|item| item.bytes.len()).collect::<Vec<_>>(), expected);
            assert!(!last);
        }
        assert_eq!(cursor.batch(10, 100).await.unwrap_err().kind(), RemoteErrorKind::Encode);
        assert!(cursor.is_taken());
    }
}
