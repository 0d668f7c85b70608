//! Sequences of operations, against a model.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use proxystore_core::{Connector, ErrorKind, Key, Mode, Payload, PutOptions};
use proxystore_local::LocalConnector;
use proxystore_store::{Proxy, Store};
use tokio::time::Instant;

use crate::rt;

/// The most operations of one run.
const MOST: usize = 200;

/// One operation. An object of the store is named by when it was put, an object of the connector by a small number.
#[derive(Debug, Arbitrary)]
enum Operation {
    Put { value: u32, ttl: Option<u8> },
    PutMany { values: [u16; 3] },
    Get { object: u8 },
    GetMany { objects: [u8; 3] },
    Exists { object: u8 },
    Evict { object: u8 },
    EvictMany { objects: [u8; 2] },
    Proxy { value: u32 },
    Ephemeral { value: u32 },
    Resolve { proxy: u8 },
    Send { proxy: u8 },
    RawPut { name: u8, value: u8, create: bool, ttl: Option<u8> },
    RawGet { name: u8 },
    RawTake { name: u8 },
    RawTouch { name: u8, ttl: u8 },
    RawEvict { name: u8 },
    RawMany { names: [u8; 3] },
    Wait { time: u8 },
}

/// Every answer of a store over a local connector is the model's.
pub fn operations(data: &[u8]) {
    rt::run(true, async {
        let mut unstructured = Unstructured::new(data);
        let cache = if unstructured.arbitrary().unwrap_or(false) { 2 } else { 0 };
        let mut bench = Bench::open(cache).await;
        for _ in 0..MOST {
            match unstructured.arbitrary() {
                Ok(operation) if !unstructured.is_empty() => bench.run(operation).await,
                _ => return,
            }
        }
    });
}

/// What the model knows of one object.
#[derive(Debug, Clone, Copy)]
struct Object {
    value: u32,
    expires: Option<Instant>,
}

/// The objects that are there, by key. One whose time is over is not.
#[derive(Default)]
struct Model(HashMap<Key, Object>);

impl Model {
    fn put(&mut self, key: &Key, value: u32, ttl: Option<Duration>) {
        let expires = ttl.map(|ttl| Instant::now() + ttl);
        self.0.insert(key.clone(), Object { value, expires });
    }

    fn get(&self, key: &Key) -> Option<u32> {
        let lives = |object: &&Object| object.expires.is_none_or(|expires| Instant::now() < expires);
        self.0.get(key).filter(lives).map(|object| object.value)
    }

    fn remove(&mut self, key: &Key) -> Option<u32> {
        let value = self.get(key);
        self.0.remove(key);
        value
    }

    /// The value, or the one that it had: a cache may remember what has expired, and what was never evicted here.
    fn remembered(&self, key: &Key) -> Option<u32> {
        self.0.get(key).map(|object| object.value)
    }
}

struct Bench {
    store: Store,
    connector: Arc<dyn Connector>,
    model: Model,
    cached: bool,
    keys: Vec<Key>,
    proxies: Vec<Proxy<u32>>,
}

impl Bench {
    async fn open(cache: u64) -> Self {
        let connector: Arc<dyn Connector> = Arc::new(LocalConnector::new().unwrap());
        let builder = Store::builder("x").shared_connector(connector.clone());
        let store = builder.cache_objects(cache).populate(false).build().await.unwrap();
        // A key that nobody has put.
        let keys = vec![Key::random().unwrap()];
        let (model, proxies) = (Model::default(), Vec::new());
        Self { store, connector, model, cached: cache > 0, keys, proxies }
    }

    fn key(&self, object: u8) -> Key {
        self.keys[usize::from(object) % self.keys.len()].clone()
    }

    fn is_right(&self, key: &Key, found: Option<u32>) {
        let right = found == self.model.get(key) || (self.cached && found == self.model.remembered(key));
        assert!(right, "found {found:?} instead of {:?}", self.model.get(key));
    }

    async fn run(&mut self, operation: Operation) {
        let Self { store, .. } = self;
        match operation {
            Operation::Put { value, ttl } => {
                let put = store.put(&value);
                let ttl = ttl.map(ticks);
                let key = match ttl {
                    Some(ttl) => put.ttl(ttl).await.unwrap(),
                    None => put.await.unwrap(),
                };
                self.model.put(&key, value, ttl);
                self.keys.push(key);
            }
            Operation::PutMany { values } => {
                let values = values.map(u32::from);
                let keys = store.put_many(&values).await;
                assert_eq!(keys.len(), values.len());
                for (key, value) in keys.into_iter().zip(values) {
                    let key = key.unwrap();
                    self.model.put(&key, value, None);
                    self.keys.push(key);
                }
            }
            Operation::Get { object } => {
                let key = self.key(object);
                let found = self.store.get::<u32>(&key).await.unwrap();
                self.is_right(&key, found.as_deref().copied());
                // The same bytes as another type are refused, wherever they are.
                if found.is_some() && self.model.get(&key).is_some() {
                    let error = self.store.get::<String>(&key).await.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::TypeMismatch);
                }
            }
            Operation::GetMany { objects } => {
                let keys = objects.map(|object| self.key(object));
                let found = self.store.get_many::<u32>(&keys).await;
                assert_eq!(found.len(), keys.len());
                for (key, found) in keys.iter().zip(found) {
                    self.is_right(key, found.unwrap().as_deref().copied());
                }
            }
            Operation::Exists { object } => {
                let key = self.key(object);
                assert_eq!(self.store.exists(&key).await.unwrap(), self.model.get(&key).is_some());
            }
            Operation::Evict { object } => {
                let key = self.key(object);
                self.store.evict(&key).await.unwrap();
                self.model.remove(&key);
                assert!(!self.store.is_cached(&key));
            }
            Operation::EvictMany { objects } => {
                let keys = objects.map(|object| self.key(object));
                for (key, result) in keys.iter().zip(self.store.evict_many(&keys).await) {
                    result.unwrap();
                    self.model.remove(key);
                    assert!(!self.store.is_cached(key));
                }
            }
            Operation::Proxy { value } => {
                let proxy = store.proxy(value).await.unwrap();
                self.made(proxy, value);
            }
            Operation::Ephemeral { value } => {
                let proxy = store.proxy(value).ephemeral().await.unwrap();
                self.made(proxy, value);
            }
            Operation::Resolve { proxy } => self.resolve(proxy).await,
            Operation::Send { proxy } => {
                // A copy through bytes knows nothing of what the first one has resolved.
                let Some(at) = usize::from(proxy).checked_rem(self.proxies.len()) else { return };
                let bytes = postcard::to_allocvec(&self.proxies[at]).unwrap();
                let copy: Proxy<u32> = postcard::from_bytes(&bytes).unwrap();
                assert_eq!(copy.factory().key(), self.proxies[at].factory().key());
                assert!(!copy.is_resolved());
            }
            Operation::Wait { time } => tokio::time::sleep(ticks(time)).await,
            raw => self.run_raw(raw).await,
        }
    }

    fn made(&mut self, proxy: Proxy<u32>, value: u32) {
        assert!(!proxy.is_resolved());
        let key = proxy.factory().key().clone();
        self.model.put(&key, value, None);
        self.keys.push(key);
        self.proxies.push(proxy);
    }

    async fn resolve(&mut self, proxy: u8) {
        let Some(at) = usize::from(proxy).checked_rem(self.proxies.len()) else { return };
        let proxy = &self.proxies[at];
        let stored = proxy.factory();
        let key = stored.key().clone();
        let (before, was_resolved) = (proxy.get().copied(), proxy.is_resolved());
        match proxy.resolve_async().await {
            Ok(value) if was_resolved => assert_eq!(Some(*value), before),
            Ok(value) => {
                let value = *value;
                let ephemeral = stored.is_ephemeral();
                self.is_right(&key, Some(value));
                if ephemeral {
                    assert_eq!(self.model.remove(&key), Some(value), "taken, and yet there");
                    assert!(!self.store.exists(&key).await.unwrap());
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Missing, "{error}");
                assert_eq!(self.model.get(&key), None);
            }
        }
    }

    /// The operations of the connector itself, on keys of their own.
    async fn run_raw(&mut self, operation: Operation) {
        let Self { connector, model, .. } = self;
        match operation {
            Operation::RawPut { name, value, create, ttl } => {
                let (key, ttl) = (raw_key(name), ttl.map(ticks));
                let mode = if create { Mode::Create } else { Mode::Overwrite };
                let options = PutOptions { mode, ttl, ..PutOptions::default() };
                let put = connector.put(&key, payload(value.into()), &options).await;
                if create && model.get(&key).is_some() {
                    assert_eq!(put.unwrap_err().kind(), ErrorKind::Exists);
                } else {
                    put.unwrap();
                    model.put(&key, value.into(), ttl);
                }
            }
            Operation::RawGet { name } => {
                let key = raw_key(name);
                assert_eq!(connector.get(&key).await.unwrap(), model.get(&key).map(payload));
                assert_eq!(connector.exists(&key).await.unwrap(), model.get(&key).is_some());
            }
            Operation::RawTake { name } => {
                let key = raw_key(name);
                assert_eq!(connector.take(&key).await.unwrap(), model.remove(&key).map(payload));
            }
            Operation::RawTouch { name, ttl } => {
                let key = raw_key(name);
                let value = model.get(&key);
                assert_eq!(connector.touch(&key, ticks(ttl)).await.unwrap(), value.is_some());
                if let Some(value) = value {
                    model.put(&key, value, Some(ticks(ttl)));
                }
            }
            Operation::RawEvict { name } => {
                let key = raw_key(name);
                connector.evict(&key).await.unwrap();
                model.remove(&key);
            }
            Operation::RawMany { names } => {
                let keys = names.map(raw_key);
                let items = keys.iter().zip(names).map(|(key, name)| (key.clone(), payload(name.into())));
                let put = connector.put_many(items.collect(), &PutOptions::default()).await;
                assert!(put.len() == keys.len() && put.iter().all(Result::is_ok));
                keys.iter().zip(names).for_each(|(key, name)| model.put(key, name.into(), None));
                let found = connector.get_many(&keys).await.into_iter().map(Result::unwrap);
                assert!(found.eq(keys.iter().map(|key| model.get(key).map(payload))));
            }
            other => panic!("{other:?} is not of the connector"),
        }
    }
}

fn raw_key(name: u8) -> Key {
    Key::parse(&format!("raw/{}", name % 4)).unwrap()
}

fn payload(value: u32) -> Payload {
    value.to_le_bytes().to_vec().into()
}

fn ticks(time: u8) -> Duration {
    Duration::from_millis(u64::from(time))
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    // Any bytes are operations; these are of many kinds.
    (0..8u64)
        .map(|seed| {
            let mut state = seed * 2 + 1;
            let step = |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            };
            (0..400).map(step).collect()
        })
        .collect()
}
