//! All that we ask of the tokio runtime.

use std::future::Future;
use std::time::Duration;

use proxystore_core::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::trace::in_current_span;

/// Runs `task` on its own, or fails with `Unsupported` outside a runtime.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Result<AbortHandle> {
    let runtime = Handle::try_current().map_err(|_| {
        Error::new(ErrorKind::Unsupported, "this needs a tokio runtime, and there is none here")
            .hint("call it from a task, or inside `#[tokio::main]`")
    })?;
    Ok(runtime.spawn(in_current_span(task)).abort_handle())
}

/// Runs `work` where it may keep a thread busy.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => {
            Err(Error::new(ErrorKind::Codec, "the type's own decoding panicked"))
        }
        Err(_) => Err(Error::new(ErrorKind::Closed, "the runtime is shutting down")),
    }
}

/// Ends `operation` with `Timeout` after `limit`. Dropping the future drops the operation.
pub(crate) async fn deadline<T>(limit: Duration, operation: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, operation).await {
        Ok(result) => result,
        Err(_) => Err(Error::new(ErrorKind::Timeout, format!("no answer within {limit:?}"))
            .transient()
            .hint("try again, or set a longer `timeout` where the store is opened")),
    }
}
