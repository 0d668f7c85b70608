//! A deadline that may grow.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::time::{Instant, Sleep, sleep_until};

/// Runs `future` until the time that `deadline` tells; `None`: it is over. It is asked for the first time when the
/// result turns out not to be there at once, and then whenever the time is over that it told: it may have grown.
///
/// Each time that the caller is polled, so is `future`, and once only. Dropping the future drops `future`, unless that
/// is another's. Panics outside of a tokio runtime, unless the result is there at once.
pub async fn until<T>(
    mut future: Pin<&mut impl Future<Output = T>>,
    mut deadline: impl FnMut() -> Instant,
) -> Option<T> {
    // Apart from the future, which is the smaller for it: most need none, and deadlines stand in each other.
    let mut timer: Option<Pin<Box<Unconstrained<Sleep>>>> = None;
    let mut end = None;
    poll_fn(|context| {
        if let Poll::Ready(result) = future.as_mut().poll(context) {
            return Poll::Ready(Some(result));
        }
        loop {
            if timer.as_mut().is_some_and(|timer| timer.as_mut().poll(context).is_pending()) {
                return Poll::Pending;
            }
            let later = Some(deadline());
            if later <= end {
                return Poll::Ready(None);
            }
            end = later;
            // It ends also if the task has done more than its share.
            timer = later.map(|later| Box::pin(unconstrained(sleep_until(later))));
        }
    })
    .await
}
