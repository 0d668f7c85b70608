//! A stream that a client reads in batches. It belongs to the session, not to the object: whoever made it let it go.

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};

use super::panics;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::value::Encoded;

type Items = BoxStream<'static, Result<Encoded, RemoteError>>;

/// What is left of a stream. While a batch is made, it is with that.
pub(crate) struct Cursor(Mutex<Option<Items>>);

impl Cursor {
    pub(crate) fn new(items: Items) -> Self {
        Self(Mutex::new(Some(items)))
    }

    /// Whether nothing is left of it, unless a batch is being made.
    pub(crate) fn is_taken(&self) -> bool {
        self.items().is_none()
    }

    fn items(&self) -> std::sync::MutexGuard<'_, Option<Items>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an item, and takes those along that are ready; and whether that was the last. A stream that panics or
    /// whose items cannot be encoded has ended with that. Dropping the future ends the stream.
    pub(crate) async fn batch(
        &self,
        max_items: usize,
        max_bytes: usize,
    ) -> Result<(Vec<Encoded>, bool), RemoteError> {
        let taken = self.items().take();
        let Some(mut items) = taken else {
            return Err(RemoteError::new(
                RemoteErrorKind::NoSuchMethod,
                "the stream has ended, or is being read",
            ));
        };
        let mut batch = Vec::new();
        let mut bytes = 0;
        // What is left of the stream. Its end may panic, too, so a stream that is over ends in here.
        let fill = async move {
            let mut next = items.next().await;
            while let Some(item) = next {
                let item = item?;
                bytes += item.bytes.len();
                batch.push(item);
                if batch.len() >= max_items || bytes >= max_bytes {
                    return Ok((batch, Some(items)));
                }
                match items.next().now_or_never() {
                    Some(ready) => next = ready,
                    None => return Ok((batch, Some(items))),
                }
            }
            Ok::<_, RemoteError>((batch, None))
        };
        let filled = AssertUnwindSafe(fill).catch_unwind().await;
        let (batch, rest) = filled.unwrap_or_else(|panic| Err(panics::caught(&*panic)))?;
        let last = rest.is_none();
        *self.items() = rest;
        Ok((batch, last))
    }
}

/// The stream is somebody's code: if its end panics, the panic hook tells that, and it stops nothing else.
impl Drop for Cursor {
    fn drop(&mut self) {
        let items = self.items().take();
        let _ = std::panic::catch_unwind(AssertUnwindSafe(move || drop(items)));
    }
}
