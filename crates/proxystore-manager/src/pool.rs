//! Functions that run where the manager is, some at a time.

use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, try_join_all};
use futures_util::stream::{self, Stream, StreamExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::context::Context;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::object;
use crate::object::Remote;
use crate::value::Encoded;

mod client;

pub use client::TaskResult;

/// Why a task of a pool has no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TaskError {
    /// The pool has no function of this name.
    NoSuchFunction,
    /// The function panicked.
    Panicked,
    /// The pool takes no tasks any more.
    Closed,
    /// Somebody waits for the end of a pool that is not closed.
    Open,
    /// The pool was terminated before the task was done.
    Terminated,
    /// The arguments or the result are of another type, or the manager failed.
    Remote(RemoteError),
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchFunction => "the pool has no function of this name: give it one where it is made",
            Self::Panicked => "the function panicked",
            Self::Closed => "the pool is closed",
            Self::Open => "the pool is open: `close` it before you wait for its end",
            Self::Terminated => "the pool was terminated",
            Self::Remote(error) => return error.fmt(f),
        })
    }
}

impl std::error::Error for TaskError {}

impl From<RemoteError> for TaskError {
    fn from(error: RemoteError) -> Self {
        Self::Remote(error)
    }
}

type Done = Result<Encoded, TaskError>;
/// A function keeps its slot for as long as it runs.
type Function = Arc<dyn Fn(Encoded, OwnedSemaphorePermit) -> BoxFuture<'static, Done> + Send + Sync>;

/// Functions that clients call by name, so many at a time; the others wait for their turn, first come, first served.
///
/// ```
/// use futures_util::TryStreamExt;
/// use proxystore_manager::{Manager, pool::TaskPool};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = TaskPool::new(4)
///     .with("greet", |name: String| async move { format!("hello, {name}") })
///     .with_blocking("square", |x: u64| x * x);
/// let manager = Manager::builder().in_process()?;
/// let pool = manager.host(pool)?; // publish it, or send it to those who are to use it
///
/// let greeting: String = pool.apply("greet", "world").await?;
/// assert_eq!(greeting, "hello, world");
/// let squares: Vec<u64> = pool.map("square", 1..=3).await?;
/// assert_eq!(squares, [1, 4, 9]);
/// let each: Vec<u64> = pool.stream::<_, u64>("square", 1..=3).await?.try_collect().await?;
/// assert_eq!(each, [1, 4, 9]);
/// # Ok(()) }
/// ```
///
/// Tasks that wait for others of the same pool can fill it, and then wait for ever. With its last proxy the pool is
/// terminated. Other than Python's it has no processes of its own, and runs the functions that it was given, since code
/// does not travel.
pub struct TaskPool {
    functions: HashMap<String, Function>,
    crew: Arc<Crew>,
}

/// What the tasks of a pool have in common.
struct Crew {
    size: usize,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    end: CancellationToken,
}

impl TaskPool {
    /// A pool without functions, which runs so many tasks at a time, at least one.
    pub fn new(size: usize) -> Self {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        let crew = Crew {
            size,
            slots: Arc::new(Semaphore::new(size)),
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
        };
        Self { functions: HashMap::new(), crew: Arc::new(crew) }
    }

    /// Gives it a function, which may wait but must not block. It ends at its next `await` when it is not wanted any more.
    /// The last of several with the same name counts.
    #[must_use]
    pub fn with<A, R, F>(self, name: &str, function: impl Fn(A) -> F + Send + Sync + 'static) -> Self
    where
        A: DeserializeOwned + Send + 'static,
        R: Serialize + Send + 'static,
        F: Future<Output = R> + Send + 'static,
    {
        let function = Arc::new(function);
        self.insert(name, move |args, slot| {
            let function = function.clone();
            async move {
                let result = function(arguments(&args)?).await;
                drop(slot);
                Ok::<_, TaskError>(Encoded::new(&result)?)
            }
            .boxed()
        })
    }

    /// Gives it a function that computes or blocks: it runs on a thread for such, always to its end.
    #[must_use]
    pub fn with_blocking<A, R>(self, name: &str, function: impl Fn(A) -> R + Send + Sync + 'static) -> Self
    where
        A: DeserializeOwned + Send + 'static,
        R: Serialize + Send + 'static,
    {
        let function = Arc::new(function);
        self.insert(name, move |args, slot| {
            let function = function.clone();
            let run = move || -> Done {
                let result = function(arguments(&args)?);
                drop(slot);
                Ok(Encoded::new(&result)?)
            };
            async move { tokio::task::spawn_blocking(run).await.unwrap_or(Err(TaskError::Panicked)) }.boxed()
        })
    }

    fn insert(
        mut self,
        name: &str,
        function: impl Fn(Encoded, OwnedSemaphorePermit) -> BoxFuture<'static, Done> + Send + Sync + 'static,
    ) -> Self {
        self.functions.insert(name.into(), Arc::new(function));
        self
    }

    fn task(
        &self,
        name: &str,
    ) -> Result<impl Fn(Encoded) -> BoxFuture<'static, Done> + Send + use<>, TaskError> {
        let function = self.functions.get(name).ok_or(TaskError::NoSuchFunction)?.clone();
        let crew = self.crew.clone();
        if crew.end.is_cancelled() {
            return Err(TaskError::Terminated);
        }
        if crew.tasks.is_closed() {
            return Err(TaskError::Closed);
        }
        Ok(move |args| crew.clone().run(function.clone(), args).boxed())
    }
}

fn arguments<A: DeserializeOwned>(args: &Encoded) -> Result<A, TaskError> {
    let bad = |error: RemoteError| RemoteError::new(RemoteErrorKind::BadArguments, error.message());
    args.decode().map_err(|error| TaskError::Remote(bad(error)))
}

impl Crew {
    /// Waits for a slot and runs the function.
    async fn run(self: Arc<Self>, function: Function, args: Encoded) -> Done {
        let task = async {
            let slot = self.slots.clone().acquire_owned().await.map_err(|_| TaskError::Terminated)?;
            AssertUnwindSafe(async { function(args, slot).await })
                .catch_unwind()
                .await
                .unwrap_or(Err(TaskError::Panicked))
        };
        tokio::select! {
            biased;
            () = self.end.cancelled() => Err(TaskError::Terminated),
            done = task => done,
        }
    }

    /// Begins a task. Dropping what it returns ends the task.
    fn begin(&self, task: BoxFuture<'static, Done>) -> impl Future<Output = Done> + Send + use<> {
        let running = AbortOnDropHandle::new(self.tasks.spawn(task));
        async move { running.await.unwrap_or(Err(TaskError::Terminated)) }
    }
}

/// A name, and what is wanted of its function. The methods of the proxy that take and return values of any type are
/// made of these.
#[object(crate = "crate", typeid = "proxystore.TaskPool")]
impl TaskPool {
    /// See [`TaskPoolProxy::apply`].
    #[rename = "apply"]
    async fn apply_encoded(&self, function: &str, args: Encoded) -> Result<Encoded, TaskError> {
        self.crew.begin(self.task(function)?(args)).await
    }

    /// See [`TaskPoolProxy::map`].
    #[rename = "map"]
    async fn map_encoded(&self, function: &str, items: Vec<Encoded>) -> Result<Vec<Encoded>, TaskError> {
        let task = self.task(function)?;
        try_join_all(items.into_iter().map(|item| self.crew.begin(task(item)))).await
    }

    /// See [`TaskPoolProxy::stream`].
    #[rename = "stream"]
    fn stream_encoded(
        &self,
        function: &str,
        items: Vec<Encoded>,
        is_ordered: bool,
    ) -> impl Stream<Item = Done> + Send + use<> {
        let task = match self.task(function) {
            Ok(task) => task,
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        let (crew, size) = (self.crew.clone(), self.crew.size);
        // The pool has not ended before its streams have.
        let token = crew.tasks.token();
        let begun = stream::iter(items).map(move |item| {
            let _ = &token;
            crew.begin(task(item))
        });
        if is_ordered { begun.buffered(size).boxed() } else { begun.buffer_unordered(size).boxed() }
    }

    /// See [`TaskPoolProxy::submit`].
    #[rename = "submit"]
    fn submit_encoded(
        &self,
        function: &str,
        args: Encoded,
        context: &Context,
    ) -> Result<Remote<Task>, TaskError> {
        let task = self.task(function)?(args);
        let (sender, done) = watch::channel(None);
        self.crew.tasks.spawn(async move { sender.send_replace(Some(task.await)) });
        Ok(context.host(Task(done))?)
    }

    /// Takes no further tasks. Those that it has go on.
    #[idempotent]
    pub fn close(&self) {
        self.crew.tasks.close();
    }

    /// Waits until all tasks are done. `Open` if the pool is not closed.
    #[idempotent]
    pub async fn join(&self) -> Result<(), TaskError> {
        if !self.crew.tasks.is_closed() {
            return Err(TaskError::Open);
        }
        self.crew.tasks.wait().await;
        Ok(())
    }

    /// Takes no further tasks, and ends those that it has with `Terminated`.
    #[idempotent]
    pub fn terminate(&self) {
        self.crew.tasks.close();
        self.crew.end.cancel();
    }
}

impl Drop for TaskPool {
    fn drop(&mut self) {
        self.terminate();
    }
}

impl fmt::Debug for TaskPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskPool")
            .field("size", &self.crew.size)
            .field("functions", &self.functions.keys())
            .field("tasks", &self.crew.tasks.len())
            .finish()
    }
}

/// A task that was submitted: the object behind a [`TaskResult`].
pub struct Task(watch::Receiver<Option<Done>>);

#[object(crate = "crate", typeid = "proxystore.Task")]
impl Task {
    /// See [`TaskResult::get_within`]; without a time, waits as long as the caller does.
    #[idempotent]
    #[rename = "get"]
    async fn get_encoded(&self, timeout: Option<Duration>) -> Result<Option<Encoded>, TaskError> {
        let mut done = self.0.clone();
        let done = done.wait_for(Option::is_some);
        let done = match timeout {
            None => done.await,
            Some(timeout) => match tokio::time::timeout(timeout, done).await {
                Ok(done) => done,
                Err(_) => return Ok(None),
            },
        };
        match done.as_deref() {
            Ok(Some(done)) => done.clone().map(Some),
            _ => Err(TaskError::Terminated),
        }
    }

    /// Whether it is done, well or not.
    #[idempotent]
    fn is_done(&self) -> bool {
        self.0.borrow().is_some()
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("is_done", &self.0.borrow().is_some()).finish()
    }
}
