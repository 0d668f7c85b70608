//! `Event`.

use std::time::Duration;

use futures_util::future::{join, join_all};
use proxystore_manager::sync::EventProxy;
use tokio::time::timeout;

use crate::common::{Fragile, SECOND, builder, objects, pair, settle};

#[tokio::test(start_paused = true)]
async fn all_who_wait_go_on_when_it_is_set() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let event = EventProxy::create(manager).await.unwrap();
        assert_eq!(event.is_set().await, Ok(false));
        assert_eq!(event.wait(Some(Duration::ZERO)).await, Ok(false));
        assert_eq!(event.wait(Some(SECOND)).await, Ok(false));
        let set = async {
            settle().await;
            event.set().await.unwrap();
        };
        let (woken, ()) = join(join_all((0..1000).map(|_| event.wait(None))), set).await;
        assert!(woken.into_iter().all(|woken| woken == Ok(true)));
        assert_eq!(event.is_set().await, Ok(true));
        assert_eq!(event.wait(Some(Duration::ZERO)).await, Ok(true));
        event.clear().await.unwrap();
        assert_eq!(event.is_set().await, Ok(false));
        assert_eq!(event.wait(Some(SECOND)).await, Ok(false));
    }
    objects(&manager, 0).await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_goes_on_although_it_is_cleared_at_once() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let event = EventProxy::create(manager).await.unwrap();
        let set = async {
            settle().await;
            let (set, cleared) = join(event.set(), event.clear()).await;
            set.and(cleared).unwrap();
        };
        let (woken, ()) = join(event.wait(Some(60 * SECOND)), set).await;
        assert_eq!((woken, event.is_set().await), (Ok(true), Ok(false)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_outlives_connections() {
    let manager = builder().in_process().unwrap();
    let fragile = Fragile::new(&manager).await;
    let event = EventProxy::get_or_create(&fragile.client, "event").await.unwrap();
    let waiting = tokio::spawn({
        let event = event.clone();
        async move { event.wait(None).await }
    });
    for _ in 0..5 {
        settle().await;
        fragile.break_now();
    }
    let home: EventProxy = manager.lookup("event").await.unwrap();
    home.set().await.unwrap();
    assert_eq!(timeout(5 * SECOND, waiting).await.unwrap().unwrap(), Ok(true));
}
