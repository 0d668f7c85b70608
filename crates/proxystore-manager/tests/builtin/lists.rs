//! Lists.

use std::collections::HashMap;

use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt};
use proxystore_manager::builtin::{List, OutOfRange, Unordered};
use proxystore_manager::{ObjectProxy, RemoteErrorKind};
use serde::{Deserialize, Serialize};

use crate::common::{app, both, client};

#[tokio::test]
async fn a_list_does_what_those_of_python_do() {
    for manager in both().await {
        let list = List::<i64>::from_items(&manager, 0..10).await.unwrap();
        // Reading: a[2], a[2:10], len, in, count, index.
        assert_eq!(list.get(2).await.unwrap(), Some(2));
        assert_eq!(list.last().await.unwrap(), Some(9));
        assert_eq!(list.slice(2..10).await.unwrap(), Vec::from_iter(2..10));
        assert_eq!(list.slice(8..100).await.unwrap(), [8, 9]);
        assert_eq!(list.slice(50..).await.unwrap(), Vec::<i64>::new());
        assert_eq!((list.len().await.unwrap(), list.is_empty().await.unwrap()), (10, false));
        assert!(list.contains(&7).await.unwrap() && !list.contains(&70).await.unwrap());
        list.push(&7).await.unwrap();
        assert_eq!((list.count(&7).await.unwrap(), list.index_of(&7).await.unwrap()), (2, Some(7)));
        // Writing: a[0] = 5, a[1:3] = [..], del a[0:2], insert, pop, remove.
        list.set(0, &5).await.unwrap();
        assert_eq!(list.splice(1..3, [8, 8, 8]).await.unwrap(), [1, 2]);
        assert_eq!(list.slice(..6).await.unwrap(), [5, 8, 8, 8, 3, 4]);
        assert_eq!(list.splice(0..2, [0; 0]).await.unwrap(), [5, 8]);
        list.insert(1, &100).await.unwrap();
        list.insert(1000, &1000).await.unwrap();
        assert_eq!(list.pop().await.unwrap(), Some(1000));
        assert_eq!(list.remove(0).await.unwrap(), 8);
        assert!(list.remove_item(&8).await.unwrap() && !list.remove_item(&80).await.unwrap());
        assert_eq!(list.get_value().await.unwrap(), [100, 3, 4, 5, 6, 7, 8, 9, 7]);
        // sort, reverse, clear, +=, *=.
        list.sort().await.unwrap();
        list.reverse().await.unwrap();
        assert_eq!(list.get_value().await.unwrap(), [100, 9, 8, 7, 7, 6, 5, 4, 3]);
        list.clear().await.unwrap();
        assert_eq!(list.pop().await.unwrap(), None);
        list.extend(vec![1, 2]).await.unwrap();
        list.repeat(3).await.unwrap();
        assert_eq!(list.get_value().await.unwrap(), [1, 2, 1, 2, 1, 2]);
        list.repeat(0).await.unwrap();
        assert!(list.is_empty().await.unwrap());
    }
}

#[tokio::test]
async fn an_index_that_is_not_there_is_an_error_and_changes_nothing() {
    for manager in both().await {
        let list = List::<String>::from_items(&manager, ["a".to_owned(), "b".to_owned()]).await.unwrap();
        assert_eq!(list.get(2).await.unwrap(), None);
        let error = app(list.set(2, "c").await);
        assert_eq!((error.index, error.len), (2, 2));
        assert_eq!(error.to_string(), "index 2 is out of range: there are 2 items");
        let _: OutOfRange = app(list.remove(9).await);
        let _: OutOfRange = app(list.update_at(3, |text| text).await);
        let changes = [(0, "x".to_owned()), (5, "y".to_owned())];
        assert_eq!(app(list.set_many(changes).await).index, 5);
        assert_eq!(list.get_value().await.unwrap(), ["a", "b"]);
        list.set_many([(0, "x".to_owned()), (1, "y".to_owned())]).await.unwrap();
        assert_eq!(list.get_value().await.unwrap(), ["x", "y"]);
    }
}

#[derive(Clone, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
struct Place {
    row: u8,
    name: String,
    height: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Any {
    Number(i64),
    Text(String),
}

#[tokio::test]
async fn sorting_is_that_of_the_type_and_leaves_a_mixed_list_alone() {
    for manager in both().await {
        let numbers = [3, -7, i64::MIN, i64::MAX, 0, 255, 256, -1];
        let list = List::<i64>::from_items(&manager, numbers).await.unwrap();
        list.sort().await.unwrap();
        let mut sorted = numbers.to_vec();
        sorted.sort_unstable();
        assert_eq!(list.get_value().await.unwrap(), sorted);

        let place = |row, name: &str, height| Place { row, name: name.into(), height };
        let mut places =
            vec![place(2, "b", 0.5), place(1, "b", 2.5), place(1, "b", -2.5), place(1, "a", 9.0)];
        let list = List::<Place>::from_items(&manager, &places).await.unwrap();
        list.sort().await.unwrap();
        places.sort_by(|a, b| a.partial_cmp(b).unwrap());
        assert_eq!(list.get_value().await.unwrap(), places);

        let list = List::<Any>::create(&manager).await.unwrap();
        list.extend([Any::Number(2), Any::Text("a".into()), Any::Number(1)]).await.unwrap();
        let _: Unordered = app(list.sort().await);
        assert_eq!(list.display().await, "[2, 'a', 1]");
        // Also where the kinds differ in the depth.
        let list = List::<(u8, Any)>::create(&manager).await.unwrap();
        list.extend([(1, Any::Number(2)), (1, Any::Text("a".into()))]).await.unwrap();
        let _: Unordered = app(list.sort().await);
        list.set(1, &(0, Any::Text("a".into()))).await.unwrap();
        list.sort().await.unwrap();
        assert_eq!(list.display().await, "[[0, 'a'], [1, 2]]");
    }
}

#[tokio::test]
async fn iteration_sees_the_list_as_it_is_when_items_are_fetched() {
    for manager in both().await {
        let list = List::<i64>::from_items(&manager, 0..10).await.unwrap();
        let mut items = list.iter().await.unwrap();
        list.set(0, &100).await.unwrap();
        assert_eq!(items.next().await, Some(Ok(100)));
        list.clear().await.unwrap();
        list.extend(0..10).await.unwrap();
        let rest: Vec<_> = items.by_ref().try_collect().await.unwrap();
        assert_eq!(rest, Vec::from_iter(1..10));
        // The end is the end.
        list.push(&10).await.unwrap();
        assert_eq!(items.next().await, None);

        let reversed: Vec<_> = list.iter_rev().await.unwrap().try_collect().await.unwrap();
        assert_eq!(reversed, Vec::from_iter((0..=10).rev()));
        let mut snapshot = list.snapshot().await.unwrap();
        assert_eq!(snapshot.next().await, Some(Ok(0)));
        list.clear().await.unwrap();
        let rest: Vec<_> = snapshot.try_collect().await.unwrap();
        assert_eq!(rest, Vec::from_iter(1..=10));

        // Far more than one batch, while others add.
        list.extend(0..10_000).await.unwrap();
        let mut items = list.iter().await.unwrap();
        assert_eq!(items.next().await, Some(Ok(0)));
        list.extend(10_000..10_010).await.unwrap();
        let rest: Vec<_> = items.try_collect().await.unwrap();
        assert_eq!(rest, Vec::from_iter(1..10_010));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_of_many_clients_lose_nothing() {
    let [manager, _] = both().await;
    let list = List::<u64>::from_items(&manager, [0, 0]).await.unwrap();
    manager.publish("list", &list).await.unwrap();
    let clients = join_all((0..4).map(|_| client(&manager))).await;
    let tasks = clients.into_iter().map(|client| {
        tokio::spawn(async move {
            let list: List<u64> = client.lookup("list").await.unwrap();
            for _ in 0..500 {
                list.update_at(1, |sum| sum + 1).await.unwrap();
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(Result::unwrap);
    assert_eq!(list.get_value().await.unwrap(), [0, 2000]);
}

#[tokio::test]
async fn an_exchange_happens_if_the_item_is_the_expected_one() {
    for manager in both().await {
        let list = List::<String>::from_items(&manager, ["old".to_owned()]).await.unwrap();
        let [old, new] = ["old", "new"].map(String::from);
        assert_eq!(list.compare_exchange(0, &old, &new).await.unwrap(), Ok(()));
        assert_eq!(list.compare_exchange(0, &old, &new).await.unwrap(), Err("new".into()));
        assert_eq!(app(list.compare_exchange(1, &old, &new).await).index, 1);
    }
}

#[tokio::test]
async fn equal_items_are_equal_in_whatever_order_their_parts_are_encoded() {
    for manager in both().await {
        let map = |keys: &mut dyn Iterator<Item = u32>| keys.map(|key| (key, key)).collect::<HashMap<_, _>>();
        let list = List::<Vec<HashMap<u32, u32>>>::create(&manager).await.unwrap();
        list.push(&vec![map(&mut (0..20))]).await.unwrap();
        // Random orders: one of these has another, as good as surely.
        for _ in 0..10 {
            assert!(list.contains(&vec![map(&mut (0..20).rev())]).await.unwrap());
        }
        assert!(!list.contains(&vec![map(&mut (1..21))]).await.unwrap());
    }
}

#[tokio::test]
async fn equal_proxies_mean_the_same_list_and_values_are_compared_by_name() {
    for manager in both().await {
        let [a, b] = [0, 1].map(|_| List::<i64>::from_items(&manager, [1, 2]));
        let (a, b) = (a.await.unwrap(), b.await.unwrap());
        assert!(a != b && a == a.clone());
        assert!(a.eq_value(b.get_value().await.unwrap()).await.unwrap());
        assert!(!a.eq_value([2, 1]).await.unwrap() && !a.eq_value([1]).await.unwrap());
    }
}

#[tokio::test]
async fn a_list_is_found_by_its_name_and_only_as_a_list() {
    for manager in both().await {
        let list = List::<u8>::get_or_create(&manager, "numbers").await.unwrap();
        list.push(&1).await.unwrap();
        let same = List::<u8>::get_or_create(&manager, "numbers").await.unwrap();
        assert_eq!((same.clone(), same.get_value().await.unwrap()), (list, vec![1]));
        let other = manager.lookup::<proxystore_manager::builtin::Dict<u8, u8>>("numbers").await;
        assert_eq!(other.unwrap_err().kind(), RemoteErrorKind::NoSuchType);
        // What is in it is the word of those who use it.
        let wrong = List::<String>::from_base(same.base().clone());
        assert_eq!(wrong.get(0).await.unwrap_err().kind(), RemoteErrorKind::Encode);
        manager.unpublish("numbers").await.unwrap();
    }
}

#[tokio::test]
async fn values_of_all_sorts_come_back_as_they_were() {
    for manager in both().await {
        let values: Vec<serde_json::Value> = serde_json::from_str(
            r#"[null, true, 1, -1, 18446744073709551615, 1.5, "hallå världen", "привет свет", {"a": ["b", {}]}, []]"#,
        )
        .unwrap();
        let list = List::<serde_json::Value>::from_items(&manager, &values).await.unwrap();
        assert_eq!(list.get_value().await.unwrap(), values);
        assert_eq!(list.slice(..).await.unwrap(), values);
        let bytes = List::<bytes::Bytes>::from_items(&manager, [&b"hello"[..].into()]).await.unwrap();
        assert_eq!(bytes.get_value().await.unwrap(), [&b"hello"[..]]);
        assert_eq!(bytes.index_of(&bytes::Bytes::from("hello")).await.unwrap(), Some(0));
    }
}

#[tokio::test]
async fn an_item_that_cannot_be_encoded_is_an_error_here_and_changes_nothing() {
    struct Never;

    impl Serialize for Never {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not this one"))
        }
    }

    impl<'de> Deserialize<'de> for Never {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Ok(Self)
        }
    }

    for manager in both().await {
        let list = List::<Never>::create(&manager).await.unwrap();
        assert_eq!(list.push(&Never).await.unwrap_err().kind(), RemoteErrorKind::Encode);
        assert_eq!(list.len().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_reader_reads_and_changes_nothing() {
    for manager in both().await {
        let list = List::<u8>::from_items(&manager, [2, 1]).await.unwrap();
        let reader = List::<u8>::from_base(list.base().read_only().unwrap());
        assert_eq!(reader.get_value().await.unwrap(), [2, 1]);
        assert_eq!(reader.iter().await.unwrap().count().await, 2);
        assert_eq!(reader.display().await, "[2, 1]");
        let denied = RemoteErrorKind::PermissionDenied;
        assert_eq!(reader.push(&3).await.unwrap_err().kind(), denied);
        assert_eq!(reader.sort().await.unwrap_err().remote().unwrap().kind(), denied);
    }
}

#[tokio::test]
async fn no_call_makes_a_list_of_any_length() {
    for manager in both().await {
        let list = List::<u8>::from_items(&manager, [1; 100]).await.unwrap();
        for count in [usize::MAX, 1 << 24] {
            assert_eq!(list.repeat(count).await.unwrap_err().kind(), RemoteErrorKind::TooLarge);
        }
        assert_eq!(list.len().await.unwrap(), 100);
    }
}
