//! The background thread: a runtime of our own that lives as long as the process and stands still for nobody.
//!
//! What must happen whatever becomes of the program's own runtimes happens here: evictions that destructors ask for,
//! and renewals. A task that is spawned in a destructor while its runtime shuts down would never run.

use std::future::{Future, pending};
use std::io;
use std::sync::{LazyLock, OnceLock};

use proxystore_core::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

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

fn start() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let run = move || runtime.block_on(pending::<()>());
    std::thread::Builder::new().name("proxystore-background".into()).spawn(run)?;
    Ok(handle)
}
