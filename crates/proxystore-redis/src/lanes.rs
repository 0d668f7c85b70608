//! Which connection a command takes, until when, and what happens when it breaks.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use proxystore_core::{Result, Transfer, until};
use redis::{RedisResult, Value};
use tokio::time::{Instant, timeout, timeout_at};

use crate::bulk::{Bulk, Carrier, Lease};
use crate::connector::admit;
use crate::endpoint::Endpoint;
use crate::error::{self, Effect};
use crate::link::{Link, Listener};
use crate::reply::Head;
use crate::request::Request;
use crate::slot::{Open, Slot};
use crate::wire::Wire;

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
        let (sharing, carrying) = (endpoint.clone(), endpoint.clone());
        let control = opening(connect_timeout, move || {
            let endpoint = sharing.clone();
            async move { endpoint.shared().await }
        });
        let carriers = opening(connect_timeout, move || {
            let endpoint = carrying.clone();
            async move { endpoint.carrier().await }
        });
        Self {
            control: Slot::new(control, patience(timeout), connect_timeout),
            bulk: Bulk::new(carriers, bulk),
            ahead: AtomicU64::new(0),
            endpoint,
            timeout,
            connect_timeout,
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Another shared connection of this connector, with a listener of its own: one of the `redis` crate.
    pub(crate) fn slot(&self, listener: impl Fn() -> Arc<dyn Listener> + Send + Sync + 'static) -> Slot {
        let endpoint = self.endpoint.clone();
        let open = opening(self.connect_timeout, move || {
            let (endpoint, listener) = (endpoint.clone(), listener());
            async move { endpoint.connect(listener).await }
        });
        Slot::new(open, patience(self.timeout), self.connect_timeout)
    }

    /// Sends commands that carry `bytes` bytes in all, there or back, and gives the answers, errors of the server
    /// among them.
    pub(crate) async fn call(&self, request: &Request, bytes: u64, effect: Effect) -> Result<Vec<Value>> {
        if bytes <= SMALL as u64 {
            return self.call_on(&self.control, request, effect).await;
        }
        let ahead = Ahead::new(&self.ahead, bytes);
        let time = self.timeout + Transfer::time_for(ahead.total);
        run(Lane::Bulk(self), request, effect, time).await
    }

    /// Sends small commands on a shared connection.
    pub(crate) async fn call_on(&self, slot: &Slot, request: &Request, effect: Effect) -> Result<Vec<Value>> {
        run(Lane::Shared(slot), request, effect, self.timeout).await
    }

    /// A bulk connection that has nothing to do, if there is one.
    pub(crate) fn idle(&self) -> Option<Lease<'_, Wire>> {
        self.bulk.idle()
    }

    /// The answer to `GET`, by such a connection: the size comes first, and what the caller does not take is not
    /// fetched. `None`: the connection was dead.
    pub(crate) async fn straight(&self, mut lease: Lease<'_, Wire>, name: &str) -> Result<Option<Value>> {
        let read = &Request::of("GET", name);
        let began = Instant::now();
        let late = |_| {
            Lane::Bulk(self).silent(began);
            error::late(Effect::Read, true, began.elapsed())
        };
        let asked = timeout_at(began + self.timeout, lease.carrier.ask(read)).await.map_err(late)?;
        let size = match asked {
            Ok(Head::Whole(answer)) => {
                lease.give_back();
                return Ok(Some(answer));
            }
            Ok(Head::Body(size)) => size,
            // An array is no object.
            Ok(Head::Many(_)) => return Err(error::strange()),
            Err(_) => {
                self.bulk.forget();
                return Ok(None);
            }
        };
        let bytes = size as u64;
        if size > SMALL {
            admit(bytes)?;
            let transfer = Transfer::current();
            // Nobody waits for room while it holds a connection.
            match select(pin!(transfer.expect(bytes)), std::future::ready(())).await {
                Either::Left((room, _)) => room?,
                Either::Right(((), room)) => {
                    drop(lease);
                    room.await?;
                    return Ok(self.call(read, bytes, Effect::Read).await?.pop());
                }
            }
        }
        let ahead = Ahead::new(&self.ahead, bytes);
        let deadline = began + self.timeout + Transfer::time_for(ahead.total);
        match timeout_at(deadline, lease.carrier.body(size)).await.map_err(late)? {
            Ok(object) => {
                lease.give_back();
                Ok(Some(Value::BulkString(object)))
            }
            Err(_) => {
                self.bulk.forget();
                Ok(self.call(read, bytes, Effect::Read).await?.pop())
            }
        }
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

fn opening<T, F>(deadline: Duration, open: impl Fn() -> F + Send + Sync + 'static) -> Open<T>
where
    T: Send + 'static,
    F: Future<Output = RedisResult<T>> + Send + 'static,
{
    Arc::new(move || {
        let opening = open();
        async move {
            match timeout(deadline, opening).await {
                Ok(opened) => opened.map_err(|error| error::unreachable(&error)),
                Err(_) => Err(error::no_connection(deadline)),
            }
        }
        .boxed()
    })
}

/// Sends the request, at most twice, within `timeout`.
async fn run(lane: Lane<'_>, request: &Request, effect: Effect, timeout: Duration) -> Result<Vec<Value>> {
    let began = Instant::now();
    let deadline = began + timeout;
    // Whether the server may have seen the request in the attempt before.
    let mut sent = false;
    loop {
        let held = until(pin!(lane.hold()), || deadline).await;
        let mut held = match held {
            Some(Ok(held)) => held,
            Some(Err(error)) if sent && effect != Effect::Read => return Err(error::unsettled(&error)),
            Some(Err(error)) => return Err(error),
            None => return Err(error::late(effect, sent, began.elapsed())),
        };
        let asked = Instant::now();
        let answered = until(pin!(held.send(request, effect)), || deadline).await;
        let error = match answered {
            Some(Ok(answers)) => {
                if answers.iter().any(is_demoted) {
                    held.retire();
                } else {
                    held.give_back();
                }
                return Ok(answers);
            }
            Some(Err(error)) => error,
            None => {
                lane.silent(asked);
                return Err(error::late(effect, true, began.elapsed()));
            }
        };
        if !error::is_fatal(&error) {
            return Err(error::unreachable(&error));
        }
        held.retire();
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
    Bulk(&'a Lanes),
}

/// A connection for one call. Dropped, a bulk connection is closed.
enum Held<'a> {
    Shared(Arc<Link>),
    Bulk(Lease<'a, Carrier>),
}

impl<'a> Lane<'a> {
    async fn hold(self) -> Result<Held<'a>> {
        match self {
            Lane::Shared(slot) => slot.link().await.map(Held::Shared),
            Lane::Bulk(lanes) => lanes.bulk.lease().boxed().await.map(Held::Bulk),
        }
    }

    fn broke(self) {
        if let Lane::Bulk(lanes) = self {
            lanes.bulk.forget();
        }
    }

    /// Where one connection is silent, the others may be.
    fn silent(self, since: Instant) {
        if let Lane::Bulk(lanes) = self {
            lanes.bulk.forget();
            lanes.control.doubt(since);
        }
    }
}

impl Held<'_> {
    async fn send(&mut self, request: &Request, effect: Effect) -> RedisResult<Vec<Value>> {
        match self {
            Held::Shared(link) => link.send(request).await,
            // Small calls are the smaller for it.
            Held::Bulk(lease) => lease.carrier.send(request, effect).boxed().await,
        }
    }

    /// It is of no more use.
    fn retire(self) {
        if let Held::Shared(link) = self {
            link.retire();
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
