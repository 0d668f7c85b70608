//! Blocking work off the runtime's threads, bounded in number and time.

use std::sync::Arc;
use std::time::Duration;

use proxystore_core::{Error, ErrorKind, Result, Transfer};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// How many operations of a connector are in the file system at once: they take a thread and up to six files each.
const AT_ONCE: usize = 64;
/// When to give up on a file system that does not answer, or moves no byte.
const DEADLINE: Duration = Duration::from_secs(300);

/// The threads that one connector may use.
#[derive(Debug, Clone)]
pub(crate) struct Pool(Arc<Semaphore>);

impl Pool {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }

    /// Runs `work` to its end, also when the future is dropped after it began. `late` is the kind of the error when
    /// that takes too long.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        late: ErrorKind,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let transfer = Transfer::current();
        let mut deadline = Instant::now() + DEADLINE;
        let Ok(Ok(permit)) = timeout_at(deadline, self.0.clone().acquire_owned()).await else {
            return Err(Error::new(ErrorKind::Timeout, "earlier operations on the file system do not end"));
        };
        let mut task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        let mut seen = transfer.progress();
        loop {
            return match timeout_at(deadline, &mut task).await {
                Ok(Ok(result)) => result,
                Ok(Err(error)) if error.is_panic() => {
                    Err(Error::new(ErrorKind::Unexpected, "a file operation panicked"))
                }
                Ok(Err(_)) => Err(Error::new(ErrorKind::Closed, "the runtime is shutting down")),
                Err(_) if transfer.progress() != seen => {
                    seen = transfer.progress();
                    deadline = Instant::now() + DEADLINE;
                    continue;
                }
                Err(_) => Err(Error::new(late, "the file system does not answer")
                    .with("after", format!("{}s", DEADLINE.as_secs()))),
            };
        }
    }
}
