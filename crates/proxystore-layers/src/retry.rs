//! Trying again, within reason.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use proxystore_core::{Attempts, Backoff, Call, Error, ErrorKind, Policy, Reply, Result};
use tokio::time::{Instant, sleep};

use crate::timeout::within;

/// Repeats a call that failed in passing: up to 4 attempts within one deadline of 60 s (and the time that the bytes of
/// one take at 8 MiB per second, also if they move slower), with delays drawn evenly from zero to 50, 100, 200 ms ….
///
/// Only transient errors are repeated, and writes without an answer: a put under its own key, an evict and a touch may
/// happen twice; a put in `Mode::Create` looks whether the object that is there is its own; a take whose answer is lost
/// is never repeated, and stays `Ambiguous`. A [`RetryBudget`] keeps all calls of the store from repeating at once
/// against a backend that is down. The last error is the one that is given, with the number of attempts.
#[derive(Debug)]
pub struct Retry {
    backoff: Backoff,
    attempts: u32,
    budget: RetryBudget,
}

impl Default for Retry {
    fn default() -> Self {
        Self::new(4, Backoff { first: Duration::from_millis(50), ..Backoff::default() })
    }
}

impl Retry {
    /// At most this many attempts, with these delays, within [`Backoff::timeout`].
    pub fn new(attempts: u32, backoff: Backoff) -> Self {
        Self { backoff, attempts, budget: RetryBudget::default() }
    }

    /// The same with another budget of repetitions.
    #[must_use]
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.budget = budget;
        self
    }
}

impl Policy for Retry {
    async fn around<T: Reply, A: Attempts<T>>(&self, call: &Call<'_>, attempts: &A) -> Result<T> {
        // Of the first attempt, once it turns out that it takes time or has failed.
        let mut start = None;
        let limit = self.backoff.timeout;
        // Made when it is needed: it asks the operating system for randomness.
        let mut delays = None;
        let mut last: Option<Error> = None;
        let mut number = 0;
        loop {
            number += 1;
            let result = within(call, &mut start, limit, pin!(attempts.begin())).await.transpose();
            let error = match result {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => None,
                Err(error) => Some(error),
            };
            let start = *start.get_or_insert_with(Instant::now);
            let Some(error) = error else {
                return Err(of_all(call.operation.cut_off(start.elapsed()), number, last.as_ref()));
            };
            let delays = delays.get_or_insert_with(|| self.backoff.delays());
            let delay = delays.next().unwrap_or(self.backoff.max);
            if !may_repeat(call, &error) || number >= self.attempts || start.elapsed() + delay >= limit {
                return Err(of_all(error, number, last.as_ref()));
            }
            if !self.budget.spend() {
                return Err(of_all(error, number, last.as_ref())
                    .hint("many calls of this store fail: it repeats none of them for now"));
            }
            #[cfg(feature = "metrics")]
            crate::metrics::retried(call, &error);
            #[cfg(feature = "tracing")]
            crate::trace::retried(number, delay, &error);
            // An attempt that may have happened is remembered before all that surely did not.
            last = last.filter(|last| last.kind() == ErrorKind::Ambiguous).or(Some(error));
            sleep(delay).await;
        }
    }
}

/// The error of a call, given the last attempt's and an earlier one's: if one of them may have happened, so may the
/// call, unless the last one settled that another object is there.
fn of_all(error: Error, attempts: u32, before: Option<&Error>) -> Error {
    let Some(before) = before else { return error };
    let error = error.with("attempts", attempts);
    if before.kind() == ErrorKind::Ambiguous
        && !matches!(error.kind(), ErrorKind::Ambiguous | ErrorKind::Exists)
    {
        return error.with_kind(ErrorKind::Ambiguous).with("before", before.message());
    }
    error
}

/// Whether the same call may succeed now, and may be made without harm.
fn may_repeat(call: &Call<'_>, error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Ambiguous => call.operation.is_repeatable(),
        _ => error.is_transient(),
    }
}

/// How often all calls of a store together may be repeated: `burst` times (100) at once, and `per_second` (10) more
/// with time. So a backend that is down is asked little more than by the calls themselves.
#[derive(Debug)]
pub struct RetryBudget {
    burst: f64,
    per_second: f64,
    state: Mutex<Spent>,
}

/// What is missing of the burst, as of a time.
#[derive(Debug)]
struct Spent {
    tokens: f64,
    at: Option<Instant>,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new(100, 10.0)
    }
}

impl RetryBudget {
    /// A full budget. A rate that is negative or not finite counts as zero.
    pub fn new(burst: u32, per_second: f64) -> Self {
        let per_second = if per_second.is_finite() { per_second.max(0.0) } else { 0.0 };
        Self { burst: burst.into(), per_second, state: Mutex::new(Spent { tokens: 0.0, at: None }) }
    }

    /// Takes one repetition out of the budget, if there is one.
    fn spend(&self) -> bool {
        let now = Instant::now();
        let mut spent = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let since = spent.at.replace(now).map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        spent.tokens = (spent.tokens - since.as_secs_f64() * self.per_second).max(0.0);
        let left = spent.tokens + 1.0 <= self.burst;
        if left {
            spent.tokens += 1.0;
        }
        left
    }
}
