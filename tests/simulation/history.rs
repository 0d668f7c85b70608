//! What everybody did and saw, by one clock.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proxystore::{Error, ErrorKind, Key};
use proxystore_testkit::sample;
use tokio::time::timeout;

/// What was asked. Values are known by the seed of their sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// A store puts a value under a fresh key.
    Put(u64),
    /// A put that may not replace what is there.
    Create(u64),
    /// A connector sends a write, on behalf of a put or create.
    Send,
    Get,
    Exists,
    Take,
    Evict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A write or evict was acknowledged.
    Done,
    /// The key was taken already.
    Taken,
    /// A get or take gave this value.
    Value(u64),
    /// A get or take gave something that nobody put.
    Damaged(String),
    Present,
    Absent,
    Failed(ErrorKind),
    /// The caller lost patience and dropped the future.
    Dropped,
}

/// A store of a host: after a crash, the host opens another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) host: &'static str,
    pub(crate) store: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) who: Who,
    pub(crate) op: Op,
    /// `None` where a put failed, so that nobody ever knew the key.
    pub(crate) key: Option<Key>,
    pub(crate) start: Duration,
    /// The operation has to end within this time.
    pub(crate) limit: Duration,
    /// `None` if the host crashed, or the simulation ended, before the operation did.
    pub(crate) end: Option<(Duration, Outcome)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) events: Vec<Event>,
    pub(crate) crashes: Vec<(&'static str, Duration)>,
    /// When the server lost all objects.
    pub(crate) losses: Vec<Duration>,
    /// From then on, nothing may fail.
    pub(crate) calm: Duration,
    pub(crate) end: Duration,
    pub(crate) numbers: u64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct History(Arc<Mutex<Log>>);

impl History {
    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of it, when everybody is done.
    pub(crate) fn take(&self) -> Log {
        std::mem::take(&mut self.log())
    }

    /// A number that was not given before.
    pub(crate) fn number(&self) -> u64 {
        let mut log = self.log();
        log.numbers += 1;
        log.numbers
    }

    /// Begins an event; [`end`](Self::end) takes its number.
    pub(crate) fn begin(&self, who: Who, op: Op, key: Option<&Key>, limit: Duration) -> usize {
        let mut log = self.log();
        log.events.push(Event { who, op, key: key.cloned(), start: now(), limit, end: None });
        log.events.len() - 1
    }

    pub(crate) fn end(&self, event: usize, outcome: Outcome) {
        self.log().events[event].end = Some((now(), outcome));
    }

    /// Awaits an operation on `key` and writes down how it ended. It is dropped after `patience`.
    pub(crate) async fn record<T: Into<Outcome>>(
        &self,
        (who, op, key): (Who, Op, &Key),
        (limit, patience): (Duration, Duration),
        operation: impl Future<Output = Result<T, Error>>,
    ) -> Outcome {
        let event = self.begin(who, op, Some(key), limit);
        let outcome = match timeout(patience, operation).await {
            Ok(Ok(answer)) => answer.into(),
            Ok(Err(error)) => error.into(),
            Err(_) => Outcome::Dropped,
        };
        self.end(event, outcome.clone());
        outcome
    }
}

/// The time of the simulation, on this host.
pub(crate) fn now() -> Duration {
    turmoil::sim_elapsed().expect("a host of a simulation")
}

impl From<()> for Outcome {
    fn from((): ()) -> Self {
        Self::Done
    }
}

impl From<bool> for Outcome {
    fn from(exists: bool) -> Self {
        if exists { Self::Present } else { Self::Absent }
    }
}

impl<T: AsRef<[u8]>> From<Option<T>> for Outcome {
    fn from(object: Option<T>) -> Self {
        match object.map(|object| sample::seed(object.as_ref().to_vec())) {
            None => Self::Absent,
            Some(Ok(seed)) => Self::Value(seed),
            Some(Err(why)) => Self::Damaged(why),
        }
    }
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Missing => Self::Absent,
            ErrorKind::Exists => Self::Taken,
            ErrorKind::Corrupt | ErrorKind::TypeMismatch | ErrorKind::Codec => {
                Self::Damaged(error.to_string())
            }
            kind => Self::Failed(kind),
        }
    }
}
