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
        let fill = async {
            let mut next = items.next().await;
            while let Some(item) = next {
                let item = item?;
                bytes += item.bytes.len();
                batch.push(item);
                if batch.len() >= max_items || bytes >= max_bytes {
                    return Ok(false);
                }
                match items.next().now_or_never() {
                    Some(ready) => next = ready,
                    None => return Ok(false),
                }
            }
            Ok::<_, RemoteError>(true)
        };
        let filled = AssertUnwindSafe(fill).catch_unwind().await;
        let last = filled.unwrap_or_else(|panic| Err(panics::caught(&*panic)))?;
        if !last {
            *self.items() = Some(items);
        }
        Ok((batch, last))
    }
}
