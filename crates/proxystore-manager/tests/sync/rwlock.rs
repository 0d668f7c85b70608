//! `RwLock`.

use std::time::Duration;

use futures_util::future::join;
use proxystore_manager::sync::RwLockProxy;
use tokio::time::timeout;

use crate::common::{Fragile, SECOND, objects, pair, settle};

#[tokio::test(start_paused = true)]
async fn readers_are_together_and_a_writer_is_alone() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let lock = RwLockProxy::create(manager).await.unwrap();
        let (one, two) = (lock.read().await.unwrap(), lock.read().await.unwrap());
        assert!(two.fence() > one.fence());
        assert!(lock.write_within(SECOND).await.unwrap().is_none());
        one.release().await.unwrap();
        assert!(lock.write_within(Duration::ZERO).await.unwrap().is_none());
        two.release().await.unwrap();
        let alone = lock.write().await.unwrap();
        assert!(lock.write_within(SECOND).await.unwrap().is_none());
        assert!(lock.read_within(SECOND).await.unwrap().is_none());
        drop(alone);
        assert!(lock.read_within(SECOND).await.unwrap().is_some());
    }
    objects(&manager, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_waits_for_a_writer_that_was_there_first() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let lock = RwLockProxy::create(manager).await.unwrap();
        let reader = lock.read().await.unwrap();
        let writer = async {
            let alone = lock.write().await.unwrap();
            settle().await;
            let fence = alone.fence();
            alone.release().await.unwrap();
            fence
        };
        let late = async {
            settle().await;
            assert!(lock.read_within(SECOND).await.unwrap().is_none());
            let (late, ()) = join(lock.read(), async {
                settle().await;
                reader.release().await.unwrap();
            })
            .await;
            late.unwrap().fence()
        };
        let (writer, late) = join(writer, late).await;
        assert!(writer < late);
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_waits_no_more_lets_readers_pass() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let lock = RwLockProxy::create(manager).await.unwrap();
        let _reader = lock.read().await.unwrap();
        let writer = timeout(SECOND, lock.write());
        let reader = async {
            settle().await;
            timeout(5 * SECOND, lock.read()).await.unwrap().unwrap()
        };
        let (writer, _reader) = join(writer, reader).await;
        writer.unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_is_cut_off_loses_it_with_its_lease() {
    let (manager, client) = pair().await;
    let fragile = Fragile::new(&manager).await;
    let lock = RwLockProxy::get_or_create(&client, "lock").await.unwrap();
    let same: RwLockProxy = fragile.client.lookup("lock").await.unwrap();
    let _alone = same.write().await.unwrap();
    fragile.cut();
    let (one, two) = timeout(5 * SECOND, join(lock.read(), lock.read())).await.unwrap();
    assert!(one.is_ok() && two.is_ok());
}
