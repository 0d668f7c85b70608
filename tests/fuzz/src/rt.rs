//! A runtime for one run, so that no task outlives it.

use std::future::Future;

use tokio::runtime::Builder;

/// Runs `future` to its end, on this thread. `paused`: the clock stands still but for sleeping.
pub(crate) fn run<T>(paused: bool, future: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().start_paused(paused).build().unwrap().block_on(future)
}
