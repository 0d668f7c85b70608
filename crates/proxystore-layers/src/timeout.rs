//! A deadline for each attempt.

use std::pin::{Pin, pin};
use std::time::Duration;

use proxystore_core::{Attempts, Call, Operation, Policy, Reply, Result, Transfer, until};
use tokio::time::Instant;

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
    async fn around<T: Reply, A: Attempts<T>>(&self, call: &Call<'_>, attempts: &A) -> Result<T> {
        // Known once it turns out that it takes time.
        let mut start = None;
        let mut began = None;
        let mut seen = call.transfer.progress();
        let mut attempt = pin!(attempts.begin());
        loop {
            if let Some(result) = within(call, &mut start, self.base, attempt.as_mut()).await {
                return result;
            }
            let began = *began.get_or_insert(start.unwrap_or_else(Instant::now));
            let progress = call.transfer.progress();
            if progress == seen && !call.transfer.is_waiting() {
                return Err(call
                    .operation
                    .cut_off(began.elapsed())
                    .hint("look at the backend, or raise the `timeout` policy of the store"));
            }
            (start, seen) = (Some(Instant::now()), progress);
        }
    }
}

/// Runs `attempt` until `base` and the time for the call's bytes have passed since `start`, which is now unless it is
/// known; `None`: they have. Clearing takes as long as there are objects.
pub(crate) async fn within<T>(
    call: &Call<'_>,
    start: &mut Option<Instant>,
    base: Duration,
    attempt: Pin<&mut impl Future<Output = Result<T>>>,
) -> Option<Result<T>> {
    if call.operation == Operation::Clear {
        return Some(attempt.await);
    }
    until(attempt, || *start.get_or_insert_with(Instant::now) + base + Transfer::time_for(call.bytes())).await
}
