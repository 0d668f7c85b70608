//! How a client comes to a session.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::Session;
use crate::address::Address;
use crate::auth::AuthKey;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::id::ManagerId;
use crate::quiet::Quiet;
use crate::tls;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// What carries a session.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// A connection, and what binds a handshake to it.
pub(crate) struct Stream {
    pub(crate) io: Box<dyn Duplex>,
    pub(crate) channel: Vec<u8>,
}

/// Makes connections to one manager.
pub(crate) type Dialer = Arc<dyn Fn() -> BoxFuture<'static, Result<Stream, RemoteError>> + Send + Sync>;

/// Dials these addresses of `manager`, or of whoever they name, one after the other.
pub(crate) fn dialer(addresses: Arc<[Address]>, manager: Option<ManagerId>) -> Dialer {
    Arc::new(move || {
        let addresses = addresses.clone();
        async move {
            let mut failure = RemoteError::new(RemoteErrorKind::DialRefused, "the reference has no address");
            for address in &*addresses {
                let dialed = match tokio::time::timeout(CONNECT, dial(address, manager)).await {
                    Ok(dialed) => dialed,
                    Err(_) => Err(lost("no connection within 5 seconds")),
                };
                match dialed {
                    Ok(stream) => return Ok(stream),
                    Err(error) => {
                        failure = RemoteError::new(error.kind(), format!("{address}: {}", error.message()));
                    }
                }
            }
            Err(failure)
        }
        .boxed()
    })
}

async fn dial(address: &Address, manager: Option<ManagerId>) -> Result<Stream, RemoteError> {
    let broken = |error: std::io::Error| lost(&error.to_string());
    match address {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(broken)?;
            Ok(Stream { io: Box::new(Quiet::new(stream).map_err(broken)?), channel: Vec::new() })
        }
        Address::Insecure(place) => {
            let found: Vec<_> = tokio::net::lookup_host(place).await.map_err(broken)?.collect();
            if !found.iter().all(|address| address.ip().is_loopback()) {
                let why = "TCP without TLS would leave this machine";
                return Err(RemoteError::new(RemoteErrorKind::DialRefused, why));
            }
            let stream = TcpStream::connect(&found[..]).await.map_err(broken)?;
            Ok(Stream { io: Box::new(quick(stream)), channel: Vec::new() })
        }
        Address::Tls { manager: named, place } => {
            let manager = match (manager, *named) {
                (Some(manager), Some(named)) if manager != named => {
                    let why = "the address is that of another manager than the one that is meant";
                    return Err(RemoteError::new(RemoteErrorKind::AuthenticationFailed, why));
                }
                (manager, named) => manager.or(named).ok_or_else(|| {
                    let why = "the address does not say who answers; write tls://<manager>@host:port";
                    RemoteError::new(RemoteErrorKind::DialRefused, why)
                })?,
            };
            let stream = TcpStream::connect(place).await.map_err(broken)?;
            let (stream, channel) = tls::connect(quick(stream), manager).await?;
            Ok(Stream { io: Box::new(stream), channel })
        }
    }
}

/// A small message should not wait for the next one; if that cannot be had, it works all the same.
fn quick(stream: TcpStream) -> TcpStream {
    let _ = stream.set_nodelay(true);
    stream
}

fn lost(why: &str) -> RemoteError {
    RemoteError::new(RemoteErrorKind::ConnectionLost, why)
}

type Opening = Shared<BoxFuture<'static, Result<Arc<Session>, RemoteError>>>;

/// A manager as a client knows it.
pub(crate) struct Client {
    dialer: Dialer,
    key: AuthKey,
    /// The manager that must answer.
    expected: Option<ManagerId>,
    /// For references that leave this process.
    addresses: Arc<[Address]>,
    opening: Mutex<Option<Opening>>,
}

impl Client {
    pub(crate) fn new(
        dialer: Dialer,
        addresses: Arc<[Address]>,
        key: AuthKey,
        expected: Option<ManagerId>,
    ) -> Arc<Self> {
        Arc::new(Self { dialer, key, expected, addresses, opening: Mutex::default() })
    }

    pub(crate) fn addresses(&self) -> Arc<[Address]> {
        self.addresses.clone()
    }

    /// The session, opened if there is none or the last one is over. All who ask meanwhile get the same.
    pub(crate) async fn session(self: &Arc<Self>) -> Result<Arc<Session>, RemoteError> {
        self.opening()?.await
    }

    /// Ends the session that there is, if there is one.
    pub(crate) async fn end(&self) {
        let opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(Ok(session)) = opening.as_ref().and_then(Shared::peek) {
            session.end().await;
        }
    }

    /// Whether the last session is over, or there never was one.
    pub(crate) fn is_over(&self) -> bool {
        let opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        match opening.as_ref().map(Shared::peek) {
            Some(None) => false,
            Some(Some(Ok(session))) => session.is_over(),
            Some(Some(Err(_))) | None => true,
        }
    }

    fn opening(self: &Arc<Self>) -> Result<Opening, RemoteError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
            RemoteError::new(
                RemoteErrorKind::DialRefused,
                "this needs a tokio runtime, and there is none here",
            )
        })?;
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = |opening: &&Opening| match opening.peek() {
            None => true,
            Some(Ok(session)) => !session.is_over(),
            Some(Err(_)) => false,
        };
        if let Some(opening) = opening.as_ref().filter(usable) {
            return Ok(opening.clone());
        }
        let (dialer, key, expected) = (self.dialer.clone(), self.key.clone(), self.expected);
        let task = runtime.spawn(Session::open(dialer, key, expected));
        let lost = |_| RemoteError::new(RemoteErrorKind::ConnectionLost, "the runtime is shutting down");
        let fresh = async move { task.await.map_err(lost)? }.boxed().shared();
        *opening = Some(fresh.clone());
        Ok(fresh)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("expected", &self.expected).finish_non_exhaustive()
    }
}
