//! A sign of life: a small record that its holder writes anew for as long as it lives.
//!
//! Whoever watches it needs neither the holder's clock nor the backend's: each write differs from the one before, and a
//! record that stays the same for a lease, by the watcher's monotonic clock, has lost its holder.

use std::time::Duration;

use proxystore_core::{Error, ErrorKind, Id, Key, Operation, Payload, PutOptions, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout};

use crate::background::heartbeat::{Beat, Renewal, Term};
use crate::envelope::{self, Header};
use crate::{Codec, Format, Postcard, Store, background};

/// How long a record stays when nobody writes it any more, at least: waiters are to find it.
const KEPT: Duration = Duration::from_secs(600);
/// How long an eviction may take at first.
const ATTEMPT: Duration = Duration::from_secs(10);
/// The shortest lease: below it, a busy machine would look dead.
pub(crate) const SHORTEST_LEASE: Duration = Duration::from_millis(100);
/// The longest one that a watcher counts: a hundred years.
const LONGEST_LEASE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What stands in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Record {
    /// The holder is alive if it writes this again within so many milliseconds.
    Alive { lease_ms: u64 },
    /// The holder has done what it was to do.
    Done,
}

impl Record {
    /// The record's bytes. Each time others, by the nonce in the header.
    fn seal(self, key: &Key) -> Result<Payload> {
        let fingerprint = <Postcard as Codec<Self>>::schema().map(|schema| schema.fingerprint());
        let header = Header { codec: Postcard::ID, fingerprint, nonce: Id::random()? };
        Ok(envelope::seal(&header, key, Postcard::encode(&self)?))
    }

    fn open(key: &Key, payload: Payload) -> Result<(Self, Id)> {
        let (header, body) = envelope::open(key, payload)?;
        let record = Postcard::decode(body).map_err(|error| error.with_kind(ErrorKind::Corrupt))?;
        Ok((record, header.nonce))
    }
}

/// The key of the record `name` of the object under `key`. `Config` if that is too long for a key.
pub(crate) fn beside(key: &Key, name: &str) -> Result<Key> {
    Key::parse(&format!("{key}.{name}"))
        .map_err(|error| error.hint("choose a key that leaves room for a suffix of 16 characters"))
}

fn kept(lease: Duration) -> Duration {
    KEPT.max(lease.saturating_mul(2))
}

/// The holder's side: beats until it is dropped. The record stays, and tells watchers by its silence when the lease is
/// over.
pub(crate) struct Pulse {
    store: Store,
    key: Key,
    beat: Beat,
}

impl Pulse {
    /// Writes the record under `key` now, and again every quarter of the lease, in the background.
    ///
    /// Errors: `Config` if the lease is too short; whatever the backend reports. A dropped future may leave a record.
    pub(crate) async fn start(store: &Store, key: &Key, lease: Duration) -> Result<Self> {
        if lease < SHORTEST_LEASE {
            return Err(Error::new(ErrorKind::Config, format!("a lease of {lease:?} is too short"))
                .hint(format!("take at least {SHORTEST_LEASE:?}")));
        }
        let alive = Record::Alive { lease_ms: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX) };
        let options = PutOptions { ttl: store.ttl(kept(lease)), ..PutOptions::default() };
        let record = alive.seal(key)?;
        store.call(Operation::Put, 0, |connector| connector.put(key, record, &options)).await?;
        let place = key.clone();
        let renewal = Renewal::Write { ttl: kept(lease), record: Box::new(move || alive.seal(&place)) };
        let beat = Beat::start(store, key, &Term::new(lease, None), renewal)?;
        Ok(Self { store: store.clone(), key: key.clone(), beat })
    }

    /// Beats no more. When this returns, no beat is under way.
    pub(crate) async fn stop(self) {
        self.beat.stop().await;
    }

    /// Beats no more, and removes the record in the background, where `turn` is held until then: nobody is known to hold
    /// it. From anywhere, a destructor included: does no I/O and waits for nothing.
    pub(crate) fn withdraw(self, turn: Option<OwnedMutexGuard<()>>) {
        let Self { store, key, beat } = self;
        // Without a background thread, it says by its silence that its holder is lost.
        let _ = background::finish(async move {
            beat.stop().await;
            // Before what is written there next, if that can be.
            let evicted = async { store.aside().await?.evict(&key).await };
            if !matches!(timeout(ATTEMPT, evicted).await, Ok(Ok(()))) {
                store.reap([key]);
            }
            drop(turn);
        });
    }
}

/// Says under `key` that the holder is done, by the connector of the background thread: for ten minutes, or not at all
/// where the backend has no expiry.
pub(crate) async fn write_done(store: &Store, key: &Key) -> Result<()> {
    let Some(ttl) = store.ttl(KEPT) else {
        store.reap([key.clone()]);
        return Ok(());
    };
    let options = PutOptions { ttl: Some(ttl), ..PutOptions::default() };
    store.aside().await?.put(key, Record::Done.seal(key)?, &options).await
}

/// What a record says of its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// There is no record: nobody is known to hold it.
    Unknown,
    /// It lives, or has not been silent for long enough.
    Alive,
    /// It has been silent for a lease.
    Lost,
    /// It has said that it is done.
    Done,
}

/// The watcher's side: sees one record again and again. It notices a loss at the first look that comes a lease after a
/// look that has seen a new record.
#[derive(Debug, Default)]
pub(crate) struct Watcher(Option<Seen>);

/// The record that was seen last.
#[derive(Debug)]
struct Seen {
    nonce: Id,
    /// When its silence is as long as the lease.
    due: Instant,
}

impl Watcher {
    /// What the record that has just been read says. `Corrupt` if it is none.
    pub(crate) fn see(&mut self, key: &Key, record: Option<Payload>) -> Result<Life> {
        let Some(record) = record else {
            self.0 = None;
            return Ok(Life::Unknown);
        };
        let (record, nonce) = Record::open(key, record)?;
        let Record::Alive { lease_ms } = record else { return Ok(Life::Done) };
        match &self.0 {
            Some(seen) if seen.nonce == nonce => {
                Ok(if Instant::now() < seen.due { Life::Alive } else { Life::Lost })
            }
            _ => {
                let lease = Duration::from_millis(lease_ms).clamp(SHORTEST_LEASE, LONGEST_LEASE);
                self.0 = Some(Seen { nonce, due: Instant::now() + lease });
                Ok(Life::Alive)
            }
        }
    }

    /// When the next look is due: unless the record is a new one then, its holder is lost.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.0.as_ref().map(|seen| seen.due)
    }

    /// Reads the record once, and says what it says.
    pub(crate) async fn look(&mut self, store: &Store, key: &Key) -> Result<Life> {
        let record = store.call(Operation::Get, 0, |connector| connector.get(key)).await?;
        self.see(key, record)
    }
}

#[cfg(test)]
mod tests;
