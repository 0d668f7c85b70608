//! Owners, borrows and handovers, in one process and between several, over every connector.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join;
use proxystore::{
    Error, ErrorKind, Handover, Key, KeyRing, Lent, LentMut, OwnedProxy, Proxy, Result, Rights, SecretKey,
    ShutdownGuard, Store, into_owned,
};
use proxystore_testkit::cancel::{eventually, poll_and_drop};
use proxystore_testkit::fault::{Fault, Op};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::stores::{self, Backend, backends};

mod handovers;
mod loans;

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(20);
/// How long the dead are waited for.
const SHORT: Duration = Duration::from_secs(1);

type Numbers = Vec<u32>;

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

/// Waits until the object is gone.
async fn goes(store: &Store, key: &Key) {
    eventually(LONG, || async { !store.exists(key).await.unwrap() }).await;
}

/// The backends that reach other processes.
async fn shared() -> Vec<Backend> {
    let mut backends = vec![stores::file().await];
    backends.extend(stores::redis().await);
    backends
}

/// The store at this place, as references find it.
async fn registered(place: &str) -> Store {
    proxystore::install(proxystore::Trust::Registered);
    Store::open(place).await.unwrap()
}

fn outcome<T>(result: Result<T>, words: impl FnOnce(T) -> String) -> String {
    result.map_or_else(|error| error.kind().words().to_owned(), words)
}

/// A process that uses what it is sent, and has it until it is told to drop it.
#[tokio::test]
async fn worker() {
    role!("ownership::worker");
    let store = registered(&std::env::var("PLACE").unwrap()).await;
    let (mut lent, mut lent_mut, mut owned) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(line) = process::hear().await {
        let (verb, json) = line.split_once(' ').unwrap();
        let said = match verb {
            "own" => {
                let request = store.owned_proxy(vec![json.parse::<u32>().unwrap()]).ttl(SHORT);
                owned.push(request.await.unwrap());
                owned.last().unwrap().key().to_string()
            }
            "lend" => {
                let numbers = vec![json.parse::<u32>().unwrap()];
                let request = store.owned_proxy(numbers).ttl(SHORT);
                let lend = async |lent| {
                    process::say(&self::json(&lent));
                    pending::<()>().await;
                };
                request.await.unwrap().lend(lend).await.unwrap();
                unreachable!("it is killed before")
            }
            "into_owned" => {
                let proxy: Proxy<Numbers> = serde_json::from_str(json).unwrap();
                outcome(into_owned(proxy).await, |owner| {
                    owned.push(owner);
                    "owned".into()
                })
            }
            "claim" => {
                let handover: Handover<Numbers> = serde_json::from_str(json).unwrap();
                match handover.claim().await {
                    Ok(owner) => {
                        let said = format!("{:?}", owner.resolve_async().await.unwrap());
                        owned.push(owner);
                        said
                    }
                    Err(error) => error.kind().words().into(),
                }
            }
            "read" => {
                let borrowed: Lent<Numbers> = serde_json::from_str(json).unwrap();
                let said = outcome(borrowed.resolve_async().await, |value| format!("{value:?}"));
                lent.push(borrowed);
                said
            }
            "push" => {
                let mut borrowed: LentMut<Numbers> = serde_json::from_str(json).unwrap();
                let pushed = async {
                    let mut value = borrowed.resolve_async().await?.clone();
                    value.push(9);
                    borrowed.update(value.clone()).await?;
                    assert_eq!(borrowed.resolve_async().await?, &value);
                    Ok(value)
                };
                let said = outcome(pushed.await, |value| format!("{value:?}"));
                lent_mut.push(borrowed);
                said
            }
            "drop" => {
                (lent, lent_mut, owned) = (Vec::new(), Vec::new(), Vec::new());
                "dropped".into()
            }
            _ => panic!("{verb}?"),
        };
        process::say(&said);
    }
}

struct Worker(Role);

impl Worker {
    fn at(place: &str) -> Self {
        Self(Role::spawn("ownership::worker", &[("PLACE", place)]))
    }

    async fn ask(&mut self, verb: &str, json: impl AsRef<str>) -> String {
        self.0.say(&format!("{verb} {}", json.as_ref())).await;
        self.0.hear().await.unwrap()
    }
}

#[tokio::test]
async fn an_owner_evicts_its_object_however_it_ends() {
    for backend in backends().await {
        let store = backend.store("owned").await;
        let owned = store.owned_proxy(vec![1u32]).populate(false).await.unwrap();
        assert!(!owned.is_resolved() && owned.get().is_none());
        assert_eq!(owned.resolve_async().await.unwrap(), &[1]);
        assert!(owned.is_resolved());
        let key = owned.key().clone();
        drop(owned);
        goes(&store, &key).await;

        let owned = store.owned_proxy(vec![1u32]).populate(true).await.unwrap();
        assert_eq!(owned.get(), Some(&vec![1]));
        let key = owned.key().clone();
        let evictions = owned.evict().await;
        assert_eq!((evictions.evicted, evictions.pending, evictions.failed), (1, 0, 0));
        assert!(!store.exists(&key).await.unwrap());

        // Unwinding.
        let owned = store.owned_proxy(vec![1u32]).await.unwrap();
        let key = owned.key().clone();
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            let _owned = owned;
            panic!("as it happens");
        }));
        assert!(panicked.is_err());
        goes(&store, &key).await;

        // A task that is aborted.
        let owned = store.owned_proxy(vec![1u32]).await.unwrap();
        let key = owned.key().clone();
        let task = tokio::spawn(async move {
            let _owned = owned;
            pending::<()>().await;
        });
        task.abort();
        goes(&store, &key).await;

        // A thread without a runtime.
        let owned = store.owned_proxy(vec![1u32]).await.unwrap();
        let key = owned.key().clone();
        std::thread::spawn(move || drop(owned)).join().unwrap();
        goes(&store, &key).await;
    }
}

#[test]
fn owners_that_fall_with_their_runtime_evict() {
    let guard = ShutdownGuard::with_limit(LONG);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let backend = first.block_on(stores::file());
    let (store, keys) = first.block_on(async {
        let store = backend.store("fallen").await;
        let mut keys = Vec::new();
        for number in 0..100u32 {
            let owned = store.owned_proxy(number).await.unwrap();
            keys.push(owned.key().clone());
            tokio::spawn(async move {
                let _owned = owned;
                pending::<()>().await;
            });
        }
        (store, keys)
    });
    drop(first);
    drop(guard);
    runtime().block_on(async {
        for key in &keys {
            assert!(!store.exists(key).await.unwrap());
        }
    });
}

#[tokio::test]
async fn an_owner_that_is_killed_leaves_nothing() {
    for backend in shared().await {
        let store = registered(&backend.uri).await;
        let mut worker = Worker::at(&backend.uri);
        let key: Key = worker.ask("own", "1").await.parse().unwrap();
        // It lives for longer than its ttl as long as somebody renews it.
        sleep(2 * SHORT).await;
        assert!(store.exists(&key).await.unwrap(), "{}", backend.scheme);
        worker.0.kill().await;
        let killed = Instant::now();
        goes(&store, &key).await;
        assert!(killed.elapsed() < SHORT + Duration::from_secs(1), "{:?}", killed.elapsed());
    }
}

#[tokio::test]
async fn an_owner_that_was_away_says_so() {
    for backend in backends().await {
        let store = backend.store("away").await;
        let mut owned = store.owned_proxy(vec![1u32]).ttl(Duration::from_millis(200)).await.unwrap();
        store.evict(owned.key()).await.unwrap();
        eventually(LONG, || async {
            owned.resolve_async().await.is_err_and(|error| error.kind() == ErrorKind::Expired)
        })
        .await;
        assert_eq!(owned.update(vec![2]).await.unwrap_err().kind(), ErrorKind::Expired);
        assert_eq!(owned.lend(async |_| ()).await.unwrap_err().kind(), ErrorKind::Expired);
        assert_eq!(owned.hand_over().await.unwrap_err().error.kind(), ErrorKind::Expired);
    }
}

#[tokio::test]
async fn an_update_is_a_new_object() {
    for backend in backends().await {
        let (store, faulty) = backend.spied("updated").await;
        let mut owned = store.owned_proxy(vec![1u32]).populate(false).await.unwrap();
        let first = owned.key().clone();
        assert_eq!(owned.borrow().resolve_async().await.unwrap(), &[1]);

        let mut borrowed = owned.borrow_mut();
        borrowed.update(vec![2]).await.unwrap();
        assert_eq!(borrowed.get(), None);
        assert_eq!(borrowed.resolve_async().await.unwrap(), &[2]);
        assert_ne!(borrowed.key(), &first);
        goes(&store, &first).await;

        // One that fails leaves the old value.
        faulty.next(Op::Put, Fault::Fail(Error::new(ErrorKind::Full, "no space")));
        let second = owned.key().clone();
        assert_eq!(owned.update(vec![3]).await.unwrap_err().kind(), ErrorKind::Full);
        assert_eq!(owned.resolve_async().await.unwrap(), &[2]);
        // So does one that is given up, and what it has put goes.
        faulty.next(Op::Put, Fault::Delay(Duration::from_millis(50)));
        let given_up = tokio::time::timeout(Duration::from_millis(5), owned.update(vec![3])).await;
        assert!(given_up.is_err());
        assert_eq!((owned.key(), owned.resolve_async().await.unwrap()), (&second, &vec![2]));
        assert!(store.exists(&second).await.unwrap());
    }
}

#[tokio::test]
async fn a_clone_is_an_object_of_its_own() {
    for backend in backends().await {
        let store = backend.store("cloned").await;
        let owned = store.owned_proxy(vec![1u32]).await.unwrap();
        let clone = owned.clone_object().await.unwrap();
        assert_ne!(clone.key(), owned.key());
        let key = owned.key().clone();
        drop(owned);
        goes(&store, &key).await;
        assert_eq!(clone.resolve_async().await.unwrap(), &[1]);

        store.evict(clone.key()).await.unwrap();
        let error = clone.clone_object().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing);
        assert!(error.to_string().contains("clone_object"), "{error}");
    }
}

#[tokio::test]
async fn an_object_gets_one_owner() {
    for backend in shared().await {
        let store = registered(&backend.uri).await;
        let proxy = store.proxy(vec![1u32]).await.unwrap();
        let key = proxy.factory().key().clone();
        let (mut left, mut right) = (Worker::at(&backend.uri), Worker::at(&backend.uri));
        let reference = json(&proxy);
        let (one, other) =
            join(left.ask("into_owned", &reference), right.ask("into_owned", &reference)).await;
        let (owner, outcomes) = if one == "owned" { (left, [one, other]) } else { (right, [other, one]) };
        assert_eq!(outcomes, ["owned", "conflict"]);
        assert_eq!(into_owned(proxy.clone()).await.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(proxy.resolve_async().await.unwrap(), &[1]);
        let mut owner = owner;
        owner.ask("drop", "").await;
        goes(&store, &key).await;
        // The next error is another one.
        eventually(LONG, || async {
            into_owned(proxy.clone()).await.is_err_and(|error| error.kind() == ErrorKind::Missing)
        })
        .await;
    }
}

#[tokio::test]
async fn only_what_has_one_value_for_all_gets_an_owner() {
    let backend = stores::local().await;
    let store = backend.store("ephemeral").await;
    let proxy = store.proxy(1u32).ephemeral().await.unwrap();
    assert_eq!(into_owned(proxy.clone()).await.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(proxy.resolve_async().await.unwrap(), &1);

    // Its owner says what became of the object, and nothing of what stands beside it.
    let owned = into_owned(store.proxy(1u32).await.unwrap()).await.unwrap();
    assert_eq!(owned.evict().await.evicted, 1);
}

#[test]
fn an_owner_moves_between_runtimes() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (backend, store, mut owned) = first.block_on(async {
        let backend = stores::local().await;
        let store = backend.store("runtimes").await;
        let owned = store.owned_proxy(vec![1u32]).ttl(SHORT / 5).await.unwrap();
        (backend, store, owned)
    });
    drop(first);
    runtime().block_on(async {
        sleep(SHORT).await;
        assert_eq!(owned.borrow().resolve_async().await.unwrap(), &[1]);
        owned.lend_mut(async |mut lent| lent.update(vec![2]).await).await.unwrap().unwrap();
        let handover = owned.hand_over().await.unwrap();
        let key = handover.key().clone();
        drop(handover.claim().await.unwrap());
        goes(&store, &key).await;
    });
    drop(backend);
}

#[tokio::test]
async fn what_is_given_up_half_way_leaves_one_owner() {
    for backend in backends().await {
        let store = backend.store("given-up").await;
        let mut finished = [false; 5];
        let mut polls = 0;
        while finished.contains(&false) {
            polls += 1;
            let mut owned = store.owned_proxy(vec![1u32]).await.unwrap();
            let updated = poll_and_drop(owned.update(vec![2]), polls).await.is_some();
            finished[0] |= updated;
            let value = [if updated { 2 } else { 1 }];
            assert_eq!(owned.resolve_async().await.unwrap(), &value);

            let lend = owned.lend_mut(async |mut lent| lent.update(vec![3]).await);
            let lent = poll_and_drop(lend, polls).await.map(|lent| lent.unwrap().unwrap()).is_some();
            finished[1] |= lent;
            let value = if lent { [3] } else { value };
            assert_eq!(owned.resolve_async().await.unwrap(), &value);

            finished[2] |= poll_and_drop(owned.clone_object(), polls).await.is_some();
            let handover = owned.hand_over().await.unwrap();
            let owned = match poll_and_drop(handover.claim(), polls).await {
                Some(owned) => {
                    finished[3] = true;
                    owned.unwrap()
                }
                None => handover.claim().await.unwrap(),
            };
            assert_eq!(owned.resolve_async().await.unwrap(), &value);

            let key = owned.key().clone();
            if let Some(handover) = poll_and_drop(owned.hand_over(), polls).await {
                finished[4] = true;
                drop(handover.unwrap().claim().await.unwrap());
            }
            goes(&store, &key).await;
        }
        assert!(polls < 1000);
    }
}

#[tokio::test]
async fn times_have_no_end() {
    for backend in backends().await {
        let store = backend.store("for-ever").await;
        let mut owned = store.owned_proxy(vec![1u32]).ttl(Duration::MAX).await.unwrap();
        owned.lend(async |lent| lent.resolve_async().await.cloned()).await.unwrap().unwrap();
        owned.lend_mut(async |mut lent| lent.update(vec![2]).await).await.unwrap().unwrap();
        let handover = owned.hand_over_within(Duration::MAX).await.unwrap();
        assert_eq!(handover.claim().await.unwrap().resolve_async().await.unwrap(), &[2]);
    }
}
