//! Which connection a command takes, until when, and what happens when it breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use proxystore_core::{Result, Transfer};
use redis::{Pipeline, Value};
use tokio::time::{Instant, timeout, timeout_at};

use crate::bulk::{Bulk, Lease};
use crate::endpoint::Endpoint;
use crate::error::{self, Effect};
use crate::link::{Deaf, Link, Listener};
use crate::slot::{Open, Slot};

/// Up to this many bytes an object is small, and goes over the control connection.
pub(crate) const SMALL: usize = 64 * 1024;

/// The connections of a connector, by role.
pub(crate) struct Lanes {
    endpoint: Arc<Endpoint>,
    control: Slot,
    bulk: Bulk,
    /// Bytes that wait for a bulk connection or are on one.
    ahead: AtomicU64,
    timeout: Duration,
    connect_timeout: Duration,
}

impl Lanes {
    pub(crate) fn new(endpoint: Endpoint, timeout: Duration, connect_timeout: Duration, bulk: usize) -> Self {
        let endpoint = Arc::new(endpoint);
        let open = opening(endpoint.clone(), connect_timeout, || Arc::new(Deaf));
        Self {
            control: Slot::new(open.clone(), patience(timeout)),
            bulk: Bulk::new(open, bulk),
            ahead: AtomicU64::new(0),
            endpoint,
            timeout,
            connect_timeout,
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Another shared connection of this connector, with a listener of its own.
    pub(crate) fn slot(&self, listener: impl Fn() -> Arc<dyn Listener> + Send + Sync + 'static) -> Slot {
        Slot::new(opening(self.endpoint.clone(), self.connect_timeout, listener), patience(self.timeout))
    }

    /// Runs commands that carry `bytes` bytes in all, there or back, and gives the answers, errors of the server
    /// among them.
    pub(crate) async fn call(&self, commands: &Pipeline, bytes: u64, effect: Effect) -> Result<Vec<Value>> {
        if bytes <= SMALL as u64 {
            return self.call_on(&self.control, commands, effect).await;
        }
        let ahead = Ahead::new(&self.ahead, bytes);
        let time = self.timeout + Transfer::time_for(ahead.total);
        run(Lane::Bulk(&self.bulk), commands, effect, time).await
    }

    /// Runs small commands on a shared connection.
    pub(crate) async fn call_on(
        &self,
        slot: &Slot,
        commands: &Pipeline,
        effect: Effect,
    ) -> Result<Vec<Value>> {
        run(Lane::Shared(slot), commands, effect, self.timeout).await
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The control connection if it leads to a cluster, for what no pipeline can say.
    #[cfg(feature = "cluster")]
    pub(crate) async fn cluster(&self) -> Result<Option<redis::cluster_async::ClusterConnection>> {
        if !self.endpoint.is_cluster() {
            return Ok(None);
        }
        let late = |_| error::late(Effect::Read, false, self.timeout);
        Ok(timeout(self.timeout, self.control.link()).await.map_err(late)??.cluster())
    }

    pub(crate) fn close(&self) {
        self.control.close();
        self.bulk.close();
    }
}

/// How long a connection may owe an answer before it is probed, and how long the probe may take: together less than
/// an operation's deadline, so that the call that finds a dead connection is served by the next one.
fn patience(timeout: Duration) -> Duration {
    (timeout / 2).min(Duration::from_secs(1))
}

fn opening(
    endpoint: Arc<Endpoint>,
    deadline: Duration,
    listener: impl Fn() -> Arc<dyn Listener> + Send + Sync + 'static,
) -> Open {
    Arc::new(move || {
        let (endpoint, listener) = (endpoint.clone(), listener());
        async move {
            match timeout(deadline, endpoint.connect(listener)).await {
                Ok(link) => link.map_err(|error| error::unreachable(&error)),
                Err(_) => Err(error::no_connection(deadline)),
            }
        }
        .boxed()
    })
}

/// Runs the commands, at most twice, within `timeout`.
async fn run(lane: Lane<'_>, commands: &Pipeline, effect: Effect, timeout: Duration) -> Result<Vec<Value>> {
    let began = Instant::now();
    let deadline = began + timeout;
    // Whether the server may have seen the commands in the attempt before.
    let mut sent = false;
    loop {
        let held = match timeout_at(deadline, lane.hold()).await {
            Ok(Ok(held)) => held,
            Ok(Err(error)) if sent && effect != Effect::Read => return Err(error::unsettled(&error)),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(error::late(effect, sent, began.elapsed())),
        };
        let error = match timeout_at(deadline, held.link().send(commands)).await {
            Ok(Ok(answers)) => {
                if answers.iter().any(is_demoted) {
                    held.link().retire();
                } else {
                    held.give_back();
                }
                return Ok(answers);
            }
            Ok(Err(error)) => error,
            Err(_) => return Err(error::late(effect, true, began.elapsed())),
        };
        if !error::is_fatal(&error) {
            return Err(error::unreachable(&error));
        }
        held.link().retire();
        lane.broke();
        if sent || effect == Effect::Once {
            return Err(error::broken(&error, effect));
        }
        sent = true;
    }
}

/// Where a connection for a call comes from.
#[derive(Clone, Copy)]
enum Lane<'a> {
    Shared(&'a Slot),
    Bulk(&'a Bulk),
}

/// A connection for one call. Dropped, a bulk connection is closed.
enum Held<'a> {
    Shared(Arc<Link>),
    Bulk(Lease<'a>),
}

impl<'a> Lane<'a> {
    async fn hold(self) -> Result<Held<'a>> {
        match self {
            Lane::Shared(slot) => slot.link().await.map(Held::Shared),
            Lane::Bulk(bulk) => bulk.lease().await.map(Held::Bulk),
        }
    }

    fn broke(self) {
        if let Lane::Bulk(bulk) = self {
            bulk.forget();
        }
    }
}

impl Held<'_> {
    fn link(&self) -> &Link {
        match self {
            Held::Shared(link) => link,
            Held::Bulk(lease) => lease.link(),
        }
    }

    fn give_back(self) {
        if let Held::Bulk(lease) = self {
            lease.give_back();
        }
    }
}

/// The server has become a replica: the next connection finds the master, if there are sentinels to ask.
fn is_demoted(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.code() == "READONLY")
}

/// Bytes that others have to wait for.
struct Ahead<'a> {
    counter: &'a AtomicU64,
    bytes: u64,
    /// These and those before them.
    total: u64,
}

impl<'a> Ahead<'a> {
    fn new(counter: &'a AtomicU64, bytes: u64) -> Self {
        let total = counter.fetch_add(bytes, Ordering::Relaxed) + bytes;
        Self { counter, bytes, total }
    }
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
