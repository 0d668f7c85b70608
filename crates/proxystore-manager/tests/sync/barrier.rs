//! `Barrier`.

use std::time::Duration;

use futures_util::future::{join, join_all};
use proxystore_manager::CallError;
use proxystore_manager::sync::{BarrierProxy, SyncError};
use tokio::time::timeout;

use crate::common::{Fragile, SECOND, objects, pair, settle};

const BROKEN: Result<u32, CallError<SyncError>> = Err(CallError::App(SyncError::Broken));

#[tokio::test(start_paused = true)]
async fn all_wait_for_each_other_and_exactly_one_gets_index_0() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let barrier = BarrierProxy::create(manager, 5).await.unwrap();
        assert_eq!(barrier.parties().await, Ok(5));
        for _ in 0..3 {
            let (four, last) = join(join_all((0..4).map(|_| barrier.wait(None))), async {
                settle().await;
                assert_eq!(barrier.waiting().await, Ok(4));
                barrier.wait(None).await
            })
            .await;
            let mut indices: Vec<_> = four.into_iter().chain([last]).map(Result::unwrap).collect();
            indices.sort_unstable();
            assert_eq!(indices, [0, 1, 2, 3, 4]);
            assert_eq!((barrier.waiting().await, barrier.is_broken().await), (Ok(0), Ok(false)));
        }
    }
    objects(&manager, 0).await;
}

#[tokio::test(start_paused = true)]
async fn one_party_waits_for_nobody() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        for parties in [0, 1] {
            let barrier = BarrierProxy::create(manager, parties).await.unwrap();
            assert_eq!(barrier.wait(Some(Duration::ZERO)).await, Ok(0));
            assert_eq!(barrier.wait(None).await, Ok(0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_too_late_breaks_it_for_all() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let barrier = BarrierProxy::create(manager, 3).await.unwrap();
        let (patient, hasty) = join(barrier.wait(None), barrier.wait(Some(SECOND))).await;
        assert_eq!((patient, hasty), (BROKEN, BROKEN));
        assert_eq!((barrier.is_broken().await, barrier.waiting().await), (Ok(true), Ok(0)));
        assert_eq!(barrier.wait(None).await, BROKEN);
        barrier.reset().await.unwrap();
        assert_eq!(barrier.is_broken().await, Ok(false));
        let again = join_all((0..3).map(|_| barrier.wait(Some(SECOND)))).await;
        assert!(again.iter().all(Result::is_ok), "{again:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_may_have_a_time_for_all_waits() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let barrier = BarrierProxy::with_timeout(manager, 2, SECOND).await.unwrap();
        assert_eq!(timeout(2 * SECOND, barrier.wait(None)).await.unwrap(), BROKEN);
    }
}

#[tokio::test(start_paused = true)]
async fn abort_breaks_it_until_it_is_reset() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let barrier = BarrierProxy::create(manager, 3).await.unwrap();
        let abort = async {
            settle().await;
            barrier.abort().await.unwrap();
        };
        let (one, two, ()) = tokio::join!(barrier.wait(None), barrier.wait(None), abort);
        assert_eq!((one, two), (BROKEN, BROKEN));
        assert_eq!(barrier.wait(None).await, BROKEN);
        barrier.reset().await.unwrap();
        let again = join_all((0..3).map(|_| barrier.wait(None))).await;
        assert!(again.iter().all(Result::is_ok), "{again:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn reset_sends_away_who_waits_and_leaves_it_whole() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let barrier = BarrierProxy::create(manager, 2).await.unwrap();
        let reset = async {
            settle().await;
            barrier.reset().await.unwrap();
        };
        assert_eq!(join(barrier.wait(None), reset).await.0, BROKEN);
        assert_eq!(barrier.is_broken().await, Ok(false));
        let (one, two) = join(barrier.wait(None), barrier.wait(None)).await;
        assert!(one.is_ok() && two.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_breaks_it() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let barrier = BarrierProxy::create(manager, 3).await.unwrap();
        let (stays, leaves) = join(barrier.wait(None), timeout(SECOND, barrier.wait(None))).await;
        leaves.unwrap_err();
        assert_eq!(stays, BROKEN);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_off_while_it_waits_breaks_it() {
    let (manager, client) = pair().await;
    let fragile = Fragile::new(&manager).await;
    let barrier = BarrierProxy::get_or_create(&client, "barrier", 3).await.unwrap();
    let same: BarrierProxy = fragile.client.lookup("barrier").await.unwrap();
    let lost = tokio::spawn(async move { same.wait(None).await });
    settle().await;
    fragile.break_now();
    settle().await;
    assert_eq!(barrier.waiting().await, Ok(1));
    fragile.cut();
    assert_eq!(timeout(5 * SECOND, barrier.wait(None)).await.unwrap(), BROKEN);
    lost.await.unwrap().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn who_takes_part_and_is_cut_off_while_it_works_breaks_it() {
    let (manager, client) = pair().await;
    let fragile = Fragile::new(&manager).await;
    let barrier = BarrierProxy::get_or_create(&client, "barrier", 2).await.unwrap();
    let same: BarrierProxy = fragile.client.lookup("barrier").await.unwrap();
    let (mine, theirs) = (barrier.join().await.unwrap(), same.join().await.unwrap());
    let (one, two) = join(mine.wait(None), theirs.wait(None)).await;
    assert!(one.is_ok() && two.is_ok());
    fragile.cut();
    assert_eq!(timeout(5 * SECOND, mine.wait(None)).await.unwrap(), BROKEN);
    drop(theirs);
}

/// It is cut off before it hears that all have come: the others are on their way, and wait in vain the next time.
#[tokio::test(start_paused = true)]
async fn who_never_hears_that_all_have_come_breaks_it_for_the_next_time() {
    let (manager, client) = pair().await;
    let fragile = Fragile::new(&manager).await;
    let barrier = BarrierProxy::get_or_create(&client, "barrier", 2).await.unwrap();
    let same: BarrierProxy = fragile.client.lookup("barrier").await.unwrap();
    let lost = tokio::spawn(async move { same.wait(None).await });
    settle().await;
    fragile.cut();
    assert_eq!(barrier.wait(None).await, Ok(1));
    assert_eq!(timeout(5 * SECOND, barrier.wait(None)).await.unwrap(), BROKEN);
    lost.await.unwrap().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn who_never_hears_that_all_have_come_does_not_break_it_after_a_reset() {
    let (manager, client) = pair().await;
    let fragile = Fragile::new(&manager).await;
    let barrier = BarrierProxy::get_or_create(&client, "barrier", 2).await.unwrap();
    let same: BarrierProxy = fragile.client.lookup("barrier").await.unwrap();
    let lost = tokio::spawn(async move { same.wait(None).await });
    settle().await;
    fragile.cut();
    assert_eq!(barrier.wait(None).await, Ok(1));
    barrier.reset().await.unwrap();
    lost.await.unwrap().unwrap_err();
    tokio::time::sleep(SECOND).await;
    assert_eq!(barrier.is_broken().await, Ok(false));
}

#[tokio::test(start_paused = true)]
async fn who_takes_part_and_leaves_does_not_break_it() {
    let (manager, client) = pair().await;
    for manager in [&manager, &client] {
        let barrier = BarrierProxy::create(manager, 1).await.unwrap();
        let party = barrier.join().await.unwrap();
        party.leave().await.unwrap();
        drop(party);
        settle().await;
        assert_eq!(barrier.is_broken().await, Ok(false));
        drop(barrier.join().await.unwrap());
        settle().await;
        assert_eq!(barrier.is_broken().await, Ok(true));
    }
}
