//! A deadline for each attempt.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use proxystore_core::{Attempts, Call, Operation, Policy, Reply, Result, Transfer};
use tokio::time::{Instant, timeout_at};

/// Ends an attempt that takes too long: `base` (15 s), and the time that its bytes take at 8 MiB per second. If the
/// connector has reported since that bytes move, or the call waits for room, it has as long again.
///
/// A read that is cut off is `Timeout`; a write is `Ambiguous`, since it may have happened. Both are transient, except
/// for a take: its object may be gone. Clearing has no deadline, for it takes as long as there are objects.
#[derive(Debug, Clone, Copy)]
pub struct Timeout {
    base: Duration,
}

impl Default for Timeout {
    fn default() -> Self {
        Self::new(Duration::from_secs(15))
    }
}

impl Timeout {
    /// A deadline of this base.
    pub fn new(base: Duration) -> Self {
        Self { base }
    }
}

impl Policy for Timeout {
    async fn around<T: Reply>(&self, call: &Call<'_>, attempts: &dyn Attempts<T>) -> Result<T> {
        let began = Instant::now();
        let (mut start, mut seen) = (began, call.transfer.progress());
        let mut attempt = attempts.begin();
        loop {
            if let Some(result) = within(call, start, self.base, &mut attempt).await {
                return result;
            }
            let progress = call.transfer.progress();
            if progress == seen && !call.transfer.is_waiting() {
                return Err(call
                    .operation
                    .cut_off(began.elapsed())
                    .hint("look at the backend, or raise the `timeout` policy of the store"));
            }
            (start, seen) = (Instant::now(), progress);
        }
    }
}

/// Runs `attempt` until `base` and the time for the call's bytes have passed since `start`; `None`: they have. Clearing
/// takes as long as there are objects.
pub(crate) async fn within<T>(
    call: &Call<'_>,
    start: Instant,
    base: Duration,
    attempt: &mut (impl Future<Output = Result<T>> + Unpin),
) -> Option<Result<T>> {
    // What is there at once needs no timer.
    let first = poll_fn(|context| Poll::Ready(Pin::new(&mut *attempt).poll(context)));
    if let Poll::Ready(result) = first.await {
        return Some(result);
    }
    if call.operation == Operation::Clear {
        return Some(attempt.await);
    }
    loop {
        let until = || start + base + Transfer::time_for(call.bytes());
        let waited = until();
        match timeout_at(waited, &mut *attempt).await {
            Ok(result) => return Some(result),
            // More bytes were announced meanwhile.
            Err(_) if until() > waited => {}
            Err(_) => return None,
        }
    }
}
