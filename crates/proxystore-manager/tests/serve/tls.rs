//! Managers at `tls://`.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use futures_util::future::join_all;
use proxystore_core::ErrorKind;
use proxystore_manager::{AuthKey, Identity, Manager, RemoteErrorKind, trust};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;
use proxystore_testkit::tcp_proxy::TcpProxy;

use crate::common::{Counter, CounterProxy, KEY, address, builder, key, refused, told};

async fn serve() -> Manager {
    builder().serve("tls://localhost:0").await.unwrap()
}

/// The place in an address: `<host>:<port>`.
fn place(address: &str) -> &str {
    address.split_once('@').unwrap().1
}

#[tokio::test]
async fn the_address_says_who_answers_and_at_which_port() {
    let manager = serve().await;
    let (id, text) = (manager.id().await.unwrap(), address(&manager));
    assert!(text.starts_with(&format!("tls://{id}@localhost:")) && !text.ends_with(":0"), "{text}");
    let client = Manager::connect(&text, key()).await.unwrap();
    assert_eq!(client.id().await.unwrap(), id);
    let counter = CounterProxy::create(&client, 40).await.unwrap();
    assert_eq!(counter.add(2).await, Ok(42));
    let large = "x".repeat(3 << 20);
    assert_eq!(counter.echo(large.clone()).await, Ok(large));
    manager.shutdown().await.unwrap();
}

/// Connects, uses a reference that came by another way, and says what it heard.
#[tokio::test]
async fn guest() {
    role!("tls::guest");
    let id = process::hear().await.unwrap();
    trust(id.parse().unwrap(), AuthKey::new(KEY).unwrap());
    while let Some(reference) = process::hear().await {
        let counter: CounterProxy = serde_json::from_str(&reference).unwrap();
        process::say(&told(counter.get().await));
    }
}

#[tokio::test]
async fn a_reference_names_every_address_and_takes_the_first_that_answers() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let unix = format!("unix:{}", socket.display());
    let manager = builder().serve_all(&[&unix, "tls://localhost:0"]).await.unwrap();
    let addresses: Vec<_> = manager.addresses().unwrap().iter().map(ToString::to_string).collect();
    assert!(
        addresses.len() == 2 && addresses[0] == unix && addresses[1].starts_with("tls://"),
        "{addresses:?}"
    );
    for address in &addresses {
        let client = Manager::connect(address, key()).await.unwrap();
        assert_eq!(client.id().await.unwrap(), manager.id().await.unwrap());
    }
    let many = builder().serve_all(&["tcp+insecure://127.0.0.1:0"; 9]).await.unwrap_err();
    assert!(many.to_string().contains("a reference has 8 at most"), "{many}");
    let counter = manager.host(Counter { count: 7 }).unwrap();
    let reference = serde_json::to_string(&counter).unwrap();
    for is_there in [true, false] {
        if !is_there {
            // As on another machine.
            std::fs::rename(&socket, directory.path().join("hidden")).unwrap();
        }
        let mut guest = Role::spawn("tls::guest", &[]);
        guest.say(&manager.id().await.unwrap().to_string()).await;
        guest.say(&reference).await;
        assert_eq!(guest.hear().await.as_deref(), Some("7"));
    }
}

#[tokio::test]
async fn a_reference_reaches_its_manager_and_no_other() {
    let (manager, other) = (serve().await, serve().await);
    let counter = manager.host(Counter { count: 7 }).unwrap();
    let reference = serde_json::to_string(&counter).unwrap();
    let mut guest = Role::spawn("tls::guest", &[]);
    guest.say(&manager.id().await.unwrap().to_string()).await;
    guest.say(&reference).await;
    assert_eq!(guest.hear().await.as_deref(), Some("7"));

    // The same object, but where another manager listens: the one that is trusted is not there.
    let mut guest = Role::spawn("tls::guest", &[]);
    guest.say(&manager.id().await.unwrap().to_string()).await;
    let (here, there) = (address(&manager), address(&other));
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    let elsewhere = reference.replace(&port(&here), &port(&there));
    assert_ne!(elsewhere, reference);
    guest.say(&elsewhere).await;
    assert_eq!(guest.hear().await.as_deref(), Some("AuthenticationFailed"));
    // Nor does it help that the address names the other one.
    let id = async |manager: &Manager| manager.id().await.unwrap().to_string();
    let at = |id: String| format!("tls:%2f%2f{id}%40");
    let named = elsewhere.replace(&at(id(&manager).await), &at(id(&other).await));
    assert_ne!(named, elsewhere);
    guest.say(&named).await;
    assert_eq!(guest.hear().await.as_deref(), Some("AuthenticationFailed"));
    assert_eq!(other.stats().await.unwrap().sessions, 0);
}

#[tokio::test]
async fn who_is_dialed_has_to_be_named_and_to_be_it() {
    let manager = serve().await;
    let place = place(&address(&manager)).to_owned();
    let text = refused(&format!("tls://{place}"), key()).await;
    assert!(text.contains("does not say who answers"), "{text}");
    let other = Identity::random().unwrap().id();
    let text = refused(&format!("tls://{other}@{place}"), key()).await;
    assert!(text.contains("another manager"), "{text}");
    let text = refused(&address(&manager), AuthKey::random().unwrap()).await;
    assert!(text.contains("authentication failed"), "{text}");
    assert_eq!(manager.stats().await.unwrap().sessions, 0);
    // A host that listens to everybody is nobody's name, and an address of another manager is not served.
    for wrong in ["tls://0.0.0.0:0".into(), format!("tls://{other}@localhost:0")] {
        assert_eq!(builder().serve(&wrong).await.unwrap_err().kind(), ErrorKind::Config, "{wrong}");
    }
    // An id that is made of something else cannot be proved.
    let error = builder().identity("it").serve("tls://localhost:0").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[tokio::test]
async fn an_identity_in_a_file_is_the_same_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("identity");
    // Several that start at once make one.
    let made = join_all((0..8).map(|_| Identity::open(path.clone()))).await;
    let made: Vec<_> = made.into_iter().map(Result::unwrap).collect();
    assert!(made.iter().all(|identity| *identity == made[0]));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);

    let first = builder().tls_identity(made[0].clone()).serve("tls://127.0.0.1:0").await.unwrap();
    let address = address(&first);
    let client = Manager::connect(&address, key()).await.unwrap();
    let old = CounterProxy::create(&client, 1).await.unwrap();
    first.shutdown().await.unwrap();
    drop(first);
    let again = Identity::open(path.clone()).await.unwrap();
    assert_eq!(again.id(), made[0].id());
    let second = builder().tls_identity(again).serve(&address).await.unwrap();
    let client = Manager::connect(&address, key()).await.unwrap();
    assert_eq!(CounterProxy::create(&client, 2).await.unwrap().get().await, Ok(2));
    assert_eq!(old.get().await.unwrap_err().kind(), RemoteErrorKind::ManagerRestarted);
    second.shutdown().await.unwrap();

    let shown = format!("{:?}", made[0]);
    let secret = std::fs::read_to_string(&path).unwrap();
    assert!(shown.ends_with("***)") && !shown.contains(&secret), "{shown}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(Identity::open(path.clone()).await.unwrap_err().kind(), ErrorKind::Denied);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "nonsense").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(Identity::open(path).await.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn broken_connections_are_made_again_and_each_call_runs_once() {
    let manager = serve().await;
    let (id, port) =
        (manager.id().await.unwrap(), address(&manager).rsplit_once(':').unwrap().1.parse().unwrap());
    let proxy = TcpProxy::start(([127, 0, 0, 1], port).into()).await;
    let client = Manager::connect(&format!("tls://{id}@{}", proxy.addr()), key()).await.unwrap();
    let counter = CounterProxy::create(&client, 0).await.unwrap();
    let calls = async {
        for i in 1..=300 {
            assert_eq!(counter.add(1).await, Ok(i));
        }
    };
    let breaks = async {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(7)).await;
            proxy.reset();
        }
    };
    tokio::join!(calls, breaks);
    assert!(proxy.connections() > 1);
    manager.shutdown().await.unwrap();
}
