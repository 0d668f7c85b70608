//! A span around every call.

use proxystore_core::{Attempts, Call, Error, Policy, Reply, Result};
use tracing::field::Empty;
use tracing::{Instrument, Span};

/// A debug span `proxystore.call` around every call of the connector, under the target `proxystore`, with the fields
/// `store`, `scheme`, `operation`, `key` (unless the call concerns many objects or none), `bytes` (sent and brought,
/// before compression and encryption) and `outcome`: `ok`, the code of the error such as `PS0010`, or `dropped`.
///
/// Each repetition is a debug event in it. Costs next to nothing while nobody listens.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Trace {}

impl Policy for Trace {
    async fn around<T: Reply, A: Attempts<T>>(&self, call: &Call<'_>, attempts: &A) -> Result<T> {
        let span = tracing::debug_span!(
            target: "proxystore",
            "proxystore.call",
            store = call.store,
            scheme = call.info.uri.scheme(),
            operation = call.operation.name(),
            key = call.key.map(tracing::field::display),
            bytes = Empty,
            outcome = Empty,
        );
        if span.is_disabled() {
            return attempts.begin().await;
        }
        let mut outcome = Outcome { span: &span, word: "dropped" };
        // Boxed, so that calls without a span need no room for it.
        let result = Box::pin(attempts.begin()).instrument(span.clone()).await;
        match &result {
            Ok(reply) => {
                span.record("bytes", call.sends + reply.bytes());
                outcome.word = "ok";
            }
            Err(error) => outcome.word = error.kind().code(),
        }
        result
    }
}

/// Says how the call ended, if only by being dropped.
struct Outcome<'a> {
    span: &'a Span,
    word: &'static str,
}

impl Drop for Outcome<'_> {
    fn drop(&mut self) {
        self.span.record("outcome", self.word);
    }
}

/// The call failed with `error`, and is about to be repeated.
pub(crate) fn retried(attempt: u32, delay: std::time::Duration, error: &Error) {
    tracing::debug!(
        target: "proxystore",
        attempt,
        delay_ms = delay.as_secs_f64() * 1e3,
        code = error.kind().code(),
        "trying again"
    );
}
