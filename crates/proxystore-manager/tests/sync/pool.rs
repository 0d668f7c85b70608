//! `TaskPool`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{join, join_all};
use futures_util::{StreamExt, TryStreamExt};
use proxystore_manager::pool::{TaskError, TaskPool, TaskPoolProxy, TaskResult};
use proxystore_manager::sync::EventProxy;
use proxystore_manager::{CallError, Manager, RemoteErrorKind};
use tokio::time::{Instant, timeout};

use crate::common::{Fragile, SECOND, builder, objects, pair, settle};

/// What the functions of a pool have done.
#[derive(Clone, Default)]
struct Seen {
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    done: Arc<AtomicUsize>,
}

struct Running(Seen);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Seen {
    fn enter(&self) -> Running {
        self.most.fetch_max(self.running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Running(self.clone())
    }

    fn counts(&self) -> [usize; 3] {
        [&self.running, &self.most, &self.done].map(|count| count.load(Ordering::SeqCst))
    }
}

fn pool(manager: &Manager) -> (TaskPoolProxy, Seen) {
    let seen = Seen::default();
    let sleep = {
        let seen = seen.clone();
        move |millis: u64| {
            let seen = seen.clone();
            async move {
                let _running = seen.enter();
                tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
                seen.done.fetch_add(1, Ordering::SeqCst);
                millis
            }
        }
    };
    let pool = TaskPool::new(3)
        .with("sleep", sleep)
        .with("sum", async |(a, b): (i64, i64)| a + b)
        .with("divide", async |(a, b): (i64, i64)| a.checked_div(b).ok_or_else(|| "by zero".to_string()))
        .with("explode", async |(): ()| -> () { panic!("as asked") })
        .with_blocking("square", |x: i64| x * x)
        .with_blocking("explode blocking", |(): ()| -> () { panic!("as asked") });
    (manager.host(pool).unwrap(), seen)
}

/// The pool at home, and as a client has it.
async fn both(manager: &Manager, client: &Manager) -> [(TaskPoolProxy, Seen); 2] {
    let home = pool(manager);
    let (away, seen) = pool(manager);
    manager.publish("pool", &away).await.unwrap();
    let away = client.lookup("pool").await.unwrap();
    manager.unpublish("pool").await.unwrap();
    [home, (away, seen)]
}

fn failed<T: std::fmt::Debug>(result: Result<T, CallError<TaskError>>) -> TaskError {
    match result.unwrap_err() {
        CallError::App(error) => error,
        CallError::Remote(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn functions_are_applied_by_name() {
    let (manager, client) = pair().await;
    for (pool, _) in both(&manager, &client).await {
        assert_eq!(pool.apply("sum", (40, 2)).await, Ok(42));
        assert_eq!(pool.apply("square", -5).await, Ok(25));
        assert_eq!(pool.apply("divide", (1, 0)).await, Ok(Err::<i64, _>("by zero".to_string())));
        assert_eq!(failed(pool.apply::<_, ()>("nothing", ()).await), TaskError::NoSuchFunction);
        for name in ["explode", "explode blocking"] {
            assert_eq!(failed(pool.apply::<_, ()>(name, ()).await), TaskError::Panicked);
        }
        let TaskError::Remote(wrong) = failed(pool.apply::<_, i64>("sum", "two").await) else {
            panic!("a sum of a text")
        };
        assert_eq!(wrong.kind(), RemoteErrorKind::BadArguments);
        // All of these left their slots.
        assert_eq!(pool.map("square", 1..=4).await, Ok(vec![1, 4, 9, 16]));
    }
    objects(&manager, 0).await;
}

#[tokio::test(start_paused = true)]
async fn so_many_run_at_a_time_and_results_come_in_the_order_of_the_items() {
    let (manager, client) = pair().await;
    for (pool, seen) in both(&manager, &client).await {
        let start = Instant::now();
        let items = [900, 100, 500, 300, 200, 400];
        assert_eq!(pool.map("sleep", items).await, Ok(items.to_vec()));
        assert!((9 * SECOND / 10..3 * SECOND / 2).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert_eq!(seen.counts(), [0, 3, 6]);
        assert_eq!(pool.map::<u64, u64>("sleep", []).await, Ok(vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_error_ends_a_map() {
    let (manager, client) = pair().await;
    for (pool, seen) in both(&manager, &client).await {
        let items = [serde_json::json!(60_000), serde_json::json!("no number"), serde_json::json!(60_000)];
        let mapped = timeout(5 * SECOND, pool.map::<_, u64>("sleep", items)).await.unwrap();
        assert!(matches!(failed(mapped), TaskError::Remote(_)));
        settle().await;
        assert_eq!((seen.counts()[0], seen.counts()[2]), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn streams_are_ordered_or_not() {
    let (manager, client) = pair().await;
    for (pool, _) in both(&manager, &client).await {
        let items = [900_u64, 100, 500, 300];
        let ordered = pool.stream::<_, u64>("sleep", items).await.unwrap();
        assert_eq!(ordered.try_collect::<Vec<_>>().await, Ok(items.to_vec()));
        let unordered = pool.stream_unordered::<_, u64>("sleep", items).await.unwrap();
        assert_eq!(unordered.try_collect::<Vec<_>>().await, Ok(vec![100, 300, 500, 900]));
        let mut missing = pool.stream::<_, u64>("nothing", items).await.unwrap();
        assert_eq!(failed(missing.next().await.unwrap()), TaskError::NoSuchFunction);
        assert!(missing.next().await.is_none());
        let sums = pool.stream::<_, i64>("sum", [(1, 2), (3, 4)]).await.unwrap();
        assert_eq!(sums.try_collect::<Vec<_>>().await, Ok(vec![3, 7]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_ends_with_whoever_waits_for_it() {
    let (manager, client) = pair().await;
    for (pool, seen) in both(&manager, &client).await {
        timeout(SECOND, pool.apply::<_, u64>("sleep", 60_000)).await.unwrap_err();
        timeout(SECOND, pool.map::<_, u64>("sleep", [60_000; 10])).await.unwrap_err();
        let mut stream = pool.stream_unordered::<_, u64>("sleep", [60_000, 1, 60_000]).await.unwrap();
        assert_eq!(stream.next().await, Some(Ok(1)));
        drop(stream);
        settle().await;
        assert_eq!((seen.counts()[0], seen.counts()[2]), (0, 1));
        assert_eq!(pool.apply("sleep", 1).await, Ok(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_submitted_task_has_a_handle() {
    let (manager, client) = pair().await;
    for (pool, seen) in both(&manager, &client).await {
        let task: TaskResult<u64> = pool.submit("sleep", 2000).await.unwrap();
        assert_eq!(task.is_done().await, Ok(false));
        assert_eq!(task.get_within(SECOND).await, Ok(None));
        assert_eq!(task.get_within(2 * SECOND).await, Ok(Some(2000)));
        assert_eq!((task.is_done().await, task.get().await), (Ok(true), Ok(2000)));
        let exploded: TaskResult<()> = pool.submit("explode", ()).await.unwrap();
        assert_eq!(failed(exploded.get().await), TaskError::Panicked);
        // It goes on without its handle.
        drop(pool.submit::<_, u64>("sleep", 1000).await.unwrap());
        settle().await;
        assert_eq!(seen.counts()[0], 1);
        tokio::time::sleep(2 * SECOND).await;
        assert_eq!((seen.counts()[0], seen.counts()[2]), (0, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_pool_finishes_what_it_has() {
    let (manager, client) = pair().await;
    for (pool, seen) in both(&manager, &client).await {
        assert_eq!(failed(pool.join().await), TaskError::Open);
        let task: TaskResult<u64> = pool.submit("sleep", 1000).await.unwrap();
        let stream = pool.stream::<_, u64>("sleep", [1000; 8]).await.unwrap();
        pool.close().await.unwrap();
        assert_eq!(failed(pool.apply::<_, u64>("sleep", 1).await), TaskError::Closed);
        assert_eq!(failed(pool.submit::<_, u64>("sleep", 1).await), TaskError::Closed);
        // The stream has tasks that have not begun.
        timeout(60 * SECOND, pool.join()).await.unwrap_err();
        let (joined, items) = join(pool.join(), stream.try_collect::<Vec<_>>()).await;
        joined.unwrap();
        assert_eq!(items, Ok(vec![1000; 8]));
        assert_eq!(seen.counts(), [0, 3, 9]);
        assert_eq!(task.get().await, Ok(1000));
    }
}

#[tokio::test(start_paused = true)]
async fn a_terminated_pool_ends_what_it_has() {
    let (manager, client) = pair().await;
    for (pool, seen) in both(&manager, &client).await {
        let tasks: Vec<TaskResult<u64>> = join_all((0..5).map(|_| pool.submit("sleep", 60_000)))
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let applied = pool.apply::<_, u64>("sleep", 60_000);
        let terminate = async {
            settle().await;
            pool.terminate().await.unwrap();
        };
        let (applied, ()) = timeout(5 * SECOND, join(applied, terminate)).await.unwrap();
        assert_eq!(failed(applied), TaskError::Terminated);
        for task in tasks {
            assert_eq!(failed(task.get().await), TaskError::Terminated);
        }
        assert_eq!(failed(pool.apply::<_, u64>("sleep", 1).await), TaskError::Terminated);
        pool.join().await.unwrap();
        assert_eq!(seen.counts(), [0, 3, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_pool_is_terminated_with_its_last_proxy() {
    let (manager, client) = pair().await;
    for (pool, seen) in both(&manager, &client).await {
        let task: TaskResult<u64> = pool.submit("sleep", 60_000).await.unwrap();
        settle().await;
        assert_eq!(seen.counts()[0], 1);
        drop(pool);
        settle().await;
        assert_eq!(seen.counts()[0], 0);
        assert_eq!(failed(task.get().await), TaskError::Terminated);
    }
    objects(&manager, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_survives_a_break_of_the_connection_and_ends_with_the_lease() {
    let manager = builder().in_process().unwrap();
    let fragile = Fragile::new(&manager).await;
    let (pool, seen) = pool(&manager);
    manager.publish("pool", &pool).await.unwrap();
    let away: TaskPoolProxy = fragile.client.lookup("pool").await.unwrap();
    let applied = tokio::spawn({
        let away = away.clone();
        async move { away.map::<u64, u64>("sleep", [1000; 6]).await }
    });
    for _ in 0..5 {
        settle().await;
        fragile.break_now();
    }
    assert_eq!(applied.await.unwrap(), Ok(vec![1000; 6]));
    assert_eq!(seen.counts(), [0, 3, 6]);
    let lost = tokio::spawn(async move { away.apply::<u64, u64>("sleep", 60_000).await });
    settle().await;
    fragile.cut();
    lost.await.unwrap().unwrap_err();
    tokio::time::sleep(SECOND).await;
    assert_eq!((seen.counts()[0], seen.counts()[2]), (0, 6));
}

/// Arguments may be proxies, and functions use them.
#[tokio::test]
async fn tasks_share_objects() {
    let (manager, client) = pair().await;
    let pool = TaskPool::new(2).with("set", async |event: EventProxy| event.set().await.is_ok());
    manager.publish("pool", &manager.host(pool).unwrap()).await.unwrap();
    let pool: TaskPoolProxy = client.lookup("pool").await.unwrap();
    let event = EventProxy::create(&client).await.unwrap();
    assert_eq!(pool.apply("set", &event).await, Ok(true));
    assert_eq!(event.is_set().await, Ok(true));
}
