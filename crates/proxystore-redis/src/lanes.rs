//! Which connection a command takes, until when, and what happens when it breaks.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use proxystore_core::{Error, Result};
use redis::{Pipeline, Value};
use tokio::time::{Instant, timeout, timeout_at};

use crate::bulk::{Bulk, Lease};
use crate::endpoint::Endpoint;
use crate::error::{self, Effect};
use crate::link::{Deaf, Link, Listener};
use crate::slot::{Open, Slot};

/// Up to this many bytes an object is small, and goes over the control connection.
pub(crate) const SMALL: usize = 64 * 1024;
/// Bytes per second that every network is taken to carry.
const FLOOR_RATE: u64 = 8 * 1024 * 1024;

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
        let call = Call::new(effect, self.timeout + Duration::from_secs_f64(ahead.total as f64 / FLOOR_RATE as f64));
        call.run(commands, async || self.bulk.lease().await, Lease::give_back, || self.bulk.forget()).await
    }

    /// Runs small commands on a shared connection.
    pub(crate) async fn call_on(&self, slot: &Slot, commands: &Pipeline, effect: Effect) -> Result<Vec<Value>> {
        Call::new(effect, self.timeout).run(commands, async || slot.link().await, drop, || ()).await
    }

    /// The control connection, for what no pipeline can say.
    #[cfg(feature = "cluster")]
    pub(crate) async fn control(&self) -> Result<Arc<Link>> {
        let began = Instant::now();
        let late = |_| error::late(Effect::Read, false, began.elapsed());
        timeout(self.timeout, self.control.link()).await.map_err(late)?
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

/// One call: a deadline, and at most two attempts.
struct Call {
    effect: Effect,
    began: Instant,
    deadline: Instant,
}

impl Call {
    fn new(effect: Effect, timeout: Duration) -> Self {
        let began = Instant::now();
        Self { effect, began, deadline: began + timeout }
    }

    async fn run<L: AsLink>(
        &self,
        commands: &Pipeline,
        acquire: impl AsyncFn() -> Result<L>,
        done: impl Fn(L),
        broken: impl Fn(),
    ) -> Result<Vec<Value>> {
        // Whether the server may have seen the commands in the attempt before.
        let mut sent = false;
        loop {
            let held = match timeout_at(self.deadline, acquire()).await {
                Ok(Ok(held)) => held,
                Ok(Err(error)) => return Err(self.unsettled(error, sent)),
                Err(_) => return Err(error::late(self.effect, sent, self.began.elapsed())),
            };
            let error = match timeout_at(self.deadline, held.link().send(commands)).await {
                Ok(Ok(answers)) => {
                    if answers.iter().any(is_demoted) {
                        held.link().retire();
                    } else {
                        done(held);
                    }
                    return Ok(answers);
                }
                Ok(Err(error)) => error,
                Err(_) => return Err(error::late(self.effect, true, self.began.elapsed())),
            };
            if !error::is_fatal(&error) {
                return Err(error::unreachable(&error));
            }
            held.link().retire();
            broken();
            if sent || !self.effect.repeatable() {
                return Err(error::broken(&error, self.effect, true));
            }
            sent = true;
        }
    }

    /// What to say when the second attempt finds no connection and the first one may have written.
    fn unsettled(&self, error: Error, sent: bool) -> Error {
        if sent && self.effect == Effect::Idempotent { error::unsettled(&error) } else { error }
    }
}

/// The server has become a replica: the next connection finds the master, if there are sentinels to ask.
fn is_demoted(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.code() == "READONLY")
}

trait AsLink {
    fn link(&self) -> &Link;
}

impl AsLink for Arc<Link> {
    fn link(&self) -> &Link {
        self.deref()
    }
}

impl AsLink for Lease<'_> {
    fn link(&self) -> &Link {
        Lease::link(self)
    }
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
