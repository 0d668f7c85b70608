//! A task that wakes itself while it runs goes on at once.
//!
//! A runtime puts such a task at the end of its queue, and wakes another thread to take it from there. The tasks of a
//! connection do that with every message, so each would cost a system call and a change of processor.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// So often it goes on; then others have their turn.
const AGAIN: usize = 16;

/// The future is polled right now.
const RUNS: u8 = 1;
/// There is something new for it.
const WOKEN: u8 = 2;

/// See above.
pub(crate) struct Steady<F> {
    future: Pin<Box<F>>,
    turns: Arc<Turns>,
    waker: Waker,
}

#[derive(Default)]
struct Turns {
    state: AtomicU8,
    task: AtomicWaker,
}

impl<F: Future> Steady<F> {
    pub(crate) fn new(future: F) -> Self {
        let turns = Arc::<Turns>::default();
        Self { future: Box::pin(future), waker: turns.clone().into(), turns }
    }
}

impl Wake for Turns {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) & RUNS == 0 {
            self.task.wake();
        }
    }
}

impl<F: Future> Future for Steady<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, turns, waker } = &mut *self;
        turns.task.register(cx.waker());
        for _ in 0..AGAIN {
            turns.state.swap(RUNS, Ordering::AcqRel);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                return Poll::Ready(output);
            }
            let still = turns.state.compare_exchange(RUNS, 0, Ordering::AcqRel, Ordering::Acquire);
            if still.is_ok() {
                return Poll::Pending;
            }
        }
        turns.state.store(0, Ordering::Release);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polls once; gives whether it is done, how often it was polled inside, and how often it woke its task.
    fn poll_once(selfish: usize) -> (bool, usize, usize) {
        let (count, mut polls) = (Arc::<Count>::default(), 0);
        let mut steady = Steady::new(poll_fn(|cx| {
            polls += 1;
            if polls > selfish {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        let waker = Waker::from(count.clone());
        let done = Pin::new(&mut steady).poll(&mut Context::from_waker(&waker)).is_ready();
        drop(steady);
        (done, polls, count.0.load(Ordering::SeqCst))
    }

    #[test]
    fn who_wakes_itself_goes_on_at_once_but_not_for_ever() {
        assert_eq!(poll_once(3), (true, 4, 0));
        assert_eq!(poll_once(1_000), (false, AGAIN, 1));
    }

    #[tokio::test]
    async fn who_is_woken_by_others_is_woken() {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let reader = tokio::spawn(Steady::new(async move {
            let mut sum = 0;
            while let Some(number) = receiver.recv().await {
                sum += number;
            }
            sum
        }));
        for number in 0..1_000 {
            sender.send(number).await.unwrap();
        }
        drop(sender);
        assert_eq!(reader.await.unwrap(), 499_500);
    }
}
