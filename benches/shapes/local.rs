//! `local://`: objects in this process, beside maps that do nothing else.

use std::time::Duration;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use proxystore::{Bytes, Raw, Store};
use proxystore_benches::{Goal, Race, Suite, Unit};

use crate::bare::{self, Bare};
use crate::ours::{self, MANY, keep};

/// Any `object_store`.
pub(crate) struct Objects(pub(crate) Box<dyn ObjectStore>);

impl Bare for Objects {
    const NAME: &'static str = "object_store";

    async fn put(&'static self, name: String, value: &'static Bytes) {
        self.0.put(&Path::from(name), PutPayload::from_bytes(value.clone())).await.expect("a put");
    }

    async fn get(&'static self, name: &'static str) -> impl Send {
        self.0.get(&Path::from(name)).await.expect("a get").bytes().await.expect("bytes")
    }

    async fn remove(&'static self, names: Vec<String>) {
        for name in names {
            self.0.delete(&Path::from(name)).await.expect("a delete");
        }
    }
}

pub(crate) fn measure(suite: &mut Suite) {
    let store = ours::open(suite, "local", "local:///shapes");
    let memory = keep(Objects(Box::new(InMemory::new())));
    let most = Duration::from_micros(1);
    for &size in ours::sizes(suite) {
        let value = ours::value(size);
        let (key, name) = (ours::held(suite, store, value), bare::held(suite, memory, value));
        let race = |shape, run| Race::new("local", shape, run).bytes(size);
        let put = race("put", ours::put(store, value)).against(Objects::NAME, bare::put(memory, value));
        let get = race("get", ours::get(store, key)).against(Objects::NAME, bare::get(memory, name));
        let goals = |race: Race| match size {
            1024 => race.at_most("P2", most).within("P2", Objects::NAME, 3.0),
            _ => race,
        };
        suite.run(goals(put));
        suite.run(goals(get));
        suite.run(race("proxy", ours::proxy(store, value)).against(Objects::NAME, bare::put(memory, value)));
        suite.run(race("resolve", ours::resolve(store, key)).against(Objects::NAME, bare::get(memory, name)));
    }
    suite.run(Race::new("local", "miss", ours::miss(store)));
    let value = ours::value(1024);
    let keys = ours::held_many(suite, store, value, MANY);
    suite.run(Race::new("local", "put 1,000", ours::put_many(store, value)).bytes(1024));
    suite.run(Race::new("local", "get 1,000", ours::get_many(store, keys)).bytes(1024));
    let copies = suite.block_on(copies(store));
    suite.count(
        "local",
        "copies of a `Bytes`",
        Unit::Count,
        copies,
        &[Goal { id: "P2", peer: None, target: 0.0 }],
    );
}

/// Whether what is resolved is another memory than what was put.
async fn copies(store: &Store) -> f64 {
    let value = ours::value(1 << 20);
    let key = store.put(value).codec::<Raw>().await.expect("a put");
    let got = store.get::<Bytes>(&key).codec::<Raw>().await.expect("a get").expect("an object");
    f64::from(u8::from(got.as_ptr() != value.as_ptr()))
}
