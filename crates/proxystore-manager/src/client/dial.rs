//! How a client comes to a session.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use super::Session;
use crate::address::Address;
use crate::auth::AuthKey;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::id::ManagerId;

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

/// Dials these addresses, one after the other.
pub(crate) fn dialer(addresses: Arc<[Address]>) -> Dialer {
    Arc::new(move || {
        let addresses = addresses.clone();
        async move {
            let mut failure = RemoteError::new(RemoteErrorKind::DialRefused, "the reference has no address");
            for address in &*addresses {
                match dial(address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failure = error,
                }
            }
            Err(failure)
        }
        .boxed()
    })
}

async fn dial(address: &Address) -> Result<Stream, RemoteError> {
    let lost = |why: &str| RemoteError::new(RemoteErrorKind::ConnectionLost, format!("{address}: {why}"));
    match address {
        Address::Unix(path) => match tokio::time::timeout(CONNECT, UnixStream::connect(path)).await {
            Ok(Ok(stream)) => Ok(Stream { io: Box::new(stream), channel: Vec::new() }),
            Ok(Err(error)) => Err(lost(&error.to_string())),
            Err(_) => Err(lost("no connection within 5 seconds")),
        },
        Address::Tls(_) => Err(RemoteError::new(RemoteErrorKind::DialRefused, "this build has no TLS")),
    }
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
