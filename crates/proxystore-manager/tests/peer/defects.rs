//! What is wrong with Python's managers, and is not with ours.
//!
//! Elsewhere: killed clients (manager/processes.rs: nothing_is_left_of_clients_that_end_or_are_killed); killed holders of
//! locks (sync/processes.rs: a_lock_is_free_again_when_its_holder_is_killed; sync/lock.rs:
//! only_one_holds_it_and_fencing_numbers_grow); methods that return proxies, on a proxy that was sent
//! (manager/processes.rs: a_reference_travels_by_any_way_and_comes_home_as_the_referent); proxies within proxies with a key
//! of one's own (builtin/processes.rs: every_type_made_here_works_in_another_process); restarts (manager/processes.rs:
//! a_manager_is_found_again_at_the_same_address_and_its_old_references_are_not); numbers that come again
//! (connections.rs: identity_no_object_has_the_number_of_another_that_is_gone); one proxy for many threads
//! (connections.rs: threads_share_one_connection_and_each_gets_its_own_answers); read, modify, write (builtin/values.rs:
//! a_counter_loses_no_count; builtin/lists.rs: updates_of_many_clients_lose_nothing); plain values within
//! (builtin/nested.rs: plain_nested_lists_are_copies); texts within texts (builtin/nested.rs:
//! a_change_of_a_nested_list_is_seen_by_every_way_to_it); equality (builtin/lists.rs:
//! equal_proxies_mean_the_same_list_and_values_are_compared_by_name). How fast it is, the benchmark says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proxystore_manager::builtin::{Dict, List};
use proxystore_manager::sync::LockProxy;
use proxystore_manager::{Manager, ObjectProxy, RemoteErrorKind, object, trust};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;
use tokio::time::{sleep, timeout};

use crate::common::{ProbeProxy, SECOND, address, both, builder, key, limits, objects, signal, spawn, until};

/// Makes an object, writes a reference, and lets go of the object.
#[tokio::test]
async fn sender() {
    role!("defects::sender");
    let client = Manager::connect(&process::hear().await.unwrap(), key()).await.unwrap();
    let probe = ProbeProxy::create(&client, 42).await.unwrap();
    match process::hear().await.as_deref() {
        Some("letter") => {
            let letter = serde_json::to_string(&probe).unwrap();
            drop(probe);
            client.disconnect().await;
            process::say(&letter);
        }
        _ => {
            let ticket = probe.base().ticket(60 * SECOND).await.unwrap();
            drop(probe);
            process::say(&format!("\"{}\"", ticket.expose()));
        }
    }
    process::hear().await;
}

/// Reads a letter some time later.
#[tokio::test]
async fn receiver() {
    role!("defects::receiver");
    trust(process::hear().await.unwrap().parse().unwrap(), key());
    let probe: ProbeProxy = serde_json::from_str(&process::hear().await.unwrap()).unwrap();
    process::say(&probe.get().await.unwrap().to_string());
    process::hear().await;
}

#[tokio::test]
async fn a_sender_that_is_gone_before_its_reference_arrives_does_not_take_the_object_along() {
    let manager = builder().serve_anywhere().await.unwrap();
    for kind in ["letter", "ticket"] {
        let mut sender = Role::spawn("defects::sender", &[]);
        sender.say(&address(&manager)).await;
        sender.say(kind).await;
        let letter = sender.hear().await.unwrap();
        sender.kill().await;
        until("the end of its session", async || manager.stats().await.unwrap().sessions == 0).await;
        let mut receiver = Role::spawn("defects::receiver", &[]);
        receiver.say(&manager.id().await.unwrap().to_string()).await;
        receiver.say(&letter).await;
        assert_eq!(receiver.hear().await.as_deref(), Some("42"), "{kind}");
        receiver.kill().await;
        until("the end of its session", async || manager.stats().await.unwrap().sessions == 0).await;
    }
    manager.shutdown().await.unwrap();
}

/// The bytes of all blobs.
static BYTES: AtomicUsize = AtomicUsize::new(0);

struct Blob(Vec<u8>);

#[object(typeid = "peer.Blob")]
impl Blob {
    #[ctor]
    fn new(size: usize) -> Self {
        BYTES.fetch_add(size, Ordering::SeqCst);
        Self(vec![1; size])
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        BYTES.fetch_sub(self.0.len(), Ordering::SeqCst);
    }
}

#[tokio::test]
async fn nested_referents_free_their_memory_with_their_container() {
    const SIZE: usize = 1 << 20;
    for manager in both(builder().register::<Blob>().in_process().unwrap()).await {
        let outer = Dict::<u8, List<BlobProxy>>::create(&manager).await.unwrap();
        for i in 0..50 {
            let blob = BlobProxy::create(&manager, SIZE).await.unwrap();
            let inner = List::from_items(&manager, [blob]).await.unwrap();
            outer.insert(&i, &inner).await.unwrap();
        }
        objects(&manager, 101).await;
        assert_eq!(BYTES.load(Ordering::SeqCst), 50 * SIZE);
        let inner = outer.get(&7).await.unwrap().unwrap();
        assert_eq!(inner.get(0).await.unwrap().unwrap().len().await, Ok(SIZE));
        drop(outer);
        // One is still held by somebody.
        objects(&manager, 2).await;
        assert_eq!(BYTES.load(Ordering::SeqCst), SIZE);
        drop(inner);
        objects(&manager, 0).await;
        assert_eq!(BYTES.load(Ordering::SeqCst), 0);
    }
}

/// Holds a lock and an object that nobody else has, and is stopped meanwhile.
#[tokio::test]
async fn sleeper() {
    role!("defects::sleeper");
    let client = Manager::connect(&process::hear().await.unwrap(), key()).await.unwrap();
    let lock: LockProxy = client.lookup("lock").await.unwrap();
    let shared: ProbeProxy = client.lookup("probe").await.unwrap();
    let own = ProbeProxy::create(&client, 1).await.unwrap();
    let guard = lock.acquire().await.unwrap();
    process::say(&guard.fence().to_string());
    process::say(&std::process::id().to_string());
    process::hear().await;
    process::say(&format!("{:?}", own.get().await.map_err(|error| error.kind())));
    process::say(&format!("{:?}", guard.release().await.is_ok()));
    process::say(&format!("{:?}", shared.add(1).await.map_err(|error| error.kind())));
    process::hear().await;
}

#[tokio::test]
async fn a_client_that_was_stopped_for_longer_than_its_lease_hears_of_it_and_means_nothing_else() {
    let manager = builder().serve_anywhere().await.unwrap();
    let lock = LockProxy::get_or_create(&manager, "lock").await.unwrap();
    let shared = ProbeProxy::get_or_create(&manager, "probe", 41).await.unwrap();
    let mut sleeper = Role::spawn("defects::sleeper", &[]);
    sleeper.say(&address(&manager)).await;
    let theirs: u64 = sleeper.hear().await.unwrap().parse().unwrap();
    let pid = sleeper.hear().await.unwrap().parse().unwrap();
    assert!(signal(pid, "STOP").await);
    // It does not know yet that the lock is somebody else's; those who check the number do.
    let guard = timeout(limits().lease + 10 * SECOND, lock.acquire()).await.unwrap().unwrap();
    assert!(guard.fence() > theirs);
    assert_eq!(manager.stats().await.unwrap().sessions, 0);
    let others =
        [ProbeProxy::create(&manager, 2).await.unwrap(), ProbeProxy::create(&manager, 3).await.unwrap()];
    assert!(signal(pid, "CONT").await);
    sleeper.say("go on").await;
    let own = sleeper.hear().await.unwrap();
    assert!(["Err(ObjectGone)", "Err(SessionExpired)"].contains(&own.as_str()), "{own}");
    assert_eq!(sleeper.hear().await.as_deref(), Some("false"));
    assert_eq!(sleeper.hear().await.as_deref(), Some("Ok(42)"));
    // What it said late took the lock from nobody, and reached no other object.
    assert!(lock.acquire_within(Duration::ZERO).await.unwrap().is_none());
    assert_eq!((others[0].get().await, others[1].get().await, shared.get().await), (Ok(2), Ok(3), Ok(42)));
    guard.release().await.unwrap();
    sleeper.kill().await;
    manager.shutdown().await.unwrap();
}

#[tokio::test]
async fn remote_errors_say_what_where_and_in_which_call() {
    let manager = spawn().await;
    let probe = ProbeProxy::create(&manager, 0).await.unwrap();
    let error = probe.explode().await.unwrap_err();
    assert_eq!(error.kind(), RemoteErrorKind::Panicked);
    assert_eq!(error.manager(), Some(manager.id().await.unwrap()));
    assert!(error.call().is_some_and(|call| call > 0), "{error}");
    assert!(error.to_string().starts_with("the method panicked"), "{error}");
    // The object goes on.
    assert_eq!(probe.add(1).await, Ok(1));
    manager.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_proxy_works_on_after_the_runtime_where_it_was_made_has_ended() {
    let manager = builder().serve_anywhere().await.unwrap();
    let place = address(&manager);
    let first = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = Manager::connect(&place, key()).await.unwrap();
            let probe = ProbeProxy::create(&client, 41).await.unwrap();
            client.publish("probe", &probe).await.unwrap();
            (client, probe)
        })
    });
    let (client, probe) = first.await.unwrap();
    sleep(Duration::from_millis(20)).await;
    assert_eq!(timeout(20 * SECOND, probe.add(1)).await.unwrap(), Ok(42));
    let again: ProbeProxy = timeout(20 * SECOND, client.lookup("probe")).await.unwrap().unwrap();
    assert_eq!(again, probe);
    manager.shutdown().await.unwrap();
}
