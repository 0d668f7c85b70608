//! The types that every manager has.
//!
//! Elsewhere: builtin/lists.rs, builtin/dicts.rs, builtin/queues.rs, builtin/values.rs and sync/*.rs, method by method and
//! wait by wait; in other processes builtin/processes.rs: every_type_made_here_works_in_another_process and
//! sync/processes.rs: every_type_that_is_made_here_is_usable_in_a_child. Here is what others write as operators or as
//! arguments, and what is a few calls of ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::{join, join_all};
use proxystore_manager::builtin::{Dict, List, Set, Value};
use proxystore_manager::pool::{TaskError, TaskPool, TaskPoolProxy, TaskResult};
use proxystore_manager::sync::{Barrier, BarrierProxy, SyncError};
use proxystore_manager::{CallError, Manager, ObjectProxy, RemoteErrorKind};

use crate::common::{SECOND, both, builder, objects};

async fn managers() -> [Manager; 2] {
    both(builder().in_process().unwrap()).await
}

#[tokio::test]
async fn list_sum_product_and_copy_are_values_and_the_list_stays() {
    for manager in managers().await {
        let list = List::<u8>::from_items(&manager, [1, 2]).await.unwrap();
        // a + b, a * 2, a.copy(), reversed(a).
        let copy = list.get_value().await.unwrap();
        assert_eq!([&copy[..], &[3]].concat(), [1, 2, 3]);
        assert_eq!(copy.repeat(2), [1, 2, 1, 2]);
        let reversed: Vec<_> = list.iter_rev().await.unwrap().try_collect().await.unwrap();
        assert_eq!(reversed, [2, 1]);
        // A list of its own, by one call.
        let other = List::<u8>::from_items(&manager, &copy).await.unwrap();
        other.push(&9).await.unwrap();
        assert_eq!(list.get_value().await.unwrap(), copy);
    }
}

#[tokio::test]
async fn dict_fromkeys_and_union() {
    for manager in managers().await {
        let keys = ["a", "b"].map(String::from);
        let dict = Dict::<String, u8>::from_entries(&manager, keys.map(|key| (key, 0))).await.unwrap();
        assert_eq!(dict.display().await, "{'a': 0, 'b': 0}");
        // d | other is a value; d |= other is one step.
        let mut union = dict.get_value().await.unwrap();
        union.extend([("b".into(), 1), ("c".into(), 2)]);
        dict.extend([("b".to_owned(), 1), ("c".to_owned(), 2)]).await.unwrap();
        assert!(dict.eq_value(union).await.unwrap());
        // get(key, default), pop(key, default).
        assert_eq!(dict.get("x").await.unwrap().unwrap_or(7), 7);
        assert_eq!((dict.remove("c").await.unwrap(), dict.remove("c").await.unwrap()), (Some(2), None));
    }
}

#[tokio::test]
async fn set_operators_of_two_shared_sets() {
    for manager in managers().await {
        let a = Set::<u8>::from_items(&manager, [1, 2, 3]).await.unwrap();
        let b = Set::<u8>::from_items(&manager, [3, 4]).await.unwrap();
        let theirs = async || b.items().await.unwrap();
        assert_eq!(a.union(theirs().await).await.unwrap(), [1, 2, 3, 4]);
        assert_eq!(a.intersection(theirs().await).await.unwrap(), [3]);
        assert_eq!(a.difference(theirs().await).await.unwrap(), [1, 2]);
        assert_eq!(a.symmetric_difference(theirs().await).await.unwrap(), [1, 2, 4]);
        assert!(!a.is_subset(theirs().await).await.unwrap() && !a.eq_value(theirs().await).await.unwrap());
        a.intersect(theirs().await).await.unwrap();
        // A proper subset: one, and not the same.
        assert!(a.is_subset(theirs().await).await.unwrap() && !a.eq_value(theirs().await).await.unwrap());
        a.extend(theirs().await).await.unwrap();
        assert!(a.eq_value(theirs().await).await.unwrap() && a != b);
        a.subtract(theirs().await).await.unwrap();
        assert!(a.is_empty().await.unwrap());
    }
}

#[tokio::test]
async fn value_has_the_type_that_its_reader_says() {
    for manager in managers().await {
        let value = Value::<i64>::create(&manager, &300).await.unwrap();
        let as_text = Value::<String>::from_base(value.base().clone());
        assert_eq!(as_text.get().await.unwrap_err().kind(), RemoteErrorKind::Encode);
        let as_byte = Value::<u8>::from_base(value.base().clone());
        assert_eq!(as_byte.get().await.unwrap_err().kind(), RemoteErrorKind::Encode);
        assert_eq!(value.get().await, Ok(300));
    }
}

/// A barrier for two whose action counts and then does this.
fn barrier(then: impl Fn(u32) + Send + Sync + 'static) -> (Barrier, Arc<AtomicU32>) {
    let rounds = Arc::new(AtomicU32::new(0));
    let count = rounds.clone();
    (Barrier::with_action(2, move || then(count.fetch_add(1, Ordering::SeqCst))), rounds)
}

/// The same, as a client has it.
async fn hosted(barrier: Barrier) -> (BarrierProxy, [Manager; 2]) {
    let [manager, client] = managers().await;
    manager.publish("barrier", &manager.host(barrier).unwrap()).await.unwrap();
    (client.lookup("barrier").await.unwrap(), [manager, client])
}

#[tokio::test]
async fn barrier_action_runs_in_the_manager_before_anybody_goes_on() {
    let (barrier, rounds) = barrier(|_| {});
    let (barrier, _managers) = hosted(barrier).await;
    for round in 1..=3 {
        let wait = async || {
            let index = barrier.wait(None).await.unwrap();
            (index, rounds.load(Ordering::SeqCst))
        };
        let (one, two) = join(wait(), wait()).await;
        assert_eq!((one.0 + two.0, one.1, two.1), (1, round, round));
    }
    // Nobody came, nothing is done.
    barrier.wait(Some(Duration::ZERO)).await.unwrap_err();
    assert_eq!(rounds.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn barrier_action_that_fails_breaks_it_for_all() {
    let (barrier, rounds) = barrier(|round| assert!(round > 0, "the first time it fails"));
    let (barrier, _managers) = hosted(barrier).await;
    let broken = Err(CallError::App(SyncError::Broken));
    let waited = join(barrier.wait(None), barrier.wait(None)).await;
    assert_eq!(waited, (broken.clone(), broken));
    assert_eq!(barrier.is_broken().await, Ok(true));
    barrier.reset().await.unwrap();
    let waited = join(barrier.wait(None), barrier.wait(None)).await;
    assert!(waited.0.is_ok() && waited.1.is_ok());
    assert_eq!(rounds.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn pool_starmap_map_async_and_callbacks() {
    let [manager, client] = managers().await;
    let pool =
        TaskPool::new(2).with("power", async |(x, y): (u64, u32)| x.pow(y)).with("half", async |x: u64| {
            if x.is_multiple_of(2) { Ok(x / 2) } else { Err(format!("{x} is odd")) }
        });
    manager.publish("pool", &manager.host(pool).unwrap()).await.unwrap();
    let pool: TaskPoolProxy = client.lookup("pool").await.unwrap();
    assert_eq!(pool.map("power", [(2, 3), (3, 2), (5, 1)]).await, Ok(vec![8, 9, 5]));
    // Results that somebody else waits for: a handle is a value, and can be sent.
    let handles = join_all((1..=3).map(|x| pool.submit("power", (x, 2)))).await;
    let handles: Vec<TaskResult<u64>> = handles.into_iter().map(Result::unwrap).collect();
    let letter = serde_json::to_string(&handles).unwrap();
    drop(handles);
    let handles: Vec<TaskResult<u64>> = serde_json::from_str(&letter).unwrap();
    let results = join_all(handles.iter().map(TaskResult::get)).await;
    assert_eq!(results, [Ok(1), Ok(4), Ok(9)]);
    // What follows a result is written behind it; a function's own error is its result.
    let halved = pool.submit::<_, Result<u64, String>>("half", 3).await.unwrap();
    let told = match halved.get().await.unwrap() {
        Ok(half) => half.to_string(),
        Err(why) => why,
    };
    assert_eq!(told, "3 is odd");
}

#[tokio::test]
async fn pool_leaving_it_terminates_it() {
    let [manager, client] = managers().await;
    let pool = TaskPool::new(1).with("sleep", async |(): ()| tokio::time::sleep(60 * SECOND).await);
    let home = manager.host(pool).unwrap();
    manager.publish("pool", &home).await.unwrap();
    let pool: TaskPoolProxy = client.lookup("pool").await.unwrap();
    let task: TaskResult<()> = pool.submit("sleep", ()).await.unwrap();
    manager.unpublish("pool").await.unwrap();
    drop((pool, home));
    let ended = tokio::time::timeout(20 * SECOND, task.get()).await.unwrap();
    assert_eq!(ended, Err(CallError::App(TaskError::Terminated)));
    drop(task);
    objects(&manager, 0).await;
}
