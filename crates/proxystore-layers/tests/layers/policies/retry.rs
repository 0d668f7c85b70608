//! What is repeated, and what is not.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_fails_in_passing_is_repeated_with_growing_delays() {
    let inner = faulty();
    let store = around(inner.clone(), Retry::default());
    for failures in 0..4 {
        let before = inner.calls(Op::Exists);
        for i in 0..failures {
            inner.nth(Op::Exists, before + 1 + i, Fault::Fail(busy()));
        }
        let start = Instant::now();
        assert!(!store.exists(&key()).await.unwrap());
        assert_eq!(inner.calls(Op::Exists) - before, failures + 1);
        // At most 50 + 100 + 200 ms, and at least a millisecond each.
        let nominal = Duration::from_millis(50 * ((1 << failures) - 1));
        assert!(start.elapsed() <= nominal + Duration::from_millis(3), "{:?}", start.elapsed());
        assert!(start.elapsed() >= Duration::from_millis(failures));
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_error_says_how_often() {
    let inner = faulty();
    inner.every(Op::Get, Fault::Fail(busy()));
    let error = around(inner.clone(), Retry::default()).get(&key()).await.unwrap_err();
    assert_eq!((error.kind(), error.context("attempts")), (ErrorKind::Unavailable, Some("4")));
    assert_eq!(inner.calls(Op::Get), 4);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_is_not_repeated() {
    for kind in
        [ErrorKind::Denied, ErrorKind::Corrupt, ErrorKind::Full, ErrorKind::TooLarge, ErrorKind::Closed]
    {
        let inner = faulty();
        inner.every(Op::Get, Fault::Fail(Error::new(kind, "no")));
        let error = around(inner.clone(), Retry::default()).get(&key()).await.unwrap_err();
        assert_eq!((error.kind(), inner.calls(Op::Get)), (kind, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_of_a_write_is_settled() {
    let inner = faulty();
    let store = around(inner.clone(), Retry::default());
    let (ours, theirs) = (key(), key());
    inner.next(Op::Put, Fault::FailAfter(lost()));
    store.put(&ours, value(), &CREATE).await.expect("the object that is there is ours");
    assert_eq!(inner.calls(Op::Put), 2);

    // Somebody was faster, and then our reply is lost.
    inner.put(&theirs, Payload::from(vec![2; 100]), &CREATE).await.unwrap();
    inner.next(Op::Put, Fault::Fail(busy()));
    let error = store.put(&theirs, value(), &CREATE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    // The same bytes are no proof where no attempt can have put them.
    let same = super::key();
    inner.put(&same, value(), &CREATE).await.unwrap();
    inner.next(Op::Put, Fault::Fail(busy()));
    assert_eq!(store.put(&same, value(), &CREATE).await.unwrap_err().kind(), ErrorKind::Exists);
    // Without a fault, `Exists` is said at once.
    let calls = inner.calls(Op::Get);
    assert_eq!(store.put(&ours, value(), &CREATE).await.unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(inner.calls(Op::Get), calls);

    inner.next(Op::Put, Fault::FailAfter(lost()));
    store.put(&ours, value(), &PutOptions::default()).await.expect("an overwrite may happen twice");
    inner.next(Op::Evict, Fault::FailAfter(lost()));
    store.evict(&ours).await.expect("an evict may happen twice");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_cannot_be_settled_is_ambiguous() {
    let inner = faulty();
    let store = around(inner.clone(), Retry::default());
    inner.every(Op::Put, Fault::FailAfter(lost()));
    let error = store.put(&key(), value(), &PutOptions::default()).await.unwrap_err();
    assert_eq!((error.kind(), inner.calls(Op::Put)), (ErrorKind::Ambiguous, 4));

    // The first attempt may have happened, whatever surely did not happen after it.
    for last in [busy(), Error::new(ErrorKind::Full, "full")] {
        let inner = faulty();
        inner.every(Op::Put, Fault::Fail(last));
        inner.next(Op::Put, Fault::FailAfter(lost()));
        let store = around(inner.clone(), Retry::default());
        let error = store.put(&key(), value(), &PutOptions::default()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.context("before")),
            (ErrorKind::Ambiguous, Some("the reply is lost"))
        );
    }

    // The object of the first attempt is gone before the second looks.
    let inner = faulty();
    let store = around(inner.clone(), Retry::default());
    let taken = key();
    inner.next(Op::Put, Fault::FailAfter(lost()));
    inner.next(Op::Get, Fault::OtherKey(key()));
    let error = store.put(&taken, value(), &CREATE).await.map(|()| "put");
    // One look finds nothing; the next attempt finds its own object.
    assert_eq!(error.unwrap(), "put");
}

#[tokio::test(start_paused = true)]
async fn a_take_without_a_reply_is_never_repeated() {
    let inner = faulty();
    let store = around(inner.clone(), Retry::default());
    let key = key();
    store.put(&key, value(), &PutOptions::default()).await.unwrap();
    inner.next(Op::Take, Fault::Fail(busy()));
    inner.nth(Op::Take, 2, Fault::FailAfter(lost()));
    // The first attempt did not happen, so it was repeated; the second may have.
    assert_eq!(store.take(&key).await.unwrap_err().kind(), ErrorKind::Ambiguous);
    assert_eq!(inner.calls(Op::Take), 2);
}

#[tokio::test(start_paused = true)]
async fn a_dead_backend_is_not_stormed() {
    let inner = faulty();
    inner.every(Op::Get, Fault::Fail(busy()));
    let store = around(inner.clone(), Retry::default().budget(RetryBudget::new(20, 5.0)));
    let asks = (0..1_000).map(|_| async { store.get(&key()).await.unwrap_err() });
    let errors = join_all(asks).await;
    assert!(inner.calls(Op::Get) <= 1_000 + 21 + 5, "{}", inner.calls(Op::Get));
    assert!(errors.iter().any(|error| error.to_string().contains("repeats none of them")));
    // With time the budget is there again.
    advance(Duration::from_secs(60)).await;
    let before = inner.calls(Op::Get);
    store.get(&key()).await.unwrap_err();
    assert_eq!(inner.calls(Op::Get) - before, 4);
}

#[tokio::test(start_paused = true)]
async fn one_deadline_holds_all_attempts() {
    let inner = faulty();
    let backoff = Backoff { timeout: Duration::from_secs(5), ..Backoff::default() };
    let policies = Policies {
        retry: Some(Retry::new(100, backoff)),
        timeout: Some(Timeout::new(Duration::from_secs(2))),
        ..Policies::none()
    };
    let store = around(inner.clone(), policies);
    inner.every(Op::Get, Fault::Hang);
    inner.every(Op::Evict, Fault::Hang);
    let start = Instant::now();
    let read = store.get(&key()).await.unwrap_err();
    assert_eq!(read.kind(), ErrorKind::Timeout, "{read}");
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(inner.calls(Op::Get), 3);
    assert_eq!(store.evict(&key()).await.unwrap_err().kind(), ErrorKind::Ambiguous);
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_only_what_failed_in_passing_is_repeated() {
    let store = around(Arc::new(Slow::new(0, 0, Duration::ZERO)), Retry::default());
    let keys: Vec<_> = (0..6).map(|_| key()).collect();
    let got = store.get_many(&keys).await;
    let said: Vec<_> = got
        .into_iter()
        .map(|result| result.map(|found| found.unwrap().into_bytes()[0]).map_err(|error| error.kind()))
        .collect();
    assert_eq!(said, [Err(ErrorKind::Corrupt), Ok(99), Ok(2), Ok(99), Ok(4), Ok(99)]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_cut_off_may_have_happened() {
    let inner = faulty();
    inner.nth(Op::PutMany, 1, Fault::Fail(busy()));
    inner.nth(Op::PutMany, 2, Fault::Hang);
    let policies = Policies {
        retry: Some(Retry::new(2, Backoff::default())),
        timeout: Some(Timeout::default()),
        ..Policies::none()
    };
    let store = around(inner, policies);
    let items = (0..3).map(|_| (key(), value())).collect();
    for result in store.put_many(items, &PutOptions::default()).await {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Ambiguous);
    }
}

/// What settles a create needs room for the object, and the put has it.
#[tokio::test]
async fn a_large_create_is_settled_within_a_tight_limit() {
    let directory = tempfile::tempdir().unwrap();
    let config = FileConfig { root: directory.path().to_owned(), ..FileConfig::default() };
    let inner = FaultConnector::new(Arc::new(config.connect(Origin::Program).await.unwrap()));
    inner.next(Op::Put, Fault::FailAfter(lost()));
    let limit = Limit::new(1, 2 << 20).patience(Duration::from_secs(1));
    let store = around(inner, Policies { limit: Some(limit), ..Policies::standard() });
    store.put(&key(), vec![7; 3 << 19].into(), &CREATE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn clearing_takes_as_long_as_it_takes() {
    let inner = faulty();
    inner.next(Op::Clear, Fault::Delay(Duration::from_secs(300)));
    around(inner, Policies::standard()).clear().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_of_creates_our_own_are_told() {
    let inner = faulty();
    let store = around(inner.clone(), Retry::default());
    let keys: Vec<_> = (0..3).map(|_| key()).collect();
    inner.put(&keys[1], Payload::from(vec![9]), &CREATE).await.unwrap();
    let batch = inner.calls(Op::PutMany) + 1;
    inner.nth(Op::PutMany, batch, Fault::FailAfter(lost()));
    let items = keys.iter().map(|key| (key.clone(), value())).collect();
    let kinds: Vec<_> =
        store.put_many(items, &CREATE).await.into_iter().map(|r| r.map_err(|e| e.kind())).collect();
    assert_eq!(kinds, [Ok(()), Err(ErrorKind::Exists), Ok(())]);
}
