//! Dropping futures midway, and waiting for what must come.

use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Polls `future` `polls` times, awaiting its wake-up between polls, then drops it.
///
/// Gives the output if it completed before that, else `None`. With 0, the future is dropped unstarted. A loop over
/// 0, 1, 2, … until the output comes drops an operation at each of its await points:
///
/// ```
/// use proxystore_testkit::cancel::poll_and_drop;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let two_steps = || async { tokio::task::yield_now().await };
/// assert_eq!(poll_and_drop(two_steps(), 1).await, None);
/// assert_eq!(poll_and_drop(two_steps(), 2).await, Some(()));
/// # }
/// ```
pub async fn poll_and_drop<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut left = polls;
    let mut future = pin!(future);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Waits until `condition` holds, looking again every few milliseconds; panics, with the caller's place, when it
/// does not hold within `deadline`.
///
/// ```
/// # use std::time::Duration;
/// use proxystore_testkit::cancel::eventually;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let start = std::time::Instant::now();
/// eventually(Duration::from_secs(5), || async { start.elapsed() > Duration::from_millis(20) }).await;
/// # }
/// ```
#[track_caller]
pub fn eventually<C, F>(deadline: Duration, mut condition: C) -> impl Future<Output = ()>
where
    C: FnMut() -> F,
    F: Future<Output = bool>,
{
    let place = Location::caller();
    async move {
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        while !condition().await {
            assert!(start.elapsed() < deadline, "it did not happen within {deadline:?}, at {place}");
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}
