//! What there is: managers, registration, proxies, addresses.
//!
//! Elsewhere: exposed methods (macros/methods.rs: a_method_is_in_the_table_unless_it_is_hidden_or_not_there,
//! what_is_hidden_or_renamed_is_not_called_by_its_name; manager/lifetimes.rs: a_weaker_reference_cannot_be_made_stronger);
//! `method_to_typeid` (manager/lifetimes.rs: a_method_hands_out_an_object); `_callmethod` (manager/calls.rs:
//! methods_are_called_by_name); `_getvalue`, `repr` and `str` (manager/calls.rs:
//! the_text_and_the_value_are_those_of_the_object); the serializer (builtin/lists.rs:
//! values_of_all_sorts_come_back_as_they_were); shared memory (serve/store.rs: methods_take_and_return_proxies_of_a_store);
//! the end of a served program by signals, with code 0 (serve/cli.rs: a_signal_ends_it_in_order).

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proxystore_core::ErrorKind;
use proxystore_manager::builtin::List;
use proxystore_manager::sync::LockProxy;
use proxystore_manager::{AuthKey, Manager, ObjectProxy, ProxyBase, RemoteErrorKind, object, trust};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;
use tokio::time::timeout;

use crate::common::{Probe, ProbeProxy, SECOND, address, both, builder, key, objects, signal, spawn, until};

#[tokio::test]
async fn states_what_is_shut_down_says_so_whatever_is_asked() {
    let manager = builder().serve_anywhere().await.unwrap();
    let [manager, client] = both(manager).await;
    let home = ProbeProxy::create(&manager, 1).await.unwrap();
    let away = ProbeProxy::create(&client, 1).await.unwrap();
    let address = address(&manager);
    manager.shutdown().await.unwrap();
    for kind in [
        ProbeProxy::create(&manager, 1).await.unwrap_err().kind(),
        manager.publish("late", &home).await.unwrap_err().kind(),
    ] {
        assert!(matches!(kind, RemoteErrorKind::ShuttingDown | RemoteErrorKind::ObjectGone), "{kind:?}");
    }
    assert!(manager.host(Probe::new(1)).is_err());
    for error in [away.get().await.unwrap_err(), ProbeProxy::create(&client, 1).await.unwrap_err()] {
        assert!(error.to_string().contains("the manager is shutting down"), "{error}");
    }
    assert!(Manager::connect(&address, key()).await.is_err());
    // To say it twice is no mistake.
    manager.shutdown().await.unwrap();
    assert_eq!(manager.stats().await.unwrap().objects, 0);
}

/// Serves until somebody says that it is enough.
#[tokio::test]
async fn server() {
    role!("surface::server");
    let manager = builder().serve("tcp+insecure://127.0.0.1:0").await.unwrap();
    process::say(&address(&manager));
    manager.wait().await.unwrap();
    process::say("ended");
}

#[tokio::test]
async fn serve_forever_and_connect() {
    let mut server = Role::spawn("surface::server", &[]);
    // Whoever listens at any port says at which.
    let address = server.hear().await.unwrap();
    assert!(address.starts_with("tcp+insecure://127.0.0.1:") && !address.ends_with(":0"), "{address}");
    // Who connects has shown that it knows the key, before it asks for anything.
    let refused = Manager::connect(&address, AuthKey::random().unwrap()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied, "{refused}");
    let client = Manager::connect(&address, key()).await.unwrap();
    let probe = ProbeProxy::create(&client, 1).await.unwrap();
    assert_ne!(probe.pid().await.unwrap(), std::process::id());
    client.shutdown().await.unwrap();
    assert_eq!(server.hear().await.as_deref(), Some("ended"));
    assert!(server.wait().await.success());
}

#[tokio::test]
async fn start_the_process_ignores_an_interrupt_of_the_terminal() {
    let manager = spawn().await;
    let probe = ProbeProxy::create(&manager, 0).await.unwrap();
    let pid = probe.pid().await.unwrap();
    assert_ne!(pid, std::process::id());
    for i in 1..=20 {
        assert!(signal(pid, "INT").await);
        assert_eq!(probe.add(1).await, Ok(i));
    }
    manager.shutdown().await.unwrap();
    assert!(!signal(pid, "0").await);
}

#[tokio::test]
async fn shutdown_kills_a_process_that_does_not_listen() {
    let manager = spawn().await;
    let pid = ProbeProxy::create(&manager, 0).await.unwrap().pid().await.unwrap();
    assert!(signal(pid, "STOP").await);
    let asked = timeout(40 * SECOND, manager.shutdown()).await.unwrap();
    // It could not be asked, and it is gone.
    assert!(asked.is_err() && !signal(pid, "0").await);
}

/// Where a proxy's manager listens.
fn socket(probe: &ProbeProxy) -> String {
    let text = format!("{probe:?}");
    let (place, _) = text.split_once("@unix:").unwrap().1.split_once("?t=").unwrap();
    place.rsplit_once('/').unwrap().0.to_owned()
}

#[tokio::test]
async fn context_manager_the_process_ends_with_the_last_handle_and_leaves_nothing() {
    let manager = spawn().await;
    let probe = ProbeProxy::create(&manager, 0).await.unwrap();
    let socket = socket(&probe);
    assert!(Path::new(&socket).exists(), "{socket}");
    drop(manager);
    until("the end of its calls", async || probe.get().await.is_err()).await;
    let directory = Path::new(&socket).parent().unwrap();
    until("the end of its socket and its directory", async || !directory.exists()).await;
}

/// Has a manager in a process of its own, and waits to be killed.
#[tokio::test]
async fn parent() {
    role!("surface::parent");
    let manager = spawn().await;
    let probe = ProbeProxy::create(&manager, 7).await.unwrap();
    process::say(&manager.id().await.unwrap().to_string());
    process::say(&serde_json::to_string(&probe).unwrap());
    process::hear().await;
}

#[tokio::test]
async fn at_exit_the_process_ends_with_a_parent_that_is_killed() {
    let mut parent = Role::spawn("surface::parent", &[]);
    trust(parent.hear().await.unwrap().parse().unwrap(), key());
    let probe: ProbeProxy = serde_json::from_str(&parent.hear().await.unwrap()).unwrap();
    assert_eq!(probe.get().await, Ok(7));
    parent.kill().await;
    until("the end of its calls", async || probe.get().await.is_err()).await;
    let socket = socket(&probe);
    let directory = Path::new(&socket).parent().unwrap();
    until("the end of its socket and its directory", async || !directory.exists()).await;
}

/// Only hosted and published, and of no use for those who want to make one.
struct Single;

#[object(typeid = "peer.Single")]
impl Single {
    #[ctor]
    fn new() -> Self {
        Self
    }

    fn name(&self) -> String {
        "the only one".into()
    }
}

#[tokio::test]
async fn register_is_for_one_manager_and_create_method_false_is_host_and_publish() {
    let with = both(builder().register::<Single>().in_process().unwrap()).await;
    let without = both(builder().in_process().unwrap()).await;
    for (with, without) in with.iter().zip(&without) {
        SingleProxy::create(with).await.unwrap();
        let refused = SingleProxy::create(without).await.unwrap_err();
        assert_eq!(refused.kind(), RemoteErrorKind::NoSuchType);
    }
    let [home, client] = without;
    home.publish("single", &home.host(Single).unwrap()).await.unwrap();
    let single: SingleProxy = client.lookup("single").await.unwrap();
    assert_eq!(single.name().await.as_deref(), Ok("the only one"));
    // What every manager has needs no registration.
    assert!(List::<u8>::create(&client).await.is_ok() && LockProxy::create(&client).await.is_ok());
}

#[tokio::test]
async fn auto_proxy_what_can_be_called_is_known_and_called_by_name() {
    for manager in both(builder().in_process().unwrap()).await {
        let probe = ProbeProxy::create(&manager, 40).await.unwrap();
        manager.publish("probe", &probe).await.unwrap();
        let untyped: ProxyBase = manager.lookup("probe").await.unwrap();
        let inspected = manager.inspect(untyped.object()).await.unwrap();
        let names: Vec<_> = inspected.methods.iter().map(|method| method.name.as_str()).collect();
        assert_eq!(names, ["f", "g", "add", "get", "echo", "squares", "child", "accuse", "explode", "pid"]);
        assert_eq!(untyped.call_method::<_, i64, ()>("add", &(2,)).await, Ok(42));
        manager.unpublish("probe").await.unwrap();
    }
}

#[tokio::test]
async fn getvalue_of_a_type_that_is_none_is_an_error() {
    for manager in both(builder().in_process().unwrap()).await {
        let probe = ProbeProxy::create(&manager, 40).await.unwrap();
        let value = probe.base().get_value::<serde_json::Value>().await;
        assert_eq!(value.unwrap_err().kind(), RemoteErrorKind::NoSuchMethod);
    }
}

#[tokio::test]
async fn str_falls_back_to_repr_which_needs_no_network() {
    let [manager, client] = both(builder().in_process().unwrap()).await;
    let probe = ProbeProxy::create(&client, 40).await.unwrap();
    assert_eq!(probe.base().display().await, "a probe at 40");
    manager.shutdown().await.unwrap();
    let repr = format!("{:?}", probe.base());
    assert!(repr.contains("peer.Probe") && repr.contains("k=***"), "{repr}");
    assert_eq!(probe.base().display().await, repr);
}

#[tokio::test]
async fn address_by_default_is_a_private_socket_that_nobody_else_has() {
    let managers = [builder().serve_anywhere().await.unwrap(), builder().serve_anywhere().await.unwrap()];
    let sockets =
        managers.each_ref().map(|manager| address(manager).strip_prefix("unix:").unwrap().to_owned());
    assert_ne!(sockets[0], sockets[1]);
    for (manager, socket) in managers.iter().zip(&sockets) {
        let socket = Path::new(socket);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(socket), mode(socket.parent().unwrap())), (0o600, 0o700));
        manager.shutdown().await.unwrap();
        assert!(!socket.parent().unwrap().exists());
    }
}

#[tokio::test]
async fn server_control_calls_all_use_one_connection() {
    let manager = builder().in_process().unwrap();
    let opened = Arc::new(AtomicUsize::new(0));
    let open = {
        let (manager, opened) = (manager.clone(), opened.clone());
        move || {
            opened.fetch_add(1, Ordering::SeqCst);
            let (near, far) = tokio::io::duplex(64 << 10);
            std::future::ready(manager.serve_stream(far).map(|()| near).map_err(std::io::Error::other))
        }
    };
    let client = Manager::connect_over(open, key()).await.unwrap();
    for i in 0..50 {
        let probe = ProbeProxy::create(&client, i).await.unwrap();
        client.publish("probe", &probe).await.unwrap();
        let same: ProbeProxy = client.lookup("probe").await.unwrap();
        same.child().await.unwrap().add(1).await.unwrap();
        assert_eq!(client.inspect(same.base().object()).await.unwrap().info.names, ["probe"]);
        assert!(!client.page(None).await.unwrap().is_empty());
        probe.base().ticket(SECOND / 100).await.unwrap();
        assert!(client.unpublish("probe").await.unwrap());
    }
    objects(&client, 0).await;
    assert_eq!((opened.load(Ordering::SeqCst), manager.stats().await.unwrap().sessions), (1, 1));
}
