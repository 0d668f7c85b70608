//! Near first, far behind it.

use std::time::Duration;

use proxystore_core::{Bytes, Mode};
use proxystore_testkit::fault::{Fault, Op};
use proxystore_testkit::process::Role;
use proxystore_testkit::role;

use super::*;

const URI: &str = "multi://near,far?near=local:///near&far=local:///far&far.near=near";

fn unavailable() -> Fault {
    Fault::Fail(Error::new(ErrorKind::Unavailable, "the cable is cut").transient())
}

/// A connector of this host, and its children.
async fn here() -> (MultiConnector, Arc<FaultConnector>, Arc<FaultConnector>) {
    let (connector, children) = open_faulty(URI, &["near", "far"]).await;
    (connector, children["near"].clone(), children["far"].clone())
}

/// A connector with these children.
async fn over(near: &Arc<FaultConnector>, far: &Arc<FaultConnector>) -> MultiConnector {
    let children = [("near".to_owned(), near.clone()), ("far".to_owned(), far.clone())];
    open_with(URI, Children(children.into())).await.unwrap()
}

/// One of another host: its near child is another.
async fn elsewhere(far: &Arc<FaultConnector>) -> MultiConnector {
    let near = FaultConnector::new(Arc::new(proxystore_local::LocalConnector::new().unwrap()));
    over(&near, far).await
}

#[tokio::test]
async fn a_put_returns_when_it_is_near_and_comes_far_behind_it() {
    let (connector, near, far) = here().await;
    far.next(Op::Put, Fault::Hang);
    let key = connector.new_key(KeyHint::default()).unwrap();
    put(&connector, &key, "object").await;
    assert_eq!(get(&connector, &key).await.unwrap(), b"object");
    assert_eq!(far.calls(Op::Get), 0, "who is here takes the near one");
    let there = elsewhere(&far).await;
    assert!(get(&there, &key).await.is_none(), "it is not there yet");
    far.reached(Op::Put, 1).await;
    far.release();
    connector.flush().await.unwrap();
    assert_eq!(get(&there, &key).await.unwrap(), b"object");
    connector.evict(&key).await.unwrap();
    for child in [&near, &far] {
        assert!(get(&**child, &key).await.is_none());
    }
    assert!(get(&there, &key).await.is_none() && get(&connector, &key).await.is_none());
}

#[tokio::test]
async fn an_evict_leaves_nothing_that_comes_later() {
    let (connector, near, far) = here().await;
    let same_host = over(&near, &far).await;
    for (evicting, puts) in [(&connector, 1), (&same_host, 2)] {
        far.next(Op::Put, Fault::Hang);
        let key = connector.new_key(KeyHint::default()).unwrap();
        put(&connector, &key, "object").await;
        far.reached(Op::Put, puts).await;
        let release = async {
            tokio::task::yield_now().await;
            far.release();
        };
        let (evicted, ()) = tokio::join!(evicting.evict(&key), release);
        evicted.unwrap();
        connector.flush().await.unwrap();
        assert!(get(&*far, &key).await.is_none(), "the copy came after the evict");
        assert!(get(&connector, &key).await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_tried_until_the_far_child_is_back() {
    let (connector, _, far) = here().await;
    far.every(Op::Put, unavailable());
    let key = connector.new_key(KeyHint::default()).unwrap();
    put(&connector, &key, "object").await;
    far.reached(Op::Put, 5).await;
    assert!(get(&connector, &key).await.is_some());
    far.heal();
    connector.flush().await.unwrap();
    assert!(get(&*far, &key).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_cannot_be_made_is_told() {
    let (connector, _, far) = here().await;
    let put_one = async || {
        let key = connector.new_key(KeyHint::default()).unwrap();
        put(&connector, &key, "object").await;
        key
    };
    far.next(Op::Put, Fault::Fail(Error::new(ErrorKind::Denied, "no")));
    let key = put_one().await;
    let error = connector.flush().await.unwrap_err();
    assert_eq!((error.kind(), error.context("not_copied")), (ErrorKind::Denied, Some("1")), "{error}");
    assert!(connector.flush().await.is_ok(), "it is told once");
    assert!(get(&connector, &key).await.is_some(), "it is near");
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert!(get(&connector, &key).await.is_none(), "for an hour");

    // An outage that does not end: until half the time near is over, or ten minutes.
    far.every(Op::Put, unavailable());
    put_one().await;
    let start = tokio::time::Instant::now();
    assert_eq!(connector.flush().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(start.elapsed() < Duration::from_secs(630), "{:?}", start.elapsed());
    // Closing does not wait for so long, and says it.
    put_one().await;
    let start = tokio::time::Instant::now();
    assert_eq!(connector.close().await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(start.elapsed() < Duration::from_secs(11));
}

#[tokio::test]
async fn when_too_much_is_under_way_the_caller_waits() {
    let (connector, near, far) = here().await;
    let large = Bytes::from(vec![7; 40 << 20]);
    let options = PutOptions::default();
    far.next(Op::Put, Fault::Hang);
    let first = connector.new_key(KeyHint::default()).unwrap();
    connector.put(&first, large.clone().into(), &options).await.unwrap();
    far.reached(Op::Put, 1).await;

    far.next(Op::Put, Fault::Fail(Error::new(ErrorKind::Full, "no space")));
    let second = connector.new_key(KeyHint::default()).unwrap();
    let error = connector.put(&second, large.clone().into(), &options).await.unwrap_err();
    assert_eq!((error.kind(), error.context("child")), (ErrorKind::Full, Some("far")));
    assert!(get(&*near, &second).await.is_none(), "what failed is not near either");
    assert_eq!(near.calls(Op::Put), 1, "and nothing that is there was touched for it");
    connector.put(&second, large.into(), &options).await.unwrap();
    assert!(far.exists(&second).await.unwrap(), "the caller has waited for it");
    far.release();
    connector.flush().await.unwrap();
}

#[tokio::test]
async fn what_may_change_is_far_only() {
    let (connector, near, far) = here().await;
    let there = elsewhere(&far).await;
    let key = connector.new_key(KeyHint::default()).unwrap();
    for key in [super::key(&format!("{key}.producer")), super::key("mine"), super::key("mine/1")] {
        put(&connector, &key, "one").await;
        put(&there, &key, "two").await;
        assert_eq!(get(&connector, &key).await.unwrap(), b"two");
    }
    assert_eq!(near.total(), 0);
}

#[tokio::test]
async fn a_create_is_decided_far() {
    let (connector, near, far) = here().await;
    let there = elsewhere(&far).await;
    let create = PutOptions { mode: Mode::Create, ..PutOptions::default() };
    let key = connector.new_key(KeyHint::default()).unwrap();
    there.put(&key, payload("theirs"), &create).await.unwrap();
    let error = connector.put(&key, payload("ours"), &create).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert_eq!(get(&connector, &key).await.unwrap(), b"theirs");
    assert_eq!(near.calls(Op::Put), 0);
    let key = connector.new_key(KeyHint::default()).unwrap();
    connector.put(&key, payload("ours"), &create).await.unwrap();
    assert_eq!((near.calls(Op::Put), get(&there, &key).await.unwrap()), (1, b"ours".to_vec()));
}

#[tokio::test]
async fn an_evict_of_what_is_being_created_leaves_nothing() {
    let (connector, near, far) = here().await;
    let same_host = over(&near, &far).await;
    let create = PutOptions { mode: Mode::Create, ..PutOptions::default() };
    // It is evicted between the far put and the near one.
    near.next(Op::Put, Fault::Hang);
    let key = connector.new_key(KeyHint::default()).unwrap();
    let evict = async {
        near.reached(Op::Put, 1).await;
        same_host.evict(&key).await.unwrap();
        near.release();
    };
    let (put, ()) = tokio::join!(connector.put(&key, payload("value"), &create), evict);
    put.unwrap();
    assert!(get(&same_host, &key).await.is_none());
    // It is created while the evict is between the near one and the far one.
    far.nth(Op::Evict, far.calls(Op::Evict) + 1, Fault::Hang);
    let evicts = far.calls(Op::Evict);
    let put = async {
        far.reached(Op::Evict, evicts + 1).await;
        connector.put(&key, payload("value"), &create).await.unwrap();
        far.release();
    };
    let (evicted, ()) = tokio::join!(same_host.evict(&key), put);
    evicted.unwrap();
    assert!(get(&same_host, &key).await.is_none());
}

#[tokio::test]
async fn what_another_process_is_copying_is_there_to_be_touched() {
    let (connector, near, far) = here().await;
    let same_host = over(&near, &far).await;
    far.next(Op::Put, Fault::Hang);
    let key = connector.new_key(KeyHint::default()).unwrap();
    put(&connector, &key, "object").await;
    let ttl = Duration::from_secs(60);
    assert!(same_host.touch(&key, ttl).await.unwrap(), "it is near");
    far.reached(Op::Put, 1).await;
    far.release();
    connector.flush().await.unwrap();
    // What was evicted on another host is not kept near by touching it.
    far.evict(&key).await.unwrap();
    let touches = near.calls(Op::Touch);
    same_host.touch(&key, ttl).await.unwrap();
    assert_eq!(near.calls(Op::Touch), touches);
}

#[tokio::test]
async fn what_may_be_near_is_ambiguous() {
    let (connector, near, far) = here().await;
    near.next(Op::Put, Fault::FailAfter(Error::new(ErrorKind::Ambiguous, "no answer")));
    far.next(Op::Put, unavailable());
    let key = connector.new_key(KeyHint::default()).unwrap();
    let error = connector.put(&key, payload("object"), &PutOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Ambiguous);
}

#[tokio::test]
async fn a_flush_does_not_wait_for_what_is_put_after_it() {
    let (connector, _, far) = here().await;
    far.next(Op::Put, Fault::Hang);
    put(&connector, &connector.new_key(KeyHint::default()).unwrap(), "first").await;
    far.reached(Op::Put, 1).await;
    let later = async {
        far.release();
        far.next(Op::Put, Fault::Hang);
        put(&connector, &connector.new_key(KeyHint::default()).unwrap(), "second").await;
    };
    let flush = tokio::time::timeout(Duration::from_secs(5), connector.flush());
    let (flushed, ()) = tokio::join!(flush, later);
    flushed.expect("it waits for the second").unwrap();
    far.release();
}

#[test]
fn a_copy_that_ends_with_its_runtime_is_told() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (connector, _, far) = first.block_on(here());
    far.every(Op::Put, Fault::Hang);
    let key = connector.new_key(KeyHint::default()).unwrap();
    first.block_on(put(&connector, &key, "object"));
    drop(first);
    let error = runtime().block_on(connector.flush()).unwrap_err();
    assert_eq!((error.kind(), error.context("not_copied")), (ErrorKind::Closed, Some("1")), "{error}");
}

#[tokio::test]
async fn a_near_child_that_fails_costs_nothing_but_time() {
    let (connector, near, far) = here().await;
    for op in [Op::Put, Op::Get, Op::Exists] {
        near.every(op, unavailable());
    }
    let key = connector.new_key(KeyHint::default()).unwrap();
    assert!(connector.get(&key).await.is_err(), "it may be near: an outage is not absence");
    put(&connector, &key, "object").await;
    assert!(get(&*far, &key).await.is_some(), "it went far before the put returned");
    assert_eq!(get(&connector, &key).await.unwrap(), b"object");
    assert!(connector.exists(&key).await.unwrap());
}

#[tokio::test]
async fn a_near_child_needs_expiry() {
    let directory = tempfile::tempdir().unwrap();
    let uri = format!("multi://n,f?n=file://{}&f=local:///f&f.near=n&f.keep=1s", directory.path().display());
    assert!(open_with(&uri, Children::default()).await.is_ok());
}

fn files(directory: &std::path::Path) -> String {
    let directory = directory.display();
    format!(
        "multi://near,far?near=file://{directory}/near&far=file://{directory}/far&far.near=near&far.keep=2s"
    )
}

#[tokio::test]
async fn writer() {
    role!("tiers::writer");
    let uri = std::env::var("STORE").unwrap();
    let far = driver(&"file:///".parse().unwrap()).unwrap();
    let far =
        far.open(&format!("{}/far", std::env::var("PLACE").unwrap()).parse().unwrap(), Origin::Program).await;
    let far = FaultConnector::new(far.unwrap());
    far.every(Op::Put, Fault::Point("between"));
    let path = std::env::var("PLACE").unwrap().replace("file:///", "") + "/far";
    let connector = open_with(&uri, Children([(path, far)].into())).await.unwrap();
    let key = connector.new_key(KeyHint::default()).unwrap();
    proxystore_testkit::process::say(key.as_str());
    put(&connector, &key, "object").await;
    connector.flush().await.unwrap();
}

#[tokio::test]
async fn what_a_crash_between_both_leaves_goes_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (uri, place) = (files(directory.path()), format!("file://{}", directory.path().display()));
    let mut writer =
        Role::spawn_until("tiers::writer", "between", &[("STORE", uri.as_str()), ("PLACE", place.as_str())]);
    writer.kill_at_point().await;
    let key = key(&writer.hear().await.unwrap());

    let start = std::time::Instant::now();
    let connector = open(&uri).await;
    let far = driver(&place.parse().unwrap()).unwrap();
    let far = far.open(&format!("{place}/far").parse().unwrap(), Origin::Program).await.unwrap();
    assert!(get(&*far, &key).await.is_none(), "it did not come far");
    let first = get(&connector, &key).await;
    assert!(first.is_some() || start.elapsed() > Duration::from_secs(1), "on this host it is there");
    proxystore_testkit::cancel::eventually(Duration::from_secs(20), || async {
        get(&connector, &key).await.is_none()
    })
    .await;
}
