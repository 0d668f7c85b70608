//! The same objects in several processes, some of which are killed.

use std::time::Duration;

use proxystore_manager::pool::{TaskPool, TaskPoolProxy};
use proxystore_manager::sync::{
    BarrierProxy, ConditionProxy, EventProxy, Holder, LockProxy, RLockProxy, RwLockProxy, SemaphoreProxy,
    SyncError,
};
use proxystore_manager::{AuthKey, CallError, Manager};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;
use tokio::time::timeout;

use crate::common::{SECOND, builder, limits};

const KEY: &str = "a key that both sides know";

async fn serve() -> Manager {
    builder().authkey(AuthKey::new(KEY).unwrap()).serve_anywhere().await.unwrap()
}

async fn spawn(name: &str, manager: &Manager) -> Role {
    let mut role = Role::spawn(name, &[]);
    role.say(&manager.addresses().unwrap()[0].to_string()).await;
    role
}

async fn connect() -> Manager {
    let address = process::hear().await.unwrap();
    Manager::connect(&address, AuthKey::new(KEY).unwrap()).await.unwrap()
}

/// Does what it is told.
#[tokio::test]
async fn worker() {
    role!("processes::worker");
    let manager = connect().await;
    let lock: LockProxy = manager.lookup("lock").await.unwrap();
    let semaphore: SemaphoreProxy = manager.lookup("semaphore").await.unwrap();
    let barrier: BarrierProxy = manager.lookup("barrier").await.unwrap();
    let mut held = Vec::new();
    let mut parties = Vec::new();
    while let Some(order) = process::hear().await {
        match order.as_str() {
            "lock" => held.push(lock.acquire().await.unwrap()),
            "lock detached" => assert!(lock.acquire_detached(None).await.unwrap().is_some()),
            "permit" => held.push(semaphore.acquire().await.unwrap()),
            "join" => parties.push(barrier.join().await.unwrap()),
            "wait" => {
                let (barrier, waiting) = (barrier.clone(), barrier.clone());
                tokio::spawn(async move { barrier.wait(None).await });
                while waiting.waiting().await.unwrap() == 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            "wait for the lock" => {
                let lock = lock.clone();
                tokio::spawn(async move { lock.acquire().await });
                tokio::task::yield_now().await;
                // Answered after the other was taken in.
                manager.stats().await.unwrap();
            }
            unknown => panic!("{unknown}"),
        }
        process::say("done");
    }
}

async fn order(role: &mut Role, order: &str) {
    role.say(order).await;
    assert_eq!(role.hear().await.as_deref(), Some("done"));
}

async fn objects(manager: &Manager) -> (LockProxy, SemaphoreProxy, BarrierProxy) {
    let lock = LockProxy::get_or_create(manager, "lock").await.unwrap();
    let semaphore = SemaphoreProxy::get_or_bounded(manager, "semaphore", 1).await.unwrap();
    (lock, semaphore, BarrierProxy::get_or_create(manager, "barrier", 2).await.unwrap())
}

#[tokio::test]
async fn a_lock_is_free_again_when_its_holder_is_killed() {
    let manager = serve().await;
    let (lock, ..) = objects(&manager).await;
    let (mut holder, mut next) =
        (spawn("processes::worker", &manager).await, spawn("processes::worker", &manager).await);
    order(&mut holder, "lock").await;
    order(&mut next, "wait for the lock").await;
    assert!(lock.acquire_within(Duration::ZERO).await.unwrap().is_none());
    holder.kill().await;
    next.kill().await;
    // Neither the one that held it nor the one that waited has it.
    let guard = timeout(limits().lease + 10 * SECOND, lock.acquire()).await.unwrap().unwrap();
    guard.release().await.unwrap();
    manager.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_semaphore_has_the_permit_again_of_a_holder_that_is_killed() {
    let manager = serve().await;
    let (_, semaphore, _) = objects(&manager).await;
    let mut holder = spawn("processes::worker", &manager).await;
    order(&mut holder, "permit").await;
    assert!(semaphore.acquire_within(Duration::ZERO).await.unwrap().is_none());
    holder.kill().await;
    let waited = timeout(limits().lease + 10 * SECOND, semaphore.acquire_detached(None)).await;
    assert_eq!(waited.unwrap(), Ok(true));
    // There is one, and no more.
    assert_eq!(semaphore.acquire_detached(Some(Duration::ZERO)).await, Ok(false));
    manager.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_barrier_breaks_when_a_party_is_killed() {
    let manager = serve().await;
    let (_, _, barrier) = objects(&manager).await;
    for state in ["join", "wait"] {
        let mut party = spawn("processes::worker", &manager).await;
        order(&mut party, state).await;
        party.kill().await;
        if state == "join" {
            let waited = timeout(limits().lease + 10 * SECOND, barrier.wait(None)).await.unwrap();
            assert_eq!(waited, Err(CallError::App(SyncError::Broken)));
        } else {
            let broken = async {
                while !barrier.is_broken().await.unwrap() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(limits().lease + 10 * SECOND, broken).await.unwrap();
        }
        barrier.reset().await.unwrap();
    }
    manager.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_lock_that_a_child_has_acquired_detached_is_released_here_and_only_once() {
    let manager = serve().await;
    let (lock, ..) = objects(&manager).await;
    let mut child = spawn("processes::worker", &manager).await;
    order(&mut child, "lock detached").await;
    // By the end of this, the manager has heard that the child knows of its lock.
    assert!(lock.acquire_within(SECOND).await.unwrap().is_none());
    child.kill().await;
    // It is nobody's: the end of who took it changes nothing.
    assert!(lock.acquire_within(limits().lease + SECOND).await.unwrap().is_none());
    assert_eq!(lock.release().await, Ok(()));
    assert_eq!(lock.release().await, Err(CallError::App(SyncError::NotHeld)));
    manager.shutdown().await.unwrap();
}

/// Uses one of each type.
#[tokio::test]
async fn user() {
    role!("processes::user");
    let manager = connect().await;
    let lock: LockProxy = manager.lookup("lock").await.unwrap();
    lock.acquire().await.unwrap().release().await.unwrap();
    let semaphore: SemaphoreProxy = manager.lookup("semaphore").await.unwrap();
    semaphore.acquire().await.unwrap().release().await.unwrap();
    let rlock: RLockProxy = manager.lookup("rlock").await.unwrap();
    let me = Holder::new().unwrap();
    let guards = (rlock.acquire(me).await.unwrap(), rlock.acquire(me).await.unwrap());
    drop(guards);
    let rwlock: RwLockProxy = manager.lookup("rwlock").await.unwrap();
    drop((rwlock.read().await.unwrap(), rwlock.read().await.unwrap()));
    let condition: ConditionProxy = manager.lookup("condition").await.unwrap();
    let guard = condition.acquire().await.unwrap();
    condition.notify_all(&guard).await.unwrap();
    drop(guard);
    let barrier: BarrierProxy = manager.lookup("barrier").await.unwrap();
    barrier.wait(Some(30 * SECOND)).await.unwrap();
    let event: EventProxy = manager.lookup("event").await.unwrap();
    event.set().await.unwrap();
    let pool: TaskPoolProxy = manager.lookup("pool").await.unwrap();
    assert_eq!(pool.map("square", 1..=3).await, Ok(vec![1, 4, 9]));
    process::say("used");
    process::hear().await;
}

#[tokio::test]
async fn every_type_that_is_made_here_is_usable_in_a_child() {
    let manager = serve().await;
    let (_, _, barrier) = objects(&manager).await;
    RLockProxy::get_or_create(&manager, "rlock").await.unwrap();
    let rwlock = RwLockProxy::get_or_create(&manager, "rwlock").await.unwrap();
    ConditionProxy::get_or_create(&manager, "condition").await.unwrap();
    let event = EventProxy::get_or_create(&manager, "event").await.unwrap();
    let pool = TaskPool::new(2).with_blocking("square", |x: i64| x * x);
    manager.publish("pool", &manager.host(pool).unwrap()).await.unwrap();
    let mut child = spawn("processes::user", &manager).await;
    barrier.wait(Some(30 * SECOND)).await.unwrap();
    assert_eq!(event.wait(Some(30 * SECOND)).await, Ok(true));
    assert_eq!(child.hear().await.as_deref(), Some("used"));
    // What the child dropped is free while it lives.
    assert!(rwlock.write_within(10 * SECOND).await.unwrap().is_some());
    child.kill().await;
    manager.shutdown().await.unwrap();
}
