//! Queues.

use std::borrow::Borrow;
use std::ops::Deref;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{CallError, RemoteError};
use crate::manager::Manager;
use crate::value::Encoded;

mod object;
mod state;

use object::DeliveryObjectProxy;
pub(super) use object::QueueObject;
use object::QueueObjectProxy;
pub use object::{Order, QueueError};

typed! {
    /// A shared queue of items of type `T`, which may have a bound and may be a stack or sorted: see [`Order`].
    ///
    /// ```
    /// # use proxystore_manager::Manager;
    /// # use proxystore_manager::builtin::{Order, Queue};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = Manager::builder().in_process()?;
    /// let jobs = Queue::<u32>::create(&manager, Order::Fifo, 100).await?;
    /// jobs.put(&7).await?;
    /// jobs.close().await?;
    ///
    /// // In a worker: if it dies before it says that the job is done, another one gets the job.
    /// while let Ok(job) = jobs.get_acked().await {
    ///     assert_eq!(*job, 7);
    ///     job.ack().await?;
    /// }
    /// jobs.join().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// Who waits first is served first. A call that is dropped while it waits leaves nothing, and an item that was taken
    /// for somebody who is gone goes back to its place. So an item is lost with a client only after that has it; where
    /// even that must not be, there is [`get_acked`](Self::get_acked); who dies in the moment of getting an item may leave
    /// it to another. Items that one caller puts in one after the other keep their order.
    ///
    /// Its methods wait, so all of them are `&self`: a proxy that is to have fewer rights is made by
    /// [`only_methods`](crate::ProxyBase::only_methods), such as `["put"]`, and not by `read_only`.
    Queue<T>(QueueObjectProxy)
}

impl<T: Serialize + DeserializeOwned> Queue<T> {
    /// An empty queue with room for so many items; as in Python, 0 is for any number.
    pub async fn create(manager: &Manager, order: Order, capacity: usize) -> Result<Self, RemoteError> {
        Ok(Self::of(QueueObjectProxy::create(manager, order, capacity).await?))
    }

    /// The queue of this name; if there is none, an empty one gets it, made as by [`create`](Self::create).
    pub async fn get_or_create(
        manager: &Manager,
        name: &str,
        order: Order,
        capacity: usize,
    ) -> Result<Self, RemoteError> {
        Ok(Self::of(QueueObjectProxy::get_or_create(manager, name, order, capacity).await?))
    }

    /// How many items there are: Python's `qsize`.
    pub async fn len(&self) -> Result<usize, RemoteError> {
        self.proxy.len().await
    }

    /// Whether there are none.
    pub async fn is_empty(&self) -> Result<bool, RemoteError> {
        Ok(self.len().await? == 0)
    }

    /// Whether there are as many as there may be.
    pub async fn is_full(&self) -> Result<bool, RemoteError> {
        self.proxy.is_full().await
    }

    /// Waits for room, and puts an item in. [`QueueError::Closed`] if the queue is or gets closed.
    ///
    /// Dropping the future leaves the item in or out.
    pub async fn put<Q>(&self, item: &Q) -> Result<(), CallError<QueueError>>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.proxy.put(Encoded::new(item)?, None).await
    }

    /// As [`put`](Self::put). [`QueueError::Full`] if there is no room within this time.
    pub async fn put_within<Q>(&self, item: &Q, time: Duration) -> Result<(), CallError<QueueError>>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.proxy.put(Encoded::new(item)?, Some(time)).await
    }

    /// As [`put`](Self::put). [`QueueError::Full`] if there is no room now: Python's `put_nowait`.
    pub async fn try_put<Q>(&self, item: &Q) -> Result<(), CallError<QueueError>>
    where
        T: Borrow<Q>,
        Q: Serialize + ?Sized,
    {
        self.put_within(item, Duration::ZERO).await
    }

    /// Waits for an item, and takes it. [`QueueError::Closed`] if the queue is closed and nothing more will come.
    ///
    /// Dropping the future leaves the item in the queue.
    pub async fn get(&self) -> Result<T, CallError<QueueError>> {
        Ok(self.proxy.get(None).await?.decode()?)
    }

    /// As [`get`](Self::get). [`QueueError::Empty`] if there is no item within this time.
    pub async fn get_within(&self, time: Duration) -> Result<T, CallError<QueueError>> {
        Ok(self.proxy.get(Some(time)).await?.decode()?)
    }

    /// As [`get`](Self::get). [`QueueError::Empty`] if there is no item now: Python's `get_nowait`.
    pub async fn try_get(&self) -> Result<T, CallError<QueueError>> {
        self.get_within(Duration::ZERO).await
    }

    /// As [`get`](Self::get), but the item is back in its place if it is not acknowledged: when the guard is dropped, or
    /// this process dies.
    pub async fn get_acked(&self) -> Result<Delivery<T>, CallError<QueueError>> {
        self.delivery(None).await
    }

    /// As [`get_acked`](Self::get_acked). [`QueueError::Empty`] if there is no item within this time.
    pub async fn get_acked_within(&self, time: Duration) -> Result<Delivery<T>, CallError<QueueError>> {
        self.delivery(Some(time)).await
    }

    async fn delivery(&self, within: Option<Duration>) -> Result<Delivery<T>, CallError<QueueError>> {
        let given = self.proxy.get_acked(within).await.map_err(CallError::flatten)?;
        let (proxy, item) = given.map_err(CallError::App)?;
        Ok(Delivery { item: item.decode()?, proxy })
    }

    /// Says that one of the items is done that were taken by [`get`](Self::get). [`QueueError::NothingToDo`] if that is
    /// said more often than items were put in.
    pub async fn task_done(&self) -> Result<(), CallError<QueueError>> {
        self.proxy.task_done().await
    }

    /// Waits until all items that were put in are done.
    pub async fn join(&self) -> Result<(), CallError<QueueError>> {
        self.proxy.join(None).await
    }

    /// As [`join`](Self::join). [`QueueError::Unfinished`] if that is not so within this time.
    pub async fn join_within(&self, time: Duration) -> Result<(), CallError<QueueError>> {
        self.proxy.join(Some(time)).await
    }

    /// Lets nothing in any more: Python's `shutdown`. What is there still comes out. Whoever waits for more hears of
    /// [`QueueError::Closed`] when all is out and nothing can come back.
    pub async fn close(&self) -> Result<(), RemoteError> {
        self.proxy.close().await
    }

    /// As [`close`](Self::close), and drops what is there, as if it were done: Python's `shutdown(immediate=True)`.
    pub async fn close_now(&self) -> Result<(), RemoteError> {
        self.proxy.close_now().await
    }
}

/// An item that was taken and is not acknowledged: it dereferences to that. Dropped, it puts the item back.
#[derive(Debug)]
#[must_use = "an item that is not acknowledged goes back"]
pub struct Delivery<T> {
    item: T,
    proxy: DeliveryObjectProxy,
}

impl<T> Delivery<T> {
    /// Says that the item is done: it will not go back, and [`join`](Queue::join) does not wait for it any more.
    ///
    /// Dropping the future leaves the item done or back in the queue.
    pub async fn ack(self) -> Result<T, CallError<QueueError>> {
        self.proxy.ack().await?;
        Ok(self.item)
    }

    /// Puts the item back now. Dropping this does the same, a little later.
    pub async fn give_back(self) -> Result<(), CallError<QueueError>> {
        self.proxy.give_back().await
    }
}

impl<T> Deref for Delivery<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.item
    }
}
