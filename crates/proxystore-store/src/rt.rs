//! All that we ask of the tokio runtime.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use proxystore_core::{Error, ErrorKind, Operation, Result, Transfer};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

/// From this size on, objects are worked on where they keep nobody waiting.
const LARGE: usize = 2 << 20;

/// Runs `work` on an object of `size` bytes; where it may keep a thread busy if that is large.
pub(crate) async fn beside<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if size < LARGE { work() } else { apart(work).await }
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
/// Dropping the future drops the operation. `Unsupported` outside a runtime.
pub(crate) async fn deadline<T>(
    operation: Operation,
    base: Duration,
    sends: u64,
    transfer: &Transfer,
    future: impl Future<Output = Result<T>>,
) -> Result<T> {
    runtime()?;
    let mut future = pin!(future);
    // What is there at once needs no timer.
    if let Poll::Ready(result) = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
        return result;
    }
    let start = Instant::now();
    let until = || start + base + Transfer::time_for(sends.max(transfer.size()));
    loop {
        let waited = until();
        match timeout_at(waited, &mut future).await {
            Ok(result) => return result,
            Err(_) if until() > waited => {}
            Err(_) => {
                return Err(operation
                    .cut_off(start.elapsed())
                    .hint("try again, or set a longer `timeout` where the store is opened"));
            }
        }
    }
}

pub(crate) fn runtime() -> Result<Handle> {
    Handle::try_current().map_err(|_| {
        Error::new(ErrorKind::Unsupported, "this needs a tokio runtime, and there is none here")
            .hint("call it from a task, or inside `#[tokio::main]`")
    })
}
