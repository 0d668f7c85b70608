//! Interfaces: proxies of a trait, and the types behind them.

use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use proxystore_manager::{
    CallError, Context, Manager, Object, ObjectProxy, RemoteError, RemoteErrorKind, interface,
};
use serde::{Deserialize, Serialize};

use crate::both;

/// As it would stand in a crate that clients and servers share.
mod api {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Overflow;

    #[interface(typeid = "demo.Counter", display)]
    pub(super) trait CounterApi {
        /// Begins at a number.
        #[ctor]
        async fn new(start: i64) -> Result<Self, Overflow>
        where
            Self: Sized;

        /// Adds.
        async fn add(&mut self, k: i64) -> Result<i64, Overflow>;

        #[rename = "value"]
        async fn get(&self) -> i64;

        fn describe(&self, context: &Context, prefix: &str) -> String;

        async fn fork(&self, context: &Context) -> Result<CounterApiProxy, RemoteError>;

        fn down(&self) -> impl Stream<Item = i64> + Send + 'static;

        #[hidden]
        fn reset(&mut self);
    }
}

use api::{CounterApi, CounterApiProxy, Overflow};

struct Small(i8);

impl Object for Small {
    type Proxy = CounterApiProxy;
}

impl std::fmt::Display for Small {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Small({})", self.0)
    }
}

impl CounterApi for Small {
    async fn new(start: i64) -> Result<Self, Overflow> {
        tokio::task::yield_now().await;
        start.try_into().map(Self).map_err(|_| Overflow)
    }

    async fn add(&mut self, k: i64) -> Result<i64, Overflow> {
        tokio::task::yield_now().await;
        let sum = i64::from(self.0) + k;
        self.0 = sum.try_into().map_err(|_| Overflow)?;
        Ok(sum)
    }

    async fn get(&self) -> i64 {
        self.0.into()
    }

    fn describe(&self, _: &Context, prefix: &str) -> String {
        format!("{prefix}{}", self.0)
    }

    async fn fork(&self, context: &Context) -> Result<CounterApiProxy, RemoteError> {
        context.host(Self(self.0))
    }

    fn down(&self) -> impl Stream<Item = i64> + Send + 'static {
        stream::iter((0..i64::from(self.0)).rev())
    }

    fn reset(&mut self) {
        self.0 = 0;
    }
}

#[tokio::test]
async fn a_type_is_reached_through_the_proxy_of_its_trait() {
    let [manager, client] = both(Manager::builder().register::<Small>()).await;
    for manager in [manager, client] {
        let counter = CounterApiProxy::create(&manager, 40).await.unwrap();
        assert_eq!(counter.add(2).await, Ok(42));
        assert_eq!(counter.add(100).await, Err(CallError::App(Overflow)));
        assert_eq!(counter.get().await, Ok(42));
        assert_eq!(counter.describe("n = ").await.as_deref(), Ok("n = 42"));
        assert_eq!(counter.base().display().await, "Small(42)");
        let down: Vec<_> = counter.down().await.unwrap().take(2).collect().await;
        assert_eq!(down, [Ok(41), Ok(40)]);
        let fork = counter.fork().await.unwrap();
        assert_eq!(fork.add(1).await, Ok(43));
        assert_eq!(counter.get().await, Ok(42));
        assert_eq!(CounterApiProxy::create(&manager, 200).await, Err(CallError::App(Overflow)));
        let reset = counter.base().call_method::<_, (), ()>("reset", &()).await.unwrap_err();
        assert_eq!(reset.remote().map(RemoteError::kind), Some(RemoteErrorKind::NoSuchMethod));
    }
    let mut local = Small(1);
    local.reset();
    assert_eq!(local.0, 0);
}

/// Another type behind the same trait, in a manager of its own.
struct Big(i64);

impl Object for Big {
    type Proxy = CounterApiProxy;
}

impl std::fmt::Display for Big {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Big({})", self.0)
    }
}

impl CounterApi for Big {
    async fn new(start: i64) -> Result<Self, Overflow> {
        Ok(Self(start))
    }

    async fn add(&mut self, k: i64) -> Result<i64, Overflow> {
        self.0 = self.0.checked_add(k).ok_or(Overflow)?;
        Ok(self.0)
    }

    async fn get(&self) -> i64 {
        self.0
    }

    fn describe(&self, context: &Context, prefix: &str) -> String {
        context.on_discard(|| {});
        format!("{prefix}{}", self.0)
    }

    async fn fork(&self, context: &Context) -> Result<CounterApiProxy, RemoteError> {
        context.host(Self(self.0))
    }

    fn down(&self) -> impl Stream<Item = i64> + Send + 'static {
        stream::empty()
    }

    fn reset(&mut self) {}
}

#[tokio::test]
async fn clients_do_not_know_which_type_it_is() {
    let [_small, small] = both(Manager::builder().register::<Small>()).await;
    let [_big, big] = both(Manager::builder().register::<Big>()).await;
    let counters = [
        CounterApiProxy::create(&small, 100).await.unwrap(),
        CounterApiProxy::create(&big, 100).await.unwrap(),
    ];
    let mut sums = Vec::new();
    for counter in &counters {
        sums.push(counter.add(100).await);
    }
    assert_eq!(sums, [Err(CallError::App(Overflow)), Ok(200)]);
}
