//! The background thread: a runtime of our own that lives as long as the process and stands still for nobody.
//!
//! What must happen whatever becomes of the program's own runtimes happens here: evictions that destructors ask for,
//! and renewals. A task that is spawned in a destructor while its runtime shuts down would never run.

use std::future::{Future, pending};
use std::io;
use std::sync::OnceLock;

use proxystore_core::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Handle};

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

fn start() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let run = move || runtime.block_on(pending::<()>());
    std::thread::Builder::new().name("proxystore-background".into()).spawn(run)?;
    Ok(handle)
}
