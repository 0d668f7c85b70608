//! What the marks of methods change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proxystore_manager::{Manager, RemoteErrorKind, object};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::both;

#[derive(Default)]
struct Marked {
    ended: Arc<AtomicUsize>,
    go: Arc<Notify>,
}

#[object]
impl Marked {
    #[ctor]
    fn new() -> Self {
        Self::default()
    }

    async fn ends(&self) {
        self.go.clone().notified().await;
        self.ended.fetch_add(1, Ordering::SeqCst);
    }

    #[no_cancel]
    async fn goes_on(&self) {
        self.go.notified().await;
        self.ended.fetch_add(1, Ordering::SeqCst);
    }

    #[timeout = "50ms"]
    async fn slow(&self, millis: u64) -> u64 {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        millis
    }

    #[timeout = "50ms"]
    async fn slow_and_alone(&mut self, millis: u64) -> Result<u64, String> {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        self.ended.fetch_add(1, Ordering::SeqCst);
        Ok(millis)
    }

    #[poison = "ignore"]
    fn panics(&mut self) {
        self.ended.fetch_add(1, Ordering::SeqCst);
        panic!("as it is to be");
    }

    /// How many calls of `ends` there are.
    fn ending(&self) -> usize {
        Arc::strong_count(&self.go) - 1
    }

    fn go(&self) {
        self.go.notify_one();
    }

    fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }
}

async fn ended(object: &MarkedProxy, count: usize) {
    let all = async {
        while object.ended().await.unwrap() < count {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), all).await.unwrap();
    assert_eq!(object.ended().await, Ok(count));
}

#[tokio::test]
async fn a_shared_method_with_no_cancel_runs_to_its_end_without_its_caller() {
    for manager in both(Manager::builder().register::<Marked>()).await {
        let object = MarkedProxy::create(&manager).await.unwrap();
        let soon = Duration::from_millis(20);
        timeout(soon, object.goes_on()).await.unwrap_err();
        object.go().await.unwrap();
        ended(&object, 1).await;
        // The other one took the call with it: a wake-up finds nobody, and is left for who comes next.
        timeout(soon, object.ends()).await.unwrap_err();
        while object.ending().await.unwrap() > 0 {
            tokio::task::yield_now().await;
        }
        object.go().await.unwrap();
        timeout(Duration::from_secs(10), object.goes_on()).await.unwrap().unwrap();
        ended(&object, 2).await;
    }
}

#[tokio::test]
async fn callers_wait_for_as_long_as_a_method_says() {
    for manager in both(Manager::builder().register::<Marked>()).await {
        let object = MarkedProxy::create(&manager).await.unwrap();
        assert_eq!(object.slow(0).await, Ok(0));
        let late = object.slow(60_000).await.unwrap_err();
        assert_eq!(late.kind(), RemoteErrorKind::DeadlineExceeded);
        assert!(late.to_string().contains("`slow` took longer than 50ms"), "{late}");
        // One that changes the object goes on, as after any caller that has gone.
        let late = object.slow_and_alone(200).await.unwrap_err();
        assert_eq!(late.remote().unwrap().kind(), RemoteErrorKind::DeadlineExceeded);
        ended(&object, 1).await;
    }
}

#[tokio::test]
async fn a_panic_that_may_be_ignored_leaves_the_object_usable() {
    for manager in both(Manager::builder().register::<Marked>()).await {
        let object = MarkedProxy::create(&manager).await.unwrap();
        for count in 1..=2 {
            assert_eq!(object.panics().await.unwrap_err().kind(), RemoteErrorKind::Panicked);
            assert_eq!(object.ended().await, Ok(count));
        }
    }
}
