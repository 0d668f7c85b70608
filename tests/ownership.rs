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

#[tokio::test]
async fn an_owner_goes_from_process_to_process() {
    for backend in shared().await {
        let store = registered(&backend.uri).await;
        let (mut left, mut right) = (Worker::at(&backend.uri), Worker::at(&backend.uri));
        let owned = store.owned_proxy(vec![1u32, 2]).ttl(SHORT).await.unwrap();
        let key = owned.key().clone();
        let handover = owned.hand_over().await.unwrap();
        let bytes = json(&handover);

        let (one, other) = join(left.ask("claim", &bytes), right.ask("claim", &bytes)).await;
        let (mut owner, outcomes) =
            if one == "[1, 2]" { (left, [one, other]) } else { (right, [other, one]) };
        assert_eq!(outcomes, ["[1, 2]", "conflict"]);
        assert_eq!(handover.claim().await.unwrap_err().kind(), ErrorKind::Conflict);

        // It is renewed by the new owner, and goes with it.
        sleep(2 * SHORT).await;
        assert!(store.exists(&key).await.unwrap());
        assert_eq!(owner.ask("claim", &bytes).await, "conflict");
        owner.0.kill().await;
        goes(&store, &key).await;
    }
}

#[tokio::test]
async fn a_handover_that_is_lost_is_reclaimed() {
    for backend in backends().await {
        let store = backend.store("lost").await;
        let owned = store.owned_proxy(vec![1u32]).await.unwrap();
        let key = owned.key().clone();
        let handover = owned.hand_over_within(SHORT).await.unwrap();
        assert!(store.exists(&key).await.unwrap());
        let sent = Instant::now();
        goes(&store, &key).await;
        assert!(sent.elapsed() < SHORT + Duration::from_secs(1));
        assert_eq!(handover.claim().await.unwrap_err().kind(), ErrorKind::Expired);

        // In time, the sender gets it back.
        let owned = store.owned_proxy(vec![2u32]).await.unwrap();
        let handover = owned.hand_over().await.unwrap();
        let owned = handover.claim().await.unwrap();
        assert_eq!(owned.resolve_async().await.unwrap(), &[2]);
        assert_eq!(handover.claim().await.unwrap_err().kind(), ErrorKind::Conflict);
    }
}

#[tokio::test]
async fn a_claim_that_fails_half_way_is_made_again() {
    for backend in backends().await {
        let (store, faulty) = backend.spied("half-way").await;
        for fault in [
            Fault::FailAfter(Error::new(ErrorKind::Ambiguous, "the answer is lost")),
            Fault::Fail(Error::new(ErrorKind::Unavailable, "down")),
        ] {
            let owned = store.owned_proxy(vec![1u32]).await.unwrap();
            let handover = owned.hand_over().await.unwrap();
            faulty.next(Op::Put, fault);
            let owned = match handover.claim().await {
                Ok(owned) => owned,
                Err(error) if error.kind() == ErrorKind::Unavailable => handover.claim().await.unwrap(),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(owned.resolve_async().await.unwrap(), &[1]);
            assert_eq!(handover.claim().await.unwrap_err().kind(), ErrorKind::Conflict);
        }
        for op in [Op::Exists, Op::Touch] {
            let handover = store.owned_proxy(vec![1u32]).await.unwrap().hand_over().await.unwrap();
            // The reaper looks, too, for what was there before.
            faulty.every(op, Fault::Fail(Error::new(ErrorKind::Unavailable, "down")));
            assert_eq!(handover.claim().await.unwrap_err().kind(), ErrorKind::Unavailable);
            faulty.heal();
            assert_eq!(handover.claim().await.unwrap().resolve_async().await.unwrap(), &[1]);
        }
    }
}

#[tokio::test]
async fn who_cannot_hand_over_keeps() {
    for backend in backends().await {
        let (store, faulty) = backend.spied("kept").await;
        for op in [Op::Put, Op::Touch] {
            let owned = store.owned_proxy(vec![1u32]).await.unwrap();
            faulty.next(op, Fault::Fail(Error::new(ErrorKind::Unavailable, "down")));
            let kept = owned.hand_over().await.unwrap_err();
            assert_eq!(kept.error.kind(), ErrorKind::Unavailable);
            let owned = kept.owner;
            assert_eq!(owned.resolve_async().await.unwrap(), &[1]);
            let handover = owned.hand_over().await.unwrap();
            assert_eq!(handover.claim().await.unwrap().resolve_async().await.unwrap(), &[1]);
        }
    }
}

#[tokio::test]
async fn what_is_lent_is_read_in_other_processes() {
    for backend in shared().await {
        let store = registered(&backend.uri).await;
        let (mut left, mut right) = (Worker::at(&backend.uri), Worker::at(&backend.uri));
        let mut owned = store.owned_proxy(vec![1u32]).ttl(SHORT).await.unwrap();

        let read = owned.lend(async |lent| {
            let bytes = json(&lent);
            join(left.ask("read", &bytes), right.ask("read", &bytes)).await
        });
        assert_eq!(read.await.unwrap(), ("[1]".into(), "[1]".into()));

        // Both have the old value in their caches.
        owned.update(vec![2]).await.unwrap();
        let read = owned.lend(async |lent| {
            // A borrower that has died is noticed; those that have done their work and dropped it are not missed.
            let said = left.ask("read", json(&lent)).await;
            left.ask("drop", "").await;
            sleep(3 * SHORT).await;
            said
        });
        assert_eq!(read.await.unwrap(), "[2]");
        assert_eq!(owned.lend(async |lent| right.ask("read", json(&lent)).await).await.unwrap(), "[2]");
        assert_eq!(owned.lend(async |lent| lent.resolve_async().await.cloned()).await.unwrap().unwrap(), [2]);
    }
}

#[tokio::test]
async fn what_is_lent_to_be_updated_comes_back() {
    for backend in shared().await {
        let store = registered(&backend.uri).await;
        let (mut left, mut right) = (Worker::at(&backend.uri), Worker::at(&backend.uri));
        let mut owned = store.owned_proxy(vec![1u32]).ttl(SHORT).await.unwrap();
        let first = owned.key().clone();
        let pushed = owned.lend_mut(async |lent| {
            let bytes = json(&lent);
            let pushed = left.ask("push", &bytes).await;
            // Only one process has it, and in that only one copy.
            assert_eq!(right.ask("push", &bytes).await, "conflict");
            assert_eq!(left.ask("push", &bytes).await, "conflict");
            assert_eq!(lent.resolve_async().await.unwrap_err().kind(), ErrorKind::Conflict);
            // The borrower is done; until the task is, the lender keeps the new value alive.
            left.ask("drop", "").await;
            sleep(2 * SHORT).await;
            (pushed, bytes)
        });
        let (pushed, bytes) = pushed.await.unwrap();
        assert_eq!(pushed, "[1, 9]");
        assert_eq!(owned.resolve_async().await.unwrap(), &[1, 9]);
        goes(&store, &first).await;

        // Too late.
        assert_ne!(right.ask("push", &bytes).await, "[1, 9]");
        assert_eq!(owned.lend(async |lent| right.ask("read", json(&lent)).await).await.unwrap(), "[1, 9]");
        let other = owned.lend_mut(async |lent| right.ask("push", json(&lent)).await).await.unwrap();
        assert_eq!(other, "[1, 9, 9]");
        sleep(2 * SHORT).await;
        assert_eq!(owned.borrow().resolve_async().await.unwrap(), &[1, 9, 9]);
    }
}

#[tokio::test]
async fn what_is_lent_to_a_task_is_updated_there() {
    for backend in backends().await {
        let store = backend.store("tasks").await;
        let mut owned = store.owned_proxy(vec![1u32]).await.unwrap();
        let lend = owned.lend_mut(|mut lent| {
            tokio::spawn(async move {
                for number in 2..5 {
                    let mut value = lent.resolve_async().await?.clone();
                    value.push(number);
                    lent.update(value).await?;
                }
                Ok::<_, Error>(())
            })
        });
        lend.await.unwrap().unwrap().unwrap();
        assert_eq!(owned.resolve_async().await.unwrap(), &[1, 2, 3, 4]);
        // A task that updates nothing leaves everything.
        let key = owned.key().clone();
        assert_eq!(
            owned.lend_mut(async |lent| lent.resolve_async().await.cloned()).await.unwrap().unwrap().len(),
            4
        );
        assert_eq!(owned.key(), &key);
    }
}

#[tokio::test]
async fn a_borrower_that_is_killed_frees_the_borrow() {
    for backend in shared().await {
        let store = registered(&backend.uri).await;
        let mut owned = store.owned_proxy(vec![1u32]).ttl(SHORT).await.unwrap();

        let mut worker = Worker::at(&backend.uri);
        let lend = owned.lend(async |lent| {
            assert_eq!(worker.ask("read", json(&lent)).await, "[1]");
            worker.0.kill().await;
            worker.0.hear().await.unwrap_or_default();
            pending::<()>().await;
        });
        let error = lend.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Expired, "{error}");

        // What it has updated before is kept: its update had succeeded.
        let mut worker = Worker::at(&backend.uri);
        let lend = owned.lend_mut(async |lent| {
            assert_eq!(worker.ask("push", json(&lent)).await, "[1, 9]");
            worker.0.kill().await;
            pending::<()>().await;
        });
        assert_eq!(lend.await.unwrap_err().kind(), ErrorKind::Expired);
        assert_eq!(owned.resolve_async().await.unwrap(), &[1, 9]);

        let mut worker = Worker::at(&backend.uri);
        let pushed = owned.lend_mut(async |lent| worker.ask("push", json(&lent)).await).await;
        assert_eq!(pushed.unwrap(), "[1, 9, 9]");
        assert_eq!(owned.resolve_async().await.unwrap(), &[1, 9, 9]);
    }
}

#[tokio::test]
async fn a_mutable_loan_has_one_user_for_as_long_as_it_lasts() {
    for backend in shared().await {
        let store = registered(&backend.uri).await;
        let mut owned = store.owned_proxy(vec![1u32]).ttl(SHORT / 2).await.unwrap();
        let lend = owned.lend_mut(async |lent| {
            let copy = || serde_json::from_str::<LentMut<Numbers>>(&json(&lent)).unwrap();
            let mut first = copy();
            first.update(vec![2]).await.unwrap();
            // As long as it takes for all that nobody renews to be gone.
            sleep(2 * SHORT).await;
            assert_eq!(copy().resolve_async().await.unwrap_err().kind(), ErrorKind::Conflict);
            drop(first);
            sleep(2 * SHORT).await;
            assert_eq!(copy().update(vec![3]).await.unwrap_err().kind(), ErrorKind::Conflict);
        });
        lend.await.unwrap();
        assert_eq!(owned.resolve_async().await.unwrap(), &[2]);
    }
}

#[tokio::test]
async fn a_first_use_that_fails_is_no_death() {
    for backend in backends().await {
        let (store, faulty) = backend.spied("first-use").await;
        let owned = store.owned_proxy(vec![1u32]).ttl(SHORT / 5).await.unwrap();
        let lend = owned.lend(async |lent| {
            // The sign of life is written, and the borrower does not come to renew it.
            faulty.next(Op::Put, Fault::FailAfter(Error::new(ErrorKind::Unavailable, "down")));
            assert_eq!(lent.resolve_async().await.unwrap_err().kind(), ErrorKind::Unavailable);
            sleep(SHORT).await;
            lent.resolve_async().await.cloned()
        });
        assert_eq!(lend.await.unwrap().unwrap(), [1]);
    }
}

#[tokio::test]
async fn a_lender_that_is_killed_leaves_nothing() {
    for backend in shared().await {
        let store = registered(&backend.uri).await;
        let mut worker = Worker::at(&backend.uri);
        let bytes = worker.ask("lend", "7").await;
        let lent: Lent<Numbers> = serde_json::from_str(&bytes).unwrap();
        assert_eq!(lent.resolve_async().await.unwrap(), &[7]);
        worker.0.kill().await;
        let reference: Proxy<Numbers> =
            serde_json::from_value(serde_json::from_str::<Value>(&bytes).unwrap()["reference"].clone())
                .unwrap();
        goes(&store, reference.factory().key()).await;
        eventually(LONG, || {
            let late: Lent<Numbers> = serde_json::from_str(&bytes).unwrap();
            async move { late.resolve_async().await.is_err_and(|error| error.kind() == ErrorKind::Expired) }
        })
        .await;
    }
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

#[tokio::test]
async fn a_lend_that_is_given_up_ends_the_borrow() {
    for backend in shared().await {
        let store = registered(&backend.uri).await;
        let mut owned = store.owned_proxy(vec![1u32]).await.unwrap();
        let mut worker = Worker::at(&backend.uri);
        let mut bytes = String::new();
        let lend = owned.lend_mut(async |lent| {
            bytes = json(&lent);
            assert_eq!(worker.ask("push", &bytes).await, "[1, 9]");
            pending::<()>().await;
        });
        assert!(tokio::time::timeout(Duration::from_secs(2), lend).await.is_err());
        // The owner has what it had, and may do with it what it likes.
        assert_eq!(owned.resolve_async().await.unwrap(), &[1]);
        owned.update(vec![2]).await.unwrap();
        // The borrower is told, as soon as the ticket is gone.
        eventually(LONG, || {
            let late: LentMut<Numbers> = serde_json::from_str(&bytes).unwrap();
            async move { late.resolve_async().await.is_err_and(|error| error.kind() == ErrorKind::Expired) }
        })
        .await;
    }
}

#[tokio::test]
async fn a_task_that_panics_gives_back() {
    let backend = stores::local().await;
    let store = backend.store("panics").await;
    let mut owned = store.owned_proxy(vec![1u32]).await.unwrap();
    let lend = owned.lend_mut(async |_| panic!("as it happens"));
    assert!(AssertUnwindSafe(lend).catch_unwind().await.is_err());
    owned.update(vec![2]).await.unwrap();

    // One that keeps what it was lent can do nothing with it.
    let lend = owned.lend_mut(async |lent| {
        assert_eq!(lent.resolve_async().await.unwrap(), &[2]);
        lent
    });
    let mut kept = lend.await.unwrap();
    assert_eq!(kept.update(vec![3]).await.unwrap_err().kind(), ErrorKind::Expired);
    assert_eq!(kept.resolve_async().await.unwrap(), &[2]);
    assert_eq!(owned.lend(async |lent| lent.resolve_async().await.cloned()).await.unwrap().unwrap(), [2]);
}

#[tokio::test]
async fn a_lend_that_is_leaked_still_counts() {
    let backend = stores::local().await;
    let store = backend.store("leaked").await;
    let mut owned = store.owned_proxy(vec![1u32]).await.unwrap();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let mut lend = Box::pin(owned.lend(async |lent| {
        sender.send(lent).unwrap();
        pending::<()>().await;
    }));
    assert!((&mut lend).now_or_never().is_none());
    std::mem::forget(lend);
    let lent = receiver.await.unwrap();
    assert_eq!(lent.resolve_async().await.unwrap(), &[1]);

    assert_eq!(owned.update(vec![2]).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(owned.lend_mut(async |_| ()).await.unwrap_err().kind(), ErrorKind::Conflict);
    owned.lend(async |_| ()).await.unwrap();
    assert_eq!(owned.hand_over().await.unwrap_err().error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn nothing_is_left_of_what_was_lent() {
    let backend = stores::file().await;
    let (store, _) = backend.spied("tidy").await;
    let objects = || {
        let root: std::path::PathBuf = backend.uri.strip_prefix("file://").unwrap().into();
        let mut dirs = vec![root];
        let mut files = 0;
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
                let name = entry.file_name().into_string().unwrap();
                match entry.file_type().unwrap().is_dir() {
                    true => dirs.push(entry.path()),
                    // An object, or what stands beside one.
                    false => files += usize::from(name.len() >= 26),
                }
            }
        }
        files
    };
    let before = objects();
    let mut owned = store.owned_proxy(vec![1u32]).await.unwrap();
    owned.lend(async |lent| lent.resolve_async().await.cloned()).await.unwrap().unwrap();
    owned.lend_mut(async |mut lent| lent.update(vec![2]).await).await.unwrap().unwrap();
    owned.update(vec![3]).await.unwrap();
    assert!(objects() > before);
    owned.evict().await;
    eventually(LONG, || async { objects() == before }).await;
}

/// What the letters of others can be put together to gives nobody more than he was given.
#[tokio::test]
async fn forged_letters_do_nothing() {
    for backend in shared().await {
        let store = registered(&backend.uri).await;
        let other = store.owned_proxy(vec![7u32]).await.unwrap();
        let mut owned = store.owned_proxy(vec![1u32]).await.unwrap();
        let forged = |letter: &Value, field: &str, with: &Value| {
            let mut letter = letter.clone();
            letter[field] = with.clone();
            letter.to_string()
        };
        let kind = |letter: &Value, kind: &str| forged(letter, "kind", &kind.into());
        let theirs = other.lend(async |theirs| {
            let theirs = serde_json::to_value(&theirs).unwrap();
            let mine = owned.lend_mut(async |mine| {
                let mine = serde_json::to_value(&mine).unwrap();
                // For another use.
                assert_eq!(update(kind(&theirs, "lent_mut")).await, Err(ErrorKind::Denied));
                assert_eq!(claim(kind(&theirs, "handover")).await, Err(ErrorKind::Denied));
                assert_eq!(claim(kind(&mine, "handover")).await, Err(ErrorKind::Denied));
                // For another object.
                assert_eq!(
                    update(forged(&mine, "reference", &theirs["reference"])).await,
                    Err(ErrorKind::Denied)
                );
                // What is no ticket, and what is none any more.
                let object = &theirs["reference"]["key"];
                assert_eq!(update(forged(&mine, "ticket", object)).await, Err(ErrorKind::Corrupt));
                let nothing = Value::from(Key::random().unwrap().to_string());
                assert_eq!(update(forged(&mine, "ticket", &nothing)).await, Err(ErrorKind::Expired));
            });
            mine.await.unwrap();
        });
        theirs.await.unwrap();
        assert_eq!(owned.resolve_async().await.unwrap(), &[1]);
        assert_eq!(other.resolve_async().await.unwrap(), &[7]);
        assert!(store.exists(owned.key()).await.unwrap() && store.exists(other.key()).await.unwrap());
    }
}

async fn update(letter: String) -> Result<(), ErrorKind> {
    let mut lent: LentMut<Numbers> = serde_json::from_str(&letter).unwrap();
    lent.update(vec![666]).await.map_err(|error| error.kind())
}

async fn claim(letter: String) -> Result<(), ErrorKind> {
    let handover: Handover<Numbers> = serde_json::from_str(&letter).unwrap();
    handover.claim().await.map(drop).map_err(|error| error.kind())
}

#[tokio::test]
async fn borrows_and_owners_ask_for_the_rights() {
    let backend = stores::local().await;
    let keys = KeyRing::new(SecretKey::random("k1").unwrap());
    let build = Store::builder("signed").shared_connector(backend.connector.clone()).sign(keys);
    let store = build.build().await.unwrap();
    let proxy = store.proxy(vec![1u32]).await.unwrap();
    let limited: Proxy<Numbers> = Proxy::new(proxy.factory().limited(Rights::READ, None).unwrap());
    assert_eq!(into_owned(limited).await.unwrap_err().kind(), ErrorKind::Denied);
    let key = proxy.factory().key().clone();
    let wrong: Proxy<String> = serde_json::from_str(&json(&proxy)).unwrap();
    assert_eq!(into_owned(wrong).await.unwrap_err().kind(), ErrorKind::TypeMismatch);
    let mut owned: OwnedProxy<Numbers> = into_owned(proxy).await.unwrap();
    assert_eq!(owned.key(), &key);

    // What is lent to be read gives no right to evict.
    let read = owned.lend(async |lent| {
        assert!(json(&lent).contains(" read "), "{}", json(&lent));
        lent.resolve_async().await.cloned()
    });
    assert_eq!(read.await.unwrap().unwrap(), [1]);
    // Nor does what is lent to be updated: the old object is the owner's to evict.
    let update = owned.lend_mut(async |mut lent| {
        assert!(json(&lent).contains(" read "), "{}", json(&lent));
        lent.update(vec![2]).await
    });
    update.await.unwrap().unwrap();
    assert_eq!(owned.hand_over().await.unwrap().claim().await.unwrap().resolve_async().await.unwrap(), &[2]);
}
