//! Containers and other processes, and connections that break.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proxystore_manager::builtin::{Array, Counter, Dict, List, Namespace, Order, Queue, Set, Value};
use proxystore_manager::{AuthKey, Limits, Manager, child_hook, trust};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;
use tokio_util::sync::CancellationToken;

use crate::common::{limits, objects};

const KEY: &str = "a key that both sides know";

async fn manager() -> Manager {
    let limits = Limits { max_pin: Duration::from_secs(1), ..limits() };
    let manager = Manager::builder().authkey(AuthKey::new(KEY).unwrap()).limits(limits);
    manager.serve_anywhere().await.unwrap()
}

type All = (
    List<String>,
    Dict<String, List<String>>,
    Set<u8>,
    Queue<(u8, String)>,
    Counter,
    Value<f64>,
    Array<i32>,
    Namespace,
);

/// Uses one of each type, which came in as text.
#[tokio::test]
async fn user() {
    role!("processes::user");
    let id = process::hear().await.unwrap();
    trust(id.parse().unwrap(), AuthKey::new(KEY).unwrap());
    let all: All = serde_json::from_str(&process::hear().await.unwrap()).unwrap();
    let (list, dict, set, queue, counter, value, array, names) = &all;
    list.push("from afar").await.unwrap();
    dict.get("list").await.unwrap().unwrap().push("by the dictionary").await.unwrap();
    assert!(!set.insert(&1).await.unwrap() && set.insert(&2).await.unwrap());
    assert_eq!(queue.get().await.unwrap(), (1, "job".into()));
    queue.task_done().await.unwrap();
    counter.add(41).await.unwrap();
    value.update(|value| value / 2.0).await.unwrap();
    array.set(1, -7).await.unwrap();
    names.set("list", list).await.unwrap();
    process::say("done");
    process::hear().await;
}

#[tokio::test]
async fn every_type_made_here_works_in_another_process() {
    let manager = manager().await;
    let list = List::create(&manager).await.unwrap();
    let all: All = (
        list.clone(),
        Dict::from_entries(&manager, [("list".to_owned(), list)]).await.unwrap(),
        Set::from_items(&manager, [1]).await.unwrap(),
        Queue::create(&manager, Order::Fifo, 10).await.unwrap(),
        Counter::create(&manager, 1).await.unwrap(),
        Value::create(&manager, &3.0).await.unwrap(),
        Array::from_items(&manager, [0; 3]).await.unwrap(),
        Namespace::create(&manager).await.unwrap(),
    );
    all.3.put(&(1, "job".to_owned())).await.unwrap();
    let mut user = Role::spawn("processes::user", &[]);
    user.say(&manager.id().await.unwrap().to_string()).await;
    user.say(&serde_json::to_string(&all).unwrap()).await;
    assert_eq!(user.hear().await.as_deref(), Some("done"));
    let (list, dict, set, queue, counter, value, array, names) = &all;
    assert_eq!(list.get_value().await.unwrap(), ["from afar", "by the dictionary"]);
    assert_eq!(dict.display().await, "{'list': ['from afar', 'by the dictionary']}");
    assert_eq!(set.items().await.unwrap(), [1, 2]);
    queue.join().await.unwrap();
    assert_eq!((counter.get().await.unwrap(), value.get().await.unwrap()), (42, 1.5));
    assert_eq!(array.get_value().await.unwrap(), [0, -7, 0]);
    assert_eq!(names.get::<List<String>>("list").await.unwrap().as_ref(), Some(list));
    user.kill().await;
    drop(all);
    objects(&manager, 0).await;
    manager.shutdown().await.unwrap();
}

/// A manager's process: this test binary, at the hook. It registers nothing.
#[tokio::test]
async fn manager_process() {
    child_hook(Manager::builder).await;
}

#[tokio::test]
async fn a_manager_in_a_process_of_its_own_has_every_type() {
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command.args(["processes::manager_process", "--exact", "--nocapture", "--test-threads=1"]);
    let manager = Manager::builder().limits(limits()).spawn(command).await.unwrap();
    let inner = Queue::<u8>::create(&manager, Order::Fifo, 1).await.unwrap();
    let list = List::<Queue<u8>>::create(&manager).await.unwrap();
    list.push(&inner).await.unwrap();
    drop(inner);
    let inner = list.pop().await.unwrap().unwrap();
    inner.put(&1).await.unwrap();
    assert_eq!(inner.get_acked().await.unwrap().ack().await.unwrap(), 1);
    assert!(Dict::<u8, u8>::create(&manager).await.unwrap().is_empty().await.unwrap());
    assert!(Set::<u8>::create(&manager).await.unwrap().insert(&1).await.unwrap());
    assert_eq!(Counter::create(&manager, 1).await.unwrap().get().await.unwrap(), 1);
    assert_eq!(Value::create(&manager, &1).await.unwrap().get().await.unwrap(), 1);
    assert_eq!(Array::<u8>::from_items(&manager, [1]).await.unwrap().get(0).await.unwrap(), 1);
    assert_eq!(Namespace::create(&manager).await.unwrap().names().await.unwrap(), [""; 0]);
    drop((inner, list));
    objects(&manager, 0).await;
    manager.shutdown().await.unwrap();
}

/// Takes three items and is done with one.
#[tokio::test]
async fn worker() {
    role!("processes::worker");
    let client = Manager::connect(&process::hear().await.unwrap(), AuthKey::new(KEY).unwrap()).await.unwrap();
    let jobs: Queue<u32> = client.lookup("jobs").await.unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(jobs.get_acked().await.unwrap());
    }
    held.remove(1).ack().await.unwrap();
    process::say("working");
    // And it waits for more when it is killed.
    let _ = jobs.get_acked().await;
}

#[tokio::test]
async fn a_killed_worker_loses_no_item() {
    let manager = manager().await;
    let jobs = Queue::<u32>::create(&manager, Order::Fifo, 0).await.unwrap();
    manager.publish("jobs", &jobs).await.unwrap();
    for job in 0..3 {
        jobs.put(&job).await.unwrap();
    }
    let mut worker = Role::spawn("processes::worker", &[]);
    worker.say(&manager.addresses().unwrap()[0].to_string()).await;
    assert_eq!(worker.hear().await.as_deref(), Some("working"));
    assert!(jobs.is_empty().await.unwrap());
    worker.kill().await;
    let killed = std::time::Instant::now();
    for expected in [0, 2] {
        let job = jobs.get_acked_within(Duration::from_secs(20)).await.unwrap();
        assert_eq!(*job, expected);
        job.ack().await.unwrap();
    }
    // The lease and a second, and what the killing itself took.
    assert!(killed.elapsed() < limits().lease + Duration::from_secs(5), "{:?}", killed.elapsed());
    jobs.join().await.unwrap();
    // Its waiting call is gone, too: an item goes to somebody who is there.
    jobs.put(&9).await.unwrap();
    assert_eq!(jobs.get_within(Duration::from_secs(20)).await.unwrap(), 9);
    objects(&manager, 1).await;
    manager.shutdown().await.unwrap();
}

/// A client whose connection breaks every few milliseconds, until the token is cancelled.
async fn fragile(manager: &Manager, stop: &CancellationToken, opened: &Arc<AtomicU64>) -> Manager {
    let (home, stop, opened) = (manager.clone(), stop.clone(), opened.clone());
    let open = move || {
        let (near, mut between) = tokio::io::duplex(1 << 10);
        let (mut onward, far) = tokio::io::duplex(1 << 10);
        let served = home.serve_stream(far).map_err(std::io::Error::other);
        let life = 3 + opened.fetch_add(1, Ordering::Relaxed) % 5;
        let stop = stop.clone();
        tokio::spawn(async move {
            let breaks = async {
                tokio::time::sleep(Duration::from_millis(life)).await;
                if stop.is_cancelled() {
                    std::future::pending().await
                }
            };
            tokio::select! {
                () = breaks => {}
                _ = tokio::io::copy_bidirectional(&mut between, &mut onward) => {}
            }
        });
        async move { served.map(|()| near) }
    };
    Manager::connect_over(open, manager.authkey().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_item_is_lost_or_doubled_when_connections_break() {
    let limits = Limits { lease: Duration::from_secs(10), ..limits() };
    let manager = Manager::builder().limits(limits).in_process().unwrap();
    let stop = CancellationToken::new();
    let jobs = Queue::<u32>::create(&manager, Order::Fifo, 8).await.unwrap();
    manager.publish("jobs", &jobs).await.unwrap();
    let results = List::<u32>::create(&manager).await.unwrap();
    manager.publish("results", &results).await.unwrap();
    const ITEMS: u32 = 300;
    let opened = Arc::new(AtomicU64::new(0));
    let producer = fragile(&manager, &stop, &opened).await;
    let consumers = [fragile(&manager, &stop, &opened).await, fragile(&manager, &stop, &opened).await];
    let produce = async {
        let jobs: Queue<u32> = producer.lookup("jobs").await.unwrap();
        for item in 0..ITEMS {
            jobs.put(&item).await.unwrap();
        }
        jobs.close().await.unwrap();
    };
    let consume = consumers.map(async |client: Manager| {
        let jobs: Queue<u32> = client.lookup("jobs").await.unwrap();
        let results: List<u32> = client.lookup("results").await.unwrap();
        while let Ok(job) = jobs.get_acked().await {
            results.push(&*job).await.unwrap();
            job.ack().await.unwrap();
        }
    });
    tokio::time::timeout(Duration::from_secs(100), async {
        tokio::join!(produce, futures_util::future::join_all(consume))
    })
    .await
    .unwrap();
    stop.cancel();
    let mut results = results.get_value().await.unwrap();
    results.sort_unstable();
    assert_eq!(results, Vec::from_iter(0..ITEMS));
    assert!(opened.load(Ordering::Relaxed) > 20, "{opened:?}");
}
