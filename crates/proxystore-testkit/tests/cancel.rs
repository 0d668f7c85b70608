//! Dropping midway, and waiting.

use std::cell::Cell;
use std::time::Duration;

use proxystore_testkit::cancel::{eventually, poll_and_drop};
use tokio::time::sleep;

struct SetOnDrop<'a>(&'a Cell<bool>);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[tokio::test(start_paused = true)]
async fn drops_at_each_await() {
    for (polls, steps, output) in [(0, 0, None), (1, 1, None), (2, 2, None), (3, 3, Some("done"))] {
        let (reached, dropped) = (Cell::new(0), Cell::new(false));
        let guard = SetOnDrop(&dropped);
        let future = async {
            let _guard = guard;
            for step in 1..=2 {
                reached.set(step);
                sleep(Duration::from_secs(1)).await;
            }
            reached.set(3);
            "done"
        };
        assert_eq!(poll_and_drop(future, polls).await, output);
        assert_eq!(reached.get(), steps, "after {polls} polls");
        assert!(dropped.get(), "the future is dropped before poll_and_drop returns");
    }
}

#[tokio::test(start_paused = true)]
async fn eventually_waits() {
    let start = tokio::time::Instant::now();
    let due = Duration::from_secs(3);
    eventually(Duration::from_secs(10), || async { start.elapsed() >= due }).await;
    assert!(start.elapsed() < due * 2);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "it did not happen within 2s, at crates/proxystore-testkit/tests/cancel.rs")]
async fn eventually_gives_up_and_says_where() {
    eventually(Duration::from_secs(2), || async { false }).await;
}
