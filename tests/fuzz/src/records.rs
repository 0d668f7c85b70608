//! The records beside objects, which whoever can write to a store may have written.

use std::time::Duration;

use bytes::Bytes;
use proxystore_core::{ErrorKind, Key, Payload, Result};
use proxystore_local::LocalConnector;
use proxystore_store::{Handover, Lent, LentMut, OwnedProxy, Store};
use serde::Serialize;

use crate::envelope::digest;
use crate::{check, rt};

const VALUE: u32 = 2026;
const HEADER: usize = 80;
/// Stands for the key of the object in a record.
const OBJECT: &str = "theobjectsowntwentysixchar";

/// The records, by what reads them.
const RECORDS: &[&str] = &["lent", "lent_mut", "handover", "claim", "pulse", "new", "producer", "owner"];

/// A record that says anything at all, or is none, leaves every object that it does not name as it is. Whoever reads
/// it goes on, or gets an error that says why.
pub fn records(data: &[u8]) {
    let Some((&[which, how], body)) = data.split_first_chunk() else { return };
    rt::run(true, async {
        let bench = Bench { body, sealed: how & 1 == 0, store: store().await };
        let other = bench.store.put(&VALUE).await.unwrap();
        match RECORDS[usize::from(which) % RECORDS.len()] {
            "lent" => bench.lent("").await,
            "pulse" => bench.lent(".pulse").await,
            "lent_mut" => bench.lent_mut("").await,
            "new" => bench.lent_mut(".new").await,
            "handover" => bench.handover("").await,
            "claim" => bench.handover(".claim").await,
            "producer" => bench.future().await,
            _ => bench.owner().await,
        }
        assert_eq!(bench.store.get::<u32>(&other).await.unwrap().as_deref(), Some(&VALUE));
    });
}

async fn store() -> Store {
    let builder = Store::builder("x").connector(LocalConnector::new().unwrap());
    builder.populate(false).cache_objects(0).build().await.unwrap()
}

struct Bench<'a> {
    store: Store,
    body: &'a [u8],
    /// The bytes are those of a record of the right type; else, all that stands there.
    sealed: bool,
}

impl Bench<'_> {
    async fn owned(&self) -> OwnedProxy<u32> {
        self.store.owned_proxy(VALUE).await.unwrap()
    }

    /// Writes the record at `key`, as one like `like`.
    async fn write(&self, like: &[u8], key: &Key, object: &Key) {
        let body = replaced(self.body, OBJECT, object.as_str());
        let bytes = if self.sealed { reseal(like, &body, key) } else { body };
        let connector = self.store.connector();
        connector.put(key, Payload::from(Bytes::from(bytes)), &Default::default()).await.unwrap();
    }

    async fn lent(&self, name: &str) {
        let owned = self.owned().await;
        let object = owned.key();
        let lend = owned.lend(async |lent: Lent<u32>| {
            let ticket = ticket(&lent);
            if name.is_empty() {
                self.write(&stored(&self.store, &ticket).await, &ticket, object).await;
                is_right(lent.resolve_async().await.copied(), VALUE);
            } else {
                is_right(lent.resolve_async().await.copied(), VALUE);
                let pulse = beside(&ticket, name);
                self.write(&stored(&self.store, &pulse).await, &pulse, object).await;
                // For longer than until the lender looks.
                tokio::time::sleep(Duration::from_secs(40)).await;
            }
        });
        lend.await.map_or_else(|error| refused(&error), drop);
        is_right(owned.resolve_async().await.copied(), VALUE);
        assert!(self.store.exists(owned.key()).await.unwrap(), "the object is gone");
    }

    async fn lent_mut(&self, name: &str) {
        let mut owned = self.owned().await;
        let (object, update) = (owned.key().clone(), self.store.put(&VALUE).await.unwrap());
        let lend = owned.lend_mut(async |mut lent: LentMut<u32>| {
            let ticket = ticket(&lent);
            if name.is_empty() {
                self.write(&stored(&self.store, &ticket).await, &ticket, &object).await;
                lent.update(VALUE).await.map_or_else(|error| refused(&error), drop);
            } else {
                lent.update(VALUE).await.unwrap();
                let new = beside(&ticket, name);
                self.write(&stored(&self.store, &new).await, &new, &update).await;
            }
        });
        lend.await.map_or_else(|error| refused(&error), drop);
        is_right(owned.resolve_async().await.copied(), VALUE);
    }

    async fn handover(&self, name: &str) {
        let handover: Handover<u32> = self.owned().await.hand_over().await.unwrap();
        let ticket = ticket(&handover);
        if name.is_empty() {
            self.write(&stored(&self.store, &ticket).await, &ticket, handover.key()).await;
        } else {
            let like = claim_of_another(&self.store).await;
            self.write(&like, &beside(&ticket, name), handover.key()).await;
        }
        match handover.claim().await {
            Ok(owned) => is_right(owned.resolve_async().await.copied(), VALUE),
            Err(error) => {
                refused(&error);
                assert!(self.store.exists(handover.key()).await.unwrap(), "the object is gone");
            }
        }
    }

    async fn future(&self) {
        let future = self.store.future::<u32>().timeout(Duration::from_secs(3)).await.unwrap();
        let producer = beside(future.key(), ".producer");
        self.write(&stored(&self.store, &producer).await, &producer, future.key()).await;
        let error = future.result().await.unwrap_err();
        let known = [ErrorKind::Timeout, ErrorKind::ProducerLost, ErrorKind::Missing];
        assert!(known.contains(&error.kind()), "{error}");
        check::teaches(&error);
        let result = future.result();
        future.set(&VALUE).await.unwrap();
        is_right(result.await.map(|value| *value), VALUE);
    }

    async fn owner(&self) {
        let proxy = self.store.proxy(VALUE).await.unwrap();
        let like = claim_of_another(&self.store).await;
        let key = proxy.factory().key();
        self.write(&like, &beside(key, ".owner"), key).await;
        refused(&proxystore_store::into_owned(proxy.clone()).await.unwrap_err());
        is_right(proxy.resolve_async().await.copied(), VALUE);
    }
}

/// The value, or an error that says why there is none.
fn is_right(found: Result<u32>, value: u32) {
    match found {
        Ok(found) => assert_eq!(found, value),
        Err(error) => refused(&error),
    }
}

fn refused(error: &proxystore_core::Error) {
    use ErrorKind::{Conflict, Corrupt, Denied, Expired, Failed, Missing, Unsupported};
    let known = [Conflict, Corrupt, Denied, Expired, Failed, Missing, Unsupported];
    assert!(known.contains(&error.kind()), "{error}");
    check::teaches(error);
}

fn beside(key: &Key, name: &str) -> Key {
    Key::parse(&format!("{key}{name}")).unwrap()
}

fn ticket(letter: &impl Serialize) -> Key {
    Key::parse(serde_json::to_value(letter).unwrap()["ticket"].as_str().unwrap()).unwrap()
}

async fn stored(store: &Store, key: &Key) -> Vec<u8> {
    store.connector().get(key).await.unwrap().unwrap().into_bytes().to_vec()
}

async fn claim_of_another(store: &Store) -> Vec<u8> {
    let handover = store.owned_proxy(VALUE).await.unwrap().hand_over().await.unwrap();
    let _owned = handover.claim().await.unwrap();
    stored(store, &beside(&ticket(&handover), ".claim")).await
}

/// With `to` in place of `from`, which are equally long.
fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(at) = bytes.windows(from.len()).position(|window| window == from.as_bytes()) {
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

/// A valid object at `key` with the header of another, and this body.
fn reseal(like: &[u8], body: &[u8], key: &Key) -> Vec<u8> {
    let mut bytes = like[..HEADER].to_vec();
    bytes[8..16].copy_from_slice(&(body.len() as u64).to_le_bytes());
    let digest = digest(&bytes[..48], key.as_str(), body);
    bytes[48..64].copy_from_slice(&digest);
    [&bytes, body].concat()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let bodies = rt::run(false, async {
        let store = store().await;
        let mut bodies = Vec::new();
        let mut owned = store.owned_proxy(VALUE).tags(["near"]).await.unwrap();
        let object = owned.key().to_string();
        let body = |bytes: Vec<u8>| replaced(&bytes[HEADER..], &object, OBJECT);
        owned.lend(async |lent| bodies.push(body(stored(&store, &ticket(&lent)).await))).await.unwrap();
        let lend = owned.lend_mut(async |mut lent| {
            lent.update(VALUE).await.unwrap();
            for name in ["", ".claim", ".pulse"] {
                bodies.push(body(stored(&store, &beside(&ticket(&lent), name)).await));
            }
        });
        lend.await.unwrap();
        let handover = owned.hand_over().await.unwrap();
        let ticket = stored(&store, &ticket(&handover)).await;
        bodies.push(replaced(&ticket[HEADER..], handover.key().as_str(), OBJECT));
        // What was updated: the object, and its length.
        bodies.push([&[OBJECT.len() as u8], OBJECT.as_bytes(), &[3]].concat());
        bodies
    });
    let which = 0..RECORDS.len() as u8;
    let seed = |which: u8, body: &[u8]| [&[which, 0], body].concat();
    let mut seeds: Vec<_> =
        which.clone().flat_map(|which| bodies.iter().map(move |body| seed(which, body))).collect();
    seeds.extend(which.map(|which| [&[which, 1], &b"not a record"[..]].concat()));
    seeds
}
