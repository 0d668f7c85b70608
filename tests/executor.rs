//! Calls with arguments and results by reference: they run, and leave nothing, whatever happens.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use proxystore::{
    Bytes, Error, ErrorKind, Executor, Function, Functions, Key, Proxy, Result, Returned, ShouldProxy, Store,
    StoreExecutor, async_trait,
};
use proxystore_testkit::cancel::eventually;
use proxystore_testkit::fault::{FaultConnector, Op};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;
use tokio::sync::{Mutex, Notify};

use crate::stores::{Backend, backends, files, local};

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(20);

const SUM: Function<Vec<u64>, u64> = Function::new("sum");
const REPEAT: Function<(String, usize), String> = Function::new("repeat");
const FAIL: Function<Vec<u64>, u64> = Function::new("fail");
const PANIC: Function<Vec<u64>, u64> = Function::new("panic");
const HANG: Function<Vec<u64>, u64> = Function::new("hang");
const PASS_ON: Function<Proxy<Vec<u64>>, u64> = Function::new("pass on");

fn functions() -> Functions {
    Functions::new()
        .with(SUM, async |numbers| Ok(numbers.iter().sum()))
        .with(REPEAT, async |argument| Ok(argument.0.repeat(argument.1)))
        .with(FAIL, async |numbers| {
            Err(Error::new(ErrorKind::Unexpected, format!("{} are too many", numbers.len())))
        })
        .with(PANIC, async |_| panic!("as planned"))
        .with(HANG, async |_| std::future::pending().await)
        .with(PASS_ON, async |proxy| Ok(proxy.resolve_async().await?.iter().sum()))
}

/// Tasks of this process.
#[derive(Clone)]
struct Tasks(Arc<Functions>);

#[async_trait]
impl Executor for Tasks {
    async fn execute(&self, call: Bytes) -> Result<Bytes> {
        let functions = self.0.clone();
        Ok(tokio::spawn(async move { functions.run(call).await }).await.unwrap())
    }
}

/// A store that is found by its references, and its connector, which counts.
async fn place(backend: &Backend) -> (Store, Arc<FaultConnector>, proxystore::Registration) {
    let (store, spy) = backend.spied(&format!("calls-{}", backend.scheme)).await;
    let registration = proxystore::Registry::global().scoped(&store);
    (store, spy, registration)
}

fn tasks(store: &Store, should_proxy: ShouldProxy) -> StoreExecutor<Tasks> {
    StoreExecutor::new(Tasks(functions().into()), store.clone()).should_proxy(should_proxy)
}

/// Waits until everything that was put is evicted again.
async fn empty(spy: &FaultConnector, keys: impl IntoIterator<Item = Key>) {
    for key in keys {
        let gone = || async { !proxystore::Connector::exists(spy, &key).await.unwrap() };
        eventually(LONG, gone).await;
    }
}

#[tokio::test]
async fn what_is_large_goes_through_the_store_and_leaves_it() {
    for backend in backends().await {
        let (store, spy, _registered) = place(&backend).await;
        let executor = tasks(&store, ShouldProxy::above(1000));
        let sum = executor.submit(SUM, &vec![1, 2, 3]).await.unwrap();
        assert!(matches!(sum, Returned::Value(ref sum) if **sum == 6));
        assert_eq!(spy.calls(Op::Put), 0, "what is small needs no store");

        let sum = executor.submit(SUM, &(0..10_000).collect()).await.unwrap();
        assert!(matches!(sum, Returned::Value(ref sum) if **sum == 49_995_000));
        assert_eq!(spy.calls(Op::Put), 1);

        let text = executor.submit(REPEAT, &("ab".into(), 10_000)).await.unwrap();
        assert_eq!(text.resolve_async().await.unwrap().len(), 20_000);
        let Returned::Proxy(owned) = &text else { panic!("it is large") };
        let key = owned.key().clone();
        assert!(store.exists(&key).await.unwrap());
        drop(text);
        empty(&spy, [key]).await;
    }
}

#[tokio::test]
async fn by_size_by_type_always_and_never() {
    let backend = local().await;
    let (store, spy, _registered) = place(&backend).await;
    let short = ("ab".to_string(), 2);
    for (should_proxy, puts, by_reference) in [
        (ShouldProxy::never(), 0, false),
        (ShouldProxy::default(), 0, false),
        (ShouldProxy::of::<Vec<u64>>(), 0, false),
        (ShouldProxy::of::<Vec<u64>>().or::<(String, usize)>(), 1, false),
    ] {
        let before = spy.calls(Op::Put);
        let result = tasks(&store, should_proxy.clone()).submit(REPEAT, &short).await.unwrap();
        assert_eq!(result.resolve_async().await.unwrap(), "abab");
        assert_eq!(matches!(result, Returned::Proxy(_)), by_reference, "{should_proxy:?}");
        assert_eq!(spy.calls(Op::Put) - before, puts, "{should_proxy:?}");
    }
    for should_proxy in [ShouldProxy::always(), ShouldProxy::of::<String>()] {
        let result = tasks(&store, should_proxy).submit(REPEAT, &short).await.unwrap();
        assert!(matches!(result, Returned::Proxy(_)));
        assert_eq!(result.resolve_async().await.unwrap(), "abab");
    }
}

/// Executors that are not what one would wish.
enum Odd {
    /// Loses the call.
    Loses,
    /// Runs the call, and loses the answer.
    LosesTheAnswer,
    /// Runs the call twice, and gives the second answer.
    RunsTwice,
    /// Answers without a sense.
    Babbles,
}

#[async_trait]
impl Executor for Odd {
    async fn execute(&self, call: Bytes) -> Result<Bytes> {
        let functions = functions();
        let lost = || Error::new(ErrorKind::Unavailable, "the worker is gone");
        match self {
            Self::Loses => Err(lost()),
            Self::LosesTheAnswer => {
                functions.run(call).await;
                Err(lost())
            }
            Self::RunsTwice => {
                functions.run(call.clone()).await;
                Ok(functions.run(call).await)
            }
            Self::Babbles => Ok(Bytes::from_static(b"\xff\xff\xff")),
        }
    }
}

#[tokio::test]
async fn whatever_fails_is_said_and_the_argument_goes() {
    let dir = tempfile::tempdir().unwrap();
    proxystore::install(proxystore::Trust::Registered);
    let store = Store::open(format!("file://{}", dir.path().display())).await.unwrap();
    let numbers: Vec<u64> = (0..1000).collect();
    let always = ShouldProxy::always();
    let executor = tasks(&store, always.clone());

    let error = executor.submit(FAIL, &numbers).await.unwrap_err();
    assert_eq!((error.kind(), error.context("function")), (ErrorKind::Failed, Some("fail")));
    assert!(error.message().contains("1000 are too many"), "{error}");
    let error = executor.submit(PANIC, &numbers).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Failed && error.message().contains("panicked"), "{error}");
    const UNKNOWN: Function<Vec<u64>, u64> = Function::new("unknown");
    let error = executor.submit(UNKNOWN, &numbers).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Failed && error.message().contains("fail, hang, panic"), "{error}");
    const MISNAMED: Function<String, u64> = Function::new("sum");
    for should_proxy in [ShouldProxy::never(), always.clone()] {
        let error = tasks(&store, should_proxy).submit(MISNAMED, &"text".into()).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Failed && error.message().contains("type mismatch"), "{error}");
    }
    for (odd, kind) in [(Odd::Loses, ErrorKind::Unavailable), (Odd::Babbles, ErrorKind::Codec)] {
        let odd = StoreExecutor::new(odd, store.clone()).should_proxy(always.clone());
        assert_eq!(odd.submit(SUM, &numbers).await.unwrap_err().kind(), kind);
    }
    // A call that nobody waits for any more, once its argument is there.
    let hang = async { executor.submit(HANG, &numbers).await.map(drop) };
    let there = eventually(LONG, || async { !files(dir.path()).is_empty() });
    assert!(matches!(select(pin!(hang), pin!(there)).await, Either::Right(_)), "it does not hang");
    eventually(LONG, || async { files(dir.path()).is_empty() }).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_lost_or_not_the_right_one_is_said() {
    let (store, _spy, _registered) = place(&local().await).await;
    let numbers: Vec<u64> = (0..1000).collect();
    let always = ShouldProxy::always();
    const MISREAD: Function<Vec<u64>, String> = Function::new("sum");
    for should_proxy in [ShouldProxy::never(), always.clone()] {
        let result = tasks(&store, should_proxy).submit(MISREAD, &numbers).await;
        let error = match result {
            Ok(result) => result.resolve_async().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::TypeMismatch, "{error}");
    }
    for (odd, kind) in [(Odd::LosesTheAnswer, Some(ErrorKind::Unavailable)), (Odd::RunsTwice, None)] {
        let odd = StoreExecutor::new(odd, store.clone()).should_proxy(always.clone());
        let result = odd.submit(SUM, &numbers).await;
        assert_eq!(result.err().map(|error| error.kind()), kind);
    }
}

#[tokio::test]
async fn a_worker_that_does_not_trust_the_store_says_so() {
    // Nobody has registered it.
    let (store, spy) = local().await.spied("untrusted").await;
    let error = tasks(&store, ShouldProxy::always()).submit(SUM, &vec![1]).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Failed && error.message().contains("denied"), "{error}");
    eventually(LONG, || async { spy.calls(Op::EvictMany) == 1 }).await;
    let results = ShouldProxy::of::<String>();
    let error = tasks(&store, results).submit(REPEAT, &("ab".into(), 2)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Failed && error.message().contains("denied"), "{error}");
    assert_eq!(spy.calls(Op::Put), 1, "a result was put where the worker must not");
}

/// Keeps the calls.
struct Keeps(Arc<Mutex<Vec<Bytes>>>);

#[async_trait]
impl Executor for Keeps {
    async fn execute(&self, call: Bytes) -> Result<Bytes> {
        self.0.lock().await.push(call.clone());
        Ok(functions().run(call).await)
    }
}

#[tokio::test]
async fn a_call_that_makes_no_sense_gets_an_answer() {
    let backend = local().await;
    let (store, spy, _registered) = place(&backend).await;
    let calls = Arc::default();
    for should_proxy in [ShouldProxy::never(), ShouldProxy::of::<Vec<u64>>()] {
        let executor =
            StoreExecutor::new(Keeps(Arc::clone(&calls)), store.clone()).should_proxy(should_proxy);
        assert_eq!(*executor.submit(SUM, &vec![1, 2]).await.unwrap().resolve_async().await.unwrap(), 3);
    }
    let puts = spy.calls(Op::Put);
    let functions = functions();
    let run = async |call: Vec<u8>| {
        let answer = tokio::time::timeout(Duration::from_secs(5), functions.run(call.into())).await;
        assert!(!answer.expect("an answer in time").is_empty());
    };
    run(vec![0xff; 100]).await;
    for call in calls.lock().await.iter() {
        for i in 0..call.len() {
            run(call[..i].to_vec()).await;
            for bits in [0x01, 0x80, 0xff] {
                let mut other = call.to_vec();
                other[i] ^= bits;
                run(other).await;
            }
        }
    }
    // Results by reference are what some of them ask for now; these are a number each.
    assert!(spy.calls(Op::Put) - puts < 100);
}

#[tokio::test]
async fn each_element_of_a_map_goes_its_own_way() {
    let backend = local().await;
    let (store, spy, _registered) = place(&backend).await;
    let executor = tasks(&store, ShouldProxy::above(1000));
    let inputs = (0..20u64).map(|n| vec![1; if n % 2 == 0 { 2 } else { 5_000 }]);
    let sums: Vec<_> = executor.map(SUM, inputs, 4).collect().await;
    assert_eq!(spy.calls(Op::Put), 10);
    for (n, sum) in sums.into_iter().enumerate() {
        assert_eq!(*sum.unwrap().resolve_async().await.unwrap(), if n % 2 == 0 { 2 } else { 5_000 });
    }
    // A stream that is given up in the middle leaves nothing under way.
    let inputs = (0..20).map(|_| vec![1; 5_000]);
    let mut some = Box::pin(executor.map(SUM, inputs, 4));
    some.next().await.unwrap().unwrap();
    drop(some);
    eventually(LONG, || async { proxystore::shutdown(Duration::from_secs(1)).await.is_complete() }).await;
}

#[tokio::test]
async fn a_proxy_is_passed_on_as_it_is() {
    let backend = local().await;
    let (store, spy, _registered) = place(&backend).await;
    let proxy = store.proxy(vec![1u64; 100_000]).await.unwrap();
    let sum = tasks(&store, ShouldProxy::default()).submit(PASS_ON, &proxy).await.unwrap();
    assert_eq!((*sum.resolve_async().await.unwrap(), spy.calls(Op::Put)), (100_000, 1));
}

/// A worker in a process of its own: a call and an answer per line.
#[tokio::test]
async fn worker() {
    role!("executor::worker");
    let trust = proxystore::Trust::allow([std::env::var("STORE").unwrap()]).unwrap();
    proxystore::install(trust);
    let functions = functions();
    while let Some(call) = process::hear().await {
        let call: Vec<u8> = serde_json::from_str(&call).unwrap();
        let answer = functions.run(call.into()).await;
        process::say(&serde_json::to_string(&answer.to_vec()).unwrap());
    }
}

struct Process(Mutex<Role>, Notify);

#[async_trait]
impl Executor for Process {
    async fn execute(&self, call: Bytes) -> Result<Bytes> {
        let mut role = self.0.lock().await;
        role.say(&serde_json::to_string(&call.to_vec()).unwrap()).await;
        self.1.notify_one();
        let answer =
            role.hear().await.ok_or_else(|| Error::new(ErrorKind::Unavailable, "the worker is gone"))?;
        Ok(serde_json::from_str::<Vec<u8>>(&answer).unwrap().into())
    }
}

#[tokio::test]
async fn calls_in_another_process() {
    for backend in backends().await.into_iter().filter(|backend| backend.scheme != "local") {
        let (store, spy, _registered) = place(&backend).await;
        let process =
            Process(Mutex::new(Role::spawn("executor::worker", &[("STORE", &backend.uri)])), Notify::new());
        let executor = StoreExecutor::new(process, store.clone()).should_proxy(ShouldProxy::always());
        let text = executor.submit(REPEAT, &("ab".into(), 10_000)).await.unwrap();
        assert_eq!(text.resolve_async().await.unwrap().len(), 20_000);
        let Returned::Proxy(owned) = &text else { panic!("all are passed by reference") };
        let key = owned.key().clone();
        drop(text);
        empty(&spy, [key]).await;
        let error = executor.submit(FAIL, &vec![1]).await.unwrap_err();
        assert!(error.message().contains("1 are too many"), "{error}");
    }
}
