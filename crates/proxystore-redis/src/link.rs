//! One connection, and whether it is of any use.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Pipeline, PushInfo, RedisResult, Value};
use tokio::time::{Instant, timeout};

use crate::mux::Mux;
use crate::request::Request;

/// What a connection hears unasked. Owned by the connection's driver, so its drop means that the driver has ended,
/// for whatever reason: the server hung up, or the runtime is gone.
pub(crate) trait Listener: Send + Sync + 'static {
    fn hear(&self, push: PushInfo);
}

/// For connections that only have to know whether they live.
pub(crate) struct Deaf;

impl Listener for Deaf {
    fn hear(&self, _: PushInfo) {}
}

pub(crate) enum Conn {
    Mux(Mux),
    Single(MultiplexedConnection),
    #[cfg(feature = "cluster")]
    Cluster(redis::cluster_async::ClusterConnection),
}

pub(crate) struct Link {
    conn: Conn,
    /// The driver's listener; `None` where the driver has none, and its end shows in an error only.
    driver: Option<Weak<dyn Listener>>,
    retired: AtomicBool,
    pulse: Mutex<Pulse>,
}

#[derive(Default)]
struct Pulse {
    /// Commands under way.
    live: usize,
    /// Since when an answer is owed without any having come, dropped commands included.
    since: Option<Instant>,
}

impl Link {
    pub(crate) fn new(conn: Conn, driver: Option<&Arc<dyn Listener>>) -> Self {
        Self {
            conn,
            driver: driver.map(Arc::downgrade),
            retired: AtomicBool::new(false),
            pulse: Mutex::default(),
        }
    }

    /// Whether it is a connection that hears pushes.
    pub(crate) fn hears(&self) -> bool {
        self.driver.is_some()
    }

    /// Sends the commands and waits for all answers, errors of the server among them. Dropping the future leaves the
    /// connection in order: its answers are skipped.
    pub(crate) async fn send(&self, request: &Request) -> RedisResult<Vec<Value>> {
        let beat = Beat::new(self);
        let (commands, count) = (|| request.pipeline(), request.len());
        let answer = match &self.conn {
            Conn::Mux(mux) => mux.send(request).await,
            Conn::Single(conn) => conn.clone().req_packed_commands(&commands(), 0, count).await,
            #[cfg(feature = "cluster")]
            Conn::Cluster(conn) => conn.clone().req_packed_commands(&commands(), 0, count).await,
        };
        beat.answered();
        answer
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn cluster(&self) -> Option<redis::cluster_async::ClusterConnection> {
        match &self.conn {
            Conn::Cluster(conn) => Some(conn.clone()),
            Conn::Mux(_) | Conn::Single(_) => None,
        }
    }

    /// Not to be used again.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.retired.load(Ordering::Relaxed)
            && self.driver.as_ref().is_none_or(|driver| driver.strong_count() > 0)
    }

    /// Whether it has owed an answer for this long.
    pub(crate) fn owes_for(&self, patience: Duration) -> bool {
        lock(&self.pulse).since.is_some_and(|since| since.elapsed() >= patience)
    }

    /// Counts as owing an answer since then.
    pub(crate) fn doubt(&self, since: Instant) {
        lock(&self.pulse).since.get_or_insert(since);
    }

    /// Whether anything at all comes back within `patience`.
    pub(crate) async fn answers(&self, patience: Duration) -> bool {
        let mut ping = Pipeline::with_capacity(1);
        ping.cmd("PING");
        matches!(timeout(patience, self.send(&ping.into())).await, Ok(Ok(_)))
    }
}

/// A command under way. Dropped without an answer, it leaves the link owing.
struct Beat<'a>(&'a Link);

impl<'a> Beat<'a> {
    fn new(link: &'a Link) -> Self {
        let mut pulse = lock(&link.pulse);
        pulse.live += 1;
        pulse.since.get_or_insert_with(Instant::now);
        drop(pulse);
        Self(link)
    }

    fn answered(self) {
        // Answers come in order, so all that was owed before is settled; the live count sinks on drop.
        let mut pulse = lock(&self.0.pulse);
        pulse.since = (pulse.live > 1).then(Instant::now);
    }
}

impl Drop for Beat<'_> {
    fn drop(&mut self) {
        lock(&self.0.pulse).live -= 1;
    }
}

/// Locks; no code of ours panics while holding one of these, and none awaits.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
