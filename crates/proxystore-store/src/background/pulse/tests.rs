use proxystore_local::LocalConnector;

use super::*;

const LEASE: Duration = Duration::from_secs(2);

fn key() -> Key {
    Key::parse("k").unwrap()
}

fn alive() -> Option<Payload> {
    Some(Record::Alive { lease_ms: 2000 }.seal(&key()).unwrap())
}

async fn store() -> Store {
    Store::builder("pulse").connector(LocalConnector::new().unwrap()).build().await.unwrap()
}

#[test]
fn golden_bytes() {
    let bytes = |record: Record| postcard::to_allocvec(&record).unwrap();
    assert_eq!(bytes(Record::Alive { lease_ms: 30_000 }), [0, 0xb0, 0xea, 0x01]);
    assert_eq!(bytes(Record::Done), [1]);
    let sealed = Record::Done.seal(&key()).unwrap().into_bytes();
    assert_eq!((sealed.len(), sealed[5]), (envelope::HEADER_LEN + 1, Postcard::ID));
    assert_eq!(crate::reference::hex(&sealed[16..32]), "aaf291f08926da014ee9f1745ea01882");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_stays_the_same_for_a_lease_has_lost_its_holder() {
    let mut watcher = Watcher::default();
    let mut see = |record| watcher.see(&key(), record).unwrap();
    let (first, second) = (alive(), alive());
    assert_eq!(see(first.clone()), Life::Alive);
    tokio::time::advance(LEASE - Duration::from_millis(1)).await;
    assert_eq!(see(first.clone()), Life::Alive);
    assert_eq!(see(second.clone()), Life::Alive, "it was written anew");
    tokio::time::advance(LEASE - Duration::from_millis(1)).await;
    assert_eq!(see(second.clone()), Life::Alive);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(see(second.clone()), Life::Lost);
    assert_eq!(see(first), Life::Alive, "it has come back");
    assert_eq!(see(None), Life::Unknown);
    assert_eq!(see(second), Life::Alive, "a record that was gone begins anew");
    assert_eq!(see(Some(Record::Done.seal(&key()).unwrap())), Life::Done);
}

#[tokio::test]
async fn a_holder_is_alive_until_it_is_dropped() {
    let store = store().await;
    let lease = Duration::from_millis(200);
    let pulse = Pulse::start(&store, &key(), lease).await.unwrap();
    let mut watcher = Watcher::default();
    let mut look = async || watcher.look(&store, &key()).await.unwrap();
    for _ in 0..30 {
        assert_eq!(look().await, Life::Alive);
        tokio::time::sleep(lease / 10).await;
    }
    drop(pulse);
    let dropped = Instant::now();
    while look().await == Life::Alive {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(look().await, Life::Lost);
    assert!(dropped.elapsed() < lease * 2, "{:?}", dropped.elapsed());
    write_done(&store, &key()).await.unwrap();
    assert_eq!(look().await, Life::Done);
}

#[tokio::test]
async fn a_lease_that_is_too_short_is_refused() {
    let error = Pulse::start(&store().await, &key(), Duration::from_millis(99)).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(beside(&Key::parse(&"k".repeat(199)).unwrap(), "producer").is_err());
}
