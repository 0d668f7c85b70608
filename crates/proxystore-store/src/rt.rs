//! All that we ask of the tokio runtime.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

use proxystore_core::{Error, ErrorKind, Operation, Result, Transfer, until};
use tokio::runtime::Handle;
use tokio::time::Instant;

/// From this size on, objects are worked on where they keep nobody waiting.
const LARGE: usize = 2 << 20;

/// Whether work on an object of `size` bytes is to be done [`apart`].
pub(crate) fn is_large(size: usize) -> bool {
    size >= LARGE
}

/// Runs `work` where it may block. It runs to its end also when the future is dropped. `Unsupported` outside a runtime.
pub(crate) async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match runtime()?.spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => Err(Error::new(ErrorKind::Unexpected, "the work panicked")),
        Err(_) => Err(Error::new(ErrorKind::Closed, "the runtime is shutting down")),
    }
}

/// Ends `future` after `base` and the time that its bytes take: those that go out, or those that turn out to come in.
/// Dropping the future drops the operation. `Unsupported` outside a runtime, unless the result is there at once.
pub(crate) async fn deadline<T>(
    operation: Operation,
    base: Duration,
    sends: u64,
    transfer: &Transfer,
    future: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut future = pin!(future);
    let mut waits = false;
    let future = pin!(poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        if polled.is_pending() && !std::mem::replace(&mut waits, true) {
            runtime()?;
        }
        polled
    }));
    let mut start = None;
    let end =
        || *start.get_or_insert_with(Instant::now) + base + Transfer::time_for(sends.max(transfer.size()));
    match until(future, end).await {
        Some(result) => result,
        None => {
            let after = start.map_or(base, |start| start.elapsed());
            Err(operation
                .cut_off(after)
                .hint("try again, or set a longer `timeout` where the store is opened"))
        }
    }
}

pub(crate) fn runtime() -> Result<Handle> {
    Handle::try_current().map_err(|_| {
        Error::new(ErrorKind::Unsupported, "this needs a tokio runtime, and there is none here")
            .hint("call it from a task, or inside `#[tokio::main]`")
    })
}
