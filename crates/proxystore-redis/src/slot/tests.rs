use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use proxystore_core::ErrorKind;
use tokio::time::{advance, timeout};

use super::Slot;
use crate::error;

/// An attempt that nobody drives any more is not waited for by those who come later.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_stands_still_blocks_nobody_for_long() {
    let second = Duration::from_secs(1);
    let attempts = Arc::new(AtomicUsize::new(0));
    let counter = attempts.clone();
    let open = move || match counter.fetch_add(1, Ordering::Relaxed) {
        0 => std::future::pending().boxed(),
        _ => async { Err(error::closed()) }.boxed(),
    };
    let slot = Slot::new(Arc::new(open), second, second);
    let mut first = Box::pin(slot.link());
    assert!((&mut first).now_or_never().is_none());
    assert!(slot.link().now_or_never().is_none());
    assert_eq!(attempts.load(Ordering::Relaxed), 1, "they share it");
    advance(3 * second).await;
    let error = timeout(second, slot.link()).await.unwrap().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(attempts.load(Ordering::Relaxed), 2);
}
