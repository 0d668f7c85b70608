//! What servers and networks do: never wrong data, never a create that is reported wrongly, never an outage that looks
//! like absence.

use proxystore_core::{Connector, ErrorKind, Mode, PutOptions};
use proxystore_store::Store;
use proxystore_testkit::s3::{Fault, On, S3Server};
use proxystore_testkit::sample;

use super::{connect, create, get, impatient, is_outage, key, put, rounds, with_policies};

/// Small enough for one look; for a first look; for several ranges.
const SIZES: [usize; 3] = [1_000, 300_000, 20 << 20];

/// A body that breaks is resumed where it broke, and one that a single fault spoils comes whole in the end.
#[tokio::test(flavor = "multi_thread")]
async fn broken_bodies_are_resumed() {
    let server = S3Server::start().await;
    let connector = impatient(&server).await;
    let patient = with_policies(connector.clone());
    for (i, size) in SIZES.into_iter().enumerate() {
        put(&*connector, &key(i), sample::make(i as u64, size)).await.unwrap();
    }
    for round in 0..rounds(50) {
        // The large one now and then.
        let i = if round % 10 == 9 { 2 } else { round % 2 };
        server.inject(On::Get, Fault::Truncated, 1 + (round % 3) as usize);
        let object = get(&*connector, &key(i)).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(sample::seed(object.expect("an outage is not absence")), Ok(i));
        assert_eq!(server.heal(), 0, "it did not come about");
    }
    // Without a length there is no answer that could be resumed.
    for round in 0..rounds(20) {
        server.inject(On::Get, Fault::TruncatedSilently, 1 + (round % 3) as usize);
        let object = get(&patient, &key(round % 3)).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(sample::seed(object.expect("an outage is not absence")), Ok(round % 3));
        server.heal();
    }
    server.inject(On::Get, Fault::Stalls, 1);
    assert_eq!(sample::seed(get(&*connector, &key(1)).await.unwrap().unwrap()), Ok(1));
    // What was there before the break does not come again.
    let before = server.count(On::Get);
    server.inject(On::Get, Fault::Truncated, 1);
    get(&*connector, &key(1)).await.unwrap();
    assert_eq!(server.count(On::Get) - before, 2);
}

/// Bodies that break time and again are an outage, within bounds.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_always_break_are_an_outage() {
    let server = S3Server::start().await;
    let connector = impatient(&server).await;
    put(&*connector, &key("a"), sample::make(1, 300_000)).await.unwrap();
    for fault in [Fault::Truncated, Fault::TruncatedSilently, Fault::Stalls] {
        server.inject(On::Get, fault, 1_000);
        let error = get(&*connector, &key("a")).await.expect_err("there is no whole answer");
        assert!(is_outage(&error), "{fault:?}: {error}");
        assert!(server.heal() > 900, "{fault:?}: without end");
    }
}

/// Answers that are no objects are outages, and no objects.
#[tokio::test(flavor = "multi_thread")]
async fn failing_reads_are_outages() {
    let server = S3Server::start().await;
    let connector = impatient(&server).await;
    put(&*connector, &key("a"), sample::make(1, 1_000)).await.unwrap();
    for fault in [Fault::SlowDown, Fault::FailsAfter, Fault::ErrorIn200, Fault::LostReply, Fault::Silent] {
        for _ in 0..rounds(if fault == Fault::Silent { 2 } else { 20 }) {
            server.inject(On::Get, fault, 1);
            let error = get(&*connector, &key("a")).await.expect_err("the only answer fails");
            assert!(is_outage(&error) && error.is_transient(), "{fault:?}: {error}");
            server.inject(On::Head, fault, 1);
            let error = connector.exists(&key("a")).await.expect_err("the only answer fails");
            assert!(is_outage(&error), "{fault:?}: {error}");
            assert_eq!(server.heal(), 0, "{fault:?} did not come about");
        }
    }
    // The policies around it try again.
    let patient = with_policies(connector);
    for fault in [Fault::SlowDown, Fault::FailsAfter, Fault::ErrorIn200, Fault::LostReply] {
        server.inject(On::Get, fault, 2);
        assert_eq!(sample::seed(get(&patient, &key("a")).await.unwrap().unwrap()), Ok(1));
    }
}

/// A create whose answer is lost is told from one that was too late, by all that can happen to it.
#[tokio::test(flavor = "multi_thread")]
async fn creates_are_reported_as_they_were() {
    let server = S3Server::start().await;
    let patient = with_policies(impatient(&server).await);
    let rival = connect(&server, "app").await;
    let faults = [Fault::LostReply, Fault::FailsAfter, Fault::SlowDown, Fault::ErrorIn200, Fault::Silent];
    for fault in faults {
        for round in 0..rounds(if fault == Fault::Silent { 2 } else { 25 }) {
            let name = key(format!("{fault:?}-{round}"));
            server.inject(On::Put, fault, 1);
            create(&patient, &name, sample::make(round, 1_000))
                .await
                .unwrap_or_else(|e| panic!("{fault:?}: {e}"));
            let second = create(&*rival, &name, sample::make(9_999, 1_000)).await.unwrap_err();
            assert_eq!(second.kind(), ErrorKind::Exists, "{second}");
            // The one that is too late is told so, whatever happens to it.
            server.inject(On::Put, fault, 1);
            let late = create(&patient, &name, sample::make(8_888, 1_000)).await.unwrap_err();
            assert_eq!(late.kind(), ErrorKind::Exists, "{fault:?}: {late}");
            assert_eq!(sample::seed(get(&*rival, &name).await.unwrap().unwrap()), Ok(round));
            assert_eq!(server.heal(), 0);
        }
    }
}

/// Without policies a lost answer is what it is: a request is made once.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_ambiguous() {
    let server = S3Server::start().await;
    let connector = impatient(&server).await;
    for (fault, kind) in [
        (Fault::LostReply, ErrorKind::Ambiguous),
        (Fault::FailsAfter, ErrorKind::Ambiguous),
        (Fault::ErrorIn200, ErrorKind::Ambiguous),
        (Fault::Silent, ErrorKind::Ambiguous),
        (Fault::SlowDown, ErrorKind::Unavailable),
    ] {
        for mode in [Mode::Create, Mode::Overwrite] {
            server.inject(On::Put, fault, 1);
            let options = PutOptions { mode, ..PutOptions::default() };
            let name = key(format!("{fault:?}-{mode:?}"));
            let before = server.count(On::Put);
            let error = connector.put(&name, sample::make(1, 100).into(), &options).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{fault:?}: {error}");
            assert_eq!(server.count(On::Put) - before, 1, "{fault:?}");
        }
        server.heal();
    }
}

/// A take whose answer is lost may have happened; no other taker gets the object, too.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_taken_once() {
    let server = S3Server::start().await;
    let patient = with_policies(impatient(&server).await);
    for fault in [Fault::LostReply, Fault::FailsAfter, Fault::Silent] {
        put(&patient, &key("a"), sample::make(1, 1_000)).await.unwrap();
        server.inject(On::Put, fault, 1);
        let error = patient.take(&key("a")).await.expect_err("the only answer is lost");
        assert_eq!(error.kind(), ErrorKind::Ambiguous, "{fault:?}: {error}");
        assert!(patient.take(&key("a")).await.unwrap().is_none(), "{fault:?}: taken twice");
        server.heal();
    }
}

/// Each request of a large put may fail: it is whole or an error, and what has begun is removed.
#[tokio::test(flavor = "multi_thread")]
async fn failed_parts_leave_no_uploads() {
    let server = S3Server::start().await;
    let connector = impatient(&server).await;
    for request in [On::BeginUpload, On::Part, On::CompleteUpload, On::AbortUpload] {
        for fault in [Fault::SlowDown, Fault::FailsAfter, Fault::ErrorIn200, Fault::LostReply] {
            // Nobody learns of an upload whose beginning was not answered: see the documentation.
            let unknown = request == On::BeginUpload && fault != Fault::SlowDown;
            // The answer to an abort has no body that could be an error.
            if unknown || (request, fault) == (On::AbortUpload, Fault::ErrorIn200) {
                continue;
            }
            let name = key(format!("{request:?}-{fault:?}"));
            server.inject(request, fault, 1);
            if request == On::AbortUpload {
                server.inject(On::Part, Fault::SlowDown, 100);
            }
            let put = put(&*connector, &name, sample::make(7, 20 << 20)).await;
            server.heal();
            match put {
                Ok(()) => {
                    let object = get(&*connector, &name).await.unwrap().unwrap();
                    assert_eq!(sample::seed(object), Ok(7), "{request:?} {fault:?}");
                }
                Err(error) => assert!(is_outage(&error), "{request:?} {fault:?}: {error}"),
            }
            connector.evict(&name).await.unwrap();
        }
    }
    connector.close().await.unwrap();
    assert_eq!(server.uploads(), 0, "an upload is left after close");
}

/// A part that fails in passing is repeated alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_repeated_alone() {
    let server = S3Server::start().await;
    let connector = impatient(&server).await;
    for fault in [Fault::SlowDown, Fault::LostReply, Fault::Silent] {
        server.inject(On::Part, fault, 2);
        let (begun, parts) = (server.count(On::BeginUpload), server.count(On::Part));
        put(&*connector, &key("a"), sample::make(3, 20 << 20)).await.unwrap();
        assert_eq!(server.count(On::BeginUpload) - begun, 1);
        assert_eq!(server.count(On::Part) - parts, 3 + 2, "{fault:?}");
        assert_eq!(sample::seed(get(&*connector, &key("a")).await.unwrap().unwrap()), Ok(3));
    }
}

/// Of a put that is dropped nothing is left, and close waits until that is so.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_put_leaves_no_upload() {
    let server = S3Server::start().await;
    let connector = connect(&server, "app").await;
    for request in [On::BeginUpload, On::Part, On::CompleteUpload] {
        // An answer that comes never: it is dropped there.
        server.inject(request, Fault::Silent, 100);
        let before = server.count(request);
        let put = tokio::spawn({
            let connector = connector.clone();
            async move { put(&*connector, &key("a"), sample::make(1, 20 << 20)).await }
        });
        while server.count(request) == before {
            tokio::task::yield_now().await;
        }
        put.abort();
        assert!(put.await.is_err());
        server.heal();
    }
    connector.close().await.unwrap();
    // The one whose beginning was never answered may be there.
    assert!(server.uploads() <= 1, "{} uploads are left", server.uploads());
}

/// A bit that is another on the way back is found by the store, which checks what it put.
#[tokio::test(flavor = "multi_thread")]
async fn flipped_bits_are_corrupt() {
    let server = S3Server::start().await;
    let connector = connect(&server, "app").await;
    let store = Store::builder("flips").shared_connector(connector).cache_objects(0).build().await.unwrap();
    for size in [100, 300_000] {
        let key = store.put(&sample::make(1, size).to_vec()).await.unwrap();
        for _ in 0..rounds(50) {
            server.inject(On::Get, Fault::Flipped, 1);
            let error = store.get::<Vec<u8>>(&key).await.expect_err("it is not what was put");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
        assert_eq!(store.get::<Vec<u8>>(&key).await.unwrap().unwrap().len(), size);
    }
}

/// Whoever answers with another address does not get the next request.
#[tokio::test]
async fn redirects_are_not_followed() {
    let server = S3Server::start().await;
    let connector = connect(&server, "app").await;
    put(&*connector, &key("a"), sample::make(1, 100)).await.unwrap();
    server.inject(On::Get, Fault::Redirected, 1);
    let error = get(&*connector, &key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("redirects are not followed"), "{error}");
}

/// What has expired is removed by a sweep, and each object is looked at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_removes_what_is_over() {
    let server = S3Server::start().await;
    let connector = connect(&server, "app").await;
    let ended = PutOptions { ttl: Some(std::time::Duration::ZERO), ..PutOptions::default() };
    for i in 0..5 {
        connector.put(&key(format!("over/{i}")), sample::make(i, 100).into(), &ended).await.unwrap();
        put(&*connector, &key(format!("stays/{i}")), sample::make(i, 100)).await.unwrap();
    }
    assert_eq!(connector.sweep().await.unwrap(), 5);
    assert_eq!(server.objects().len(), 5);
    let before = server.count(On::Head);
    assert_eq!(connector.sweep().await.unwrap(), 0);
    assert_eq!(server.count(On::Head), before, "what is known is asked for again");
}
