//! A connector with a policy around it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{BoxFuture, FutureExt, ready};

use crate::connector::unanswered;
use crate::{
    Attempts, Call, Connector, ConnectorInfo, Draft, Error, ErrorKind, FileSource, FileTarget, Key, KeyHint,
    Mode, Operation, Payload, Policy, PutOptions, Reply, Result, Transfer, Watch, file,
};

/// A connector with a [`Policy`] around every call.
pub struct WithPolicy<P> {
    inner: Arc<dyn Connector>,
    policy: P,
    store: String,
}

impl<P: Policy> WithPolicy<P> {
    /// Puts `policy` around `inner`, on behalf of the store of this name.
    pub fn new(inner: Arc<dyn Connector>, policy: P, store: impl Into<String>) -> Self {
        Self { inner, policy, store: store.into() }
    }

    /// The policy.
    pub fn policy(&self) -> &P {
        &self.policy
    }

    fn call<'a>(
        &'a self,
        operation: Operation,
        key: Option<&'a Key>,
        sends: u64,
        transfer: &'a Transfer,
    ) -> Call<'a> {
        Call { store: &self.store, info: self.inner.info(), operation, key, sends, transfer }
    }

    /// Makes a call that carries no object, or brings one.
    async fn run<'a, T: Reply>(
        &'a self,
        operation: Operation,
        key: Option<&'a Key>,
        attempt: Attempt<'_, 'a, T>,
    ) -> Result<T> {
        let transfer = &Transfer::current_or_new();
        let call = self.call(operation, key, 0, transfer);
        self.policy.around(&call, &Tries { transfer, attempt }).await
    }

    /// Makes a put, of which `value` gives the bytes.
    async fn run_put<'a>(
        &'a self,
        key: &'a Key,
        sends: u64,
        options: &'a PutOptions,
        put: Attempt<'_, 'a, ()>,
        value: Attempt<'_, 'a, Payload>,
    ) -> Result<()> {
        let transfer = &Transfer::current_or_new();
        let call = self.call(Operation::Put, Some(key), sends, transfer);
        let connector = &*self.inner;
        let maybe = AtomicBool::new(false);
        let puts =
            Puts { transfer, connector, key, creates: options.mode == Mode::Create, put, value, maybe };
        self.policy.around(&call, &puts).await
    }

    /// Makes a batch. An attempt that does not succeed with all is repeated, if the policy does so, with those that
    /// failed in passing; what was answered stays answered. An attempt is told which items may have happened before.
    async fn run_many<'a, T: Clone + Send>(
        &'a self,
        operation: Operation,
        count: usize,
        sends: u64,
        bytes: impl Fn(&T) -> u64 + Send + Sync,
        attempt: impl Fn(Vec<(usize, bool)>) -> BoxFuture<'a, Vec<Result<T>>> + Send + Sync,
    ) -> Vec<Result<T>> {
        let transfer = &Transfer::current_or_new();
        let call = self.call(operation, None, sends, transfer);
        let results: Mutex<Vec<Option<Result<T>>>> = Mutex::new(vec![None; count]);
        let begun = AtomicBool::new(false);
        let lock = || results.lock().unwrap_or_else(PoisonError::into_inner);
        let passing = |error: &Error| error.is_transient() || error.kind() == ErrorKind::Ambiguous;
        let attempt = || {
            // What is pending has no result while it is under way: if the attempt is cut off, that is what is known.
            let again = begun.swap(true, Ordering::Relaxed);
            let pending: Vec<(usize, Option<Result<T>>)> = {
                let mut results = lock();
                let open = |result: &Option<Result<T>>| match result {
                    None => true,
                    Some(Ok(_)) => false,
                    Some(Err(error)) => passing(error),
                };
                let indexes: Vec<usize> = (0..count).filter(|i| open(&results[*i])).collect();
                indexes.into_iter().map(|i| (i, results[i].take())).collect()
            };
            let maybe = |before: &Option<Result<T>>| match before {
                None => again,
                Some(before) => before.as_ref().is_err_and(|error| error.kind() == ErrorKind::Ambiguous),
            };
            let attempt = attempt(pending.iter().map(|(i, before)| (*i, maybe(before))).collect());
            let (lock, bytes) = (&lock, &bytes);
            async move {
                let answers = attempt.await;
                let mut results = lock();
                for ((i, before), answer) in pending.into_iter().zip(answers) {
                    results[i] = Some(of_both(before, answer));
                }
                let failed = results.iter().flatten().find_map(|r| r.as_ref().err().filter(|e| passing(e)));
                match failed {
                    Some(error) => Err(error.clone()),
                    None => Ok(results.iter().flatten().flatten().map(bytes).sum::<u64>()),
                }
            }
            .boxed()
        };
        let outcome = self.policy.around(&call, &Tries { transfer, attempt: &attempt }).await;
        let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        let unanswered = || match &outcome {
            Err(error) => Err(error.clone()),
            Ok(_) => Err(unanswered()),
        };
        results.into_iter().map(|result| result.unwrap_or_else(unanswered)).collect()
    }
}

/// The answer for an item after two attempts: what may have happened in the first may have happened.
fn of_both<T>(before: Option<Result<T>>, answer: Result<T>) -> Result<T> {
    match (before, answer) {
        (Some(Err(before)), Err(error))
            if before.kind() == ErrorKind::Ambiguous && error.kind() != ErrorKind::Exists =>
        {
            Err(error.with_kind(ErrorKind::Ambiguous).with("before", before.message()))
        }
        (_, answer) => answer,
    }
}

/// Begins a try.
type Attempt<'t, 'a, T> = &'t (dyn Fn() -> BoxFuture<'a, Result<T>> + Send + Sync);

/// The tries that a closure begins, each with its bytes counted anew.
struct Tries<'t, 'a, T> {
    transfer: &'t Transfer,
    attempt: Attempt<'t, 'a, T>,
}

impl<T: Reply> Attempts<T> for Tries<'_, '_, T> {
    fn begin(&self) -> impl Future<Output = Result<T>> + Send {
        self.transfer.restart();
        self.transfer.clone().scope((self.attempt)())
    }
}

/// The tries of a put.
struct Puts<'t, 'a> {
    transfer: &'t Transfer,
    connector: &'t dyn Connector,
    key: &'t Key,
    creates: bool,
    put: Attempt<'t, 'a, ()>,
    value: Attempt<'t, 'a, Payload>,
    /// Whether an attempt may have put the object: one that was cut off, or whose answer was lost.
    maybe: AtomicBool,
}

impl Attempts<()> for Puts<'_, '_> {
    fn begin(&self) -> impl Future<Output = Result<()>> + Send {
        self.transfer.restart();
        self.transfer.clone().scope(async {
            let before = self.maybe.swap(true, Ordering::Relaxed);
            let result = match (self.put)().await {
                Err(error) if before && self.creates && error.kind() == ErrorKind::Exists => {
                    self.settle(error).boxed().await
                }
                result => result,
            };
            let lost = matches!(&result, Err(error) if error.kind() == ErrorKind::Ambiguous);
            self.maybe.store(before || lost, Ordering::Relaxed);
            result
        })
    }
}

impl Puts<'_, '_> {
    async fn settle(&self, exists: Error) -> Result<()> {
        let unread = |error: Error| error.with_kind(ErrorKind::Ambiguous);
        settle(self.connector, self.key, (self.value)().await.map_err(unread)?, exists).await
    }
}

/// A create found another object where an earlier attempt may have put its own: tells which it is, by its bytes, of
/// which the writer's nonce is a part.
async fn settle(connector: &dyn Connector, key: &Key, value: Payload, exists: Error) -> Result<()> {
    let there = connector.get(key).await.map(|found| found.map(Payload::into_bytes));
    match there {
        Ok(Some(there)) if there == value.into_bytes() => Ok(()),
        Ok(Some(_)) => Err(exists),
        Ok(None) => Err(Error::new(
            ErrorKind::Ambiguous,
            "an object was there and is gone again; it may have been this one",
        )
        .with("key", key)),
        // What cannot be read or is too large is not what was put.
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::TooLarge) => Err(exists),
        Err(error) => Err(error),
    }
}

/// Whether a create failed because the key is taken.
fn is_taken(error: &Error, options: &PutOptions) -> bool {
    options.mode == Mode::Create && error.kind() == ErrorKind::Exists
}

fn total<'a>(items: impl IntoIterator<Item = &'a Payload>) -> u64 {
    items.into_iter().map(|value| value.len() as u64).sum()
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<P: Policy> Connector for WithPolicy<P> {
    fn info(&self) -> &ConnectorInfo {
        self.inner.info()
    }

    fn new_key(&self, hint: KeyHint<'_>) -> Result<Key> {
        self.inner.new_key(hint)
    }

    async fn put(&self, key: &Key, value: Payload, options: &PutOptions) -> Result<()> {
        let put = || self.inner.put(key, value.clone(), options);
        self.run_put(key, value.len() as u64, options, &put, &|| ready(Ok(value.clone())).boxed()).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Payload>> {
        self.run(Operation::Get, Some(key), &|| self.inner.get(key)).await
    }

    /// A create that finds an object where an earlier attempt may have put its own compares both in memory.
    async fn put_file(&self, key: &Key, source: &FileSource, options: &PutOptions) -> Result<()> {
        let put = || self.inner.put_file(key, source, options);
        self.run_put(key, source.size(), options, &put, &|| file::load(source).boxed()).await
    }

    async fn get_file(&self, key: &Key, target: &FileTarget) -> Result<Option<Draft>> {
        self.run(Operation::Get, Some(key), &|| self.inner.get_file(key, target)).await
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        self.run(Operation::Exists, Some(key), &|| self.inner.exists(key)).await
    }

    async fn evict(&self, key: &Key) -> Result<()> {
        self.run(Operation::Evict, Some(key), &|| self.inner.evict(key)).await
    }

    async fn put_many(&self, items: Vec<(Key, Payload)>, options: &PutOptions) -> Vec<Result<()>> {
        let attempt = |pending: Vec<(usize, bool)>| {
            let sent: Vec<_> = pending.iter().map(|(i, _)| items[*i].clone()).collect();
            async move {
                let mut results = self.inner.put_many(sent.clone(), options).await;
                for ((result, (_, maybe)), (key, value)) in results.iter_mut().zip(pending).zip(sent) {
                    if let Err(error) = result
                        && maybe
                        && is_taken(error, options)
                    {
                        *result = settle(&*self.inner, &key, value, error.clone()).await;
                    }
                }
                results
            }
            .boxed()
        };
        let sends = total(items.iter().map(|(_, value)| value));
        self.run_many(Operation::PutMany, items.len(), sends, |()| 0, attempt).await
    }

    async fn get_many(&self, keys: &[Key]) -> Vec<Result<Option<Payload>>> {
        let attempt = |pending: Vec<(usize, bool)>| {
            let keys: Vec<_> = pending.iter().map(|(i, _)| keys[*i].clone()).collect();
            async move { self.inner.get_many(&keys).await }.boxed()
        };
        self.run_many(Operation::GetMany, keys.len(), 0, |found| total(found), attempt).await
    }

    async fn evict_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        let attempt = |pending: Vec<(usize, bool)>| {
            let keys: Vec<_> = pending.iter().map(|(i, _)| keys[*i].clone()).collect();
            async move { self.inner.evict_many(&keys).await }.boxed()
        };
        self.run_many(Operation::EvictMany, keys.len(), 0, |()| 0, attempt).await
    }

    async fn touch(&self, key: &Key, ttl: Duration) -> Result<bool> {
        self.run(Operation::Touch, Some(key), &|| self.inner.touch(key, ttl)).await
    }

    async fn take(&self, key: &Key) -> Result<Option<Payload>> {
        self.run(Operation::Take, Some(key), &|| self.inner.take(key)).await
    }

    async fn watch(&self, key: &Key) -> Result<Watch> {
        self.run(Operation::Watch, Some(key), &|| self.inner.watch(key)).await
    }

    async fn close(&self) -> Result<()> {
        self.run(Operation::Close, None, &|| self.inner.close()).await
    }

    async fn clear(&self) -> Result<()> {
        self.run(Operation::Clear, None, &|| self.inner.clear()).await
    }
}

impl<P: fmt::Debug> fmt::Debug for WithPolicy<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with {:?}", self.inner, self.policy)
    }
}
