//! What servers and networks do: never wrong data, never a create that is reported wrongly, never an outage that looks
//! like absence.

use futures_util::future::join_all;
use proxystore_core::{Connector, ErrorKind, Mode, PutOptions};
use proxystore_s3::S3Connector;
use proxystore_store::Store;
use proxystore_testkit::s3::{Fault, On, S3Server};
use proxystore_testkit::sample;
use proxystore_testkit::tcp_proxy::{Direction, Faults, TcpProxy};

use crate::{client, config, connect, create, get, impatient, is_outage, key, put, rounds, with_policies};

/// Small enough for one request; for one request and a first look; for several ranges.
const SIZES: [usize; 3] = [1_000, 300_000, 20 << 20];

/// A body that breaks is resumed where it broke, and one that a single fault spoils comes whole in the end.
#[tokio::test(flavor = "multi_thread")]
async fn broken_bodies_are_resumed() {
    let server = S3Server::start().await;
    let connector = impatient(&server).await;
    for (i, size) in SIZES.into_iter().enumerate() {
        put(&*connector, &key(i), sample::make(i as u64, size)).await.unwrap();
    }
    for fault in [Fault::Truncated, Fault::TruncatedSilently] {
        for round in 0..rounds(50) {
            // The large one now and then.
            let i = if round % 10 == 9 { 2 } else { round % 2 };
            server.inject(On::Get, fault, 1 + (round % 3) as usize);
            let object = get(&*connector, &key(i)).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            assert_eq!(sample::seed(object.expect("an outage is not absence")), Ok(i), "{fault:?}");
            assert_eq!(server.heal(), 0, "{fault:?} did not come about");
        }
    }
    // Each silence costs a deadline, so they come all at once.
    for _ in 0..rounds(4) {
        server.inject(On::Get, Fault::Stalls, 10);
        let names: Vec<_> = (0..10).map(|i| key(i % 2)).collect();
        for (i, object) in (0..).zip(join_all(names.iter().map(|name| get(&*connector, name))).await) {
            let object = object.unwrap_or_else(|error| panic!("a stall: {error}"));
            assert_eq!(sample::seed(object.expect("an outage is not absence")), Ok(i % 2));
        }
        assert_eq!(server.heal(), 0);
    }
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
            // An answer to HEAD has no body, so nothing tells that it is an error.
            if fault != Fault::ErrorIn200 {
                let error = connector.exists(&key("a")).await.expect_err("the only answer fails");
                assert!(is_outage(&error), "{fault:?}: {error}");
            }
            server.heal();
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

/// Without policies a lost answer is what it is.
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
            let error = connector.put(&name, sample::make(1, 100).into(), &options).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{fault:?}: {error}");
        }
        server.inject(On::Delete, fault, 1);
        let evicted = connector.evict(&key("a")).await;
        assert!(evicted.is_err() || fault == Fault::ErrorIn200, "{fault:?}");
        server.heal();
    }
}

/// Each request of a large put may fail: it is whole or an error, a create is reported as it was, and after the end
/// there is no upload.
#[tokio::test(flavor = "multi_thread")]
async fn failed_parts_leave_no_uploads() {
    let server = S3Server::start().await;
    let connector = impatient(&server).await;
    let patient = with_policies(connector.clone());
    let size = 20 << 20;
    let requests = [On::BeginUpload, On::Part, On::CompleteUpload, On::AbortUpload];
    for request in requests {
        for fault in [Fault::SlowDown, Fault::FailsAfter, Fault::ErrorIn200, Fault::LostReply] {
            for round in 0..rounds(1) {
                let name = key(format!("{request:?}-{fault:?}-{round}"));
                server.inject(request, fault, 1);
                if request == On::AbortUpload {
                    server.inject(On::Part, Fault::SlowDown, 100);
                }
                let created = create(&patient, &name, sample::make(round, size)).await;
                server.heal();
                match created {
                    Ok(()) => {
                        let object = get(&*connector, &name).await.unwrap().unwrap();
                        assert_eq!(sample::seed(object), Ok(round), "{request:?} {fault:?}");
                    }
                    Err(error) => assert!(is_outage(&error), "{request:?} {fault:?}: {error}"),
                }
                patient.evict(&name).await.unwrap();
            }
        }
    }
    patient.close().await.unwrap();
    assert_eq!(server.uploads(), 0, "an upload is left after close");
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

/// Bits that are others on the way there do not become objects: the signature covers them.
#[tokio::test(flavor = "multi_thread")]
async fn flipped_bits_are_not_stored() {
    let server = S3Server::start().await;
    let proxy = TcpProxy::start(server.addr()).await;
    let endpoint = format!("http://{}", proxy.addr());
    let connector = S3Connector::from_client(&client(&endpoint), &config(&endpoint, "app")).await.unwrap();
    for round in 0..rounds(10) {
        proxy.reset();
        proxy
            .set(Faults { flip: Some((Direction::Up, 20_000 + round % 30 * 1_000)), ..Faults::default() })
            .await;
        let put = put(&connector, &key("a"), sample::make(round, 60_000)).await;
        proxy.pass().await;
        assert!(put.is_err(), "what was damaged was stored");
        assert!(get(&connector, &key("a")).await.unwrap().is_none());
    }
}

/// Whoever answers with another address does not get the next request.
#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed() {
    let server = S3Server::start().await;
    let connector = impatient(&server).await;
    server.inject(On::Get, Fault::Redirected, 1);
    server.inject(On::Put, Fault::Redirected, 1);
    for error in [
        get(&*connector, &key("a")).await.unwrap_err(),
        put(&*connector, &key("a"), sample::make(1, 100)).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains("region"), "{error}");
    }
}

/// A batch of removals whose answer fails is repeated or reported, and one the server does not know is done singly.
#[tokio::test(flavor = "multi_thread")]
async fn batches_of_removals() {
    let server = S3Server::start().await;
    let patient = with_policies(impatient(&server).await);
    let keys: Vec<_> = (0..2_500).map(key).collect();
    let items = keys.iter().map(|key| (key.clone(), sample::make(1, 20).into())).collect();
    for result in patient.put_many(items, &PutOptions::default()).await {
        result.unwrap();
    }
    server.inject(On::DeleteMany, Fault::SlowDown, 1);
    server.inject(On::DeleteMany, Fault::LostReply, 1);
    for result in patient.evict_many(&keys).await {
        result.unwrap();
    }
    assert_eq!(server.objects(), Vec::<String>::new());
    assert!(server.count(On::DeleteMany) <= 5, "{} requests", server.count(On::DeleteMany));
}
