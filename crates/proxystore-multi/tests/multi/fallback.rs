//! When a child fails in passing, the next one takes the put.

use proxystore_core::Mode;
use proxystore_testkit::fault::{Fault, Op};

use super::*;

const URI: &str = "multi://a,b,c?a=local:///a&b=local:///b&c=local:///c&a.min=1&b.max=3&fallback=yes";

fn unavailable() -> Fault {
    Fault::Fail(Error::new(ErrorKind::Unavailable, "the cable is cut").transient())
}

#[tokio::test]
async fn the_next_that_takes_the_object_gets_it() {
    let (connector, children) = open_faulty(URI, &["a", "b", "c"]).await;
    let key = connector.new_key(hint(1)).unwrap();
    assert!(key.as_str().starts_with("a~"));
    children["a"].next(Op::Put, unavailable());
    put(&connector, &key, "four").await;
    let puts = ["a", "b", "c"].map(|name| children[name].calls(Op::Put));
    assert_eq!(puts, [1, 0, 1], "`b` takes no four bytes");
    assert_eq!(get(&connector, &key).await.unwrap(), b"four");
    assert!(connector.exists(&key).await.unwrap());
    assert!(connector.touch(&key, std::time::Duration::from_secs(60)).await.unwrap());
    let found = connector.get_many(std::slice::from_ref(&key)).await.remove(0).unwrap();
    assert!(found.is_some());
    connector.evict(&key).await.unwrap();
    assert!(get(&connector, &key).await.is_none());
}

#[tokio::test]
async fn absence_is_known_when_all_have_said_so() {
    let (connector, children) = open_faulty(URI, &["a", "b", "c"]).await;
    let key = connector.new_key(hint(1)).unwrap();
    assert!(get(&connector, &key).await.is_none());
    children["b"].every(Op::Get, unavailable());
    children["b"].every(Op::GetMany, unavailable());
    let error = connector.get(&key).await.unwrap_err();
    assert_eq!((error.kind(), error.context("child")), (ErrorKind::Unavailable, Some("b")));
    assert!(connector.get_many(std::slice::from_ref(&key)).await.remove(0).is_err());
    // What is found is found.
    put(&connector, &key, "x").await;
    assert!(get(&connector, &key).await.is_some());
}

#[tokio::test]
async fn what_may_have_happened_or_is_to_be_decided_stays() {
    let (connector, children) = open_faulty(URI, &["a", "b", "c"]).await;
    let key = connector.new_key(hint(1)).unwrap();
    children["a"].next(Op::Put, Fault::FailAfter(Error::new(ErrorKind::Ambiguous, "no answer")));
    let error = connector.put(&key, payload("x"), &PutOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Ambiguous);
    children["a"].next(Op::Put, unavailable());
    let create = PutOptions { mode: Mode::Create, ..PutOptions::default() };
    let error = connector.put(&key, payload("x"), &create).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "of many that create, one wins");
    assert_eq!(["b", "c"].map(|name| children[name].calls(Op::Put)), [0, 0]);
}

#[tokio::test]
async fn when_all_fail_the_first_error_is_told() {
    let (connector, children) = open_faulty(URI, &["a", "b", "c"]).await;
    let key = connector.new_key(hint(1)).unwrap();
    for child in children.values() {
        child.every(Op::Put, unavailable());
        child.every(Op::PutMany, unavailable());
    }
    let error = connector.put(&key, payload("x"), &PutOptions::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.context("child")), (ErrorKind::Unavailable, Some("a")));
    assert_eq!(["a", "b", "c"].map(|name| children[name].calls(Op::Put)), [1, 1, 1]);
}

#[tokio::test]
async fn items_of_a_batch_fall_back_each_by_itself() {
    let (connector, children) = open_faulty(URI, &["a", "b", "c"]).await;
    let keys: Vec<_> = (0..50).map(|_| connector.new_key(hint(1)).unwrap()).collect();
    children["a"].next(Op::PutMany, unavailable());
    let items = keys.iter().map(|key| (key.clone(), payload("x"))).collect();
    let results = connector.put_many(items, &PutOptions::default()).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(children["b"].calls(Op::Put), 50);
    assert!(connector.get_many(&keys).await.into_iter().all(|got| got.unwrap().is_some()));
    assert!(connector.evict_many(&keys).await.iter().all(Result::is_ok));
    assert!(connector.get_many(&keys).await.into_iter().all(|got| got.unwrap().is_none()));
}

#[tokio::test]
async fn without_it_a_failure_is_a_failure() {
    let (connector, children) = open_faulty(&URI.replace("&fallback=yes", ""), &["a", "b", "c"]).await;
    let key = connector.new_key(hint(1)).unwrap();
    children["a"].next(Op::Put, unavailable());
    assert!(connector.put(&key, payload("x"), &PutOptions::default()).await.is_err());
    assert!(get(&connector, &key).await.is_none());
    assert_eq!(children["c"].calls(Op::Get), 0, "no other is asked");
}

#[tokio::test]
async fn what_may_have_happened_at_another_child_goes_no_further() {
    let (connector, children) = open_faulty(URI, &["a", "b", "c"]).await;
    let key = connector.new_key(hint(1)).unwrap();
    children["a"].next(Op::Put, unavailable());
    children["b"].next(Op::Put, Fault::FailAfter(Error::new(ErrorKind::Ambiguous, "no answer")));
    let error = connector.put(&key, payload("x"), &PutOptions::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.context("child")), (ErrorKind::Ambiguous, Some("b")));
    assert_eq!(children["c"].calls(Op::Put), 0);
}

#[tokio::test]
async fn what_has_fallen_back_has_no_second_key() {
    let (connector, children) = open_faulty(URI, &["a", "b", "c"]).await;
    children["a"].next(Op::Put, unavailable());
    put(&connector, &key("a~mine"), "x").await;
    assert!(children["b"].exists(&key("a~mine")).await.unwrap());
    let error = connector.get(&key("b~a~mine")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}
