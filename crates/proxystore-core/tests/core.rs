//! What a proxy promises, whatever its factory.

#![allow(clippy::unwrap_used, reason = "a failed expectation is what a test reports")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proxystore_core::{Bytes, Id};
use proxystore_core::{
    DynFactory, Error, ErrorKind, Factory, Key, Payload, Proxy, ProxyLocker, ProxyOr, Result, Value, Watch,
};
use tokio::time::timeout;

/// A factory that counts its calls, takes its time, and fails as often as told.
fn counting(failures: usize) -> (Arc<AtomicUsize>, impl Factory<String>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let factory = move || {
        let call = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if call < failures {
                return Err(Error::new(ErrorKind::Unavailable, "not yet"));
            }
            Ok(String::from("target"))
        }
    };
    (calls, factory)
}

#[tokio::test(start_paused = true)]
async fn many_tasks_cost_one_call() {
    let (calls, factory) = counting(0);
    let proxy = Proxy::new(factory);
    assert_eq!(calls.load(Ordering::SeqCst), 0, "construction resolves nothing");
    let tasks: Vec<_> = (0..10_000)
        .map(|_| {
            let proxy = proxy.clone();
            tokio::spawn(async move { proxy.resolve_async().await.map(String::len) })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), 6);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!((&proxy).await.unwrap(), "target");
    assert_eq!(*proxy.extract().await.unwrap(), "target");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

/// Each call takes as long as those before it.
struct Sharing(Arc<tokio::sync::Notify>);

#[proxystore_core::async_trait]
impl Factory<u8> for Sharing {
    async fn resolve_async(&self) -> Result<Arc<u8>> {
        match timeout(Duration::from_secs(60), self.0.notified()).await {
            Ok(()) => Ok(Arc::new(7)),
            Err(_) => Err(Error::new(ErrorKind::Timeout, "never")),
        }
    }

    fn shares(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn who_shares_a_call_has_a_time_of_its_own() {
    let proxy = Proxy::new(Sharing(Arc::default()));
    for proxy in [proxy.clone().erase(), Proxy::new(DynFactory::new(proxy))] {
        let start = tokio::time::Instant::now();
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let proxy = proxy.clone();
                tokio::spawn(async move { proxy.resolve_async().await.copied() })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
        }
        assert_eq!(start.elapsed(), Duration::from_secs(60), "one after the other");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_resolver_hands_over() {
    let (calls, factory) = counting(0);
    let proxy = Proxy::new(factory);
    let waiting = proxy.clone();
    let mut leaver = Box::pin(proxy.resolve_async());
    assert!(timeout(Duration::from_millis(500), &mut leaver).await.is_err());
    let waiter = tokio::spawn(async move { waiting.resolve_async().await.cloned() });
    tokio::task::yield_now().await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    drop(leaver);
    assert_eq!(waiter.await.unwrap().unwrap(), "target");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn failures_are_not_remembered() {
    let (calls, factory) = counting(2);
    let proxy = Proxy::new(factory);
    for _ in 0..2 {
        assert_eq!(proxy.resolve_async().await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(!proxy.is_resolved());
    }
    assert_eq!(proxy.resolve_async().await.unwrap(), "target");
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_prefetch_and_a_resolve_share_one_call() {
    let (calls, factory) = counting(0);
    let proxy = Proxy::new(factory);
    proxy.prefetch();
    proxy.prefetch();
    tokio::task::yield_now().await;
    assert_eq!(proxy.resolve_async().await.unwrap(), "target");
    proxy.prefetch();
    assert_eq!(calls.load(Ordering::SeqCst), 1);

    // A prefetch that fails leaves the proxy as it was.
    let (calls, factory) = counting(1);
    let proxy = Proxy::new(factory);
    proxy.prefetch();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!proxy.is_resolved());
    assert_eq!(proxy.resolve_async().await.unwrap(), "target");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[test]
fn a_prefetch_outside_a_runtime_does_nothing() {
    let (calls, factory) = counting(0);
    Proxy::new(factory).prefetch();
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn an_erased_proxy_shares_the_target() {
    let (calls, factory) = counting(0);
    let proxy = Proxy::new(factory);
    let erased: Proxy<String> = proxy.clone().erase();
    let twice: Proxy<String> = erased.clone().erase();
    assert_eq!(twice.resolve_async().await.unwrap(), "target");
    assert!(proxy.is_resolved() && erased.resolve_async().await.is_ok());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert!(proxy.erase().is_resolved());
    let boxed: Proxy<u8> = Proxy::new(DynFactory::new(Value::new(1)));
    assert_eq!(boxed.resolve_async().await.unwrap(), &1);
}

#[tokio::test]
async fn serializing_writes_the_factory_and_decoding_resolves_nothing() {
    let proxy = Proxy::new(Value::new(vec![1u8, 2]));
    let unresolved = serde_json::to_string(&proxy).unwrap();
    proxy.resolve_async().await.unwrap();
    assert_eq!(serde_json::to_string(&proxy).unwrap(), unresolved);
    let read: Proxy<Vec<u8>, Value<Vec<u8>>> = serde_json::from_str(&unresolved).unwrap();
    assert!(!read.is_resolved());
    assert_eq!(read.resolve_async().await.unwrap(), &[1, 2]);

    let locker: ProxyLocker<Vec<u8>, Value<Vec<u8>>> =
        serde_json::from_str(&serde_json::to_string(&proxy.lock()).unwrap()).unwrap();
    assert!(!format!("{locker:?}").contains("target"));
    assert_eq!(locker.unlock().resolve_async().await.unwrap(), &[1, 2]);
}

#[tokio::test]
async fn a_value_or_a_proxy_is_one_type() {
    type Either = ProxyOr<u32, Value<u32>>;
    let value = Either::Value(7);
    let proxy = Either::from(Proxy::new(Value::new(7)));
    assert!(value.is_resolved() && !proxy.is_resolved());
    for either in [value, proxy] {
        for read in [
            serde_json::from_str::<Either>(&serde_json::to_string(&either).unwrap()).unwrap(),
            postcard::from_bytes::<Either>(&postcard::to_allocvec(&either).unwrap()).unwrap(),
        ] {
            assert_eq!(read.resolve_async().await.unwrap(), &7);
        }
    }
}

#[tokio::test]
async fn debug_shows_the_target_only_if_it_is_there() {
    let proxy = Proxy::new(Value::new(String::from("content")));
    assert!(!format!("{:?}", Proxy::<String, _>::new(7)).contains("target"));
    proxy.resolve_async().await.unwrap();
    assert!(format!("{proxy:?}").contains("target: \"content\""));
}

#[test]
fn a_target_of_nothing_counts_as_resolved() {
    let proxy = Proxy::resolved(Value::new(()), Arc::new(()));
    assert!(proxy.is_resolved() && proxy.get() == Some(&()));
    let none = Proxy::resolved(Value::new(None::<u8>), Arc::new(None::<u8>));
    assert_eq!(none.get(), Some(&None));
}

#[test]
fn ids_and_keys() {
    for bits in [[0; 16], [0xff; 16], [0x5a; 16], std::array::from_fn(|i| i as u8 * 17)] {
        let id = Id::from_bytes(bits);
        let text = id.to_string();
        assert_eq!((text.len(), Id::parse(&text)), (26, Some(id)));
        assert_eq!(Key::from(id).as_id(), Some(id));
    }
    assert_ne!(Id::random().unwrap(), Id::random().unwrap());
    // 26 characters carry two bits more than an id: only one of the four spellings is one.
    assert!(
        ["aaaaaaaaaaaaaaaaaaaaaaaaab", "Aaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaa1"]
            .iter()
            .all(|t| Id::parse(t).is_none())
    );

    for legal in ["a", "A-Z_0.9~", "a/b/c", &"a".repeat(200), "...", "a..b", ".a"] {
        assert_eq!(Key::parse(legal).unwrap().as_str(), legal);
    }
    let long = format!("{0}/{0}/{0}", "a".repeat(180));
    for illegal in [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        ".",
        "..",
        "a/../b",
        "a/.",
        "a b",
        "a\0",
        "é",
        "a\\b",
        "a:b",
        "a%2fb",
        &"a".repeat(201),
        &long,
    ] {
        let error = Key::parse(illegal).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().len() < 300, "{error}");
        assert!(serde_json::from_value::<Key>(illegal.into()).is_err());
    }
}

#[test]
fn payloads_join_and_split_without_needless_copies() {
    let body = Bytes::from(vec![7; 1000]);
    let payload = Payload::new(Bytes::from_static(b"head"), body.clone());
    assert_eq!(payload.len(), 1004);
    assert_eq!(payload.clone().split_at(4).unwrap().1.as_ptr(), body.as_ptr());
    let joined = payload.clone().into_bytes();
    assert_eq!(&joined[..5], b"head\x07");
    let (head, tail) = Payload::from(joined.clone()).split_at(4).unwrap();
    assert_eq!((&head[..], tail.as_ptr()), (&b"head"[..], joined[4..].as_ptr()));
    assert_eq!(payload.clone().split_at(2).unwrap().0, "he");
    assert!(payload.clone().split_at(1005).is_none());
    assert_eq!(payload.segments().count(), 2);
    assert_eq!(Payload::from(body.clone()).into_bytes().as_ptr(), body.as_ptr());
    assert_eq!(Payload::new(body.clone(), Bytes::new()).into_bytes().as_ptr(), body.as_ptr());
    assert!(Payload::default().is_empty() && Payload::default().into_bytes().is_empty());
    assert_eq!(format!("{payload:?}"), "Payload(1004 bytes)");
}

#[test]
fn a_front_comes_and_goes_without_a_copy_of_the_body() {
    let (body, head) = (Bytes::from(vec![1; 1000]), Bytes::from_static(b"head"));
    for payload in [
        Payload::new(head.clone(), body.clone()),
        Payload::from(body.clone()),
        Payload::new(body.clone(), Bytes::new()),
    ] {
        let framed = payload.clone().with_front("front");
        assert_eq!(framed.segments().last().unwrap().as_ptr(), body.as_ptr());
        let (front, rest) = framed.split_front(5).unwrap();
        assert_eq!((front, &rest.clone().into_bytes()), (Bytes::from("front"), &payload.into_bytes()));
        assert_eq!(rest.segments().last().unwrap().as_ptr(), body.as_ptr());
    }
    let payload = Payload::new(head, body.clone());
    let (front, rest) = payload.clone().split_front(6).unwrap();
    assert_eq!((front, rest.clone().into_bytes()), (Bytes::from("head\x01\x01"), body.slice(2..)));
    assert_eq!(rest.into_bytes().as_ptr(), body[2..].as_ptr());
    assert!(payload.clone().split_front(1005).is_none());
    assert_eq!(payload.split_front(1004).unwrap().1, Payload::default());
}

#[tokio::test(start_paused = true)]
async fn a_watch_wakes_once_more_when_its_source_ends() {
    let mut watch = Watch::new(futures_util::stream::iter([(), ()]));
    for _ in 0..3 {
        timeout(Duration::from_secs(1), watch.wake()).await.expect("two wakes and the end");
    }
    assert!(timeout(Duration::from_secs(1), watch.wake()).await.is_err());
    assert!(timeout(Duration::from_secs(1), Watch::never().wake()).await.is_err());
}

#[test]
fn errors_are_one_line_and_one_pointer() {
    assert_eq!(size_of::<Error>(), size_of::<usize>());
    let error = Error::new(ErrorKind::Unavailable, "refused")
        .with("store", "a")
        .with("store", "b")
        .with_source(std::io::Error::other("two\nlines"))
        .hint("start it")
        .hint("second hint")
        .transient();
    assert_eq!(error.to_string(), "backend unavailable: refused: two lines (store=a); start it [PS0010]");
    assert!(error.is_transient() && error.clone().to_string() == error.to_string());
    assert!(std::error::Error::source(&error).is_some());
}

fn assert_send<T: Send>(_: &T) {}

#[tokio::test]
async fn everything_can_be_sent() -> Result<()> {
    let proxy = Proxy::new(async || Ok(1));
    assert_send(&proxy);
    assert_send(&proxy.resolve_async());
    assert_send(&std::future::IntoFuture::into_future(&proxy));
    assert_eq!(proxy.resolve_async().await?, &1);
    Ok(())
}

#[cfg(feature = "blocking")]
mod blocking {
    use std::collections::HashMap;

    use super::*;

    fn transparent<T: Send + Sync + 'static>(value: T) -> proxystore_core::Transparent<T, Value<T>> {
        Proxy::new(Value::new(value)).transparent()
    }

    #[test]
    #[expect(clippy::mutable_key_type, reason = "the target does not change once it is there")]
    fn operators_are_those_of_the_target() {
        let (six, seven) = (transparent(6), transparent(7));
        assert_eq!(
            (&six + 1, &six * 7, &six - 1, &seven / 2, &seven % 4, -&six, !&six),
            (7, 42, 5, 3, 3, -6, !6)
        );
        assert_eq!((&six & 2, &six | 1, &six ^ 1, &six << 1, &six >> 1), (2, 7, 7, 12, 3));
        assert!(six < seven && six == 6 && six != seven && seven > 6);
        assert_eq!(six.cmp(&seven), std::cmp::Ordering::Less);
        assert_eq!(format!("{six}"), "6");

        let list = transparent(vec![1, 2, 3]);
        assert_eq!((list[1], list.len(), &list[1..]), (2, 3, &[2, 3][..]));
        assert_eq!((&list).into_iter().sum::<i32>(), 6);
        assert_eq!(AsRef::<Vec<i32>>::as_ref(&list), &[1, 2, 3]);
        let map = HashMap::from([(transparent(String::from("a")), 1)]);
        assert_eq!(map.get(&String::from("a")), Some(&1), "a proxy hashes and compares as its target");
    }

    #[test]
    fn debug_does_not_resolve() {
        let text = transparent(String::from("content"));
        let _ = format!("{text:?}");
        assert!(!text.clone().into_proxy().is_resolved());
        assert_eq!(text.len(), 7);
        assert!(text.into_proxy().is_resolved());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_runtime_of_many_threads_is_blocked_in_place() {
        let slow = Proxy::new(async || {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(String::from("slow"))
        });
        assert_eq!(slow.transparent().len(), 4);
    }

    #[tokio::test]
    async fn a_runtime_of_one_thread_gets_the_remedy() {
        let lazy = Proxy::new(async || Ok(1)).transparent();
        let error = lazy.resolve().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("await `resolve_async()` first"), "{error}");
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| *lazy)).unwrap_err();
        assert!(panic.downcast_ref::<String>().unwrap().contains("await `resolve_async()` first"));
        // Resolved, it is as good as anywhere.
        let proxy = lazy.into_proxy();
        proxy.resolve_async().await.unwrap();
        assert_eq!(*proxy.transparent(), 1);
    }

    #[test]
    fn a_failure_panics_with_its_message() {
        let failing = Proxy::<u8, _>::new(async || Err(Error::new(ErrorKind::Missing, "gone"))).transparent();
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| *failing)).unwrap_err();
        assert!(panic.downcast_ref::<String>().unwrap().contains("no such object: gone"));
    }
}
