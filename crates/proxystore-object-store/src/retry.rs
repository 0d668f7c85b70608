//! Parts of an upload that failed in passing.

use async_trait::async_trait;
use object_store::client::HttpErrorKind;
use object_store::retry::{RetryContext, RetryFailure, RetryPolicy};
use proxystore_core::Backoff;
use tokio::time::sleep;

/// How often a part is tried.
const TRIES: usize = 4;

/// Repeats what no answer came to, or that the server cannot serve now.
#[derive(Debug)]
pub(crate) struct OfParts;

#[async_trait]
impl RetryPolicy for OfParts {
    async fn retry(&self, failed: RetryContext) -> bool {
        use HttpErrorKind as Kind;
        let passing = match failed.failure {
            RetryFailure::Transport(kind) => {
                matches!(kind, Kind::Connect | Kind::Request | Kind::Timeout | Kind::Interrupted)
            }
            _ => false,
        };
        if !passing || failed.attempt >= TRIES {
            return false;
        }
        sleep(Backoff::default().delays().nth(failed.attempt - 1).unwrap_or_default()).await;
        true
    }
}
