//! Objects in containers.

use std::time::Duration;

use proxystore_manager::builtin::{Counter, Dict, List, Namespace, Order, Queue, Set, Value};
use proxystore_manager::{Manager, ObjectProxy, object};
use serde::{Deserialize, Serialize};

use crate::common::{both, client, limits, objects};

#[tokio::test]
async fn a_change_of_a_nested_list_is_seen_by_every_way_to_it() {
    for manager in both().await {
        let inner = List::<i64>::from_items(&manager, 0..3).await.unwrap();
        let outer = List::<List<i64>>::create(&manager).await.unwrap();
        outer.push(&inner).await.unwrap();
        outer.push(&inner).await.unwrap();
        let dict = Dict::<String, List<List<i64>>>::create(&manager).await.unwrap();
        dict.insert("outer", &outer).await.unwrap();
        inner.push(&3).await.unwrap();
        outer.get(0).await.unwrap().unwrap().push(&4).await.unwrap();
        let found = dict.get("outer").await.unwrap().unwrap().get(1).await.unwrap().unwrap();
        assert_eq!(found.get_value().await.unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(found, inner);
        assert_eq!(dict.display().await, "{'outer': [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]}");
        drop((inner, outer, dict, found));
        objects(&manager, 0).await;
    }
}

#[tokio::test]
async fn a_container_keeps_what_is_in_it_and_frees_it() {
    for manager in both().await {
        let outer = List::<List<i64>>::create(&manager).await.unwrap();
        for i in 0..10 {
            outer.push(&List::from_items(&manager, [i]).await.unwrap()).await.unwrap();
        }
        objects(&manager, 11).await;
        // One that somebody has stays when the container lets it go, and can go back.
        let held = outer.get(4).await.unwrap().unwrap();
        assert_eq!(held.get_value().await.unwrap(), [4]);
        outer.clear().await.unwrap();
        objects(&manager, 2).await;
        held.push(&5).await.unwrap();
        outer.push(&held).await.unwrap();
        drop(held);
        assert_eq!(outer.display().await, "[[4, 5]]");
        outer.set(0, &List::create(&manager).await.unwrap()).await.unwrap();
        objects(&manager, 2).await;
        drop(outer);
        objects(&manager, 0).await;
    }
}

#[tokio::test]
async fn every_kind_of_container_frees_what_is_taken_out() {
    for manager in both().await {
        let counter = async || Counter::create(&manager, 1).await.unwrap();
        let dict = Dict::<u8, Counter>::create(&manager).await.unwrap();
        let set = Set::<Counter>::create(&manager).await.unwrap();
        let queue = Queue::<Counter>::create(&manager, Order::Fifo, 0).await.unwrap();
        let value = Value::create(&manager, &None::<Counter>).await.unwrap();
        let names = Namespace::create(&manager).await.unwrap();
        for _ in 0..2 {
            dict.insert(&1, &counter().await).await.unwrap();
            value.set(&Some(counter().await)).await.unwrap();
            names.set("it", &counter().await).await.unwrap();
        }
        set.insert(&counter().await).await.unwrap();
        queue.put(&counter().await).await.unwrap();
        objects(&manager, 10).await;
        let same = set.items().await.unwrap().remove(0);
        assert!(set.contains(&same).await.unwrap() && set.remove(&same).await.unwrap());
        drop(same);
        dict.remove(&1).await.unwrap();
        value.set(&None::<Counter>).await.unwrap();
        assert_eq!(names.get::<Counter>("it").await.unwrap().unwrap().get().await.unwrap(), 1);
        assert!(names.remove("it").await.unwrap());
        assert_eq!(queue.get().await.unwrap().add(1).await.unwrap(), 2);
        objects(&manager, 5).await;
        drop((dict, set, queue, value, names));
        objects(&manager, 0).await;
    }
}

#[tokio::test]
async fn a_dictionary_of_dictionaries_and_queues_in_containers() {
    for manager in both().await {
        let people = Dict::<String, Dict<String, String>>::create(&manager).await.unwrap();
        let person = Dict::<String, String>::create(&manager).await.unwrap();
        people.insert("ferdy", &person).await.unwrap();
        person.insert("first", "Ferdy").await.unwrap();
        people.get("ferdy").await.unwrap().unwrap().insert("last", "Brown").await.unwrap();
        assert_eq!(people.display().await, "{'ferdy': {'first': 'Ferdy', 'last': 'Brown'}}");
        let queue = Queue::<u8>::create(&manager, Order::Fifo, 0).await.unwrap();
        let queues = List::<Queue<u8>>::from_items(&manager, [&queue]).await.unwrap();
        queues.get(0).await.unwrap().unwrap().put(&88).await.unwrap();
        assert_eq!(queue.get().await.unwrap(), 88);
    }
}

#[tokio::test]
async fn plain_nested_lists_are_copies() {
    for manager in both().await {
        let list = List::<Vec<i64>>::from_items(&manager, [vec![1], vec![2]]).await.unwrap();
        let mut first = list.get(0).await.unwrap().unwrap();
        first.push(10);
        assert_eq!(list.get_value().await.unwrap(), [vec![1], vec![2]]);
        list.update_at(0, |mut inner| {
            inner.push(10);
            inner
        })
        .await
        .unwrap();
        assert_eq!(list.get_value().await.unwrap(), [vec![1, 10], vec![2]]);
    }
}

/// A list that may contain itself.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Knot(List<Knot>);

#[tokio::test]
async fn a_list_in_itself_is_shown_and_dropped_without_hanging() {
    for i in 0..2 {
        let manager = &both().await[i];
        let list = Knot(List::create(manager).await.unwrap());
        list.0.push(&Knot(list.0.clone())).await.unwrap();
        assert_eq!(list.0.display().await, "[[...]]");
        let inside = list.0.get(0).await.unwrap().unwrap();
        assert_eq!(inside.0, list.0);
        drop((list, inside));
        // It keeps itself, and nobody has to wait for that.
        assert_eq!(List::<u8>::create(manager).await.unwrap().len().await.unwrap(), 0);
        tokio::time::timeout(Duration::from_secs(5), manager.shutdown()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_deep_chain_is_shown_in_part_and_dropped_without_recursion() {
    let [manager, _] = both().await;
    let mut last = Knot(List::create(&manager).await.unwrap());
    for _ in 0..5_000 {
        let next = List::create(&manager).await.unwrap();
        next.push(&last).await.unwrap();
        last = Knot(next);
    }
    objects(&manager, 5_001).await;
    let text = last.0.display().await;
    assert!(text.starts_with("[[[") && text.contains("[...]") && text.len() < 200, "{text}");
    drop(last);
    objects(&manager, 0).await;
}

#[tokio::test]
async fn many_ways_to_the_same_list_make_no_endless_text() {
    let [manager, client] = both().await;
    let mut last = Knot(List::create(&manager).await.unwrap());
    for _ in 0..12 {
        let next = List::create(&manager).await.unwrap();
        next.extend((0..10).map(|_| &last)).await.unwrap();
        last = Knot(next);
    }
    let _ = client;
    // In full, that would be a million million times as long.
    let text = tokio::time::timeout(Duration::from_secs(60), last.0.display()).await.unwrap();
    assert!(text.len() < 4 << 20, "{}", text.len());
}

#[tokio::test]
async fn a_copy_of_a_container_holds_proxies_and_not_what_they_mean() {
    for manager in both().await {
        let inner = List::<i64>::create(&manager).await.unwrap();
        let outer = List::<(String, List<i64>)>::create(&manager).await.unwrap();
        for name in ["a", "b"] {
            outer.push(&(name.to_owned(), inner.clone())).await.unwrap();
        }
        let copy = outer.get_value().await.unwrap();
        let generic: Vec<(String, List<i64>)> = outer.base().get_value().await.unwrap();
        assert_eq!(copy, generic);
        assert!(copy.iter().all(|(_, list)| *list == inner));
        copy[1].1.push(&1).await.unwrap();
        assert_eq!(inner.get_value().await.unwrap(), [1]);
    }
}

struct Shy;

impl std::fmt::Display for Shy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it's me")
    }
}

#[object(typeid = "test.Shy", display)]
impl Shy {
    #[ctor]
    fn new() -> Self {
        Self
    }

    fn hello(&self) {}
}

#[tokio::test]
async fn the_text_of_a_container_has_that_of_any_object_but_not_without_the_right_to_it() {
    let manager = Manager::builder().register::<Shy>().limits(limits()).in_process().unwrap();
    for manager in [manager.clone(), client(&manager).await] {
        let shy = ShyProxy::create(&manager).await.unwrap();
        let list = List::<ShyProxy>::from_items(&manager, [&shy]).await.unwrap();
        assert_eq!(list.display().await, "[it's me]");
        let weak = ShyProxy::from_base(shy.base().only_methods(&["hello"]).unwrap());
        list.set(0, &weak).await.unwrap();
        let text = list.display().await;
        assert!(text.starts_with("[Proxy("), "{text}");
        // Nor of one of another manager.
        let [other, _] = both().await;
        let far = serde_json::to_string(&List::<u8>::create(&other).await.unwrap()).unwrap();
        let far = far.replace(&other.id().await.unwrap().to_string(), &"0".repeat(32));
        let far: List<u8> = serde_json::from_str(&far).unwrap();
        let names = Namespace::create(&manager).await.unwrap();
        names.set("far", &far).await.unwrap();
        let text = names.display().await;
        assert!(text.starts_with("Namespace(far=Proxy("), "{text}");
    }
}
