//! The background thread: a runtime of our own that lives as long as the process and stands still for nobody.
//!
//! What must happen whatever becomes of the program's own runtimes happens here: evictions that destructors ask for,
//! and renewals. A task that is spawned in a destructor while its runtime shuts down would never run.

pub(crate) mod aside;
pub(crate) mod heartbeat;
pub(crate) mod pulse;
pub(crate) mod reaper;

use std::future::{Future, pending};
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{LazyLock, OnceLock, mpsc};
use std::time::Duration;

use futures_util::FutureExt;
use proxystore_core::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::time::timeout;

static RUNTIME: OnceLock<io::Result<Handle>> = OnceLock::new();

/// The runtime of the background thread, which starts with the first call. `Unexpected` where the system gives no
/// thread.
pub(crate) fn runtime() -> Result<&'static Handle> {
    RUNTIME.get_or_init(start).as_ref().map_err(|error| {
        Error::new(ErrorKind::Unexpected, format!("cannot start the background thread: {error}"))
    })
}

/// Runs a task there. From anywhere, a destructor included: does no I/O and waits for nothing.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    runtime()?.spawn(task);
    Ok(())
}

/// How many tasks are under way that a shutdown waits for.
static UNFINISHED: LazyLock<watch::Sender<usize>> = LazyLock::new(watch::Sender::default);

/// [`spawn`]s a task that ends by itself, and that a shutdown waits for.
pub(crate) fn finish(task: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    struct Unfinished;
    impl Drop for Unfinished {
        fn drop(&mut self) {
            UNFINISHED.send_modify(|count| *count -= 1);
        }
    }
    UNFINISHED.send_modify(|count| *count += 1);
    let unfinished = Unfinished;
    spawn(async move {
        task.await;
        drop(unfinished);
    })
}

/// Waits until all of them have ended.
pub(crate) async fn finished() {
    // The sender is never dropped.
    let _ = UNFINISHED.subscribe().wait_for(|count| *count == 0).await;
}

/// Waits there for an event, for so long at most: on any runtime, whatever its clock does, and where there is none.
pub(crate) async fn wait(limit: Duration, event: impl Future<Output = ()> + Send + 'static) {
    // Without a background thread there is nothing to wait for.
    if let Ok(runtime) = runtime() {
        let late = async move { drop(timeout(limit, event).await) };
        drop(runtime.spawn(late).await);
    }
}

/// What the connector says, within this time. If it panics, that is an error, and all else in the background goes on.
pub(crate) async fn call<T>(limit: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| Err(Error::new(ErrorKind::Timeout, "the backend did not answer in time").transient());
    let panicked = |_| Err(Error::new(ErrorKind::Unexpected, "the connector panicked"));
    let call = AssertUnwindSafe(call).catch_unwind().map(|result| result.unwrap_or_else(panicked));
    timeout(limit, call).await.unwrap_or_else(late)
}

fn start() -> io::Result<Handle> {
    // The thread comes first: where there is none, there must be no runtime to drop, for the caller may be inside of one.
    let (give, given) = mpsc::channel::<Runtime>();
    let run = move || given.recv().is_ok_and(|runtime| runtime.block_on(pending()));
    std::thread::Builder::new().name("proxystore-background".into()).spawn(run)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    // The thread waits for it.
    drop(give.send(runtime));
    Ok(handle)
}
