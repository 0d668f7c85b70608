//! What servers and networks do: never wrong data, never a create that is reported wrongly, never an outage that looks
//! like absence.

use futures_util::stream::{self, StreamExt};
use proxystore_core::{Connector, ErrorKind, Key, Mode, PutOptions};
use proxystore_s3::S3Connector;
use proxystore_store::Store;
use proxystore_testkit::s3::{Fault, On, S3Server};
use proxystore_testkit::sample;
use proxystore_testkit::tcp_proxy::{Direction, Faults, TcpProxy};

use crate::{client, config, connect, create, get, impatient, is_outage, key, put, rounds, with_policies};

/// Small enough for one request; for one request and a first look; for several ranges.
const SIZES: [usize; 3] = [1_000, 300_000, LARGE];
/// By three parts, the last of which is short.
const LARGE: usize = (16 << 20) + 1_000;

/// How often each fault happens, at least.
const OFTEN: usize = 500;
/// How many operations suffer at once: some faults cost a deadline each.
const AT_ONCE: usize = 50;

/// What suffers faults of its own, and no other's.
fn object(name: &Key) -> String {
    format!("app/{name}")
}

/// A body that breaks is resumed where it broke, and one that a single fault spoils comes whole in the end.
#[tokio::test(flavor = "multi_thread")]
async fn broken_bodies_are_resumed() {
    let server = S3Server::start().await;
    let (patient, impatient) = (connect(&server, "app").await, impatient(&server).await);
    let values = SIZES.map(|size| sample::make(1, size));
    for fault in [Fault::Truncated, Fault::TruncatedSilently, Fault::Stalls] {
        let connector = if fault == Fault::Stalls { &impatient } else { &patient };
        let get = async |round: usize| {
            // Of the large one only now and then, and of most more than once.
            let value = &values[if round % 50 == 49 { 2 } else { round % 2 }];
            let name = key(format!("{fault:?}-{round}"));
            put(&*patient, &name, value.clone()).await.unwrap();
            let times = 1 + round % 3;
            server.inject_for(&object(&name), On::Get, fault, times);
            let got = get(&**connector, &name).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            assert!(got.expect("an outage is not absence") == *value, "{fault:?}: it is altered");
            patient.evict(&name).await.unwrap();
        };
        let rounds = rounds(OFTEN as u64 / 2 + 1) as usize;
        stream::iter(0..rounds).for_each_concurrent(AT_ONCE, get).await;
        assert_eq!(server.heal(), 0, "{fault:?} did not always come about");
        assert!(server.happened(On::Get, fault) >= OFTEN, "{}", server.happened(On::Get, fault));
    }
    // What was there before the break does not come again.
    put(&*patient, &key("a"), values[1].clone()).await.unwrap();
    let before = server.count(On::Get);
    server.inject(On::Get, Fault::Truncated, 1);
    get(&*patient, &key("a")).await.unwrap();
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
    for fault in [Fault::LostReply, Fault::FailsAfter, Fault::SlowDown, Fault::ErrorIn200, Fault::Silent] {
        let compete = async |round: u64| {
            let name = key(format!("{fault:?}-{round}"));
            server.inject_for(&object(&name), On::Put, fault, 1);
            create(&patient, &name, sample::make(round, 1_000))
                .await
                .unwrap_or_else(|e| panic!("{fault:?}: {e}"));
            let second = create(&*rival, &name, sample::make(9_999, 1_000)).await.unwrap_err();
            assert_eq!(second.kind(), ErrorKind::Exists, "{second}");
            // The one that is too late is told so, whatever happens to it.
            server.inject_for(&object(&name), On::Put, fault, 1);
            let late = create(&patient, &name, sample::make(8_888, 1_000)).await.unwrap_err();
            assert_eq!(late.kind(), ErrorKind::Exists, "{fault:?}: {late}");
            assert_eq!(sample::seed(get(&*rival, &name).await.unwrap().unwrap()), Ok(round));
        };
        stream::iter(0..rounds(OFTEN as u64 / 2)).for_each_concurrent(AT_ONCE, compete).await;
        assert_eq!(server.heal(), 0, "{fault:?} did not always come about");
        assert!(server.happened(On::Put, fault) >= OFTEN, "{}", server.happened(On::Put, fault));
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
async fn failed_uploads_leave_nothing() {
    let server = S3Server::start().await;
    let connector = impatient(&server).await;
    let patient = with_policies(connector.clone());
    let value = sample::make(1, LARGE);
    for request in [On::BeginUpload, On::CompleteUpload, On::AbortUpload] {
        for fault in [Fault::SlowDown, Fault::FailsAfter, Fault::ErrorIn200, Fault::LostReply] {
            for round in 0..rounds(1) {
                let name = key(format!("{request:?}-{fault:?}-{round}"));
                server.inject(request, fault, 1);
                if request == On::AbortUpload {
                    server.inject(On::Part, Fault::SlowDown, 100);
                }
                let created = create(&patient, &name, value.clone()).await;
                server.heal();
                match created {
                    Ok(()) => assert!(get(&*connector, &name).await.unwrap().unwrap() == value),
                    Err(error) => assert!(is_outage(&error), "{request:?} {fault:?}: {error}"),
                }
                patient.evict(&name).await.unwrap();
            }
        }
    }
    patient.close().await.unwrap();
    assert_eq!(server.uploads(), 0, "an upload is left after close");
}

/// Parts that fail are sent again, and only they: the object is whole, a create is reported as it was, and there is no
/// upload left.
#[tokio::test(flavor = "multi_thread")]
async fn failed_parts_are_sent_again() {
    let server = S3Server::start().await;
    let connector = connect(&server, "app").await;
    let patient = with_policies(connector.clone());
    let value = sample::make(1, LARGE);
    let faults = [Fault::SlowDown, Fault::FailsAfter, Fault::ErrorIn200, Fault::LostReply];
    let happened = || faults.iter().map(|fault| server.happened(On::Part, *fault)).sum::<usize>();
    let put = async |round: u64| {
        let name = key(round);
        // Each part may be tried four times: mostly that is enough, and sometimes all begins anew.
        for fault in faults {
            server.inject_for(&object(&name), On::Part, fault, 2);
        }
        create(&patient, &name, value.clone()).await.unwrap();
        let second = create(&patient, &name, value.slice(1..)).await.unwrap_err();
        assert_eq!(second.kind(), ErrorKind::Exists, "{second}");
        assert!(get(&*connector, &name).await.unwrap().unwrap() == value, "what was put is altered");
        patient.evict(&name).await.unwrap();
    };
    stream::iter(0..rounds(OFTEN as u64 / 8 + 1)).for_each_concurrent(2, put).await;
    assert_eq!(server.heal(), 0, "the faults did not always come about");
    assert!(happened() >= OFTEN, "{}", happened());
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
        for _ in 0..rounds(OFTEN as u64 / 2) {
            server.inject(On::Get, Fault::Flipped, 1);
            let error = store.get::<Vec<u8>>(&key).await.expect_err("it is not what was put");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
        assert_eq!(store.get::<Vec<u8>>(&key).await.unwrap().unwrap().len(), size);
    }
    assert!(server.happened(On::Get, Fault::Flipped) >= OFTEN);
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
