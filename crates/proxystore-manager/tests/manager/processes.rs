//! Several processes, some of which are killed.

use std::time::Duration;

use futures_util::future::join_all;
use proxystore_manager::{AuthKey, Limits, Manager, ObjectProxy, child_hook, trust};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;
use tokio::process::Command;

use crate::common::{Counter, CounterProxy, limits};

/// A manager's process: this test binary, at the hook.
#[tokio::test]
async fn manager_process() {
    child_hook(|| Manager::builder().register::<Counter>()).await;
}

async fn spawn(limits: Limits) -> Manager {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["processes::manager_process", "--exact", "--nocapture", "--test-threads=1"]);
    Manager::builder().limits(limits).spawn(command).await.unwrap()
}

#[tokio::test]
async fn a_child_serves_until_it_is_shut_down() {
    let manager = spawn(limits()).await;
    let counter = CounterProxy::create(&manager, 40).await.unwrap();
    assert_eq!(counter.add(2).await, Ok(42));
    assert!(!counter.base().is_home());
    assert_eq!(manager.stats().await.unwrap().objects, 1);
    manager.shutdown().await.unwrap();
    let after = counter.get().await.unwrap_err();
    assert!(!matches!(after.kind(), proxystore_manager::RemoteErrorKind::Unexpected), "{after}");
}

/// Creates objects, drops half of them at once and the others when it is told to.
#[tokio::test]
async fn creator() {
    role!("processes::creator");
    let (address, key) = (process::hear().await.unwrap(), process::hear().await.unwrap());
    let client = Manager::connect(&address, AuthKey::new(key).unwrap()).await.unwrap();
    let mut held = Vec::new();
    for i in 0..500 {
        let counter = CounterProxy::create(&client, i).await.unwrap();
        if i % 2 == 0 {
            held.push(counter);
        }
        if i == 250 {
            process::say("at work");
        }
    }
    process::say("created");
    process::hear().await;
    drop(held);
    process::say("dropped");
    process::hear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_clients_that_end_or_are_killed() {
    let key = "a key that both sides know";
    let limits = Limits { lease: Duration::from_secs(2), ..limits() };
    let lease = limits.lease;
    let manager = Manager::builder().register::<Counter>().authkey(AuthKey::new(key).unwrap()).limits(limits);
    let manager = manager.serve_anywhere().await.unwrap();
    let address = manager.addresses().unwrap()[0].to_string();
    let mut clients: Vec<_> = (0..20).map(|_| Role::spawn("processes::creator", &[])).collect();
    join_all(clients.iter_mut().enumerate().map(async |(i, client)| {
        client.say(&address).await;
        client.say(key).await;
        assert_eq!(client.hear().await.as_deref(), Some("at work"));
        // Five are killed while they create and drop, five when they have half of their objects; ten end in order.
        if i % 4 != 0 {
            assert_eq!(client.hear().await.as_deref(), Some("created"));
        }
        if i % 2 == 0 {
            return client.kill().await;
        }
        client.say("go").await;
        assert_eq!(client.hear().await.as_deref(), Some("dropped"));
    }))
    .await;
    let ended = std::time::Instant::now();
    let none = async {
        while manager.stats().await.unwrap().objects > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), none).await.unwrap();
    assert!(ended.elapsed() <= lease + Duration::from_secs(1), "{:?}", ended.elapsed());
    manager.shutdown().await.unwrap();
}

/// Receives a reference by some other way, uses it and passes it on.
#[tokio::test]
async fn receiver() {
    role!("processes::receiver");
    let (id, key) = (process::hear().await.unwrap(), process::hear().await.unwrap());
    trust(id.parse().unwrap(), AuthKey::new(key).unwrap());
    let counter: CounterProxy = serde_json::from_str(&process::hear().await.unwrap()).unwrap();
    counter.add(1).await.unwrap();
    let child = counter.child(7).await.unwrap();
    process::say(&serde_json::to_string(&child).unwrap());
    drop((counter, child));
    process::hear().await;
}

#[tokio::test]
async fn a_reference_travels_by_any_way_and_comes_home_as_the_referent() {
    let key = "a key that both sides know";
    let manager = Manager::builder().authkey(AuthKey::new(key).unwrap()).limits(limits());
    let manager = manager.serve_anywhere().await.unwrap();
    let counter = manager.host(Counter::default()).unwrap();
    let mut receiver = Role::spawn("processes::receiver", &[]);
    receiver.say(&manager.id().await.unwrap().to_string()).await;
    receiver.say(key).await;
    receiver.say(&serde_json::to_string(&counter).unwrap()).await;
    let child: CounterProxy = serde_json::from_str(&receiver.hear().await.unwrap()).unwrap();
    assert!(child.base().is_home());
    assert_eq!(child.get().await, Ok(7));
    assert_eq!(counter.get().await, Ok(1));
    receiver.kill().await;
    // Its lease ends; what is held here stays.
    tokio::time::sleep(2 * limits().lease).await;
    assert_eq!(child.get().await, Ok(7));
    manager.shutdown().await.unwrap();
}

/// Uses references as they come.
#[tokio::test]
async fn user() {
    role!("processes::user");
    let (id, key) = (process::hear().await.unwrap(), process::hear().await.unwrap());
    trust(id.parse().unwrap(), AuthKey::new(key).unwrap());
    while let Some(text) = process::hear().await {
        let counter: CounterProxy = serde_json::from_str(&text).unwrap();
        process::say(&format!("{:?}", counter.get().await));
    }
}

#[tokio::test]
async fn a_manager_is_found_again_at_another_address_by_those_who_trust_it() {
    let key = "a key that both sides know";
    let mut user = Role::spawn("processes::user", &[]);
    for round in 0..2 {
        let manager = Manager::builder().authkey(AuthKey::new(key).unwrap()).limits(limits()).identity("it");
        let manager = manager.serve_anywhere().await.unwrap();
        if round == 0 {
            user.say(&manager.id().await.unwrap().to_string()).await;
            user.say(key).await;
        }
        let counter = manager.host(Counter::at(round)).unwrap();
        user.say(&serde_json::to_string(&counter).unwrap()).await;
        assert_eq!(user.hear().await.unwrap(), format!("Ok({round})"));
        manager.shutdown().await.unwrap();
        // Its lease ends.
        tokio::time::sleep(3 * limits().lease).await;
    }
    user.kill().await;
}

#[tokio::test]
async fn a_manager_is_found_again_at_the_same_address_and_its_old_references_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", directory.path().join("m").join("socket").display());
    let key = AuthKey::random().unwrap();
    let build =
        || Manager::builder().register::<Counter>().identity("it").authkey(key.clone()).limits(limits());
    let first = build().serve(&address).await.unwrap();
    let client = Manager::connect(&address, key.clone()).await.unwrap();
    let old = CounterProxy::create(&client, 1).await.unwrap();
    client.publish("counter", &old).await.unwrap();
    first.shutdown().await.unwrap();
    drop(first);

    let second = build().serve(&address).await.unwrap();
    let again = Manager::connect(&address, key.clone()).await.unwrap();
    let fresh = CounterProxy::create(&again, 2).await.unwrap();
    // The first object of both has the same number.
    assert_eq!(fresh.base().object(), old.base().object());
    assert_ne!(fresh, old);
    let gone = old.get().await.unwrap_err();
    assert_eq!(gone.kind(), proxystore_manager::RemoteErrorKind::ManagerRestarted, "{gone}");
    assert_eq!(fresh.get().await, Ok(2));
    second.shutdown().await.unwrap();
    assert!(!directory.path().join("m").join("socket").exists());
}
