//! Where clients come in.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proxystore_core::{Error, ErrorKind, Result};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Space, serve};
use crate::address::Address;
use crate::handshake;
use crate::quiet::Quiet;
use crate::tls::{Acceptor, Identity};

/// What listens at an address.
enum Door {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener, Option<Acceptor>),
}

/// Who came in.
enum Guest {
    Unix(UnixStream),
    Tcp(TcpStream, Option<Acceptor>),
}

/// Listens at `address` until the manager stops. `identity` is the one that the manager's id is made of, if it has a
/// key.
pub(crate) async fn listen(space: &Arc<Space>, address: Address, identity: Option<&Identity>) -> Result<()> {
    let (door, address) = match address {
        Address::Unix(path) => {
            let listener = bind(&path).await.map_err(|error| {
                failed(&error).with("address", format!("unix:{}", path.display())).hint(
                    "take a path of at most 100 bytes in a directory of your own, where nobody else listens",
                )
            })?;
            (Door::Unix(listener, path.clone()), Address::Unix(path))
        }
        Address::Tls { manager, place } => {
            let identity = identity.ok_or_else(|| {
                let hint = "build with the feature `tls`, and give the manager an `Identity` or none";
                Error::new(ErrorKind::Unsupported, "the manager has no key for TLS").hint(hint)
            })?;
            if manager.is_some_and(|manager| manager != space.id) {
                return Err(Error::new(ErrorKind::Config, "the address is that of another manager")
                    .with("manager", space.id)
                    .hint("write tls://host:port"));
            }
            let acceptor = Acceptor::new(identity)?;
            let (listener, place) = bind_tcp(&place, false).await?;
            (Door::Tcp(listener, Some(acceptor)), Address::Tls { manager: Some(space.id), place })
        }
        Address::Insecure(place) => {
            let (listener, place) = bind_tcp(&place, true).await?;
            (Door::Tcp(listener, None), Address::Insecure(place))
        }
    };
    space.tasks.spawn(accept(space.clone(), door));
    space.add_address(address);
    Ok(())
}

/// Makes the socket: the directory, if it is new, is for its owner alone, and so is the socket. A socket that nobody
/// listens at any more is replaced, and nothing else is.
async fn bind(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};

    match UnixStream::connect(path).await {
        Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {}
        // Somebody may listen there, and have no time.
        Err(error) => return Err(error),
    }
    let path = path.to_owned();
    let bound = tokio::task::spawn_blocking(move || {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.file_type().is_socket() => std::fs::remove_file(&path)?,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path is that of a file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = std::os::unix::net::UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    UnixListener::from_std(bound.await.map_err(io::Error::other)??)
}

/// Listens at `place`, and says at which port.
async fn bind_tcp(place: &str, only_here: bool) -> Result<(TcpListener, String)> {
    let bound = async {
        let listener = TcpListener::bind(place).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    let (listener, address) = bound.await.map_err(|error: io::Error| {
        failed(&error).with("place", place).hint("name a host of this machine and a free port, or port 0")
    })?;
    if address.ip().is_unspecified() {
        return Err(Error::new(ErrorKind::Config, "clients cannot dial every address of a machine")
            .with("place", place)
            .hint("name the host as clients know it"));
    }
    if only_here && !address.ip().is_loopback() {
        return Err(Error::new(ErrorKind::Denied, "TCP without TLS leaves this machine")
            .with("place", place)
            .hint("take tls://host:port, or 127.0.0.1"));
    }
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
    Ok((listener, format!("{host}:{}", address.port())))
}

impl Door {
    async fn open(&self) -> io::Result<Guest> {
        match self {
            Self::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Guest::Unix(stream)),
            Self::Tcp(listener, acceptor) => {
                let (stream, _) = listener.accept().await?;
                // A small message should not wait for the next one; if that cannot be had, it works all the same.
                let _ = stream.set_nodelay(true);
                Ok(Guest::Tcp(stream, acceptor.clone()))
            }
        }
    }
}

async fn accept(space: Arc<Space>, door: Door) {
    let handshakes = Arc::new(Semaphore::new(space.limits.max_handshakes));
    loop {
        let Ok(handshake) = handshakes.clone().acquire_owned().await else { return };
        let guest = tokio::select! {
            () = space.stopping.cancelled() => break,
            guest = door.open() => match guest {
                Ok(guest) => guest,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Out of descriptors, as a rule: others may be closed meanwhile.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        tokio::spawn(receive(space.clone(), guest, handshake));
    }
    if let Door::Unix(_, path) = door {
        // Whoever serves there next makes it again.
        let _ = tokio::task::spawn_blocking(move || std::fs::remove_file(path)).await;
    }
}

async fn receive(space: Arc<Space>, guest: Guest, handshake: OwnedSemaphorePermit) {
    match guest {
        Guest::Unix(stream) => match Quiet::new(stream) {
            Ok(stream) => serve(space, stream, &[], handshake).await,
            Err(error) => tracing::warn!(%error, "a client was not let in"),
        },
        Guest::Tcp(stream, None) => serve(space, stream, &[], handshake).await,
        Guest::Tcp(stream, Some(acceptor)) => {
            match tokio::time::timeout(handshake::TIME, acceptor.accept(stream)).await {
                Ok(Ok((stream, channel))) => serve(space, stream, &channel, handshake).await,
                Ok(Err(error)) => tracing::warn!(%error, "a client was not let in: TLS"),
                Err(_) => tracing::warn!("a client was not let in: no TLS within 5 seconds"),
            }
        }
    }
}

fn failed(error: &io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("cannot listen: {error}"))
}
