//! A connector that misbehaves on demand, and counts.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proxystore_core::{
    Bytes, Connector, ConnectorInfo, Draft, Error, FileSource, FileTarget, Key, KeyHint, Payload, PutOptions,
    Result, Watch, async_trait,
};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::process::point;

/// The operations of a [`Connector`] that do I/O.
#[allow(missing_docs, reason = "each is the method of that name")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    Put,
    Get,
    Exists,
    Evict,
    PutMany,
    GetMany,
    EvictMany,
    Touch,
    Take,
    Watch,
    Close,
    Clear,
}

/// What goes wrong with a call. Of a batch, it goes wrong with every item.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It fails, and nothing happens.
    Fail(Error),
    /// It happens, and then fails: the reply was lost.
    FailAfter(Error),
    /// It does not begin until [`release`](FaultConnector::release).
    Hang,
    /// It begins this much later.
    Delay(Duration),
    /// The lowest bit of this byte of the object is flipped: on its way in by a put, out by a get or take.
    Flip(usize),
    /// The object is cut to this many bytes, in the same way.
    Truncate(usize),
    /// It works on this key instead.
    OtherKey(Key),
    /// A [`point`] of this name comes before it: the process may be killed before anything has happened.
    Point(&'static str),
    /// A [`point`] of this name comes between what it does and its answer: the process may be killed when the
    /// operation is applied and the caller does not know.
    PointAfter(&'static str),
}

/// Which calls of an operation a fault concerns, counted from 1 at the connector's birth.
#[derive(Debug, Clone)]
enum Calls {
    Nth(u64),
    Every,
    Chance { state: u64, probability: f64 },
}

/// Wraps a connector; passes everything through, counts it, and injects faults. The most recent fault that concerns
/// a call is the one that happens.
///
/// ```
/// use proxystore_core::{Connector, Error, ErrorKind};
/// use proxystore_testkit::fault::{Fault, FaultConnector, Op};
///
/// # async fn test(connector: std::sync::Arc<dyn Connector>) -> proxystore_core::Result<()> {
/// let faulty = FaultConnector::new(connector);
/// faulty.nth(Op::Get, 2, Fault::Fail(Error::new(ErrorKind::Unavailable, "the cable is cut").transient()));
/// let key = faulty.new_key(Default::default())?;
/// assert!(faulty.get(&key).await.is_ok());
/// assert!(faulty.get(&key).await.is_err());
/// assert_eq!(faulty.calls(Op::Get), 2);
/// # Ok(()) }
/// ```
pub struct FaultConnector {
    inner: Arc<dyn Connector>,
    script: Mutex<Vec<(Op, Calls, Fault)>>,
    counts: watch::Sender<HashMap<Op, u64>>,
    injected: Mutex<BTreeMap<&'static str, u64>>,
    /// Counts the releases: a hanging call waits for the next one.
    releases: watch::Sender<u64>,
}

impl FaultConnector {
    /// Wraps `inner`, without any fault.
    pub fn new(inner: Arc<dyn Connector>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            script: Mutex::default(),
            counts: watch::Sender::default(),
            injected: Mutex::default(),
            releases: watch::Sender::default(),
        })
    }

    /// Lets the `n`th call of `op` (from 1, counted since the connector was made) go wrong.
    pub fn nth(&self, op: Op, n: u64, fault: Fault) {
        self.script().push((op, Calls::Nth(n), fault));
    }

    /// Lets the next call of `op` go wrong.
    pub fn next(&self, op: Op, fault: Fault) {
        self.nth(op, self.calls(op) + 1, fault);
    }

    /// Lets every call of `op` go wrong from now on.
    pub fn every(&self, op: Op, fault: Fault) {
        self.script().push((op, Calls::Every, fault));
    }

    /// Lets each call of `op` go wrong with this probability, the same ones for the same seed.
    pub fn sometimes(&self, op: Op, probability: f64, seed: u64, fault: Fault) {
        self.script().push((op, Calls::Chance { state: seed, probability }, fault));
    }

    /// Takes all faults back and releases what hangs.
    pub fn heal(&self) {
        self.script().clear();
        self.release();
    }

    /// Lets the calls that hang now go on.
    pub fn release(&self) {
        self.releases.send_modify(|count| *count += 1);
    }

    /// How often `op` was called so far, whether or not it went wrong. A batch counts once, as its own operation.
    pub fn calls(&self, op: Op) -> u64 {
        self.counts.borrow().get(&op).copied().unwrap_or(0)
    }

    /// How often anything was called so far.
    pub fn total(&self) -> u64 {
        self.counts.borrow().values().sum()
    }

    /// How often each kind of fault has happened so far, by the name of its variant: a test of faults that never
    /// happened shows nothing.
    pub fn injected(&self) -> BTreeMap<&'static str, u64> {
        self.injected.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `op` has been called `n` times in all.
    pub async fn reached(&self, op: Op, n: u64) {
        let mut counts = self.counts.subscribe();
        let reached = counts.wait_for(|counts| counts.get(&op).copied().unwrap_or(0) >= n).await;
        reached.expect("the counts live as long as the connector");
    }

    fn script(&self) -> MutexGuard<'_, Vec<(Op, Calls, Fault)>> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and gives the fault that concerns it.
    fn count(&self, op: Op) -> Option<Fault> {
        let mut script = self.script();
        let mut number = 0;
        self.counts.send_modify(|counts| {
            let count = counts.entry(op).or_default();
            *count += 1;
            number = *count;
        });
        let mut found = None;
        for (_, calls, fault) in script.iter_mut().filter(|(of, ..)| *of == op) {
            let concerned = match calls {
                Calls::Nth(n) => *n == number,
                Calls::Every => true,
                Calls::Chance { state, probability } => fraction(state) < *probability,
            };
            if concerned {
                found = Some(fault.clone());
            }
        }
        if let Some(fault) = &found {
            let mut injected = self.injected.lock().unwrap_or_else(PoisonError::into_inner);
            *injected.entry(fault.name()).or_default() += 1;
        }
        found
    }

    /// What happens in front of a call: counts it, waits, or fails. Gives the fault that is left for the call.
    async fn enter(&self, op: Op) -> Result<Option<Fault>> {
        let mut releases = self.releases.subscribe();
        match self.count(op) {
            Some(Fault::Fail(error)) => return Err(error),
            Some(Fault::Delay(delay)) => sleep(delay).await,
            Some(Fault::Point(name)) => point(name),
            Some(Fault::Hang) => {
                releases.changed().await.expect("the releases live as long as the connector");
            }
            fault => return Ok(fault),
        }
        Ok(None)
    }
}

/// The next pseudo-random number between 0 and 1.
fn fraction(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

impl Fault {
    fn name(&self) -> &'static str {
        match self {
            Self::Fail(_) => "Fail",
            Self::FailAfter(_) => "FailAfter",
            Self::Hang => "Hang",
            Self::Delay(_) => "Delay",
            Self::Flip(_) => "Flip",
            Self::Truncate(_) => "Truncate",
            Self::OtherKey(_) => "OtherKey",
            Self::Point(_) => "Point",
            Self::PointAfter(_) => "PointAfter",
        }
    }

    fn key<'a>(fault: &'a Option<Self>, key: &'a Key) -> &'a Key {
        match fault {
            Some(Self::OtherKey(other)) => other,
            _ => key,
        }
    }

    fn damages(fault: &Option<Self>) -> bool {
        matches!(fault, Some(Self::Truncate(_) | Self::Flip(_)))
    }

    fn damage(fault: &Option<Self>, object: Payload) -> Payload {
        let cut = |object: Payload, len: usize| -> Bytes {
            let bytes = object.into_bytes();
            bytes.slice(..len.min(bytes.len()))
        };
        match fault {
            Some(Self::Truncate(len)) => cut(object, *len).into(),
            Some(Self::Flip(at)) => {
                let mut bytes = object.into_bytes().to_vec();
                if let Some(byte) = bytes.get_mut(*at) {
                    *byte ^= 1;
                }
                bytes.into()
            }
            _ => object,
        }
    }

    fn after<T>(fault: Option<Self>, result: Result<T>) -> Result<T> {
        match fault {
            Some(Self::FailAfter(error)) => Err(error),
            Some(Self::PointAfter(name)) => {
                point(name);
                result
            }
            _ => result,
        }
    }
}

impl fmt::Debug for FaultConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultConnector({:?})", self.inner)
    }
}

#[async_trait]
impl Connector for FaultConnector {
    fn info(&self) -> &ConnectorInfo {
        self.inner.info()
    }

    fn new_key(&self, hint: KeyHint<'_>) -> Result<Key> {
        self.inner.new_key(hint)
    }

    async fn put(&self, key: &Key, value: Payload, options: &PutOptions) -> Result<()> {
        let fault = self.enter(Op::Put).await?;
        let value = Fault::damage(&fault, value);
        let result = self.inner.put(Fault::key(&fault, key), value, options).await;
        Fault::after(fault, result)
    }

    async fn get(&self, key: &Key) -> Result<Option<Payload>> {
        let fault = self.enter(Op::Get).await?;
        let result = self.inner.get(Fault::key(&fault, key)).await;
        let result = result.map(|object| object.map(|object| Fault::damage(&fault, object)));
        Fault::after(fault, result)
    }

    /// A put, as which it counts. A fault that damages the object has it in memory.
    async fn put_file(&self, key: &Key, source: &FileSource, options: &PutOptions) -> Result<()> {
        let fault = self.enter(Op::Put).await?;
        let result = match Fault::damages(&fault) {
            true => {
                let value = Fault::damage(&fault, source.payload()?);
                self.inner.put(Fault::key(&fault, key), value, options).await
            }
            false => self.inner.put_file(Fault::key(&fault, key), source, options).await,
        };
        Fault::after(fault, result)
    }

    /// A get, as which it counts.
    async fn get_file(&self, key: &Key, target: &FileTarget) -> Result<Option<Draft>> {
        let fault = self.enter(Op::Get).await?;
        let result = match Fault::damages(&fault) {
            true => {
                let found = self.inner.get(Fault::key(&fault, key)).await;
                let damaged = |object| target.draft_of(&Fault::damage(&fault, object));
                found.and_then(|found| found.map(damaged).transpose())
            }
            false => self.inner.get_file(Fault::key(&fault, key), target).await,
        };
        Fault::after(fault, result)
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        let fault = self.enter(Op::Exists).await?;
        let result = self.inner.exists(Fault::key(&fault, key)).await;
        Fault::after(fault, result)
    }

    async fn evict(&self, key: &Key) -> Result<()> {
        let fault = self.enter(Op::Evict).await?;
        let result = self.inner.evict(Fault::key(&fault, key)).await;
        Fault::after(fault, result)
    }

    async fn put_many(&self, items: Vec<(Key, Payload)>, options: &PutOptions) -> Vec<Result<()>> {
        let fault = match self.enter(Op::PutMany).await {
            Ok(fault) => fault,
            Err(error) => return items.iter().map(|_| Err(error.clone())).collect(),
        };
        let items = items
            .into_iter()
            .map(|(key, value)| (Fault::key(&fault, &key).clone(), Fault::damage(&fault, value)))
            .collect();
        let results = self.inner.put_many(items, options).await;
        results.into_iter().map(|result| Fault::after(fault.clone(), result)).collect()
    }

    async fn get_many(&self, keys: &[Key]) -> Vec<Result<Option<Payload>>> {
        let fault = match self.enter(Op::GetMany).await {
            Ok(fault) => fault,
            Err(error) => return keys.iter().map(|_| Err(error.clone())).collect(),
        };
        let keys: Vec<_> = keys.iter().map(|key| Fault::key(&fault, key).clone()).collect();
        let results = self.inner.get_many(&keys).await.into_iter();
        let damaged =
            results.map(|result| result.map(|object| object.map(|object| Fault::damage(&fault, object))));
        damaged.map(|result| Fault::after(fault.clone(), result)).collect()
    }

    async fn evict_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        let fault = match self.enter(Op::EvictMany).await {
            Ok(fault) => fault,
            Err(error) => return keys.iter().map(|_| Err(error.clone())).collect(),
        };
        let keys: Vec<_> = keys.iter().map(|key| Fault::key(&fault, key).clone()).collect();
        let results = self.inner.evict_many(&keys).await;
        results.into_iter().map(|result| Fault::after(fault.clone(), result)).collect()
    }

    async fn touch(&self, key: &Key, ttl: Duration) -> Result<bool> {
        let fault = self.enter(Op::Touch).await?;
        let result = self.inner.touch(Fault::key(&fault, key), ttl).await;
        Fault::after(fault, result)
    }

    async fn take(&self, key: &Key) -> Result<Option<Payload>> {
        let fault = self.enter(Op::Take).await?;
        let result = self.inner.take(Fault::key(&fault, key)).await;
        let result = result.map(|object| object.map(|object| Fault::damage(&fault, object)));
        Fault::after(fault, result)
    }

    async fn watch(&self, key: &Key) -> Result<Watch> {
        let fault = self.enter(Op::Watch).await?;
        let result = self.inner.watch(Fault::key(&fault, key)).await;
        Fault::after(fault, result)
    }

    async fn close(&self) -> Result<()> {
        let fault = self.enter(Op::Close).await?;
        let result = self.inner.close().await;
        Fault::after(fault, result)
    }

    async fn clear(&self) -> Result<()> {
        let fault = self.enter(Op::Clear).await?;
        let result = self.inner.clear().await;
        Fault::after(fault, result)
    }
}
