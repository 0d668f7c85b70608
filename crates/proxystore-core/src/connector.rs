//! The contract of a byte channel.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt};

use crate::{Draft, Error, ErrorKind, FileSource, FileTarget, Key, Payload, Result, Uri, Watch, file};

/// Words that a caller attaches to an object, for routing between connectors.
pub type Tags = BTreeSet<String>;

/// How many operations the default batch methods run at once.
const BATCH_IN_FLIGHT: usize = 16;

/// A byte channel: puts and gets opaque objects by key. The trait that every backend implements.
///
/// The contract, which the conformance suite of `proxystore-testkit` checks:
///
/// - *Deferrable is the normal case*: the caller allocates a key, then puts; a key nobody has put yet reads as absent.
/// - *Atomic*: a reader sees all of an object or none of it, whatever happens to the writer.
/// - *Absence is a value* (`None`, `false`), an outage is an error; the two are never confused.
/// - *Retry is safe*: [`Mode::Overwrite`] under a fresh key is idempotent, and so is [`evict`](Self::evict).
/// - *Cancel-safe*: dropping any of these futures leaves each key whole or untouched, and the connector usable.
///   A dropped write may still happen, or not at all.
/// - *Bounded*: every operation ends within the connector's deadline, in `Timeout` or `Ambiguous` if need be.
#[async_trait]
pub trait Connector: Debug + Send + Sync + 'static {
    /// Where this connector leads and what it can do.
    fn info(&self) -> &ConnectorInfo;

    /// A fresh key for an object that may be described by `hint`. No I/O.
    fn new_key(&self, hint: KeyHint<'_>) -> Result<Key> {
        let _ = hint;
        Key::random()
    }

    /// Stores `value` under `key`.
    ///
    /// Errors: `Exists` in [`Mode::Create`] when the key is taken; `TooLarge`, `Full`, `Denied`; `Ambiguous` when the
    /// reply was lost after the write was sent.
    async fn put(&self, key: &Key, value: Payload, options: &PutOptions) -> Result<()>;

    /// The object under `key`, or `None` if the backend says that there is none. `Corrupt` if it is torn or foreign.
    async fn get(&self, key: &Key) -> Result<Option<Payload>>;

    /// Whether there is an object under `key`.
    async fn exists(&self, key: &Key) -> Result<bool>;

    /// Removes the object under `key`. Idempotent: removing what is not there is no error.
    async fn evict(&self, key: &Key) -> Result<()>;

    /// [`put`](Self::put) of what is in a file. By default by way of memory; a connector that moves objects in pieces
    /// reads it while it goes, in bounded memory.
    ///
    /// Errors: also `Conflict` if the file changed meanwhile, and then nothing is put.
    async fn put_file(&self, key: &Key, source: &FileSource, options: &PutOptions) -> Result<()> {
        file::put(self, key, source, options).await
    }

    /// [`get`](Self::get) into a file that nobody sees before it is [published](Draft::publish), which the caller does.
    /// By default by way of memory; a connector that moves objects in pieces writes it while it comes, in bounded memory.
    ///
    /// Errors: also those of [`FileTarget::draft`] and [`Draft::write`]. Dropping the future leaves no file.
    async fn get_file(&self, key: &Key, target: &FileTarget) -> Result<Option<Draft>> {
        file::get(self, key, target).await
    }

    /// [`put`](Self::put) for many, with one result per item, in order: a failing item neither stops nor hides the
    /// others. Dropping the future may leave any subset put.
    async fn put_many(&self, items: Vec<(Key, Payload)>, options: &PutOptions) -> Vec<Result<()>> {
        stream::iter(items)
            .map(|(key, value)| async move { self.put(&key, value, options).await })
            .buffered(BATCH_IN_FLIGHT)
            .collect()
            .await
    }

    /// [`get`](Self::get) for many, with one result per key, in order.
    async fn get_many(&self, keys: &[Key]) -> Vec<Result<Option<Payload>>> {
        let gets: Vec<_> = keys.iter().map(|key| self.get(key)).collect();
        stream::iter(gets).buffered(BATCH_IN_FLIGHT).collect().await
    }

    /// [`evict`](Self::evict) for many, with one result per key, in order.
    async fn evict_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        let evicts: Vec<_> = keys.iter().map(|key| self.evict(key)).collect();
        stream::iter(evicts).buffered(BATCH_IN_FLIGHT).collect().await
    }

    /// Lets the object under `key` expire `ttl` from now. `false` if there is none.
    /// `Unsupported` where [`Capabilities::ttl`] is off.
    async fn touch(&self, key: &Key, ttl: Duration) -> Result<bool> {
        let _ = (key, ttl);
        Err(unsupported(self.info(), "touch"))
    }

    /// Gets and evicts in one step: of any number of callers, in any processes, exactly one gets the object.
    /// `Unsupported` where [`Capabilities::take`] is off. Dropping the future may lose the object.
    async fn take(&self, key: &Key) -> Result<Option<Payload>> {
        let _ = key;
        Err(unsupported(self.info(), "take"))
    }

    /// Subscribes to changes of `key`. The subscription stands when this returns. By default it never wakes.
    async fn watch(&self, key: &Key) -> Result<Watch> {
        let _ = key;
        Ok(Watch::never())
    }

    /// Releases connections and files. Idempotent, deletes nothing; later operations fail with `Closed`.
    async fn close(&self) -> Result<()>;

    /// Removes every object that this connector can name (its own directory, prefix or map) and nothing else.
    /// `Unsupported` by default.
    async fn clear(&self) -> Result<()> {
        Err(unsupported(self.info(), "clear"))
    }
}

fn unsupported(info: &ConnectorInfo, operation: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, "this connector has no such operation")
        .with("operation", operation)
        .with("connector", &info.uri)
}

/// For an item of a batch that a connector left out.
pub(crate) fn unanswered() -> Error {
    Error::new(ErrorKind::Unexpected, "the connector gave no answer for this item")
}

/// Where a connector leads and what it can do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectorInfo {
    /// Its identity: a canonical URI without secrets and without options that only concern this process.
    pub uri: Uri,
    /// What it can do.
    pub capabilities: Capabilities,
}

impl ConnectorInfo {
    /// Puts both together.
    pub fn new(uri: Uri, capabilities: Capabilities) -> Self {
        Self { uri, capabilities }
    }
}

/// What a connector can do, as far as callers must know. Chooses the cases of the conformance suite, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Who else can resolve what is put here.
    pub reach: Reach,
    /// [`Mode::Create`] is atomic between all processes.
    pub create: bool,
    /// [`Connector::watch`] wakes, most of the time.
    pub watch: bool,
    /// [`PutOptions::ttl`] and [`Connector::touch`] are enforced by the backend.
    pub ttl: bool,
    /// [`Connector::take`] works.
    pub take: bool,
    /// The largest object, in bytes.
    pub max_value: u64,
}

/// Who can resolve what is put into a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// This process.
    Process,
    /// Processes of this host.
    Host,
    /// Whoever reaches the backend over the network.
    Network,
}

/// What is known about an object before it is put.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyHint<'a> {
    /// Its size in bytes, if known.
    pub size: Option<u64>,
    /// Its tags, if any.
    pub tags: Option<&'a Tags>,
}

/// How to put an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// What happens when the key is taken.
    pub mode: Mode,
    /// The object expires this long after the put, whatever becomes of the writer. `Unsupported` where
    /// [`Capabilities::ttl`] is off. `None`: it stays until evicted. Zero: at once. A time beyond what the backend can
    /// count is as long as it can count.
    pub ttl: Option<Duration>,
    /// For routing; connectors that do not route ignore them.
    pub tags: Tags,
}

/// What a put does when the key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Replaces the object.
    #[default]
    Overwrite,
    /// Fails with `Exists`: of any number of writers, in any processes, exactly one wins. `Unsupported` where
    /// [`Capabilities::create`] is off. A retry after a lost answer tells its own object by its bytes: so each writer's
    /// should have something of its own in them, as the store's envelope has.
    Create,
}
