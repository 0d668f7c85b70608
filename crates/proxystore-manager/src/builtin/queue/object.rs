//! The queue itself, at its manager.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::state::{Entry, State};
use crate::context::Context;
use crate::error::RemoteError;
use crate::object;
use crate::object::Remote;
use crate::value::Encoded;

/// Which item of a queue comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Order {
    /// The oldest.
    #[default]
    Fifo,
    /// The newest.
    Lifo,
    /// The smallest, in the order of [`List::sort`](crate::builtin::List::sort); the oldest of those that are equal. Kinds
    /// have an order here, too, so that no item is refused. A tuple `(priority, item)` is usual.
    Priority,
}

/// What a queue does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum QueueError {
    /// There was no room in time.
    Full,
    /// There was no item in time.
    Empty,
    /// It was closed: nothing goes in any more, or nothing more will come out.
    Closed,
    /// More tasks were said to be done than there were items, or the same item was acknowledged twice.
    NothingToDo,
    /// Not all items were done in time.
    Unfinished,
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the queue is full",
            Self::Empty => "the queue is empty",
            Self::Closed => "the queue is closed",
            Self::NothingToDo => "more was said to be done than there was to do",
            Self::Unfinished => "not all items were done in time",
        })
    }
}

impl std::error::Error for QueueError {}

/// Methods wait, so none is `&mut self`.
#[derive(Debug)]
pub(crate) struct QueueObject(Arc<State>);

#[object(crate = "crate", typeid = "proxystore.Queue")]
impl QueueObject {
    #[ctor]
    fn new(order: Order, capacity: usize) -> Self {
        Self(Arc::new(State::new(order, capacity)))
    }

    #[idempotent]
    fn len(&self) -> usize {
        self.0.len()
    }

    #[idempotent]
    fn is_full(&self) -> bool {
        self.0.is_full()
    }

    async fn put(&self, item: Encoded, timeout: Option<Duration>) -> Result<(), QueueError> {
        self.0.put(item, timeout).await
    }

    /// What reaches nobody goes back.
    async fn get(&self, context: &Context, timeout: Option<Duration>) -> Result<Encoded, QueueError> {
        let entry = self.0.get(timeout, false).await?;
        let (item, state) = (entry.item.clone(), self.0.clone());
        context.on_discard(move || state.give_back(entry, false));
        Ok(item)
    }

    async fn get_acked(
        &self,
        context: &Context,
        timeout: Option<Duration>,
    ) -> Result<Result<(Remote<DeliveryObject>, Encoded), QueueError>, RemoteError> {
        let entry = match self.0.get(timeout, true).await {
            Ok(entry) => entry,
            Err(error) => return Ok(Err(error)),
        };
        let item = entry.item.clone();
        let delivery = context.host(DeliveryObject { state: self.0.clone(), entry: Some(entry) })?;
        Ok(Ok((delivery, item)))
    }

    fn task_done(&self) -> Result<(), QueueError> {
        self.0.task_done()
    }

    #[idempotent]
    async fn join(&self, timeout: Option<Duration>) -> Result<(), QueueError> {
        self.0.join(timeout).await
    }

    #[idempotent]
    fn close(&self) {
        self.0.close();
    }

    #[idempotent]
    fn close_now(&self) {
        self.0.close_now();
    }
}

/// An item that somebody has and has not acknowledged: it goes back when this is dropped.
#[derive(Debug)]
pub(crate) struct DeliveryObject {
    state: Arc<State>,
    entry: Option<Entry>,
}

#[object(crate = "crate", typeid = "proxystore.Delivery")]
impl DeliveryObject {
    fn ack(&mut self) -> Result<(), QueueError> {
        let entry = self.entry.take().ok_or(QueueError::NothingToDo)?;
        self.state.acknowledge();
        drop(entry);
        Ok(())
    }

    fn give_back(&mut self) -> Result<(), QueueError> {
        self.state.give_back(self.entry.take().ok_or(QueueError::NothingToDo)?, true);
        Ok(())
    }
}

impl Drop for DeliveryObject {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.state.give_back(entry, true);
        }
    }
}
