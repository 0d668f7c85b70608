use std::future::{pending, ready};
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::select;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::*;

/// Until so many seconds have passed since it began to wait.
async fn within<T>(seconds: u64, future: impl Future<Output = T>) -> Option<T> {
    let mut end = None;
    let end = || *end.get_or_insert_with(|| Instant::now() + Duration::from_secs(seconds));
    until(pin!(future), end).await
}

/// The result, and after how many seconds it was there.
async fn timed<T>(future: impl Future<Output = T>) -> (T, u64) {
    let start = Instant::now();
    let result = tokio::time::timeout(Duration::from_secs(3600), future).await.expect("it hangs");
    (result, start.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn the_nearest_deadline_ends_it_wherever_it_stands() {
    assert_eq!(timed(within(5, within(3, pending::<()>()))).await, (Some(None), 3));
    assert_eq!(timed(within(3, within(5, pending::<()>()))).await, (None, 3));
    assert_eq!(timed(within(9, within(3, within(5, pending::<()>())))).await, (Some(None), 3));
    assert_eq!(timed(within(9, within(5, within(3, ready(7))))).await, (Some(Some(Some(7))), 0));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_grows_leaves_the_others_theirs() {
    let start = Instant::now();
    let growing = || async {
        let mut seconds = 0;
        let deadline = || {
            seconds += 2;
            start + Duration::from_secs(seconds)
        };
        until(pin!(pending::<()>()), deadline).await
    };
    assert_eq!(timed(within(5, growing())).await, (None, 5));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_is_gone_is_not_relied_on() {
    let dropped = async {
        let _ = select(pin!(within(1, pending::<()>())), ready(())).await;
        pending::<()>().await
    };
    assert_eq!(timed(within(3, dropped)).await, (None, 3));
    let over = async {
        assert_eq!(within(1, pending::<()>()).await, None);
        assert_eq!(within(1, ready(7)).await, Some(7));
        pending::<()>().await
    };
    assert_eq!(timed(within(3, over)).await, (None, 3));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_wakes_another_is_not_relied_on() {
    let mut left = Box::pin(within(1, pending::<()>()));
    let looked_at = async {
        assert!((&mut left).now_or_never().is_none());
        pending::<()>().await
    };
    assert_eq!(timed(within(3, looked_at)).await, (None, 3));
    let many = || (1..=3).map(|seconds| within(seconds, pending::<()>())).collect::<FuturesUnordered<_>>();
    assert_eq!(timed(within(5, many().collect::<Vec<_>>())).await, (Some(vec![None; 3]), 3));
    assert_eq!(timed(within(2, many().collect::<Vec<_>>())).await, (None, 2));
}
