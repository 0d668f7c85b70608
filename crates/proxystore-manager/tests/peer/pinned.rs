//! What Python's own tests of its managers demand.
//!
//! Elsewhere, by their classes: restarts (manager/processes.rs:
//! a_manager_is_found_again_at_the_same_address_and_its_old_references_are_not; serve/tls.rs:
//! an_identity_in_a_file_is_the_same_after_a_restart); containers (builtin/lists.rs:
//! iteration_sees_the_list_as_it_is_when_items_are_fetched; builtin/dicts.rs:
//! iteration_ends_with_an_error_when_the_size_changed; builtin/nested.rs); types in children (builtin/processes.rs,
//! sync/processes.rs: every_type_that_is_made_here_is_usable_in_a_child,
//! a_lock_that_a_child_has_acquired_detached_is_released_here_and_only_once); the suites of queues, locks, semaphores,
//! conditions, events and barriers (builtin/queues.rs, sync/*.rs); the challenge (manager/hostile.rs); no object left at the
//! end (`objects(&manager, 0)` in all suites); shared memory (serve/store.rs).

use futures_util::StreamExt;
use proxystore_core::ErrorKind;
use proxystore_manager::builtin::Queue;
use proxystore_manager::builtin::{List, Order};
use proxystore_manager::{AuthKey, CallError, Manager, ObjectProxy, RemoteErrorKind, trust};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;
use serde_json::{Value, json};

use crate::common::{
    Probe, ProbeProxy, Refused, address, both, builder, key, manager_command, objects, spawn,
};

/// What the class of the same name asks of an object of its own.
async fn visits(manager: &Manager) {
    let probe = ProbeProxy::create(manager, 0).await.unwrap();
    assert_eq!(probe.f().await.as_deref(), Ok("f()"));
    let refused = Refused { why: "as asked".into(), witness: None };
    assert_eq!(probe.g().await, Err(CallError::App(refused)));
    // Not exposed, by the type or by the proxy.
    let hidden = probe.base().call_method::<_, String, ()>("_h", &()).await.unwrap_err();
    assert_eq!(hidden.remote().unwrap().kind(), RemoteErrorKind::NoSuchMethod);
    let only_f = ProbeProxy::from_base(probe.base().only_methods(&["f"]).unwrap());
    assert_eq!(only_f.f().await.as_deref(), Ok("f()"));
    let denied = only_f.g().await.unwrap_err();
    assert_eq!(denied.remote().unwrap().kind(), RemoteErrorKind::PermissionDenied);
    // A generator is iterated here.
    let squares: Vec<_> = probe.squares(10).await.unwrap().map(Result::unwrap).collect().await;
    assert_eq!(squares, Vec::from_iter((0..10).map(|i| i * i)));
    drop((probe, only_f));
    objects(manager, 0).await;
}

#[tokio::test]
async fn my_manager_in_each_of_the_styles_in_which_it_starts() {
    for manager in both(builder().in_process().unwrap()).await {
        visits(&manager).await;
    }
    let served = builder().serve_anywhere().await.unwrap();
    visits(&Manager::connect(&address(&served), key()).await.unwrap()).await;
    served.shutdown().await.unwrap();
    let child = spawn().await;
    visits(&child).await;
    child.shutdown().await.unwrap();
}

fn values() -> Vec<Value> {
    vec![
        json!("hallå världen"),
        json!(null),
        json!(true),
        json!(2.25),
        json!("привет свет"),
        json!({"k": [1]}),
    ]
}

/// Puts values into a queue of a manager elsewhere.
#[tokio::test]
async fn remote() {
    role!("pinned::remote");
    let client = Manager::connect(&process::hear().await.unwrap(), key()).await.unwrap();
    let queue: Queue<(Vec<Value>, bytes::Bytes)> = client.lookup("queue").await.unwrap();
    queue.put(&(values(), bytes::Bytes::from_static(b"hello"))).await.unwrap();
    // What cannot be encoded is an error here, and nothing is put in.
    let never: Queue<Never> = client.lookup("queue").await.unwrap();
    process::say(&format!("{:?}", never.put(&Never).await.unwrap_err().remote().unwrap().kind()));
    queue.join().await.unwrap();
    client.disconnect().await;
    process::say("joined");
}

struct Never;

impl serde::Serialize for Never {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not this one"))
    }
}

impl<'de> serde::Deserialize<'de> for Never {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Self)
    }
}

#[tokio::test]
async fn remote_manager_values_come_over_tcp_as_they_were() {
    let manager = builder().serve("tcp+insecure://127.0.0.1:0").await.unwrap();
    let queue =
        Queue::<(Vec<Value>, bytes::Bytes)>::get_or_create(&manager, "queue", Order::Fifo, 0).await.unwrap();
    let mut remote = Role::spawn("pinned::remote", &[]);
    remote.say(&address(&manager)).await;
    assert_eq!(remote.hear().await.as_deref(), Some("Encode"));
    let (received, bytes) = queue.get().await.unwrap();
    assert_eq!((received, &bytes[..]), (values(), &b"hello"[..]));
    assert!(queue.is_empty().await.unwrap());
    queue.task_done().await.unwrap();
    assert_eq!(remote.hear().await.as_deref(), Some("joined"));
    manager.shutdown().await.unwrap();
}

#[tokio::test]
async fn exceptions_keep_alive_what_they_hold_and_no_longer_than_they_live() {
    for manager in both(builder().in_process().unwrap()).await {
        let probe = ProbeProxy::create(&manager, 0).await.unwrap();
        let Err(CallError::App(error)) = probe.accuse().await else { panic!("an error of its own") };
        objects(&manager, 2).await;
        assert_eq!(error.witness.as_ref().unwrap().get().await, Ok(7));
        drop(error);
        objects(&manager, 1).await;
    }
}

/// The variables of the process below.
const INITIAL: [&str; 2] = ["PEER_INITIAL_MANAGER", "PEER_INITIAL_LIST"];

/// Runs first in the process of a manager: writes into a list of another one.
pub(crate) async fn initialize() {
    let [Ok(manager), Ok(list)] = INITIAL.map(std::env::var) else { return };
    trust(manager.parse().unwrap(), key());
    let list: List<u32> = serde_json::from_str(&list).unwrap();
    list.push(&std::process::id()).await.unwrap();
}

#[tokio::test]
async fn initializer_runs_in_the_process_of_the_manager_before_that_is_used() {
    let other = builder().serve_anywhere().await.unwrap();
    let list = List::<u32>::create(&other).await.unwrap();
    let mut command = manager_command();
    command.env(INITIAL[0], other.id().await.unwrap().to_string());
    command.env(INITIAL[1], serde_json::to_string(&list).unwrap());
    let manager = builder().spawn(command).await.unwrap();
    let pids = list.get_value().await.unwrap();
    let probe = ProbeProxy::create(&manager, 0).await.unwrap();
    assert_eq!(pids, [probe.pid().await.unwrap()]);
    manager.shutdown().await.unwrap();
    other.shutdown().await.unwrap();
}

#[tokio::test]
async fn empty_key_is_refused_where_it_is_made() {
    for short in [&b""[..], b"0123456789abcde"] {
        assert_eq!(AuthKey::new(short).unwrap_err().kind(), ErrorKind::Config);
    }
    let manager = Manager::builder().register::<Probe>().in_process().unwrap();
    assert!(manager.authkey().unwrap().to_hex().expose().len() >= 32);
}
