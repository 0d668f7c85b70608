//! Leases end by themselves, and when they are told.

use std::future::IntoFuture;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use futures_util::future::join;
use proxystore::{ErrorKind, Lease, Lifetime, Scope};
use proxystore_testkit::fault::{Fault, Op};
use tokio::time::{Instant, sleep, sleep_until};

use super::{goes, stubborn};
use crate::stores::{self, backends};

/// Nothing depends on when the background thread notices it.
#[tokio::test]
async fn a_lease_that_is_over_refuses_at_once() {
    let (store, stubborn) = stubborn(|| {
        std::thread::sleep(Duration::from_millis(500));
        Ok(())
    })
    .await;
    let scope = Scope::with_ttl(Duration::from_millis(100));
    scope.add_key(&store, &stubborn.key).await.unwrap();
    let lease = Lease::new(Duration::from_millis(200)).unwrap();
    stubborn.stubborn.store(true, Ordering::Relaxed);
    sleep(Duration::from_millis(250)).await;
    assert_eq!(store.put(&1).lifetime(&lease).await.unwrap_err().kind(), ErrorKind::Expired);
    assert_eq!(lease.extend(Duration::from_secs(1)).unwrap_err().kind(), ErrorKind::Expired);
    assert!(lease.done());
}

#[tokio::test]
async fn a_lease_that_is_extended_at_the_last_moment_keeps_its_objects() {
    let backend = stores::local().await;
    let (store, faulty) = backend.spied("last-moment").await;
    faulty.every(Op::Touch, Fault::Delay(Duration::from_millis(100)));
    let lease = Lease::new(Duration::from_millis(300)).unwrap();
    let key = store.put(&1).lifetime(&lease).await.unwrap();
    faulty.next(Op::Put, Fault::Delay(Duration::from_millis(400)));
    let being_put = store.put(&2).lifetime(&lease).into_future();
    let extend = async {
        sleep(Duration::from_millis(280)).await;
        lease.extend(Duration::from_secs(3600)).unwrap();
    };
    let (being_put, ()) = join(being_put, extend).await;
    sleep(Duration::from_secs(1)).await;
    assert!(store.exists(&key).await.unwrap() && store.exists(&being_put.unwrap()).await.unwrap());
}

#[tokio::test]
async fn a_lease_ends_by_itself_sooner_or_later_as_it_is_told() {
    for backend in backends().await {
        let store = backend.store("leased").await;
        let start = Instant::now();
        let lease = Lease::new(Duration::from_millis(300)).unwrap();
        let key = store.put(&1).lifetime(&lease).await.unwrap();
        lease.extend(Duration::from_millis(300)).unwrap();
        sleep_until(start + Duration::from_millis(450)).await;
        assert!(!lease.done() && store.exists(&key).await.unwrap(), "{}", backend.scheme);
        // A longer lease takes effect for what is attached already, and so does a shorter one.
        lease.expire_in(Duration::from_secs(3600)).unwrap();
        assert!(lease.remaining() > Duration::from_secs(3599));
        sleep_until(start + Duration::from_millis(900)).await;
        assert!(!lease.done() && store.exists(&key).await.unwrap(), "{}", backend.scheme);
        lease.expire_in(Duration::from_millis(50)).unwrap();
        goes(&store, &key).await;
        assert!(lease.done() && lease.remaining().is_zero());
        assert_eq!(lease.extend(Duration::from_secs(1)).unwrap_err().kind(), ErrorKind::Expired);
        assert_eq!(lease.expire_in(Duration::from_secs(1)).unwrap_err().kind(), ErrorKind::Expired);

        let lease = Lease::until(SystemTime::now() + Duration::from_secs(60)).unwrap();
        assert!(lease.remaining() > Duration::from_secs(58) && lease.remaining() <= Duration::from_secs(60));
        let key = store.put(&2).lifetime(&lease).await.unwrap();
        lease.expire_at(SystemTime::UNIX_EPOCH).unwrap();
        assert!(lease.done());
        assert_eq!(lease.end().await.evicted, 0, "it had ended already");
        goes(&store, &key).await;
    }
}

#[tokio::test]
async fn a_lease_longer_than_the_clock_never_ends() {
    let lease = Lease::new(Duration::MAX).unwrap();
    lease.extend(Duration::MAX).unwrap();
    assert_eq!((lease.remaining(), lease.done()), (Duration::MAX, false));
}
