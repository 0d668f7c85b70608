//! An S3 server in this process, for the length of a test: signatures are checked, conditions are atomic, and faults
//! come on demand.

use std::collections::HashMap;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::stream::{self, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use proxystore_core::Bytes;
use s3s::Body;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::memory::Memory;
use self::request::kind;

mod memory;
mod request;

pub use request::On;

/// What may happen to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// `503 SlowDown`, and nothing is done.
    SlowDown,
    /// It is done, and then answered by `500 InternalError`.
    FailsAfter,
    /// `200` and an error as its body, and nothing is done.
    ErrorIn200,
    /// It is done, and the connection is closed without an answer.
    LostReply,
    /// It is done, and there is no answer.
    Silent,
    /// The answer ends after half of its body, whose length is told before.
    Truncated,
    /// The answer ends in order after half of its body, whose length is not told.
    TruncatedSilently,
    /// A bit in the middle of the answer's body is another.
    Flipped,
    /// The answer does not go on after half of its body.
    Stalls,
    /// `307` to another server, and nothing is done.
    Redirected,
}

/// The access key that the server knows.
pub const ACCESS_KEY: &str = "AKIDPROXYSTORE";
/// Its secret.
pub const SECRET_KEY: &str = "a secret of the tests";
/// The bucket that is there.
pub const BUCKET: &str = "objects";

/// An S3 server on a free port of 127.0.0.1, with all objects in memory, which ends when it is dropped.
///
/// ```
/// use proxystore_testkit::s3::{Fault, On, S3Server};
///
/// # #[tokio::main] async fn main() {
/// let server = S3Server::start().await;
/// server.inject(On::Put, Fault::SlowDown, 2);
/// assert!(server.endpoint().starts_with("http://127.0.0.1:"));
/// # }
/// ```
#[derive(Debug)]
pub struct S3Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _accepts: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    memory: Memory,
    service: S3Service,
    faults: Mutex<Vec<Injected>>,
    happened: Mutex<HashMap<(On, Fault), usize>>,
    seen: Mutex<Vec<Seen>>,
}

/// A request that has come.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What it asks for.
    pub on: On,
    /// Whether it bears a signature.
    pub signed: bool,
}

#[derive(Debug)]
struct Injected {
    on: On,
    /// The name of the object; none: of any.
    name: Option<String>,
    fault: Fault,
    left: usize,
}

impl S3Server {
    /// Starts a server with the empty [`BUCKET`].
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let addr = listener.local_addr().expect("the port of a bound socket");
        let memory = Memory::new(BUCKET);
        let mut service = S3ServiceBuilder::new(memory.clone());
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let (faults, happened, seen) = Default::default();
        let shared = Shared { memory, service: service.build(), faults, happened, seen };
        let shared = Arc::new(shared);
        let mut accepts = JoinSet::new();
        accepts.spawn(accept(listener, shared.clone()));
        Self { addr, shared, _accepts: accepts }
    }

    /// `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// `127.0.0.1:<port>`, the upstream for a [`TcpProxy`](crate::tcp_proxy::TcpProxy).
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The next `times` requests of this kind suffer `fault`, after what was injected for them before.
    pub fn inject(&self, on: On, fault: Fault, times: usize) {
        lock(&self.shared.faults).push(Injected { on, name: None, fault, left: times });
    }

    /// The same for requests that concern the object of this name, such as `prefix/key`.
    pub fn inject_for(&self, name: &str, on: On, fault: Fault, times: usize) {
        lock(&self.shared.faults).push(Injected { on, name: Some(name.into()), fault, left: times });
    }

    /// How many requests of this kind have suffered `fault`.
    pub fn happened(&self, on: On, fault: Fault) -> usize {
        lock(&self.shared.happened).get(&(on, fault)).copied().unwrap_or_default()
    }

    /// Forgets the faults that have not come about, and gives their number.
    pub fn heal(&self) -> usize {
        lock(&self.shared.faults).drain(..).map(|injected| injected.left).sum()
    }

    /// The requests so far, in order of arrival.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// How many requests of this kind have come.
    pub fn count(&self, on: On) -> usize {
        lock(&self.shared.seen).iter().filter(|seen| seen.on == on).count()
    }

    /// How many uploads have been begun and neither completed nor aborted.
    pub fn uploads(&self) -> usize {
        self.shared.memory.uploads()
    }

    /// The names of all objects, in order.
    pub fn objects(&self) -> Vec<String> {
        self.shared.memory.objects(BUCKET)
    }

    /// Makes every upload that is under way look so much older.
    pub fn age_uploads(&self, by: Duration) {
        self.shared.memory.begun_before(SystemTime::now() - by);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        while connections.try_join_next().is_some() {}
        let shared = shared.clone();
        connections.spawn(async move {
            let service = service_fn(|request| answer(&shared, request));
            // A connection that breaks is what the tests are about.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Closes the connection.
#[derive(Debug)]
struct Close;

impl std::fmt::Display for Close {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is closed on demand")
    }
}

impl std::error::Error for Close {}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Response<Body>, Close> {
    let on = kind(request.method(), request.uri(), request.headers());
    let signed = request.headers().contains_key("authorization");
    lock(&shared.seen).push(Seen { on, signed });
    let fault = take(&mut lock(&shared.faults), on, request.uri().path());
    if let Some(fault) = fault {
        *lock(&shared.happened).entry((on, fault)).or_default() += 1;
    }
    // The body is read in any case, so that the client gets to know the answer.
    let (head, body) = request.into_parts();
    let body = match fault {
        Some(Fault::SlowDown | Fault::ErrorIn200 | Fault::Redirected) => {
            BodyExt::collect(body).await.map_err(|_| Close)?;
            None
        }
        _ => Some(Body::from(body)),
    };
    let answer = match body {
        Some(body) => shared.service.call(Request::from_parts(head, body)).await.map_err(|_| Close)?,
        None => Response::new(Body::empty()),
    };
    match fault {
        None => Ok(answer),
        Some(Fault::SlowDown) => Ok(failure(StatusCode::SERVICE_UNAVAILABLE, "SlowDown")),
        Some(Fault::ErrorIn200) => Ok(failure(StatusCode::OK, "InternalError")),
        Some(Fault::FailsAfter) => Ok(failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")),
        Some(Fault::Redirected) => {
            let mut answer = failure(StatusCode::TEMPORARY_REDIRECT, "TemporaryRedirect");
            answer.headers_mut().insert(LOCATION, "http://127.0.0.1:1/".parse().expect("a header"));
            Ok(answer)
        }
        Some(Fault::LostReply) => Err(Close),
        Some(Fault::Silent) => pending().await,
        Some(fault) => damaged(answer, fault).await,
    }
}

fn take(faults: &mut Vec<Injected>, on: On, path: &str) -> Option<Fault> {
    // Behind the bucket.
    let name = path.trim_start_matches('/').split_once('/').map_or("", |(_, name)| name);
    let concerns =
        |it: &Injected| it.left > 0 && it.on == on && it.name.as_deref().is_none_or(|wanted| wanted == name);
    let at = faults.iter().position(concerns)?;
    let fault = faults[at].fault;
    faults[at].left -= 1;
    if faults[at].left == 0 {
        faults.remove(at);
    }
    Some(fault)
}

fn failure(status: StatusCode, code: &str) -> Response<Body> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>on demand</Message></Error>"
    );
    let mut answer = Response::new(Body::from(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, "application/xml".parse().expect("a header"));
    answer
}

async fn damaged(answer: Response<Body>, fault: Fault) -> Result<Response<Body>, Close> {
    let (mut head, body) = answer.into_parts();
    let bytes = BodyExt::collect(body).await.map_err(|_| Close)?.to_bytes();
    let half = bytes.slice(..bytes.len() / 2);
    let first = stream::iter([Ok(Frame::data(half))]);
    let body = match fault {
        Fault::Truncated => {
            // After the half has gone.
            let end = stream::once(async {
                sleep(Duration::from_millis(5)).await;
                Err(Close)
            });
            Body::http_body_unsync(StreamBody::new(first.chain(end)))
        }
        Fault::TruncatedSilently => {
            head.headers.remove(CONTENT_LENGTH);
            Body::http_body_unsync(StreamBody::new(first))
        }
        Fault::Stalls => {
            let end = stream::pending();
            Body::http_body_unsync(StreamBody::new(first.chain(end)))
        }
        _ => {
            let mut bytes = Vec::from(bytes);
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 0x10;
            }
            Body::from(Bytes::from(bytes))
        }
    };
    Ok(Response::from_parts(head, body))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
