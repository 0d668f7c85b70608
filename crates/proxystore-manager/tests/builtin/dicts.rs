//! Dictionaries and sets.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt};
use proxystore_manager::CallError;
use proxystore_manager::builtin::{Dict, Resized, Set};
use serde::{Deserialize, Serialize};

use crate::common::{both, client};

fn entries(keys: std::ops::Range<u32>) -> Vec<(u32, char)> {
    keys.map(|key| (key, char::from_u32(key).unwrap())).collect()
}

fn resized<T: std::fmt::Debug>(item: Option<Result<T, CallError<Resized>>>) {
    assert!(matches!(item, Some(Err(CallError::App(Resized { .. })))), "{item:?}");
}

#[tokio::test]
async fn a_dictionary_does_what_those_of_python_do() {
    for manager in both().await {
        let dict = Dict::<u32, char>::from_entries(&manager, entries(65..70)).await.unwrap();
        assert_eq!(dict.entries().await.unwrap(), entries(65..70));
        assert_eq!(dict.keys().await.unwrap(), [65, 66, 67, 68, 69]);
        assert_eq!(dict.values().await.unwrap(), ['A', 'B', 'C', 'D', 'E']);
        assert_eq!(dict.get_value().await.unwrap(), entries(65..70).into_iter().collect::<HashMap<_, _>>());
        assert_eq!((dict.get(&66).await.unwrap(), dict.get(&1).await.unwrap()), (Some('B'), None));
        assert_eq!(dict.get_many([66, 1, 65]).await.unwrap(), [Some('B'), None, Some('A')]);
        assert!(dict.contains_key(&65).await.unwrap() && !dict.contains_key(&1).await.unwrap());
        // A key that is there stays in its place; setdefault, pop, popitem, update.
        assert_eq!(dict.insert(&65, &'x').await.unwrap(), Some('A'));
        assert_eq!(dict.insert(&1, &'y').await.unwrap(), None);
        assert_eq!(dict.get_or_insert(&65, &'z').await.unwrap(), 'x');
        assert_eq!(dict.get_or_insert(&2, &'z').await.unwrap(), 'z');
        assert_eq!(dict.keys().await.unwrap(), [65, 66, 67, 68, 69, 1, 2]);
        assert_eq!((dict.remove(&66).await.unwrap(), dict.remove(&66).await.unwrap()), (Some('B'), None));
        assert_eq!(dict.pop_last().await.unwrap(), Some((2, 'z')));
        dict.extend([(3, 'c'), (65, 'a')]).await.unwrap();
        assert_eq!(dict.display().await, "{65: 'a', 67: 'C', 68: 'D', 69: 'E', 1: 'y', 3: 'c'}");
        assert!(dict.eq_value(dict.get_value().await.unwrap()).await.unwrap());
        assert!(!dict.eq_value([(65, 'a')]).await.unwrap());
        dict.clear().await.unwrap();
        assert_eq!((dict.len().await.unwrap(), dict.is_empty().await.unwrap()), (0, true));
        assert_eq!(dict.pop_last().await.unwrap(), None);
        assert_eq!(dict.display().await, "{}");
    }
}

#[tokio::test]
async fn iteration_ends_with_an_error_when_the_size_changed() {
    for manager in both().await {
        let dict = Dict::<u32, char>::from_entries(&manager, entries(65..1000)).await.unwrap();
        let forward: Vec<_> = dict.iter().await.unwrap().try_collect().await.unwrap();
        assert_eq!(forward, entries(65..1000));
        let mut backward: Vec<_> = dict.iter_rev().await.unwrap().try_collect().await.unwrap();
        backward.reverse();
        assert_eq!(backward, forward);

        let mut iteration = dict.iter().await.unwrap();
        let mut snapshot = dict.snapshot().await.unwrap();
        assert_eq!(iteration.next().await.unwrap().unwrap(), (65, 'A'));
        assert_eq!(snapshot.next().await.unwrap().unwrap(), (65, 'A'));
        // Another value is no other size.
        dict.insert(&999, &'x').await.unwrap();
        dict.remove(&65).await.unwrap();
        let mut seen = 1;
        let end = loop {
            match iteration.next().await {
                Some(Ok(_)) => seen += 1,
                end => break end,
            }
        };
        resized(end);
        assert!(seen < forward.len());
        assert!(iteration.next().await.is_none());
        assert_eq!(snapshot.count().await, forward.len() - 1);

        let mut iteration = dict.iter().await.unwrap();
        dict.clear().await.unwrap();
        resized(iteration.next().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_agree_on_one_value_and_lose_no_update() {
    let [manager, _] = both().await;
    let dict = Dict::<String, u64>::create(&manager).await.unwrap();
    manager.publish("dict", &dict).await.unwrap();
    let clients = join_all((0..4).map(|_| client(&manager))).await;
    let tasks = clients.into_iter().enumerate().map(|(i, client)| {
        tokio::spawn(async move {
            let dict: Dict<String, u64> = client.lookup("dict").await.unwrap();
            let first = dict.get_or_insert("first", &(i as u64)).await.unwrap();
            for _ in 0..500 {
                dict.update_at("sum", |sum| Some(sum.unwrap_or(0) + 1)).await.unwrap();
            }
            first
        })
    });
    let firsts: HashSet<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(firsts.len(), 1);
    assert_eq!(dict.get("sum").await.unwrap(), Some(2000));
}

#[tokio::test]
async fn an_exchange_knows_of_absence() {
    for manager in both().await {
        let dict = Dict::<String, u8>::create(&manager).await.unwrap();
        let exchange = async |current: Option<u8>, new: Option<u8>| {
            dict.compare_exchange("it", current.as_ref(), new.as_ref()).await.unwrap()
        };
        assert_eq!(exchange(Some(1), Some(2)).await, Err(None));
        assert_eq!(exchange(None, Some(1)).await, Ok(()));
        assert_eq!(exchange(None, Some(2)).await, Err(Some(1)));
        assert_eq!(exchange(Some(1), None).await, Ok(()));
        assert_eq!(exchange(None, None).await, Ok(()));
        assert!(dict.is_empty().await.unwrap());
        assert_eq!(dict.update_at("it", |none| none).await.unwrap(), None);
        dict.insert("it", &1).await.unwrap();
        assert_eq!(dict.update_at("it", |_| None).await.unwrap(), None);
        assert!(dict.is_empty().await.unwrap());
    }
}

#[derive(PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Ab {
    a: u8,
    b: BTreeMap<u8, u8>,
}

/// The same, as an older version of a program may have it.
#[derive(PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Ba {
    b: BTreeMap<u8, u8>,
    a: u8,
}

#[tokio::test]
async fn a_key_is_the_same_in_whatever_order_its_fields_are_encoded() {
    let [manager, client] = both().await;
    let dict = Dict::<(u8, Ab), u8>::create(&client).await.unwrap();
    manager.publish("dict", &dict).await.unwrap();
    let same: Dict<(u8, Ba), u8> = manager.lookup("dict").await.unwrap();
    let b = BTreeMap::from([(2, 1), (1, 2)]);
    dict.insert(&(1, Ab { a: 1, b: b.clone() }), &1).await.unwrap();
    assert_eq!(same.insert(&(1, Ba { b: b.clone(), a: 1 }), &2).await.unwrap(), Some(1));
    assert_eq!(same.get(&(1, Ba { b, a: 2 })).await.unwrap(), None);
    assert_eq!(dict.len().await.unwrap(), 1);
    assert_eq!(dict.keys().await.unwrap()[0].1.a, 1);
}

#[tokio::test]
async fn order_and_contents_are_those_of_a_model() {
    let [_, client] = both().await;
    let dict = Dict::<u8, u32>::create(&client).await.unwrap();
    let mut model: Vec<(u8, u32)> = Vec::new();
    let mut random = 12345_u32;
    for step in 0..2_000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let key = (random >> 24) as u8 % 32;
        let place = model.iter().position(|(known, _)| *known == key);
        match random >> 16 & 7 {
            0..=3 => {
                let before = dict.insert(&key, &step).await.unwrap();
                assert_eq!(before, place.map(|place| std::mem::replace(&mut model[place].1, step)));
                if place.is_none() {
                    model.push((key, step));
                }
            }
            4 | 5 => {
                assert_eq!(dict.remove(&key).await.unwrap(), place.map(|place| model.remove(place).1));
            }
            6 => assert_eq!(dict.get(&key).await.unwrap(), place.map(|place| model[place].1)),
            _ => assert_eq!(dict.pop_last().await.unwrap(), model.pop()),
        }
        assert_eq!(dict.len().await.unwrap(), model.len());
    }
    assert_eq!(dict.entries().await.unwrap(), model);
}

#[tokio::test]
async fn a_set_does_what_those_of_python_do() {
    for manager in both().await {
        let set = Set::<String>::create(&manager).await.unwrap();
        assert_eq!(set.display().await, "set()");
        assert!(set.insert("a").await.unwrap() && !set.insert("a").await.unwrap());
        let texts = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<_>>();
        assert_eq!(set.extend(texts(&["b", "a", "c"])).await.unwrap(), 2);
        assert_eq!(set.items().await.unwrap(), ["a", "b", "c"]);
        assert_eq!(set.display().await, "{'a', 'b', 'c'}");
        assert_eq!(set.get_value().await.unwrap(), texts(&["a", "b", "c"]).into_iter().collect());
        assert!(set.contains("b").await.unwrap() && !set.contains("x").await.unwrap());

        // |, &, -, ^: the set stays as it is.
        let other = || texts(&["c", "d", "d"]);
        assert_eq!(set.union(other()).await.unwrap(), ["a", "b", "c", "d"]);
        assert_eq!(set.intersection(other()).await.unwrap(), ["c"]);
        assert_eq!(set.difference(other()).await.unwrap(), ["a", "b"]);
        assert_eq!(set.symmetric_difference(other()).await.unwrap(), ["a", "b", "d"]);
        assert_eq!(set.len().await.unwrap(), 3);

        // <=, >=, isdisjoint, ==.
        assert!(set.is_subset(texts(&["c", "b", "a", "z"])).await.unwrap());
        assert!(!set.is_subset(texts(&["c", "b"])).await.unwrap());
        assert!(set.is_superset(texts(&["c", "b"])).await.unwrap());
        assert!(!set.is_superset(texts(&["z"])).await.unwrap());
        assert!(set.is_disjoint(texts(&["z"])).await.unwrap());
        assert!(!set.is_disjoint(texts(&["z", "a"])).await.unwrap());
        assert!(set.eq_value(texts(&["c", "b", "a", "a"])).await.unwrap());
        assert!(!set.eq_value(texts(&["c", "b", "z"])).await.unwrap());

        // &=, -=, ^=, discard, pop, clear.
        set.intersect(texts(&["c", "b", "x"])).await.unwrap();
        assert_eq!(set.items().await.unwrap(), ["b", "c"]);
        set.toggle(other()).await.unwrap();
        assert_eq!(set.items().await.unwrap(), ["b", "d"]);
        set.subtract(texts(&["d", "x"])).await.unwrap();
        assert!(set.remove("b").await.unwrap() && !set.remove("b").await.unwrap());
        assert_eq!(set.pop().await.unwrap(), None);
        set.insert("z").await.unwrap();
        assert_eq!(set.pop().await.unwrap().as_deref(), Some("z"));
        set.insert("z").await.unwrap();
        set.clear().await.unwrap();
        assert!(set.is_empty().await.unwrap());
    }
}

#[tokio::test]
async fn iteration_of_a_set_ends_with_an_error_when_the_size_changed() {
    for manager in both().await {
        let set = Set::<u32>::from_items(&manager, 0..1000).await.unwrap();
        let all: Vec<_> = set.iter().await.unwrap().try_collect().await.unwrap();
        assert_eq!(all, Vec::from_iter(0..1000));
        let mut iteration = set.iter().await.unwrap();
        let snapshot = set.snapshot().await.unwrap();
        set.insert(&1000).await.unwrap();
        resized(iteration.next().await);
        assert!(iteration.next().await.is_none());
        assert_eq!(snapshot.count().await, 1000);
    }
}
