//! How long objects live, and what proxies are outside of calls.

use std::time::Duration;

use futures_util::future::join_all;
use proxystore_manager::{Encoded, Limits, Manager, ObjectProxy, RemoteErrorKind, object};

use crate::common::{Counter, CounterProxy, client, limits, objects, pair};

#[tokio::test]
async fn the_last_proxy_takes_the_object_with_it() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let counter = CounterProxy::create(manager, 1).await.unwrap();
        let clone = counter.clone();
        drop(counter);
        assert_eq!(clone.get().await, Ok(1));
        drop(clone);
        objects(manager, 0).await;
    }
}

#[tokio::test]
async fn a_nested_object_lives_with_its_container_and_goes_with_it() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let outer = CounterProxy::create(manager, 1).await.unwrap();
        let inner = CounterProxy::create(manager, 2).await.unwrap();
        outer.keep(inner.clone()).await.unwrap();
        inner.add(1).await.unwrap();
        drop(inner);
        objects(manager, 2).await;
        let kept = outer.kept().await.unwrap();
        assert_eq!(kept[0].get().await, Ok(3));
        outer.forget().await.unwrap();
        assert_eq!(kept[0].get().await, Ok(3));
        drop(kept);
        objects(manager, 1).await;
        drop(outer);
        objects(manager, 0).await;
    }
}

#[tokio::test]
async fn a_long_chain_of_objects_is_dropped_without_recursion() {
    let (manager, _) = pair().await;
    let mut last = manager.host(Counter::default()).unwrap();
    for _ in 0..20_000 {
        let next = manager.host(Counter::with(last)).unwrap();
        last = next;
    }
    objects(&manager, 20_001).await;
    drop(last);
    objects(&manager, 0).await;
}

#[tokio::test]
async fn a_method_hands_out_an_object() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let counter = CounterProxy::create(manager, 1).await.unwrap();
        let child = counter.child(5).await.unwrap();
        assert_eq!(child.get().await, Ok(5));
        assert_eq!(child.base().is_home(), counter.base().is_home());
        drop(child);
        objects(manager, 1).await;
    }
}

#[tokio::test]
async fn many_clients_create_and_drop_and_nothing_is_left() {
    let (manager, _client) = pair().await;
    let clients = join_all((0..4).map(|_| client(&manager))).await;
    let work = clients.iter().map(async |client| {
        for i in 0..200 {
            let counter = CounterProxy::create(client, i).await.unwrap();
            let child = counter.child(i).await.unwrap();
            counter.keep(child).await.unwrap();
            assert_eq!(counter.kept().await.unwrap()[0].get().await, Ok(i));
        }
    });
    join_all(work).await;
    objects(&manager, 0).await;
}

#[tokio::test]
async fn a_client_that_falls_silent_loses_what_it_held() {
    let limits = Limits { lease: Duration::from_millis(150), ..limits() };
    let manager = Manager::builder().register::<Counter>().limits(limits).serve_anywhere().await.unwrap();
    let address = manager.addresses().unwrap()[0].to_string();
    let key = manager.authkey().unwrap();
    // The client has a runtime of its own, which stops without a word.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let held = runtime.spawn(async move {
        let client = Manager::connect(&address, key).await.unwrap();
        let held = join_all((0..50).map(|i| CounterProxy::create(&client, i))).await;
        held.into_iter().map(Result::unwrap).collect::<Vec<_>>()
    });
    let held = held.await.unwrap();
    objects(&manager, 50).await;
    runtime.shutdown_background();
    objects(&manager, 0).await;
    assert_eq!(manager.stats().await.unwrap().sessions, 0);
    drop(held);
    manager.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_idle_client_keeps_what_it_holds() {
    let (manager, client) = pair().await;
    let counter = CounterProxy::create(&client, 1).await.unwrap();
    tokio::time::sleep(3 * limits().lease).await;
    assert_eq!(counter.get().await, Ok(1));
    drop(client);
    assert_eq!(manager.stats().await.unwrap().objects, 1);
}

#[tokio::test]
async fn a_client_that_goes_takes_its_session_with_it() {
    let (manager, client) = pair().await;
    let counter = CounterProxy::create(&client, 1).await.unwrap();
    drop(client);
    assert_eq!(manager.stats().await.unwrap().sessions, 1);
    drop(counter);
    let gone = async {
        while manager.stats().await.unwrap().sessions > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    // Long before the lease is over.
    tokio::time::timeout(Duration::from_millis(300), gone).await.unwrap();
}

#[tokio::test]
async fn sent_home_a_proxy_is_the_referent() {
    let (manager, client) = pair().await;
    let away = CounterProxy::create(&client, 1).await.unwrap();
    assert!(!away.base().is_home());
    for text in [true, false] {
        let home: CounterProxy = if text {
            serde_json::from_str(&serde_json::to_string(&away).unwrap()).unwrap()
        } else {
            rmp_serde::from_slice(&rmp_serde::to_vec(&away).unwrap()).unwrap()
        };
        assert!(home.base().is_home());
        assert_eq!(home, away);
        home.add(1).await.unwrap();
    }
    assert_eq!(away.get().await, Ok(3));
    // Without its session, a home proxy alone keeps the object.
    let home: CounterProxy = serde_json::from_str(&serde_json::to_string(&away).unwrap()).unwrap();
    drop((away, client));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(home.get().await, Ok(3));
    let _ = manager;
}

#[tokio::test(start_paused = true)]
async fn a_reference_on_its_way_keeps_the_object_for_a_while() {
    let (manager, _client) = pair().await;
    let counter = manager.host(Counter::default()).unwrap();
    let text = serde_json::to_string(&counter).unwrap();
    drop(counter);
    tokio::time::advance(Duration::from_secs(59)).await;
    let again: CounterProxy = serde_json::from_str(&text).unwrap();
    assert_eq!(again.get().await, Ok(0));
    drop(again);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let late: CounterProxy = serde_json::from_str(&text).unwrap();
    assert_eq!(late.get().await.unwrap_err().kind(), RemoteErrorKind::ObjectGone);
    assert_eq!(manager.stats().await.unwrap().objects, 0);
}

#[tokio::test]
async fn a_weaker_reference_cannot_be_made_stronger() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let counter = CounterProxy::create(manager, 1).await.unwrap();
        let weak = CounterProxy::from_base(counter.base().read_only().unwrap());
        assert_eq!(weak.get().await, Ok(1));
        let denied = weak.add(1).await.unwrap_err();
        assert_eq!(denied.remote().unwrap().kind(), RemoteErrorKind::PermissionDenied);
        // The manager says the same, whatever the proxy believes; also after a journey, and from a container.
        let asked = weak.base().call_method::<_, i64, crate::common::Overflow>("add", &(1,)).await;
        assert_eq!(asked.unwrap_err().remote().unwrap().kind(), RemoteErrorKind::PermissionDenied);
        let holder = CounterProxy::create(manager, 1).await.unwrap();
        holder.keep(weak).await.unwrap();
        let kept = holder.kept().await.unwrap();
        let asked = kept[0].base().call_method::<_, i64, crate::common::Overflow>("add", &(1,)).await;
        assert_eq!(asked.unwrap_err().remote().unwrap().kind(), RemoteErrorKind::PermissionDenied);
        let only = counter.base().only_methods(&["add"]).unwrap();
        assert!(CounterProxy::from_base(only.clone()).add(1).await.is_ok());
        assert_eq!(
            CounterProxy::from_base(only).get().await.unwrap_err().kind(),
            RemoteErrorKind::PermissionDenied
        );
        let over = counter.base().expires_in(Duration::ZERO).unwrap();
        let over = CounterProxy::from_base(over).get().await.unwrap_err().kind();
        assert_eq!(over, RemoteErrorKind::PermissionDenied);
    }
    objects(&manager, 0).await;
}

#[tokio::test]
async fn a_foreign_or_altered_reference_opens_nothing() {
    let (manager, client) = pair().await;
    let counter = CounterProxy::create(&client, 1).await.unwrap();
    let text = serde_json::to_string(&counter).unwrap();
    // Another object of the same manager, with the token of this one.
    let second = CounterProxy::create(&client, 2).await.unwrap();
    let other = serde_json::to_string(&second).unwrap();
    let (place, _) = other.split_once("&k=").unwrap();
    let (_, token) = text.split_once("&k=").unwrap();
    let forged: CounterProxy = serde_json::from_str(&format!("{place}&k={token}")).unwrap();
    assert_eq!(forged.get().await.unwrap_err().kind(), RemoteErrorKind::ObjectGone);
    // A manager that is not known here is not dialed.
    let id = client.id().await.unwrap().to_string();
    let foreign: CounterProxy = serde_json::from_str(&text.replace(&id, &"0".repeat(32))).unwrap();
    assert_eq!(foreign.get().await.unwrap_err().kind(), RemoteErrorKind::DialRefused);
    let _ = manager;
}

#[derive(Default)]
struct Shelf(Vec<Encoded>);

#[object]
impl Shelf {
    #[ctor]
    fn new() -> Self {
        Self::default()
    }

    fn put(&mut self, value: Encoded) {
        self.0.push(value);
    }

    fn get(&self) -> Vec<Encoded> {
        self.0.clone()
    }
}

#[tokio::test]
async fn a_container_that_does_not_know_its_values_keeps_what_they_lead_to() {
    let manager =
        Manager::builder().register::<Counter>().register::<Shelf>().limits(limits()).in_process().unwrap();
    let client = client(&manager).await;
    for manager in [&manager, &client] {
        let shelf = ShelfProxy::create(manager).await.unwrap();
        let counter = CounterProxy::create(manager, 5).await.unwrap();
        shelf.put(Encoded::new(&("a", vec![counter])).unwrap()).await.unwrap();
        objects(manager, 2).await;
        let values = shelf.get().await.unwrap();
        let (name, counters) = values[0].decode::<(String, Vec<CounterProxy>)>().unwrap();
        assert_eq!((name.as_str(), counters[0].get().await), ("a", Ok(5)));
        assert_eq!(values[0], shelf.get().await.unwrap()[0]);
        drop((shelf, counters, values));
        objects(manager, 0).await;
    }
}

#[tokio::test]
async fn a_proxy_at_home_ends_with_its_manager() {
    let (manager, client) = pair().await;
    let counter = CounterProxy::create(&manager, 1).await.unwrap();
    let away = CounterProxy::create(&client, 1).await.unwrap();
    assert_eq!(counter.get().await, Ok(1));
    manager.shutdown().await.unwrap();
    assert_eq!(counter.get().await.unwrap_err().kind(), RemoteErrorKind::ShuttingDown);
    let lost = away.get().await.unwrap_err();
    assert!(!lost.to_string().contains(") ("), "the manager is named once: {lost}");
}
