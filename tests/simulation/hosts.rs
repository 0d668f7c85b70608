//! What the clients do all day: each has a store with a cache, and several tasks that use it at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use proxystore::layers::{Policies, Retry};
use proxystore::{Backoff, Bytes, Key, Mode, Proxy, PutOptions, Registry, Store};
use proxystore_testkit::sample;
use tokio::time::sleep;

use crate::connector::SimConnector;
use crate::dice::Dice;
use crate::history::{History, Op, Outcome, Who, now};

/// The deadline of a connector.
const CONNECTOR: Duration = Duration::from_secs(2);
/// How often a call is tried, where there are policies, and all delays between that together.
const ATTEMPTS: u32 = 4;
const DELAYS: Duration = Duration::from_millis(50 + 100 + 200);
/// A patience that no operation outlasts.
const FOREVER: Duration = Duration::from_secs(3_600);
/// What an operation may take beyond its deadline: the clock's resolution.
const SLACK: Duration = Duration::from_millis(20);

/// A reference on its way to the consumers.
#[derive(Debug)]
struct Letter {
    sent: Duration,
    text: String,
    key: Key,
    ephemeral: bool,
}

/// What all clients of a simulation share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Town {
    seed: u64,
    pub(crate) history: History,
    letters: Arc<Mutex<Vec<Arc<Letter>>>>,
}

impl Town {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    fn letters(&self) -> MutexGuard<'_, Vec<Arc<Letter>>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the stores' deadline is tighter than their connectors'.
    fn impatient(&self) -> bool {
        self.seed % 4 >= 2
    }

    /// Whether policies stand between the stores and their connectors.
    fn policed(&self) -> bool {
        self.seed % 2 == 1
    }

    /// Whether the server loses its objects in a crash.
    pub(crate) fn forgetful(&self) -> bool {
        self.seed % 8 >= 4
    }
}

/// One life of a client, from its start to its crash.
#[derive(Clone)]
struct Client {
    town: Town,
    who: Who,
    store: Store,
    registry: Registry,
    /// What an operation of the store may take.
    limit: Duration,
    /// What an operation of its connector may take.
    raw_limit: Duration,
}

/// The standard ones, without the jitter: a seed is the same run each time.
fn policies() -> Policies {
    let backoff = Backoff { first: Duration::from_millis(50), jitter: false, ..Backoff::default() };
    Policies { retry: Some(Retry::new(ATTEMPTS, backoff)), ..Policies::standard() }
}

/// The software of a client.
pub(crate) async fn client(town: Town, host: &'static str, number: u64) -> turmoil::Result {
    let who = Who { host, store: town.history.number() };
    let connector = SimConnector::new(who, town.history.clone(), CONNECTOR);
    let attempts = if town.policed() { ATTEMPTS } else { 1 };
    let patience = CONNECTOR * attempts + DELAYS;
    let limit = if town.impatient() { CONNECTOR / 2 } else { patience + CONNECTOR };
    let builder = Store::builder("sim").connector(connector).cache_objects(8).timeout(limit);
    let builder = if town.policed() { builder.policies(policies()) } else { builder };
    let store = builder.build().await?;
    let registry = Registry::new();
    registry.register(&store)?;
    let client = Client { town, who, store, registry, limit: limit + SLACK, raw_limit: patience + SLACK };
    let dice = |task: u64| Dice::new(client.town.seed, who.store * 100 + number * 10 + task);
    if host.starts_with("producer") {
        tokio::join!(client.produce(dice(0)), client.produce(dice(1)), client.race(dice(2)));
    } else {
        tokio::join!(client.consume(dice(0)), client.consume(dice(1)), client.race(dice(2)));
    }
    Ok(())
}

impl Client {
    /// Puts values and sends references of them, before or after; evicts some, and looks at others.
    async fn produce(&self, mut dice: Dice) {
        let mut mine: Vec<Key> = Vec::new();
        loop {
            sleep(dice.millis(20..300)).await;
            match dice.below(12) {
                0..=5 => mine.extend(self.put([50, 500, 3_000][dice.below(3)], dice.below(4) == 0).await),
                6 | 7 => mine.push(self.promise(dice.millis(1..150)).await),
                8 => {
                    let Some(key) = dice.pick(&mine) else { continue };
                    let [evicted, again] = [dice.millis(1..40), dice.millis(20..200)];
                    tokio::join!(self.get(key), self.evict(key, evicted), async {
                        sleep(again).await;
                        self.get(key).await;
                    });
                }
                _ => {
                    let Some(key) = dice.pick(&mine) else { continue };
                    self.get(key).await;
                }
            }
        }
    }

    /// Puts a value, and sends a reference of it. Gives the key, if it will be there for long.
    async fn put(&self, len: usize, ephemeral: bool) -> Option<Key> {
        let history = &self.town.history;
        let value = history.number();
        let event = history.begin(self.who, Op::Put(value), None, self.limit);
        let request = self.store.proxy(sample::make(value, len));
        let put = if ephemeral { request.ephemeral().await } else { request.await };
        let proxy = match put {
            Ok(proxy) => proxy,
            Err(error) => {
                history.end(event, error.into());
                return None;
            }
        };
        let key = proxy.factory().key().clone();
        history.log().events[event].key = Some(key.clone());
        history.end(event, Outcome::Done);
        self.send(&proxy);
        (!ephemeral).then_some(key)
    }

    /// Sends a reference first, and puts the value a little later.
    async fn promise(&self, later: Duration) -> Key {
        let value = self.town.history.number();
        let key = Key::parse(&format!("promise-{value}")).expect("a key");
        self.send(&self.store.proxy_from_key(key.clone()));
        sleep(later).await;
        let (object, tag) = (sample::make(value, 500), [key.as_str()]);
        let put = async { self.store.put(&object).tags(tag).await.map(drop) };
        self.town.history.record((self.who, Op::Put(value), &key), (self.limit, FOREVER), put).await;
        key
    }

    fn send(&self, proxy: &Proxy<Bytes>) {
        let text = serde_json::to_string(proxy).expect("a reference is text");
        let (key, ephemeral) = (proxy.factory().key().clone(), proxy.factory().is_ephemeral());
        self.town.letters().push(Arc::new(Letter { sent: now(), text, key, ephemeral }));
    }

    async fn get(&self, key: &Key) {
        let get = async { self.store.get(key).await.map(|found: Option<Arc<Bytes>>| found.map(copy)) };
        self.town.history.record((self.who, Op::Get, key), (2 * self.limit, FOREVER), get).await;
    }

    async fn evict(&self, key: &Key, later: Duration) {
        sleep(later).await;
        let evict = self.store.evict(key);
        self.town.history.record((self.who, Op::Evict, key), (self.limit, FOREVER), evict).await;
    }

    /// Resolves what was sent lately: again when that failed, several times at once, and not always to the end.
    async fn consume(&self, mut dice: Dice) {
        let mut next = self.town.letters().len().saturating_sub(20);
        loop {
            sleep(dice.millis(10..120)).await;
            // Another host is simulated up to a tick ahead of this one.
            let lately: Vec<_> = {
                let letters = self.town.letters();
                let from = letters.len().saturating_sub(30).min(next);
                letters[from..].iter().filter(|letter| letter.sent <= now()).cloned().collect()
            };
            let Some(any) = dice.pick(&lately) else { continue };
            match dice.below(10) {
                0..=4 => {
                    let Some(letter) = self.letter(next) else { continue };
                    next += 1;
                    for _ in 0..3 {
                        if !matches!(self.resolve(&letter, FOREVER).await, Outcome::Failed(_)) {
                            break;
                        }
                        sleep(dice.millis(50..500)).await;
                    }
                }
                5 | 6 => {
                    self.resolve(any, FOREVER).await;
                }
                7 | 8 => {
                    // The latest one may be a promise that is kept meanwhile.
                    let letter = lately.last().filter(|_| dice.below(2) == 0).unwrap_or(any);
                    let patience = [dice.millis(1..100), FOREVER, dice.millis(1..1_000), FOREVER];
                    let tries = patience.map(|patience| (dice.millis(0..100), patience));
                    join_all(tries.map(|(start, patience)| async move {
                        sleep(start).await;
                        self.resolve(letter, patience).await
                    }))
                    .await;
                }
                _ => {
                    let exists = self.store.exists(&any.key);
                    let limits = (self.limit, FOREVER);
                    self.town.history.record((self.who, Op::Exists, &any.key), limits, exists).await;
                }
            }
        }
    }

    fn letter(&self, number: usize) -> Option<Arc<Letter>> {
        self.town.letters().get(number).filter(|letter| letter.sent <= now()).cloned()
    }

    async fn resolve(&self, letter: &Letter, patience: Duration) -> Outcome {
        let resolve = async {
            let proxy: Proxy<Bytes> = serde_json::from_str(&letter.text).expect("a reference");
            self.registry.bind(proxy).await?.extract().await.map(|target| Some(copy(target)))
        };
        // A get that joins a load which began before it, and finds nothing, waits for another one.
        let (op, limit) = if letter.ephemeral { (Op::Take, self.limit) } else { (Op::Get, 2 * self.limit) };
        self.town.history.record((self.who, op, &letter.key), (limit, patience), resolve).await
    }

    /// All clients try to be the first to create an object, and look who it was.
    async fn race(&self, mut dice: Dice) {
        let connector = self.store.connector();
        let limits = (self.raw_limit, FOREVER);
        loop {
            sleep(dice.millis(100..800)).await;
            let key = Key::parse(&format!("race-{}", now().as_secs() / 3)).expect("a key");
            if dice.below(2) == 0 {
                let value = self.town.history.number();
                let options = PutOptions { mode: Mode::Create, ..PutOptions::default() };
                let put = connector.put(&key, sample::make(value, 100).into(), &options);
                self.town.history.record((self.who, Op::Create(value), &key), limits, put).await;
            } else {
                let get =
                    async { connector.get(&key).await.map(|found| found.map(|object| object.into_bytes())) };
                self.town.history.record((self.who, Op::Get, &key), limits, get).await;
            }
        }
    }
}

fn copy(target: Arc<Bytes>) -> Bytes {
    Bytes::clone(&target)
}
