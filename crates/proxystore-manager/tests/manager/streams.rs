//! Methods that return streams. The proxy is written by hand, as the attributes would.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use proxystore_manager::{
    Access, Call, Created, Interface, Manager, Method, MethodId, Object, ObjectProxy, Outcome, ProxyBase,
    RemoteError, RemoteErrorKind, RemoteStream,
};
use serde::{Deserialize, Serialize};

use crate::breaks::Fragile;
use crate::common::{Counter, CounterProxy, client, limits, objects};

#[derive(Default)]
struct Numbers {
    made: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

/// Counts the streams that are there.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct NumbersProxy(ProxyBase);

const COUNT: &Method = &Method::new("count", Access::Shared);
const OBJECTS: &Method = &Method::new("objects", Access::Shared);
const PANIC: &Method = &Method::new("panic", Access::Shared);

impl NumbersProxy {
    async fn count(&self, to: u64) -> Result<RemoteStream<u64>, RemoteError> {
        self.0.call_stream(COUNT, &(to,)).await
    }

    async fn objects(&self, count: i64) -> Result<RemoteStream<CounterProxy>, RemoteError> {
        self.0.call_stream(OBJECTS, &(count,)).await
    }

    async fn panic(&self) -> Result<RemoteStream<u64>, RemoteError> {
        self.0.call_stream(PANIC, &()).await
    }
}

impl Object for Numbers {
    type Proxy = NumbersProxy;
}

impl ObjectProxy for NumbersProxy {
    const TYPEID: &'static str = "test.Numbers";
    const METHODS: &'static [Method] = &[*COUNT, *OBJECTS, *PANIC];

    fn from_base(base: ProxyBase) -> Self {
        Self(base)
    }

    fn base(&self) -> &ProxyBase {
        &self.0
    }
}

impl Interface<Numbers> for NumbersProxy {
    fn shared(numbers: &Numbers, call: Call) -> BoxFuture<'_, Outcome> {
        let answer = move || {
            if call.method() == MethodId::of("count") {
                let (to,) = call.args::<(u64,)>()?;
                numbers.open.fetch_add(1, Ordering::SeqCst);
                let (made, open) = (numbers.made.clone(), Open(numbers.open.clone()));
                return call.stream(stream::iter(0..to).map(move |number| {
                    let _ = &open;
                    made.fetch_add(1, Ordering::SeqCst);
                    number
                }));
            }
            if call.method() == MethodId::of("objects") {
                let (count,) = call.args::<(i64,)>()?;
                let context = call.context().clone();
                return call
                    .stream(stream::iter(0..count).map(move |i| context.host(Counter::at(i)).unwrap()));
            }
            call.stream(stream::iter(0..10).map(|i| if i == 3 { panic!("as asked") } else { i }))
        };
        std::future::ready(answer()).boxed()
    }

    fn exclusive(_: &mut Numbers, call: Call) -> BoxFuture<'_, Outcome> {
        std::future::ready(Err(call.unknown())).boxed()
    }

    fn create(call: Call) -> BoxFuture<'static, Result<Created<Numbers>, RemoteError>> {
        std::future::ready(call.created(Numbers::default())).boxed()
    }
}

const NEW: &Method = &Method::new("new", Access::Create);

async fn numbers(manager: &Manager) -> NumbersProxy {
    manager.create::<_, _, ()>(NEW, &()).await.unwrap()
}

fn manager() -> Manager {
    Manager::builder().register::<Numbers>().limits(limits()).in_process().unwrap()
}

#[tokio::test]
async fn all_items_come_in_their_order() {
    let manager = manager();
    let client = client(&manager).await;
    for manager in [&manager, &client] {
        let numbers = numbers(manager).await;
        let items: Vec<_> = numbers.count(10_000).await.unwrap().map(Result::unwrap).collect().await;
        assert_eq!(items, Vec::from_iter(0..10_000));
        assert_eq!(numbers.count(0).await.unwrap().count().await, 0);
    }
    objects(&manager, 0).await;
}

#[tokio::test]
async fn no_more_is_made_than_is_read_and_one_batch_ahead() {
    let manager = manager();
    let client = client(&manager).await;
    let here = Numbers::default();
    let (made, open) = (here.made.clone(), here.open.clone());
    let home = manager.host(here).unwrap();
    client.publish("numbers", &home).await.unwrap();
    let numbers: NumbersProxy = client.lookup("numbers").await.unwrap();
    let mut items = numbers.count(1_000_000).await.unwrap();
    assert_eq!(made.load(Ordering::SeqCst), 0);
    assert_eq!(items.next().await, Some(Ok(0)));
    // Anything that is to come has come.
    assert!(numbers.count(0).await.unwrap().next().await.is_none());
    let ahead = made.load(Ordering::SeqCst);
    assert!((1..=512).contains(&ahead), "{ahead}");
    assert_eq!(open.load(Ordering::SeqCst), 1);
    drop(items);
    let closed = async {
        while open.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), closed).await.unwrap();
}

#[tokio::test]
async fn items_may_be_objects() {
    let manager = manager();
    let client = client(&manager).await;
    for manager in [&manager, &client] {
        let numbers = numbers(manager).await;
        let mut items = numbers.objects(600).await.unwrap();
        let mut expected = 0;
        while let Some(counter) = items.next().await {
            assert_eq!(counter.unwrap().get().await, Ok(expected));
            expected += 1;
        }
        assert_eq!(expected, 600);
        // What was fetched and never looked at is given back, too.
        let mut items = numbers.objects(600).await.unwrap();
        items.next().await.unwrap().unwrap();
        drop(items);
        objects(manager, 1).await;
    }
}

#[tokio::test]
async fn a_stream_that_panics_ends_with_an_error() {
    let manager = manager();
    let client = client(&manager).await;
    let mut items = numbers(&client).await.panic().await.unwrap();
    let first = items.next().await.unwrap();
    assert_eq!(first.unwrap_err().kind(), RemoteErrorKind::Panicked);
    assert!(items.next().await.is_none());
}

#[tokio::test]
async fn a_broken_connection_loses_and_doubles_nothing() {
    let manager = manager();
    let fragile = Fragile::new(&manager).await;
    let numbers = numbers(&fragile.client).await;
    let mut items = numbers.count(20_000).await.unwrap();
    let mut expected = 0;
    while let Some(item) = items.next().await {
        assert_eq!(item, Ok(expected));
        expected += 1;
        if expected % 500 == 0 {
            fragile.break_now();
        }
    }
    assert_eq!(expected, 20_000);
    assert!(fragile.opened.load(Ordering::SeqCst) > 10);
}
