//! Connections, who holds what, and who may come in.
//!
//! Elsewhere: creating, dropping and what lies between (manager/lifetimes.rs: the_last_proxy_takes_the_object_with_it,
//! many_clients_create_and_drop_and_nothing_is_left, a_long_chain_of_objects_is_dropped_without_recursion); home
//! (manager/lifetimes.rs: sent_home_a_proxy_is_the_referent); the challenge (manager/hostile.rs:
//! a_wrong_key_is_refused_by_either_side, an_impostor_cannot_be_the_manager, a_recorded_conversation_opens_nothing,
//! what_a_server_says_is_no_proof_of_a_client, who_says_nothing_or_nonsense_is_hung_up_on); what follows it
//! (serve/relays.rs: a_recorded_connection_opens_nothing_and_shows_nothing; manager/hostile.rs: deep_values_are_refused).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proxystore_manager::{Limits, Manager, ObjectProxy, trust};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;

use crate::common::{Probe, ProbeProxy, both, builder, key, limits, objects, until};

#[tokio::test]
async fn identity_no_object_has_the_number_of_another_that_is_gone() {
    for manager in both(builder().in_process().unwrap()).await {
        let mut seen = HashSet::new();
        for i in 0..300 {
            let probe = ProbeProxy::create(&manager, i).await.unwrap();
            assert!(seen.insert(probe.base().object()), "{i}");
        }
        objects(&manager, 0).await;
    }
}

/// Has a reference, and does nothing with it.
#[tokio::test]
async fn holder() {
    role!("connections::holder");
    trust(process::hear().await.unwrap().parse().unwrap(), key());
    let probe: ProbeProxy = serde_json::from_str(&process::hear().await.unwrap()).unwrap();
    process::say("have it");
    process::hear().await;
    process::say(&probe.get().await.unwrap().to_string());
    process::hear().await;
}

#[tokio::test]
async fn unpickle_a_reference_that_arrived_holds_its_object_before_it_is_used() {
    let limits = Limits { max_pin: Duration::from_secs(3), ..limits() };
    let manager = builder().limits(limits).serve_anywhere().await.unwrap();
    let probe = manager.host(Probe::new(42)).unwrap();
    let mut holder = Role::spawn("connections::holder", &[]);
    holder.say(&manager.id().await.unwrap().to_string()).await;
    holder.say(&serde_json::to_string(&probe).unwrap()).await;
    drop(probe);
    assert_eq!(holder.hear().await.as_deref(), Some("have it"));
    let only_held_there = async || {
        let objects = manager.objects().unwrap();
        objects.len() == 1 && objects[0].sessions == 1 && !objects[0].pinned
    };
    until("its session alone holds it", only_held_there).await;
    holder.say("use it").await;
    assert_eq!(holder.hear().await.as_deref(), Some("42"));
    holder.kill().await;
    objects(&manager, 0).await;
    manager.shutdown().await.unwrap();
}

#[tokio::test]
async fn home_a_thousand_references_that_came_back_leave_nothing() {
    let [manager, client] = both(builder().in_process().unwrap()).await;
    let probe = ProbeProxy::create(&client, 0).await.unwrap();
    let letter = serde_json::to_string(&probe).unwrap();
    for i in 1..=1000 {
        let home: ProbeProxy = serde_json::from_str(&letter).unwrap();
        assert!(home.base().is_home());
        assert_eq!(home.add(1).await, Ok(i));
    }
    // One hold of the session, none of those that came home, and the letter's for its minute.
    let info = &manager.objects().unwrap()[0];
    assert_eq!((info.sessions, info.locals), (1, 0));
    assert_eq!(manager.stats().await.unwrap().objects, 1);
}

#[test]
fn threads_share_one_connection_and_each_gets_its_own_answers() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let opened = Arc::new(AtomicUsize::new(0));
    let (manager, probe) = runtime.block_on(async {
        let manager = builder().in_process().unwrap();
        let open = {
            let (manager, opened) = (manager.clone(), opened.clone());
            move || {
                opened.fetch_add(1, Ordering::SeqCst);
                let (near, far) = tokio::io::duplex(64 << 10);
                std::future::ready(manager.serve_stream(far).map(|()| near).map_err(std::io::Error::other))
            }
        };
        let client = Manager::connect_over(open, key()).await.unwrap();
        let probe = ProbeProxy::create(&client, 0).await.unwrap();
        (manager, probe)
    });
    // Each has a runtime of its own, and the same proxy.
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let probe = &probe;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    for call in 0..200 {
                        let text = format!("{thread}-{call}").repeat(call % 40);
                        assert_eq!(probe.echo(text.clone()).await, Ok(text));
                        probe.add(1).await.unwrap();
                    }
                });
            });
        }
    });
    assert_eq!(runtime.block_on(probe.get()), Ok(8 * 200));
    assert_eq!(opened.load(Ordering::SeqCst), 1);
    assert_eq!(runtime.block_on(manager.stats()).unwrap().sessions, 1);
}

#[tokio::test]
async fn authkey_is_random_by_default_and_in_nothing_that_is_sent_or_shown() {
    let managers = [0, 1].map(|_| Manager::builder().register::<Probe>().in_process().unwrap());
    let keys = managers.each_ref().map(|manager| manager.authkey().unwrap().to_hex());
    assert_eq!(keys[0].expose().len(), 64);
    assert_ne!(keys[0].expose(), keys[1].expose());
    for (manager, key) in managers.iter().zip(&keys) {
        let probe = ProbeProxy::create(manager, 1).await.unwrap();
        let ticket = probe.base().ticket(Duration::from_secs(1)).await.unwrap();
        let shown = format!("{probe:?} {manager:?} {:?}", manager.authkey().unwrap());
        for text in [serde_json::to_string(&probe).unwrap(), ticket.expose().to_owned(), shown] {
            assert!(!text.contains(key.expose()), "{text}");
        }
    }
}
