//! What each policy adds to a get from memory, and what each transform costs an object on its way in and back.

use std::hint::black_box;
use std::sync::Arc;

use proxystore::layers::{Compress, Encrypt, Limit, Metrics, Policies, Retry, Timeout, Trace};
use proxystore::local::LocalConnector;
use proxystore::{Bytes, Connector, Key, KeyRing, Payload, Policy, PutOptions, SecretKey, Transform, Uri};
use proxystore_benches::{Race, Run, Suite, now, once};
use proxystore_core::{Place, WithPolicy};

use crate::ours::{self, keep};

const BARE: &str = "no layer";

pub(crate) fn policies(suite: &mut Suite) {
    one(suite, "no policy", Policies::none());
    one(suite, "timeout", Timeout::default());
    one(suite, "limit", Limit::default());
    one(suite, "retry", Retry::default());
    one(suite, "metrics", Metrics::default());
    one(suite, "trace", Trace::default());
    one(suite, "standard", Policies::standard());
}

fn one<P: Policy>(suite: &mut Suite, name: &str, policy: P) {
    let around = WithPolicy::new(Arc::new(LocalConnector::named("policies")), policy, "policies");
    let (ours, bare) = (get(suite, around), get(suite, LocalConnector::named("policies")));
    suite.run(Race::new("policies", name, ours).bytes(1024).against(BARE, bare));
}

fn get(suite: &Suite, connector: impl Connector) -> Run {
    let (connector, key) = (keep(connector), keep(Key::random().expect("randomness")));
    let value = Payload::from(ours::value(1024).clone());
    suite.block_on(connector.put(key, value, &PutOptions::default())).expect("a put");
    once(move || async move { connector.get(key).await.expect("a get") })
}

pub(crate) fn transforms(suite: &mut Suite) {
    let size = 1 << 20;
    let lines = |n: usize| format!("{n},{},sensor-{}\n", n * 7_919 % 1_000, n % 13).into_bytes();
    let text: &'static Bytes = keep((0..).flat_map(lines).take(size).collect());
    let keys = || Encrypt::new(KeyRing::new(SecretKey::random("bench").expect("randomness")));
    for (what, object) in [("text", text), ("noise", ours::value(size))] {
        way(suite, &format!("zstd, {what}"), Compress::zstd(), object);
        way(suite, &format!("lz4, {what}"), Compress::lz4(), object);
    }
    way(suite, "encrypt", keys(), ours::value(size));
}

fn way(suite: &mut Suite, name: &str, transform: impl Transform, object: &'static Bytes) {
    let (transform, store) = (keep(transform), keep(Uri::new("local")));
    let key = keep(Key::random().expect("randomness"));
    let place = move || Place { store, key, max: u64::MAX };
    let seal = move || transform.seal(&place(), Payload::from(object.clone())).expect("a seal");
    let sealed = keep(seal().into_bytes());
    let copy = || now(move || black_box(&object[..]).to_vec());
    let open = move || transform.open(&place(), Payload::from(sealed.clone())).expect("an opening");
    let race = |verb: &str, run| Race::new("transforms", &format!("{name}, {verb}"), run).bytes(object.len());
    suite.run(race("in", now(seal)).against("memcpy", copy()));
    suite.run(race("back", now(open)).against("memcpy", copy()));
}
