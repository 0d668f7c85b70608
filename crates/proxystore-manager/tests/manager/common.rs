//! An object to test with, and clients of its manager.

use proxystore_manager::{Context, Limits, Manager, Remote, RemoteError, object};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Default, Serialize)]
pub(crate) struct Counter {
    count: i64,
    #[serde(skip)]
    children: Vec<CounterProxy>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Overflow(pub(crate) i64);

impl std::fmt::Display for Overflow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "above {}", self.0)
    }
}

impl std::fmt::Display for Counter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Counter({})", self.count)
    }
}

impl Counter {
    pub(crate) fn at(count: i64) -> Self {
        Self { count, children: Vec::new() }
    }

    pub(crate) fn with(child: CounterProxy) -> Self {
        Self { count: 0, children: vec![child] }
    }
}

#[object(typeid = "test.Counter", value, display)]
impl Counter {
    #[ctor]
    fn new(count: i64) -> Self {
        Self { count, children: Vec::new() }
    }

    #[ctor]
    async fn checked(count: i64) -> Result<Self, Overflow> {
        if count > 100 { Err(Overflow(100)) } else { Ok(Self::new(count)) }
    }

    /// Adds.
    async fn add(&mut self, k: i64) -> Result<i64, Overflow> {
        let sum = self.count + k;
        if sum > 1_000_000 {
            return Err(Overflow(1_000_000));
        }
        // Long enough for others to come between, if they could.
        tokio::task::yield_now().await;
        self.count = sum;
        Ok(sum)
    }

    fn get(&self) -> i64 {
        self.count
    }

    async fn child(&self, context: &Context, count: i64) -> Result<Remote<Counter>, RemoteError> {
        context.host(Self::new(count))
    }

    fn keep(&mut self, child: CounterProxy) {
        self.children.push(child);
    }

    fn kept(&self) -> Vec<CounterProxy> {
        self.children.clone()
    }

    fn forget(&mut self) {
        self.children.clear();
    }

    async fn sleep(&self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    async fn sleep_then_add(&mut self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        self.count += 1;
    }

    #[cancel]
    async fn sleep_or_not(&mut self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        self.count += 1;
    }

    async fn meet(&self, other: CounterProxy) -> Result<i64, RemoteError> {
        other.meet_exclusively().await
    }

    async fn meet_exclusively(&mut self) -> i64 {
        self.count
    }

    async fn recurse(&mut self, this: CounterProxy) -> Result<i64, RemoteError> {
        this.get().await
    }

    fn explode(&self) {
        panic!("as asked");
    }

    fn explode_exclusively(&mut self) {
        panic!("as asked");
    }

    fn echo(&self, text: String) -> String {
        text
    }

    fn echo_json(&self, value: serde_json::Value) -> serde_json::Value {
        value
    }

    fn take(&mut self, context: &Context, taken: CounterProxy) -> i64 {
        self.count += 1;
        context.on_discard(move || {
            tokio::spawn(async move { taken.add(1).await });
        });
        self.count
    }

    #[hidden]
    #[allow(dead_code)]
    fn audit(&self) {}
}

pub(crate) fn limits() -> Limits {
    Limits { lease: Duration::from_millis(400), grace: Duration::from_millis(200), ..Limits::default() }
}

/// A manager, and one client of it in the same process that does not know that.
pub(crate) async fn pair() -> (Manager, Manager) {
    let manager = Manager::builder().register::<Counter>().limits(limits()).in_process().unwrap();
    let client = client(&manager).await;
    (manager, client)
}

pub(crate) async fn client(manager: &Manager) -> Manager {
    let key = manager.authkey().unwrap();
    let manager = manager.clone();
    let open = move || {
        let manager = manager.clone();
        async move {
            let (near, far) = tokio::io::duplex(64 << 10);
            manager.serve_stream(far).map_err(std::io::Error::other)?;
            Ok(near)
        }
    };
    Manager::connect_over(open, key).await.unwrap()
}

/// Waits until the manager has so many objects.
pub(crate) async fn objects(manager: &Manager, count: usize) {
    let same = async {
        while manager.stats().await.unwrap().objects != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(5), same).await;
    assert!(in_time.is_ok(), "{count} expected: {:?}", manager.objects());
}
