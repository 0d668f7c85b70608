//! Which child takes an object.

use super::*;

/// The child that a fresh key names.
fn child(connector: &MultiConnector, hint: KeyHint<'_>) -> Result<String> {
    let key = connector.new_key(hint)?;
    Ok(key.as_str().split_once('~').map_or("(default)", |(name, _)| name).to_owned())
}

const LOCAL: &str = "a=local:///routing-a&b=local:///routing-b&c=local:///routing-c";

#[tokio::test]
async fn the_highest_priority_wins_and_the_first_of_equals() {
    let first = async |priorities: &str| {
        let connector = open(&format!("multi://c,b,a?{LOCAL}&{priorities}")).await;
        // Bounds, so that each key names its child.
        child(&connector, hint(1)).unwrap()
    };
    let bounds = "a.min=1&b.min=1&c.min=1";
    assert_eq!(first(bounds).await, "c", "the order of the URI, not of the alphabet");
    assert_eq!(first(&format!("{bounds}&b.priority=1")).await, "b");
    assert_eq!(first(&format!("{bounds}&a.priority=2&b.priority=1")).await, "a");
    assert_eq!(first(&format!("{bounds}&c.priority=-1&b.priority=-1")).await, "a");
    assert_eq!(first(&format!("{bounds}&b.priority=1&a.priority=1")).await, "b", "stable");
}

#[tokio::test]
async fn sizes_choose_inclusively() {
    let connector = open(&format!("multi://a,b,c?{LOCAL}&a.max=10&b.min=11&b.max=20&c.min=22")).await;
    for (size, taken) in [(0, "a"), (10, "a"), (11, "b"), (20, "b"), (22, "c"), (u64::MAX >> 1, "c")] {
        assert_eq!(child(&connector, hint(size)).unwrap(), taken, "{size}");
    }
    let error = child(&connector, hint(21)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("constraints (size=21)"), "{error}");
}

#[tokio::test]
async fn what_has_no_size_yet_may_be_large() {
    let connector =
        open(&format!("multi://a,b?{LOCAL}&a.max=10&b.min=11").replace("&c=local:///routing-c", "")).await;
    assert_eq!(child(&connector, KeyHint::default()).unwrap(), "b");
    let bounded = format!("multi://a,b,c?{LOCAL}&a.max=10&b.max=11&c.max=12&c.priority=1");
    assert_eq!(child(&open(&bounded).await, KeyHint::default()).unwrap(), "c", "none is open: the first");
}

#[tokio::test]
async fn tags_choose() {
    let uri = format!("multi://a,b,c?{LOCAL}&a.superset=gpu&a.subset=hot&b.subset=cold&b.min=1&c.min=1");
    let connector = open(&uri).await;
    let of = |names: &[&str]| {
        let tags = tags(names);
        child(&connector, KeyHint { size: Some(1), tags: Some(&tags) })
    };
    assert_eq!(of(&[]).unwrap(), "b", "a plain object has not what `a` demands");
    assert_eq!(of(&["gpu"]).unwrap(), "a");
    assert_eq!(of(&["gpu", "hot"]).unwrap(), "a");
    assert_eq!(of(&["cold"]).unwrap(), "b");
    let error = of(&["gpu", "cold"]).unwrap_err();
    assert!(error.to_string().contains("tags=cold,gpu"), "{error}");
}

#[tokio::test]
async fn the_key_leads_to_the_child_whatever_is_put() {
    let name = name();
    let uri = format!("multi://a,b?a=local:///{name}-a&b=local:///{name}-b&a.max=3");
    let connector = open(&uri).await;
    let (a, b) = (open_local(&format!("{name}-a")), open_local(&format!("{name}-b")));
    let small = connector.new_key(hint(3)).unwrap();
    let large = connector.new_key(hint(4)).unwrap();
    put(&connector, &small, "more than it said").await;
    put(&connector, &large, "x").await;
    let inner = small.as_str().strip_prefix("a~").unwrap();
    assert!(get(&a, &key(inner)).await.is_some(), "the key without its name is the child's own");
    assert!(get(&b, &large).await.is_some(), "the keys of the child that takes all name none");

    // What is derived of a key stays with it.
    let derived = key(&format!("{small}.producer"));
    put(&connector, &derived, "alive").await;
    assert!(get(&a, &key(&format!("{inner}.producer"))).await.is_some());
    // And so do keys that name nothing.
    put(&connector, &key("mine/1"), "mine").await;
    assert!(get(&b, &key("mine/1")).await.is_some());
    // What names the child that is named by nothing is another key.
    put(&connector, &key("b~mine"), "other").await;
    assert!(get(&connector, &key("mine")).await.is_none());
    assert!(get(&b, &key("b~mine")).await.is_some());
}

fn open_local(name: &str) -> proxystore_local::LocalConnector {
    proxystore_local::LocalConnector::named(name)
}

#[tokio::test]
async fn a_child_that_does_not_exist_is_an_error_of_every_operation() {
    let connector = open("multi://a,near?a=local:///bad-key&near=local:///bad-key-near&a.near=near").await;
    for text in ["other~key", "near~key"] {
        let key = key(text);
        let kinds = errors(&connector, &key).await;
        for error in kinds {
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
            assert!(error.to_string().contains("does not exist"), "{error}");
        }
    }
    let bounded = open("multi://a?a=local:///bad-key&a.max=10").await;
    let error = bounded.get(&key("mine")).await.unwrap_err();
    assert!(error.to_string().contains("names no child"), "{error}");
}

/// What each operation on this key fails with.
async fn errors(connector: &MultiConnector, key: &Key) -> Vec<Error> {
    let (options, keys) = (PutOptions::default(), [key.clone()]);
    let ttl = std::time::Duration::from_secs(1);
    let mut errors = vec![
        connector.put(key, payload("x"), &options).await.unwrap_err(),
        connector.get(key).await.unwrap_err(),
        connector.exists(key).await.unwrap_err(),
        connector.evict(key).await.unwrap_err(),
        connector.touch(key, ttl).await.unwrap_err(),
        connector.watch(key).await.unwrap_err(),
    ];
    errors.extend(
        connector
            .put_many(vec![(key.clone(), payload("x"))], &options)
            .await
            .into_iter()
            .map(Result::unwrap_err),
    );
    errors.extend(connector.get_many(&keys).await.into_iter().map(Result::unwrap_err));
    errors.extend(connector.evict_many(&keys).await.into_iter().map(Result::unwrap_err));
    assert_eq!(errors.len(), 9);
    errors
}

#[tokio::test]
async fn a_dormant_child_is_kept_and_not_connected() {
    // A place that cannot be opened: nobody tries.
    let uri = "multi://here,there?here=local:///dormant&there=file:///proc/nowhere&there.hosts=no-such-host\
               &there.priority=1&here.min=1";
    let connector = open(uri).await;
    assert_eq!(child(&connector, hint(1)).unwrap(), "here", "it takes nothing here");
    let info = connector.info().uri.to_string();
    assert!(info.contains("there=file:///proc/nowhere&there.hosts=no-such-host"), "{info}");
    for error in errors(&connector, &key("there~key")).await {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("`there` is dormant"), "{error}");
    }
    // All other children go on.
    let key = connector.new_key(hint(1)).unwrap();
    put(&connector, &key, "x").await;
    assert!(connector.close().await.is_ok());
}

#[tokio::test]
async fn a_child_of_this_host_is_awake() {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let pattern: String =
        host.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '.' }).collect();
    let uri = format!(
        "multi://a,b?a=local:///awake&b=local:///awake-b&a.hosts=no-such-host%20{pattern}&a.priority=1"
    );
    assert_eq!(child(&open(&uri).await, hint(1)).unwrap(), "a");
    let error = open_with("multi://a?a=local:///x&a.hosts=(", Children::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

#[tokio::test]
async fn batches_go_to_all_children_at_once() {
    use proxystore_testkit::fault::{Fault, Op};

    let uri = "multi://a,b?a=local:///a&b=local:///b&a.max=10";
    let (connector, children) = open_faulty(uri, &["a", "b"]).await;
    let keys: Vec<_> = (0..20).map(|i| connector.new_key(hint(i)).unwrap()).collect();
    let unknown = key("other~key");
    let mut items: Vec<_> = keys.iter().map(|key| (key.clone(), payload("value"))).collect();
    items.insert(5, (unknown.clone(), payload("value")));
    // Neither goes on before the other has come.
    for child in children.values() {
        child.next(Op::PutMany, Fault::Hang);
    }
    let results = {
        let options = PutOptions::default();
        let put = connector.put_many(items.clone(), &options);
        let release = async {
            for child in children.values() {
                child.reached(Op::PutMany, 1).await;
            }
            children.values().for_each(|child| child.release());
        };
        tokio::join!(put, release).0
    };
    let failed: Vec<_> = results.iter().map(Result::is_err).collect();
    assert_eq!(failed, (0..21).map(|i| i == 5).collect::<Vec<_>>());

    let all: Vec<_> = items.iter().map(|(key, _)| key.clone()).collect();
    children["b"].next(Op::GetMany, Fault::Fail(Error::new(ErrorKind::Unavailable, "gone")));
    let got = connector.get_many(&all).await;
    for (i, got) in got.iter().enumerate() {
        match got {
            Ok(Some(_)) => assert!(i < 12 && i != 5, "{i}"),
            Ok(None) => unreachable!("an outage is not absence"),
            Err(error) if i == 5 => assert!(error.to_string().contains("does not exist"), "{error}"),
            Err(error) => assert_eq!(error.context("child"), Some("b"), "{error}"),
        }
    }
    let evicted = connector.evict_many(&all).await;
    assert_eq!(evicted.iter().filter(|result| result.is_err()).count(), 1);
    assert!(connector.get_many(&keys).await.into_iter().all(|got| got.unwrap().is_none()));
    for child in children.values() {
        assert_eq!([Op::PutMany, Op::EvictMany, Op::Put, Op::Evict].map(|op| child.calls(op)), [1, 1, 0, 0]);
    }
}

#[tokio::test]
async fn the_whole_is_as_weak_as_its_weakest_child() {
    let directory = tempfile::tempdir().unwrap();
    let uri = format!("multi://a,b?a=local:///weak&b=file://{}", directory.path().display());
    let capabilities = open(&uri).await.info().capabilities;
    assert_eq!(capabilities.reach, proxystore_core::Reach::Process);
    assert!(capabilities.create && capabilities.ttl && capabilities.take && capabilities.watch);
    assert!(!open(&format!("{uri}&fallback=yes")).await.info().capabilities.take);
    let far = open(&format!("{uri}&b.near=a")).await.info().capabilities;
    assert_eq!((far.reach, far.take), (proxystore_core::Reach::Host, false), "what is near does not count");
}
