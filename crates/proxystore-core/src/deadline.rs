//! A deadline that may grow.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::time::{Instant, Sleep, sleep_until};

thread_local! {
    /// The timer that what was polled just now relies on.
    static NEAREST: Cell<Option<Alarm>> = const { Cell::new(None) };
}

/// When it wakes, and whom.
#[derive(Clone, Copy)]
struct Alarm {
    at: Instant,
    waker: *const (),
}

/// Of one that has waited: when it is dropped, its timer is.
struct Silence;

impl Drop for Silence {
    fn drop(&mut self) {
        NEAREST.set(None);
    }
}

/// Runs `future` until the time that `deadline` tells; `None`: it is over. It is asked for the first time when the
/// result turns out not to be there at once, and then whenever the time is over that it told: it may have grown.
///
/// Each time that the caller is polled, so is `future`, and once only. Where such deadlines stand in each other, only
/// the nearest one sets a timer: so whoever takes a pending `future` away from the task that has polled it wakes that
/// task. Dropping the future drops `future`, unless that is another's. Panics outside of a tokio runtime, unless the
/// result is there at once.
pub async fn until<T>(
    mut future: Pin<&mut impl Future<Output = T>>,
    mut deadline: impl FnMut() -> Instant,
) -> Option<T> {
    // Apart from the future, which is the smaller for it: most need none.
    let mut timer: Option<Pin<Box<Unconstrained<Sleep>>>> = None;
    let mut end = None;
    let mut silence = None;
    poll_fn(|context| {
        NEAREST.set(None);
        if let Poll::Ready(result) = future.as_mut().poll(context) {
            return Poll::Ready(Some(result));
        }
        let within = NEAREST.take();
        silence.get_or_insert(Silence);
        let waker = context.waker().data();
        loop {
            let at = *end.get_or_insert_with(&mut deadline);
            if timer.is_none() && within.is_some_and(|within| within.waker == waker && within.at <= at) {
                NEAREST.set(within);
                return Poll::Pending;
            }
            let timer_at = || Box::pin(unconstrained(sleep_until(at)));
            if timer.get_or_insert_with(timer_at).as_mut().poll(context).is_pending() {
                NEAREST.set(Some(Alarm { at, waker }));
                return Poll::Pending;
            }
            // It ends also if the task has done more than its share.
            let later = deadline();
            if later <= at {
                return Poll::Ready(None);
            }
            (end, timer) = (Some(later), None);
        }
    })
    .await
}

#[cfg(test)]
mod tests;
