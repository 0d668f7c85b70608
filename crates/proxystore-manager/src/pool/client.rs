//! What clients of a pool have: arguments and results of their own types.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Done, TaskError, TaskPoolProxy, TaskProxy};
use crate::error::{CallError, RemoteError};
use crate::stream::RemoteStream;
use crate::value::Encoded;

/// What a pool brings.
type Result<T, E = CallError<TaskError>> = std::result::Result<T, E>;

impl TaskPoolProxy {
    /// Runs a function and waits for its result. Dropping the future ends the task.
    pub async fn apply<A, R>(&self, function: &str, args: A) -> Result<R>
    where
        A: Serialize,
        R: DeserializeOwned,
    {
        let args = Encoded::new(&args)?;
        Ok(self.apply_encoded(function, args).await?.decode()?)
    }

    /// Runs a function for each item and waits for all results, in the order of the items. The first error ends the
    /// other tasks, and so does dropping the future.
    pub async fn map<A, R>(&self, function: &str, items: impl IntoIterator<Item = A>) -> Result<Vec<R>>
    where
        A: Serialize,
        R: DeserializeOwned,
    {
        let done = self.map_encoded(function, encoded(items)?).await?;
        Ok(done.iter().map(Encoded::decode).collect::<Result<_, RemoteError>>()?)
    }

    /// Runs a function for each item; results come in the order of the items, as they are read: tasks begin when there
    /// is a slot and the results before them are read, up to a small number. Dropping the stream ends its tasks.
    pub async fn stream<A, R>(
        &self,
        function: &str,
        items: impl IntoIterator<Item = A>,
    ) -> Result<BoxStream<'static, Result<R>>>
    where
        A: Serialize,
        R: DeserializeOwned + 'static,
    {
        Ok(typed(self.stream_encoded(function, encoded(items)?, true).await?))
    }

    /// As [`stream`](Self::stream), and results come as they are done.
    pub async fn stream_unordered<A, R>(
        &self,
        function: &str,
        items: impl IntoIterator<Item = A>,
    ) -> Result<BoxStream<'static, Result<R>>>
    where
        A: Serialize,
        R: DeserializeOwned + 'static,
    {
        Ok(typed(self.stream_encoded(function, encoded(items)?, false).await?))
    }

    /// Begins a task and does not wait for it. It goes on also if its handle is dropped.
    pub async fn submit<A, R>(&self, function: &str, args: A) -> Result<TaskResult<R>>
    where
        A: Serialize,
    {
        let task = self.submit_encoded(function, Encoded::new(&args)?).await?;
        Ok(TaskResult { task, result: PhantomData })
    }
}

fn encoded<A: Serialize>(items: impl IntoIterator<Item = A>) -> Result<Vec<Encoded>, RemoteError> {
    items.into_iter().map(|item| Encoded::new(&item)).collect()
}

fn typed<R: DeserializeOwned + 'static>(done: RemoteStream<Done>) -> BoxStream<'static, Result<R>> {
    done.map(|done| Ok(done?.map_err(CallError::App)?.decode()?)).boxed()
}

/// The result of a task that was submitted, as soon as there is one. It can be sent, and read more than once.
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct TaskResult<R> {
    task: TaskProxy,
    result: PhantomData<fn() -> R>,
}

impl<R> TaskResult<R> {
    /// Whether the task is done, well or not.
    pub async fn is_done(&self) -> Result<bool, RemoteError> {
        self.task.is_done().await
    }
}

impl<R: DeserializeOwned> TaskResult<R> {
    /// Waits for the result. Dropping the future leaves the task as it is.
    pub async fn get(&self) -> Result<R> {
        match self.task.get_encoded(None).await? {
            Some(done) => Ok(done.decode()?),
            None => Err(CallError::App(TaskError::Terminated)),
        }
    }

    /// Waits for the result, for so long at most: `None` if that was not enough.
    pub async fn get_within(&self, timeout: Duration) -> Result<Option<R>> {
        let done = self.task.get_encoded(Some(timeout)).await?;
        Ok(done.as_ref().map(Encoded::decode).transpose()?)
    }
}

impl<R> Clone for TaskResult<R> {
    fn clone(&self) -> Self {
        Self { task: self.task.clone(), result: PhantomData }
    }
}

impl<R> fmt::Debug for TaskResult<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskResult").field(&self.task).finish()
    }
}
