//! Where clients come in.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proxystore_core::{Error, ErrorKind, Result};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::{Space, serve};
use crate::address::Address;

/// Listens at `address` until the manager stops. Returns the address that clients dial.
pub(crate) async fn listen(space: &Arc<Space>, address: Address) -> Result<Address> {
    match &address {
        Address::Unix(path) => {
            let listener = bind(path).await.map_err(|error| failed(&address, &error))?;
            space.tasks.spawn(accept(space.clone(), listener, path.clone()));
        }
        Address::Tls(_) => {
            return Err(Error::new(ErrorKind::Unsupported, "this build has no TLS")
                .with("address", &address)
                .hint("serve on unix:/path"));
        }
    }
    space.add_address(address.clone());
    Ok(address)
}

/// Makes the socket: the directory, if it is new, is for its owner alone, and so is the socket. A socket that nobody
/// listens at any more is replaced.
async fn bind(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

    if UnixStream::connect(path).await.is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let path = path.to_owned();
    let bound = tokio::task::spawn_blocking(move || {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = std::os::unix::net::UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    UnixListener::from_std(bound.await.map_err(io::Error::other)??)
}

async fn accept(space: Arc<Space>, listener: UnixListener, path: std::path::PathBuf) {
    let handshakes = Arc::new(Semaphore::new(space.limits.max_handshakes));
    loop {
        let Ok(handshake) = handshakes.clone().acquire_owned().await else { return };
        let stream = tokio::select! {
            () = space.stopping.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Out of descriptors, as a rule: others may be closed meanwhile.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let space = space.clone();
        tokio::spawn(async move { serve(space, stream, &[], handshake).await });
    }
    // Whoever serves there next makes it again.
    let _ = tokio::task::spawn_blocking(move || std::fs::remove_file(path)).await;
}

fn failed(address: &Address, error: &io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("cannot listen: {error}"))
        .with("address", address)
        .hint("take a path of at most 100 bytes in a directory of your own, where nobody else listens")
}
