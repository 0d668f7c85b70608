//! Objects that are near first, and far a little later.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proxystore_core::{
    Backoff, Connector, Error, ErrorKind, FileSource, Key, Mode, Payload, PutOptions, Result, Transfer,
};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

/// The most memory that copies under way take, besides one object that is larger: 64 MiB.
const WINDOW: u32 = (64 << 20) / UNIT;
/// What is counted of it, in bytes.
const UNIT: u32 = 4 << 10;
/// How long a copy is tried for, at most, and as a share of the time that it stays near.
const PATIENCE: Duration = Duration::from_secs(600);
const SHARE: u32 = 2;
/// How long an operation waits for a copy of its key that is under way.
const TURN: Duration = Duration::from_secs(30);

/// Both places of an object.
pub(crate) struct Tier {
    pub(crate) near: Arc<dyn Connector>,
    pub(crate) near_key: Key,
    pub(crate) far: Arc<dyn Connector>,
    pub(crate) far_key: Key,
    pub(crate) keep: Duration,
}

impl Tier {
    /// The time to live near of an object with this one.
    pub(crate) fn kept(&self, ttl: Option<Duration>) -> Duration {
        ttl.map_or(self.keep, |ttl| ttl.min(self.keep))
    }

    async fn put_near(&self, value: Payload, options: &PutOptions) -> Result<()> {
        self.near.put(&self.near_key, value, &self.near_options(options)).await
    }

    /// What could not be put near is not there, and nor is what is far no more: whoever has evicted that meanwhile, in
    /// another process of this host, has found nothing near.
    async fn settle_near(&self, near: Result<()>) {
        if near.is_err() || !matches!(self.far.exists(&self.far_key).await, Ok(true)) {
            let _ = self.near.evict(&self.near_key).await;
        }
    }

    fn near_options(&self, options: &PutOptions) -> PutOptions {
        PutOptions { mode: Mode::Overwrite, ttl: Some(self.kept(options.ttl)), ..options.clone() }
    }
}

/// The copies under way, and one turn at a time for each key.
pub(crate) struct Copies {
    shared: Arc<Shared>,
    window: Arc<Semaphore>,
}

#[derive(Default)]
struct Shared {
    turns: Mutex<HashMap<Key, Arc<watch::Sender<bool>>>>,
    failed: Mutex<Failed>,
}

#[derive(Default)]
struct Failed {
    count: u64,
    last: Option<Error>,
}

/// Tells how a copy ends, before the turn is over; also of one that ends with its runtime.
struct Outcome {
    turn: Turn,
    result: Option<Result<()>>,
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let cut_off = || Err(Error::new(ErrorKind::Closed, "the runtime ended before the copy was made"));
        if let Err(error) = self.result.take().unwrap_or_else(cut_off) {
            let mut failed = self.turn.shared.failed();
            failed.count += 1;
            failed.last = Some(error);
        }
    }
}

/// Whose turn it is with a key, until it is dropped.
pub(crate) struct Turn {
    shared: Arc<Shared>,
    key: Key,
    /// Turns true when somebody waits who makes the copy useless.
    stop: watch::Receiver<bool>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.shared.turns().remove(&self.key);
    }
}

impl Shared {
    fn turns(&self) -> MutexGuard<'_, HashMap<Key, Arc<watch::Sender<bool>>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> MutexGuard<'_, Failed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Copies {
    fn default() -> Self {
        Self { shared: Arc::default(), window: Arc::new(Semaphore::new(WINDOW as usize)) }
    }
}

impl Copies {
    /// Waits until nobody else works on the key; `stop`: a copy that is under way is not to be tried again.
    /// `Unavailable` if that takes too long. Dropping the future leaves nothing.
    pub(crate) async fn turn(&self, key: &Key, stop: bool) -> Result<Turn> {
        let turn = async {
            loop {
                let other = match self.shared.turns().entry(key.clone()) {
                    Entry::Occupied(entry) => entry.get().clone(),
                    Entry::Vacant(entry) => {
                        let (sender, stop) = watch::channel(false);
                        entry.insert(Arc::new(sender));
                        return Turn { shared: self.shared.clone(), key: key.clone(), stop };
                    }
                };
                if stop {
                    other.send_replace(true);
                }
                other.closed().await;
            }
        };
        timeout(TURN, turn).await.map_err(|_| {
            Error::new(
                ErrorKind::Unavailable,
                "the object is still being copied to the child that it belongs to",
            )
            .transient()
        })
    }

    /// Puts near, and far behind it. What is created is decided far.
    pub(crate) async fn put(&self, tier: Tier, value: Payload, options: &PutOptions) -> Result<()> {
        let turn = self.turn(&tier.near_key, options.mode == Mode::Overwrite).await?;
        if options.mode == Mode::Create {
            tier.far.put(&tier.far_key, value.clone(), options).await?;
            let near = tier.put_near(value, options).await;
            tier.settle_near(near).await;
            return Ok(());
        }
        let begun = Instant::now();
        let units = u32::try_from(value.len()).unwrap_or(u32::MAX).div_ceil(UNIT).clamp(1, WINDOW);
        let room = self.window.clone().try_acquire_many_owned(units);
        let mut near = None;
        if let (Ok(room), Ok(runtime)) = (room, Handle::try_current()) {
            let put = tier.put_near(value.clone(), options).await;
            if put.is_ok() {
                let mut outcome = Outcome { turn, result: None };
                let options = options.clone();
                runtime.spawn(async move {
                    let _room = room;
                    let stop = outcome.turn.stop.clone();
                    outcome.result = Some(copy(&tier, value, options, begun, stop).await);
                    drop(outcome);
                });
                return Ok(());
            }
            near = Some(put);
        }
        // There is no room for it in the background, or no near child: the caller waits.
        match (tier.far.put(&tier.far_key, value.clone(), options).await, near) {
            (Ok(()), near) => {
                let near = match near {
                    Some(failed) => failed,
                    None => tier.put_near(value, options).await,
                };
                if near.is_err() {
                    let _ = tier.near.evict(&tier.near_key).await;
                }
                Ok(())
            }
            // It may be near.
            (Err(_), Some(Err(near))) if near.kind() == ErrorKind::Ambiguous => Err(near),
            (far, _) => far,
        }
    }

    /// Puts a file far, and then near. Where it cannot be near, it is read from far.
    pub(crate) async fn put_file(&self, tier: Tier, source: &FileSource, options: &PutOptions) -> Result<()> {
        let _turn = self.turn(&tier.near_key, options.mode == Mode::Overwrite).await?;
        if options.mode == Mode::Overwrite {
            // What is near would hide it.
            tier.near.evict(&tier.near_key).await?;
        }
        tier.far.put_file(&tier.far_key, source, options).await?;
        let near = tier.near.put_file(&tier.near_key, source, &tier.near_options(options)).await;
        tier.settle_near(near).await;
        Ok(())
    }

    /// Waits for the copies that are under way now. An error if any could not be made since this was asked last.
    pub(crate) async fn flush(&self, stop: bool) -> Result<()> {
        let others: Vec<_> = self.shared.turns().values().cloned().collect();
        for other in others {
            if stop {
                other.send_replace(true);
            }
            other.closed().await;
        }
        let failed = std::mem::take(&mut *self.shared.failed());
        match failed.last {
            Some(error) => Err(error.with("not_copied", failed.count)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} copies under way", self.shared.turns().len())
    }
}

/// Puts far what is near, until that succeeds, the object's time is over, or nobody wants it any more.
async fn copy(
    tier: &Tier,
    value: Payload,
    options: PutOptions,
    begun: Instant,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let backoff =
        Backoff { first: Duration::from_millis(100), max: Duration::from_secs(10), ..Backoff::default() };
    let patience = PATIENCE.min(tier.keep / SHARE);
    for delay in backoff.delays() {
        let mut options = options.clone();
        if let Some(ttl) = &mut options.ttl {
            *ttl = ttl.saturating_sub(begun.elapsed());
            if ttl.is_zero() {
                return Ok(());
            }
        }
        // Whoever waits for the bytes of the put that brought it does not wait for these.
        let put = tier.far.put(&tier.far_key, value.clone(), &options);
        let error = match Transfer::new(0).scope(put).await {
            Ok(()) => break,
            Err(error) => error,
        };
        let passing = error.is_transient() || error.kind() == ErrorKind::Ambiguous;
        if *stop.borrow() || !passing || begun.elapsed() > patience {
            return if *stop.borrow() { Ok(()) } else { Err(error) };
        }
        let _ = timeout(delay, stop.wait_for(|stop| *stop)).await;
    }
    // Whoever has evicted it meanwhile, in another process of this host, has found nothing far.
    let kept = tier.kept(options.ttl);
    if begun.elapsed() < kept / SHARE && matches!(tier.near.exists(&tier.near_key).await, Ok(false)) {
        tier.far.evict(&tier.far_key).await?;
    }
    Ok(())
}
