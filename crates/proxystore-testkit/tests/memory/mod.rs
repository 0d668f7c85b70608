//! A connector over a map: whole, or with one bug.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use proxystore_core::{
    Bytes, Capabilities, Connector, ConnectorInfo, Error, ErrorKind, Key, KeyHint, Mode, Payload, PutOptions,
    Reach, Result, Uri, Watch, async_trait,
};
use proxystore_testkit::conformance::Harness;
use tokio::sync::{Semaphore, broadcast};
use tokio::task::yield_now;

/// One way to break the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "each test binary uses some")]
pub(crate) enum Bug {
    None,
    TearsWrites,
    DropsTail,
    ForgetsHead,
    EmptyIsAbsent,
    FoldsCase,
    EvictsBelow,
    EvictOfMissingFails,
    SameKeyTwice,
    IgnoresTtl,
    ExpiresEarly,
    KeepsTtl,
    TouchCreates,
    CreateChecksFirst,
    CreateReplaces,
    TakeChecksFirst,
    TakeKeeps,
    NeverWakes,
    BatchReversed,
    BatchStopsAtFailure,
    OutageIsNone,
    GetFailsWhenEvicted,
    LosesPermits,
    CloseDeletes,
    CloseTwiceFails,
    ClearTakesAll,
    ClearDoesNothing,
    AcceptsTooMuch,
    ShowsObjects,
    ShowsPassword,
    EvictDoesNothing,
    EvictTears,
    NeverReplaces,
    InventsObjects,
    RefusesTags,
    AcceptsAnyTtl,
    TakesUnasked,
    SeesOnlyItsOwn,
    LeaksWatches,
    RemembersAbsence,
    TouchDoesNothing,
    WritesInHalves,
}

type Objects = HashMap<(&'static str, Key), (Bytes, Option<Instant>)>;

/// The backend: what all connectors to it share.
#[derive(Debug)]
pub(crate) struct Backend {
    objects: Mutex<Objects>,
    wakes: broadcast::Sender<Key>,
    permits: Semaphore,
}

pub(crate) struct Memory {
    info: ConnectorInfo,
    backend: Arc<Backend>,
    prefix: &'static str,
    bug: Bug,
    closed: AtomicBool,
    /// Keys that were absent once, and how many watches there were: for bugs that need a memory.
    absent: Mutex<HashSet<Key>>,
    watches: AtomicUsize,
}

/// Two connectors to the same objects and a neighbour.
pub(crate) fn harness(bug: Bug) -> Harness {
    let backend = Arc::new(Backend {
        objects: Mutex::default(),
        wakes: broadcast::Sender::new(1_000),
        permits: Semaphore::new(4),
    });
    let connector = |prefix| Arc::new(Memory::new(&backend, prefix, bug));
    let second = if bug == Bug::SeesOnlyItsOwn { "c" } else { "a" };
    Harness::new(connector("a")).with_second(connector(second)).with_neighbour(connector("b"))
}

impl Memory {
    fn new(backend: &Arc<Backend>, prefix: &'static str, bug: Bug) -> Self {
        let uri = match bug {
            Bug::ShowsPassword => "memory://user:secret@host/a".parse().expect("a URI"),
            _ => Uri::new("memory").with_path(&format!("/{prefix}")),
        };
        let max_value = if bug == Bug::AcceptsTooMuch { 1_000 } else { u64::MAX };
        let (ttl, take) = (bug != Bug::AcceptsAnyTtl, bug != Bug::TakesUnasked);
        let (reach, create, watch) = (Reach::Process, true, true);
        let capabilities = Capabilities { reach, create, watch, ttl, take, max_value };
        let info = ConnectorInfo::new(uri, capabilities);
        let (backend, closed) = (backend.clone(), AtomicBool::new(false));
        Self { info, backend, prefix, bug, closed, absent: Mutex::default(), watches: AtomicUsize::new(0) }
    }

    /// What every operation begins with: a step at which it can be dropped, and the objects without expired ones.
    async fn enter(&self) -> Result<()> {
        let permit = self.backend.permits.acquire().await.expect("permits");
        if self.bug == Bug::LosesPermits {
            permit.forget();
            yield_now().await;
            self.backend.permits.add_permits(1);
        } else {
            yield_now().await;
        }
        match self.closed.load(Ordering::SeqCst) {
            true => Err(Error::new(ErrorKind::Closed, "closed")),
            false => Ok(()),
        }
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        let mut objects = self.backend.objects.lock().unwrap_or_else(PoisonError::into_inner);
        if self.bug != Bug::IgnoresTtl {
            objects.retain(|_, (_, end)| end.is_none_or(|end| end > Instant::now()));
        }
        objects
    }

    fn name(&self, key: &Key) -> (&'static str, Key) {
        match self.bug {
            Bug::FoldsCase => (self.prefix, Key::parse(&key.as_str().to_lowercase()).expect("a key")),
            _ => (self.prefix, key.clone()),
        }
    }

    fn end(&self, ttl: Option<Duration>) -> Option<Instant> {
        let ttl = ttl.map(|ttl| if self.bug == Bug::ExpiresEarly { ttl / 2 } else { ttl });
        ttl.map(|ttl| Instant::now() + ttl)
    }

    fn stored(&self, value: Payload) -> Bytes {
        match self.bug {
            Bug::ForgetsHead => value.segments().last().cloned().unwrap_or_default(),
            Bug::DropsTail => {
                let bytes = value.into_bytes();
                bytes.slice(..bytes.len().min(65_536))
            }
            _ => value.into_bytes(),
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bug {
            Bug::ShowsObjects => write!(f, "Memory({:?})", self.objects()),
            _ => write!(f, "Memory({})", self.info.uri),
        }
    }
}

#[async_trait]
impl Connector for Memory {
    fn info(&self) -> &ConnectorInfo {
        &self.info
    }

    fn new_key(&self, _hint: KeyHint<'_>) -> Result<Key> {
        if self.bug == Bug::SameKeyTwice { Key::parse("only") } else { Key::random() }
    }

    async fn put(&self, key: &Key, value: Payload, options: &PutOptions) -> Result<()> {
        self.enter().await?;
        if self.bug == Bug::RefusesTags && !options.tags.is_empty() {
            return Err(Error::new(ErrorKind::Unsupported, "no tags here"));
        }
        let (name, value, mut end) = (self.name(key), self.stored(value), self.end(options.ttl));
        let refused = |objects: &Objects| {
            options.mode == Mode::Create && self.bug != Bug::CreateReplaces && objects.contains_key(&name)
        };
        let exists = || Err(Error::new(ErrorKind::Exists, "taken"));
        if self.bug == Bug::CreateChecksFirst {
            if refused(&self.objects()) {
                return exists();
            }
            yield_now().await;
        }
        if self.bug == Bug::TearsWrites {
            self.objects().insert(name.clone(), (value.slice(..value.len() / 2), end));
            yield_now().await;
        }
        if self.bug == Bug::WritesInHalves {
            let (front, back) = value.split_at(value.len() / 2);
            self.objects().insert(name.clone(), (Bytes::copy_from_slice(front), end));
            yield_now().await;
            let half = self.objects().get(&name).map(|(half, _)| half.to_vec()).unwrap_or_default();
            self.objects().insert(name, ([&half[..], back].concat().into(), end));
            return Ok(());
        }
        {
            let mut objects = self.objects();
            if self.bug != Bug::CreateChecksFirst && refused(&objects) {
                return exists();
            }
            if self.bug == Bug::KeepsTtl {
                end = end.or(objects.get(&name).and_then(|(_, end)| *end));
            }
            if self.bug != Bug::NeverReplaces || !objects.contains_key(&name) {
                objects.insert(name, (value, end));
            }
        }
        if self.bug != Bug::NeverWakes {
            // Nobody listening is no error.
            let _ = self.backend.wakes.send(key.clone());
        }
        Ok(())
    }

    async fn get(&self, key: &Key) -> Result<Option<Payload>> {
        let before = self.objects().contains_key(&self.name(key));
        match self.enter().await {
            Err(_) if self.bug == Bug::OutageIsNone => return Ok(None),
            entered => entered?,
        }
        let found = self.objects().get(&self.name(key)).map(|(value, _)| value.clone());
        match self.bug {
            Bug::RemembersAbsence => {
                let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
                if found.is_none() {
                    absent.insert(key.clone());
                }
                Ok(found.filter(|_| !absent.contains(key)).map(Payload::from))
            }
            Bug::InventsObjects => Ok(Some(found.unwrap_or_default().into())),
            Bug::EmptyIsAbsent => Ok(found.filter(|value| !value.is_empty()).map(Payload::from)),
            Bug::GetFailsWhenEvicted if before && found.is_none() => {
                Err(Error::new(ErrorKind::Corrupt, "the object went while it was read"))
            }
            _ => Ok(found.map(Payload::from)),
        }
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        self.enter().await?;
        Ok(self.objects().contains_key(&self.name(key)))
    }

    async fn evict(&self, key: &Key) -> Result<()> {
        self.enter().await?;
        match self.bug {
            Bug::EvictDoesNothing => return Ok(()),
            Bug::EvictTears => {
                if let Some(object) = self.objects().get_mut(&self.name(key)) {
                    object.0.truncate(1_000);
                }
                yield_now().await;
            }
            _ => {}
        }
        let gone = self.objects().remove(&self.name(key));
        if self.bug == Bug::EvictsBelow {
            let below = format!("{key}/");
            self.objects().retain(|(_, key), _| !key.as_str().starts_with(&below));
        }
        match self.bug {
            Bug::EvictOfMissingFails if gone.is_none() => Err(Error::new(ErrorKind::Missing, "not there")),
            _ => Ok(()),
        }
    }

    async fn put_many(&self, items: Vec<(Key, Payload)>, options: &PutOptions) -> Vec<Result<()>> {
        let mut results: Vec<Result<()>> = Vec::new();
        for (key, value) in items {
            match results.iter().find_map(|result| result.clone().err()) {
                Some(error) if self.bug == Bug::BatchStopsAtFailure => results.push(Err(error)),
                _ => results.push(self.put(&key, value, options).await),
            }
        }
        results
    }

    async fn get_many(&self, keys: &[Key]) -> Vec<Result<Option<Payload>>> {
        let mut results = Vec::new();
        for key in keys {
            results.push(self.get(key).await);
        }
        if self.bug == Bug::BatchReversed {
            results.reverse();
        }
        results
    }

    async fn touch(&self, key: &Key, ttl: Duration) -> Result<bool> {
        self.enter().await?;
        let end = self.end(Some(ttl));
        if self.bug == Bug::TouchCreates {
            self.objects().entry(self.name(key)).or_default();
        }
        if self.bug == Bug::TouchDoesNothing {
            return Ok(self.objects().contains_key(&self.name(key)));
        }
        let touched = self.objects().get_mut(&self.name(key)).map(|object| object.1 = end);
        Ok(touched.is_some())
    }

    async fn take(&self, key: &Key) -> Result<Option<Payload>> {
        self.enter().await?;
        let found = self.objects().get(&self.name(key)).map(|(value, _)| value.clone().into());
        match self.bug {
            Bug::TakeKeeps => Ok(found),
            Bug::TakeChecksFirst => {
                yield_now().await;
                self.objects().remove(&self.name(key));
                Ok(found)
            }
            _ => Ok(self.objects().remove(&self.name(key)).map(|(value, _)| value.into())),
        }
    }

    async fn watch(&self, key: &Key) -> Result<Watch> {
        self.enter().await?;
        if self.watches.fetch_add(1, Ordering::SeqCst) >= 500 && self.bug == Bug::LeaksWatches {
            return Err(Error::new(ErrorKind::Full, "too many watches"));
        }
        let woken = (self.backend.wakes.subscribe(), key.clone());
        Ok(Watch::new(
            stream::unfold(woken, |(mut wakes, key)| async move {
                loop {
                    match wakes.recv().await {
                        Ok(woken) if woken != key => {}
                        Err(broadcast::error::RecvError::Closed) => return None,
                        _ => return Some(((), (wakes, key))),
                    }
                }
            })
            .boxed(),
        ))
    }

    async fn close(&self) -> Result<()> {
        yield_now().await;
        yield_now().await;
        if self.closed.swap(true, Ordering::SeqCst) && self.bug == Bug::CloseTwiceFails {
            return Err(Error::new(ErrorKind::Closed, "closed already"));
        }
        if self.bug == Bug::CloseDeletes {
            self.objects().clear();
        }
        Ok(())
    }

    async fn clear(&self) -> Result<()> {
        self.enter().await?;
        match self.bug {
            Bug::ClearTakesAll => self.objects().clear(),
            Bug::ClearDoesNothing => {}
            _ => self.objects().retain(|(prefix, _), _| *prefix != self.prefix),
        }
        Ok(())
    }
}
