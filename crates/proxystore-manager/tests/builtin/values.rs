//! Counters, values, arrays and namespaces.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use proxystore_manager::builtin::{Array, ArrayError, Counter, Namespace, Overflow, Value};
use proxystore_manager::{CallError, ObjectProxy, RemoteErrorKind};

use crate::common::{app, both, client};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_loses_no_count() {
    let [manager, _] = both().await;
    let counter = Counter::create(&manager, 0).await.unwrap();
    manager.publish("counter", &counter).await.unwrap();
    let clients = join_all((0..4).map(|_| client(&manager))).await;
    let tasks = clients.into_iter().map(|client| {
        tokio::spawn(async move {
            let counter: Counter = client.lookup("counter").await.unwrap();
            join_all((0..500).map(|_| counter.add(1)))
                .await
                .into_iter()
                .map(Result::unwrap)
                .collect::<Vec<_>>()
        })
    });
    let mut sums: Vec<_> = join_all(tasks).await.into_iter().flat_map(Result::unwrap).collect();
    sums.sort_unstable();
    assert_eq!(sums, Vec::from_iter(1..=2000));
}

#[tokio::test]
async fn a_counter_counts_both_ways_and_not_beyond_64_bits() {
    for manager in both().await {
        let counter = Counter::create(&manager, 5).await.unwrap();
        assert_eq!(counter.add(-7).await.unwrap(), -2);
        let _: Overflow = app(counter.add(i64::MIN).await);
        assert_eq!(counter.swap(i64::MAX).await.unwrap(), -2);
        let _: Overflow = app(counter.add(1).await);
        assert_eq!(counter.compare_exchange(0, 1).await.unwrap(), Err(i64::MAX));
        assert_eq!(counter.compare_exchange(i64::MAX, 1).await.unwrap(), Ok(()));
        assert_eq!((counter.get().await.unwrap(), counter.display().await), (1, "1".into()));
        assert_eq!(counter.base().get_value::<i64>().await.unwrap(), 1);
        let named = Counter::get_or_create(&manager, "it", 9).await.unwrap();
        assert_eq!(Counter::get_or_create(&manager, "it", 3).await.unwrap(), named);
        manager.unpublish("it").await.unwrap();
    }
}

#[tokio::test]
async fn a_value_is_replaced_whole_and_if_it_is_the_expected_one() {
    for manager in both().await {
        let value = Value::create(&manager, &Some("a".to_owned())).await.unwrap();
        assert_eq!(value.get().await.unwrap().as_deref(), Some("a"));
        value.set(&Some("b".to_owned())).await.unwrap();
        assert_eq!(value.swap(&None).await.unwrap().as_deref(), Some("b"));
        let c = Some("c".to_owned());
        assert_eq!(value.compare_exchange(&c, &None).await.unwrap(), Err(None));
        assert_eq!(value.compare_exchange(&None, &c).await.unwrap(), Ok(()));
        assert_eq!(value.update(|text| text.map(|text| text + "d")).await.unwrap().as_deref(), Some("cd"));
        assert_eq!(value.display().await, "Value('cd')");
        assert_eq!(value.base().get_value::<String>().await.unwrap(), "cd");
        let named = Value::get_or_create(&manager, "it", &1).await.unwrap();
        assert_eq!(Value::get_or_create(&manager, "it", &2).await.unwrap(), named);
        manager.unpublish("it").await.unwrap();
    }
}

#[tokio::test]
async fn an_array_has_its_length_and_its_type() {
    for manager in both().await {
        let array = Array::<u8>::from_items(&manager, [0; 4]).await.unwrap();
        array.set(3, 255).await.unwrap();
        array.set_many(0, [1, 2]).await.unwrap();
        assert_eq!(array.get_value().await.unwrap(), [1, 2, 0, 255]);
        assert_eq!((array.get(1).await.unwrap(), array.len().await.unwrap()), (2, 4));
        assert_eq!(array.slice(2..9).await.unwrap(), [0, 255]);
        assert_eq!(array.display().await, "Array(u8, [1, 2, 0, 255])");
        assert_eq!(array.update_at(0, |item| item + 1).await.unwrap(), 2);
        assert_eq!(array.compare_exchange(0, 1, 9).await.unwrap(), Err(2));
        assert_eq!(array.compare_exchange(0, 2, 9).await.unwrap(), Ok(()));

        // Nothing is behind the end, and what does not fit is not put in by half.
        let behind = |result: Result<(), CallError<ArrayError>>| match app(result) {
            ArrayError::OutOfRange(error) => (error.index, error.len),
            other => panic!("{other}"),
        };
        assert_eq!(behind(array.set(4, 1).await), (4, 4));
        assert_eq!(behind(array.get(usize::MAX).await.map(drop)), (usize::MAX, 4));
        assert_eq!(behind(array.set_many(3, [7, 7]).await), (4, 4));
        assert_eq!(behind(array.set_many(usize::MAX, [7, 7]).await), (usize::MAX, 4));
        array.set_many(9, [0; 0]).await.unwrap();

        // A client that is wrong about the type.
        let wrong = Array::<i64>::from_base(array.base().clone());
        assert_eq!(app(wrong.set(0, 256).await), ArrayError::WrongType);
        assert_eq!(app(wrong.set(0, -1).await), ArrayError::WrongType);
        let wrong = Array::<f64>::from_base(array.base().clone());
        assert_eq!(app(wrong.compare_exchange(0, 9.0, 0.5).await), ArrayError::WrongType);
        assert_eq!(array.get_value().await.unwrap(), [9, 2, 0, 255]);
    }
}

#[tokio::test]
async fn a_namespace_holds_any_value_and_shows_itself_as_in_python() {
    for manager in both().await {
        let space = Namespace::create(&manager).await.unwrap();
        assert_eq!(space.display().await, "Namespace()");
        space.set("name", "Bob").await.unwrap();
        space.set("job", "Builder").await.unwrap();
        space.set("_hidden", "hidden").await.unwrap();
        assert_eq!(space.get::<String>("name").await.unwrap().as_deref(), Some("Bob"));
        assert_eq!(space.get::<String>("_hidden").await.unwrap().as_deref(), Some("hidden"));
        assert!(space.remove("job").await.unwrap() && !space.remove("job").await.unwrap());
        assert_eq!(space.get::<String>("job").await.unwrap(), None);
        assert_eq!(space.display().await, "Namespace(name='Bob')");
        space.set("ages", &BTreeMap::from([("Bob", 42)])).await.unwrap();
        assert_eq!(space.names().await.unwrap(), ["_hidden", "ages", "name"]);
        assert_eq!(space.get::<u8>("name").await.unwrap_err().kind(), RemoteErrorKind::Encode);
        assert_eq!(space.display().await, "Namespace(ages={'Bob': 42}, name='Bob')");
    }
}

#[tokio::test]
async fn texts_of_values_are_those_of_python() {
    let [_, manager] = both().await;
    let shown = async |value: serde_json::Value| {
        let value = Value::create(&manager, &value).await.unwrap();
        value.display().await
    };
    let json = serde_json::json!([null, true, false, -1, 1.0, 0.5, "it's", "\"it's\"", "a\nb\\", {"k": []}]);
    assert_eq!(
        shown(json).await,
        r#"Value([None, True, False, -1, 1.0, 0.5, "it's", '"it\'s"', 'a\nb\\', {'k': []}])"#
    );
    // A text cannot pass for the place of an object.
    assert_eq!(shown("\u{f8ff}".into()).await, "Value('\\u{f8ff}')");
    let bytes = Value::create(&manager, &bytes::Bytes::from_static(b"a\0\xff")).await.unwrap();
    assert_eq!(bytes.display().await, r"Value(b'a\x00\xff')");
}
