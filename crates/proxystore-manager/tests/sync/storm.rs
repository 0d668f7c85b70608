//! Many at once, on several threads, who come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use proxystore_manager::Manager;
use proxystore_manager::sync::{RwLockProxy, SemaphoreProxy};
use tokio::time::timeout;

use crate::common::{SECOND, objects, pair};

const TASKS: u64 = 40;
const ROUNDS: u64 = 50;

/// A little below 2^31, other each time, the same in each run.
fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *random >> 33
}

async fn tasks<F: Future<Output = ()> + Send + 'static>(
    manager: &[Manager; 2],
    run: impl Fn(Manager, u64) -> F,
) {
    let tasks = (0..TASKS).map(|i| tokio::spawn(run(manager[i as usize % 2].clone(), i)));
    join_all(tasks.collect::<Vec<_>>()).await.into_iter().for_each(|task| task.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn writers_are_alone_however_many_leave_the_queue() {
    let (manager, client) = pair().await;
    let lock = RwLockProxy::get_or_create(&manager, "lock").await.unwrap();
    // Readers count up, a writer is a thousand.
    let inside = Arc::<AtomicI64>::default();
    tasks(&[manager.clone(), client], |manager, seed| {
        let inside = inside.clone();
        async move {
            let lock: RwLockProxy = manager.lookup("lock").await.unwrap();
            let mut random = seed;
            for _ in 0..ROUNDS {
                let patience = Duration::from_micros(next(&mut random) % 3000);
                let (weight, most) = if next(&mut random).is_multiple_of(4) { (1000, 0) } else { (1, 999) };
                let acquired = async { if weight == 1 { lock.read().await } else { lock.write().await } };
                let Ok(guard) = timeout(patience, acquired).await else { continue };
                let guard = guard.unwrap();
                let before = inside.fetch_add(weight, Ordering::SeqCst);
                assert!((0..=most).contains(&before), "{before}");
                tokio::task::yield_now().await;
                inside.fetch_sub(weight, Ordering::SeqCst);
                if next(&mut random).is_multiple_of(2) {
                    guard.release().await.unwrap();
                }
            }
        }
    })
    .await;
    timeout(10 * SECOND, lock.write()).await.unwrap().unwrap().release().await.unwrap();
    manager.unpublish("lock").await.unwrap();
    drop(lock);
    objects(&manager, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_permit_is_lost_or_doubled_however_many_leave_the_queue() {
    let (manager, client) = pair().await;
    let semaphore = SemaphoreProxy::get_or_bounded(&manager, "semaphore", 3).await.unwrap();
    let inside = Arc::<AtomicI64>::default();
    tasks(&[manager.clone(), client], |manager, seed| {
        let inside = inside.clone();
        async move {
            let semaphore: SemaphoreProxy = manager.lookup("semaphore").await.unwrap();
            let mut random = seed;
            for _ in 0..ROUNDS {
                let patience = Duration::from_micros(next(&mut random) % 3000);
                let Ok(acquired) = timeout(patience, semaphore.acquire_detached(None)).await else {
                    continue;
                };
                assert_eq!(acquired, Ok(true));
                assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                semaphore.release(1).await.unwrap();
            }
        }
    })
    .await;
    for _ in 0..3 {
        assert_eq!(semaphore.acquire_detached(Some(10 * SECOND)).await, Ok(true));
    }
    assert_eq!(semaphore.acquire_detached(Some(Duration::ZERO)).await, Ok(false));
}
