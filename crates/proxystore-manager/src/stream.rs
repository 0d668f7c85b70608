//! What a method returns that returns a stream.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{BoxStream, Stream};
use serde::de::DeserializeOwned;

use crate::error::RemoteError;
use crate::value::Encoded;

/// The items of a remote stream, fetched in batches, one batch ahead at most, as they are polled.
///
/// A broken connection loses and doubles none of them. After an error nothing follows. Dropping it ends the stream where
/// it comes from.
#[must_use = "a stream does nothing unless it is polled"]
pub struct RemoteStream<T> {
    items: BoxStream<'static, Result<Encoded, RemoteError>>,
    item: PhantomData<fn() -> T>,
}

impl<T> RemoteStream<T> {
    pub(crate) fn new(items: BoxStream<'static, Result<Encoded, RemoteError>>) -> Self {
        Self { items, item: PhantomData }
    }
}

impl<T: DeserializeOwned> Stream for RemoteStream<T> {
    type Item = Result<T, RemoteError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = self.items.as_mut().poll_next(cx);
        item.map(|item| item.map(|item| item.and_then(|item| item.decode())))
    }
}

impl<T> fmt::Debug for RemoteStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RemoteStream")
    }
}
