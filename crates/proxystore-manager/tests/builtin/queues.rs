//! Queues.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::poll;
use proxystore_manager::builtin::{Order, Queue, QueueError};
use proxystore_manager::{Manager, ObjectProxy, RemoteErrorKind};
use tokio::time::timeout;

use crate::common::{app, both, client, objects};

const SOON: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(10);

async fn queue<T>(manager: &Manager, order: Order, capacity: usize) -> Queue<T>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    Queue::create(manager, order, capacity).await.unwrap()
}

async fn all<T>(queue: &Queue<T>) -> Vec<T>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let mut items = Vec::new();
    while let Ok(item) = queue.try_get().await {
        items.push(item);
    }
    items
}

/// Waits until there are so many items: what is dropped comes back a little later.
async fn items<T>(queue: &Queue<T>, count: usize)
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let same = async {
        while queue.len().await.unwrap() != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, same).await.unwrap();
}

#[tokio::test]
async fn the_oldest_the_newest_or_the_smallest_item_comes_first() {
    for manager in both().await {
        for (order, expected) in
            [(Order::Fifo, [3, 1, 2, 1]), (Order::Lifo, [1, 2, 1, 3]), (Order::Priority, [1, 1, 2, 3])]
        {
            let queue = queue::<i64>(&manager, order, 0).await;
            for item in [3, 1, 2, 1] {
                queue.put(&item).await.unwrap();
            }
            assert_eq!(queue.len().await.unwrap(), 4);
            assert_eq!(all(&queue).await, expected);
        }
        // Items with priorities; the oldest of those that are equal.
        let queue = queue::<(i8, Option<String>)>(&manager, Order::Priority, 0).await;
        for item in [(1, Some("b".to_owned())), (-5, None), (1, Some("a".to_owned())), (1, None)] {
            queue.put(&item).await.unwrap();
        }
        let texts: Vec<_> = all(&queue).await.into_iter().map(|(_, text)| text.unwrap_or_default()).collect();
        assert_eq!(texts, ["", "", "a", "b"]);
    }
}

#[tokio::test]
async fn a_full_queue_takes_nothing_and_an_empty_one_gives_nothing() {
    for manager in both().await {
        let queue = queue::<u8>(&manager, Order::Fifo, 2).await;
        assert_eq!(app(queue.try_get().await), QueueError::Empty);
        assert_eq!(app(queue.get_within(SOON).await), QueueError::Empty);
        queue.put(&1).await.unwrap();
        assert!(!queue.is_full().await.unwrap() && !queue.is_empty().await.unwrap());
        queue.try_put(&2).await.unwrap();
        assert!(queue.is_full().await.unwrap());
        assert_eq!(app(queue.try_put(&3).await), QueueError::Full);
        let before = tokio::time::Instant::now();
        assert_eq!(app(queue.put_within(&3, SOON).await), QueueError::Full);
        assert!(before.elapsed() >= SOON);
        assert_eq!(all(&queue).await, [1, 2]);
        // What was refused does not come later, and the room is as large as before.
        queue.try_put(&4).await.unwrap();
        queue.try_put(&5).await.unwrap();
        assert_eq!(app(queue.try_put(&6).await), QueueError::Full);
    }
}

#[tokio::test]
async fn who_waits_first_is_served_first() {
    for manager in both().await {
        let queue = queue::<u32>(&manager, Order::Fifo, 3).await;
        // Each waits before the next one comes.
        let mut getters = Vec::new();
        for _ in 0..5 {
            let mut get = Box::pin(queue.get_within(LONG));
            assert!(poll!(&mut get).is_pending());
            assert_eq!(queue.len().await.unwrap(), 0);
            getters.push(get);
        }
        for item in 0..5 {
            queue.put(&item).await.unwrap();
        }
        let items: Vec<_> = join_all(getters).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(items, [0, 1, 2, 3, 4]);
        let mut putters = Vec::new();
        for item in 0..6 {
            let queue = queue.clone();
            let mut put = Box::pin(async move { queue.put_within(&item, LONG).await });
            let _ = poll!(&mut put);
            // It has arrived when something that was sent later is answered.
            let _ = queue_len(&manager).await;
            putters.push(put);
        }
        let got = async { join_all((0..6).map(|_| queue.get_within(LONG))).await };
        let (put, got) = tokio::join!(join_all(putters), got);
        put.into_iter().for_each(Result::unwrap);
        let mut got: Vec<_> = got.into_iter().map(Result::unwrap).collect();
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2, 3, 4, 5]);
    }
}

/// Some call.
async fn queue_len(manager: &Manager) -> usize {
    manager.stats().await.unwrap().objects
}

#[tokio::test]
async fn a_call_that_is_dropped_while_it_waits_leaves_nothing() {
    for manager in both().await {
        let queue = queue::<u32>(&manager, Order::Fifo, 1).await;
        for _ in 0..20 {
            assert!(timeout(Duration::from_millis(1), queue.get()).await.is_err());
        }
        queue.put(&1).await.unwrap();
        for _ in 0..20 {
            assert!(timeout(Duration::from_millis(1), queue.put(&9)).await.is_err());
        }
        // The manager has to hear of it.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(queue.get_within(LONG).await.unwrap(), 1);
        assert_eq!(app(queue.try_get().await), QueueError::Empty);
        queue.try_put(&2).await.unwrap();
        assert_eq!(queue.get_within(LONG).await.unwrap(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_was_taken_for_nobody_goes_back_to_its_place() {
    for manager in both().await {
        let queue = queue::<u32>(&manager, Order::Fifo, 0).await;
        let mut received = Vec::new();
        // Calls are given up about when their result comes; none of it may be lost or come twice.
        let put = async {
            for item in 0..300 {
                queue.put(&item).await.unwrap();
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
        };
        let get = async {
            while received.len() < 300 {
                if let Ok(item) = timeout(Duration::from_micros(200), queue.get()).await {
                    received.push(item.unwrap());
                }
            }
        };
        timeout(Duration::from_secs(60), async { tokio::join!(put, get) }).await.unwrap();
        received.sort_unstable();
        assert_eq!(received, Vec::from_iter(0..300));
        assert!(queue.is_empty().await.unwrap());
    }
}

#[tokio::test]
async fn a_thousand_wait_at_one_queue() {
    for manager in both().await {
        let queue = queue::<u32>(&manager, Order::Fifo, 0).await;
        let waiting = join_all((0..1000).map(|_| queue.get_within(LONG)));
        let feeding = async {
            for item in 0..1000 {
                queue.put(&item).await.unwrap();
            }
        };
        let (items, ()) = tokio::join!(waiting, feeding);
        let mut items: Vec<_> = items.into_iter().map(Result::unwrap).collect();
        items.sort_unstable();
        assert_eq!(items, Vec::from_iter(0..1000));
    }
}

#[tokio::test]
async fn join_waits_for_all_that_was_put_in() {
    for manager in both().await {
        let queue = queue::<u8>(&manager, Order::Fifo, 0).await;
        queue.join_within(Duration::ZERO).await.unwrap();
        assert_eq!(app(queue.task_done().await), QueueError::NothingToDo);
        for item in 0..4 {
            queue.put(&item).await.unwrap();
        }
        assert_eq!(app(queue.join_within(SOON).await), QueueError::Unfinished);
        let work = async {
            for _ in 0..4 {
                queue.get().await.unwrap();
                assert_eq!(app(queue.join_within(Duration::ZERO).await), QueueError::Unfinished);
                queue.task_done().await.unwrap();
            }
        };
        let (joined, ()) = tokio::join!(queue.join_within(LONG), work);
        joined.unwrap();
        assert_eq!(app(queue.task_done().await), QueueError::NothingToDo);
    }
}

#[tokio::test]
async fn a_closed_queue_gives_what_it_has_and_then_says_so() {
    for manager in both().await {
        let queue = queue::<u8>(&manager, Order::Fifo, 2).await;
        queue.put(&1).await.unwrap();
        queue.put(&2).await.unwrap();
        let close = async {
            let _ = queue.len().await;
            queue.close().await.unwrap();
        };
        // Who waits for room hears of it.
        let (put, ()) = tokio::join!(queue.put_within(&3, LONG), close);
        assert_eq!(app(put), QueueError::Closed);
        assert_eq!(app(queue.put(&3).await), QueueError::Closed);
        assert_eq!((queue.get().await.unwrap(), queue.try_get().await.unwrap()), (1, 2));
        assert_eq!(app(queue.get().await), QueueError::Closed);
        assert_eq!(app(queue.try_get().await), QueueError::Closed);
        assert_eq!(app(queue.get_acked().await.map(drop)), QueueError::Closed);
        queue.task_done().await.unwrap();
        queue.task_done().await.unwrap();
        queue.join().await.unwrap();
    }
}

#[tokio::test]
async fn closing_wakes_those_who_wait_and_closing_now_drops_what_is_there() {
    for manager in both().await {
        let empty = queue::<u8>(&manager, Order::Fifo, 0).await;
        let close = async {
            let _ = empty.len().await;
            empty.close().await.unwrap();
        };
        let (got, ()) = tokio::join!(empty.get_within(LONG), close);
        assert_eq!(app(got), QueueError::Closed);

        let queue = queue::<u8>(&manager, Order::Fifo, 0).await;
        for item in 0..3 {
            queue.put(&item).await.unwrap();
        }
        let held = queue.get_acked().await.unwrap();
        let close = async {
            let _ = queue.len().await;
            queue.close_now().await.unwrap();
            assert_eq!(app(queue.try_get().await), QueueError::Closed);
            // What is with a consumer is not done.
            assert_eq!(app(queue.join_within(SOON).await), QueueError::Unfinished);
            held.give_back().await.unwrap();
        };
        let (joined, ()) = tokio::join!(queue.join_within(LONG), close);
        joined.unwrap();
        assert!(queue.is_empty().await.unwrap());
    }
}

#[tokio::test]
async fn an_item_that_is_not_acknowledged_goes_back_to_its_place() {
    for manager in both().await {
        for order in [Order::Fifo, Order::Lifo, Order::Priority] {
            let queue = queue::<u8>(&manager, order, 3).await;
            for item in 0..3 {
                queue.put(&item).await.unwrap();
            }
            let [a, b] = [queue.get_acked().await.unwrap(), queue.get_acked().await.unwrap()];
            let expected = if order == Order::Lifo { [2, 1, 0] } else { [0, 1, 2] };
            assert_eq!([*a, *b], expected[..2]);
            // Dropped in any order, and one of them by word.
            drop(a);
            b.give_back().await.unwrap();
            items(&queue, 3).await;
            let taken = queue.get_acked_within(LONG).await.unwrap();
            assert_eq!(*taken, expected[0]);
            assert_eq!(taken.ack().await.unwrap(), expected[0]);
            assert_eq!(all(&queue).await, expected[1..]);
        }
        objects(&manager, 0).await;
    }
}

#[tokio::test]
async fn what_came_back_counts_against_the_bound() {
    for manager in both().await {
        let queue = queue::<u8>(&manager, Order::Fifo, 2).await;
        queue.put(&0).await.unwrap();
        queue.put(&1).await.unwrap();
        let held = queue.get_acked().await.unwrap();
        queue.try_put(&2).await.unwrap();
        held.give_back().await.unwrap();
        assert_eq!(queue.len().await.unwrap(), 3);
        assert_eq!(queue.get().await.unwrap(), 0);
        assert_eq!(app(queue.try_put(&3).await), QueueError::Full);
        assert_eq!(queue.get().await.unwrap(), 1);
        queue.try_put(&3).await.unwrap();
        assert_eq!(app(queue.try_put(&4).await), QueueError::Full);
        // And where there is room, it takes it.
        let held = queue.get_acked().await.unwrap();
        held.give_back().await.unwrap();
        assert_eq!(app(queue.try_put(&4).await), QueueError::Full);
        assert_eq!(all(&queue).await, [2, 3]);
    }
}

#[tokio::test]
async fn acknowledged_items_are_done_and_a_closed_queue_waits_for_the_others() {
    for manager in both().await {
        let queue = queue::<u8>(&manager, Order::Fifo, 0).await;
        queue.put(&1).await.unwrap();
        queue.put(&2).await.unwrap();
        queue.close().await.unwrap();
        let [first, second] = [queue.get_acked().await.unwrap(), queue.get_acked().await.unwrap()];
        first.ack().await.unwrap();
        // The other may come back: who waits is not sent away.
        let back = async {
            let _ = queue.len().await;
            drop(second);
        };
        let (again, ()) = tokio::join!(queue.get_acked_within(LONG), back);
        let again = again.unwrap();
        assert_eq!(*again, 2);
        let (end, acked) = tokio::join!(queue.get_acked_within(LONG), again.ack());
        assert_eq!((app(end.map(drop)), acked.unwrap()), (QueueError::Closed, 2));
        queue.join().await.unwrap();
    }
}

#[tokio::test]
async fn a_producer_that_may_do_nothing_else() {
    for manager in both().await {
        let queue = queue::<u8>(&manager, Order::Fifo, 0).await;
        let only = Queue::<u8>::from_base(queue.base().only_methods(&["put"]).unwrap());
        only.put(&1).await.unwrap();
        let denied = only.get().await.unwrap_err();
        assert_eq!(denied.remote().unwrap().kind(), RemoteErrorKind::PermissionDenied);
        assert_eq!(queue.get().await.unwrap(), 1);
    }
}

#[tokio::test]
async fn the_items_of_a_client_that_goes_come_back() {
    let [manager, _] = both().await;
    let queue = queue::<u8>(&manager, Order::Fifo, 0).await;
    manager.publish("queue", &queue).await.unwrap();
    for item in 0..3 {
        queue.put(&item).await.unwrap();
    }
    let worker = client(&manager).await;
    let theirs: Queue<u8> = worker.lookup("queue").await.unwrap();
    let held = [theirs.get_acked().await.unwrap(), theirs.get_acked().await.unwrap()];
    assert_eq!([*held[0], *held[1]], [0, 1]);
    drop((held, theirs, worker));
    items(&queue, 3).await;
    for item in 0..3 {
        assert_eq!(queue.get_within(LONG).await.unwrap(), item);
    }
}
