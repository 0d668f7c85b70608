//! A manager in a process of its own, which ends with the one that started it.
//!
//! Parent and child share a pair of sockets, the child's standard input: the parent says what the manager is to be,
//! the child where it listens, and the end of it means that the other side is gone. The authkey travels there
//! alone.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use proxystore_core::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::auth::AuthKey;
use crate::builder::Builder;
use crate::limits::Limits;
use crate::manager::Manager;

/// Tells a process that it is a child.
const FLAG: &str = "PROXYSTORE_MANAGER_CHILD";
/// How long a child may take to begin, and to end once it was asked to, beside the grace time.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest message between the two.
const MAX: u32 = 64 << 10;

/// What the parent says.
#[derive(Serialize, Deserialize)]
struct Orders {
    key: String,
    identity: Vec<u8>,
    limits: Limits,
}

/// The process of a manager, as its parent has it. Dropping it tells the child to end.
pub(crate) struct Process {
    child: Mutex<Child>,
    grace: Duration,
    link: UnixStream,
    /// It has begun.
    serves: bool,
}

/// Serves as a manager if this process was started by [`Builder::spawn_child`], and never returns then; otherwise
/// does nothing. Call it first in `main`, with the types that the child is to have.
///
/// ```no_run
/// use proxystore_manager::{Manager, child_hook};
///
/// #[tokio::main]
/// async fn main() {
///     child_hook(Manager::builder).await; // with `.register::<T>()` for each type
///     let manager = Manager::builder().spawn_child().await;
/// }
/// ```
///
/// The manager ends when it is shut down or the parent is gone, and ignores SIGINT, which a terminal sends to both.
pub async fn child_hook(build: impl FnOnce() -> Builder) {
    if std::env::var_os(FLAG).is_none() {
        return;
    }
    let code = match serve(build).await {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!(%error, "the manager could not be served");
            1
        }
    };
    std::process::exit(code);
}

async fn serve(build: impl FnOnce() -> Builder) -> Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(lost)?;
    let link = std::os::unix::net::UnixStream::from(stdin);
    link.set_nonblocking(true).map_err(lost)?;
    let mut link = UnixStream::from_std(link).map_err(lost)?;
    let orders: Orders = read(&mut link).await?;
    let mut interrupted =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()).map_err(lost)?;
    let builder =
        build().authkey(AuthKey::from_hex(&orders.key)?).identity(orders.identity).limits(orders.limits);
    let manager = match builder.serve_anywhere().await {
        Ok(manager) => manager,
        Err(error) => {
            write(&mut link, &Err::<String, _>(error.to_string())).await?;
            return Err(error);
        }
    };
    let address = manager.addresses()?.first().map(ToString::to_string).unwrap_or_default();
    write(&mut link, &Ok::<_, String>(address)).await?;
    let ignore = async { while interrupted.recv().await.is_some() {} };
    tokio::select! {
        ended = manager.wait() => return ended,
        // The parent says nothing more: this is its end.
        _ = link.read_u8() => {}
        () = ignore => {}
    }
    Ok(manager.shutdown().await?)
}

impl Builder {
    /// Starts this program once more as a process of the manager's own, and connects to it. The types are those
    /// that the program gives to [`child_hook`], and so are `offload_above`, `reveal_panics` and `tls_identity`; those of
    /// this builder do not travel.
    ///
    /// The process ends with the last handle of the manager, with [`Manager::shutdown`], and with this process,
    /// however that ends. Dropping the future leaves no process.
    pub async fn spawn_child(self) -> Result<Manager> {
        let program = std::env::current_exe().map_err(|error| {
            Error::new(ErrorKind::Unsupported, format!("the path of this program is not known: {error}"))
        })?;
        self.spawn(Command::new(program)).await
    }

    /// As [`spawn_child`](Self::spawn_child), with another program or arguments. It must come to [`child_hook`].
    pub async fn spawn(self, mut command: Command) -> Result<Manager> {
        let (limits, key, identity) = self.orders()?;
        let (link, far) = UnixStream::pair().map_err(lost)?;
        let far = OwnedFd::from(far.into_std().map_err(lost)?);
        let child = command.env(FLAG, "1").stdin(Stdio::from(far)).spawn().map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("cannot start the process: {error}"))
        })?;
        drop(command);
        let mut process = Process { child: Mutex::new(child), grace: limits.grace, link, serves: false };
        let orders = Orders { key: key.to_hex().expose().into(), identity, limits: limits.clone() };
        let begin = async {
            write(&mut process.link, &orders).await?;
            read::<Result<String, String>>(&mut process.link).await
        };
        let begun = timeout(PATIENCE, begin).await.map_err(|_| {
            Error::new(ErrorKind::Timeout, "the process did not begin to serve within 10 seconds")
                .hint("call `child_hook` first in `main`")
        })?;
        let address =
            begun?.map_err(|why| Error::new(ErrorKind::Unavailable, format!("the child says: {why}")))?;
        process.serves = true;
        Manager::connect_child(&address, key, Arc::new(process)).await
    }
}

impl Drop for Process {
    /// Who serves hears that the parent is gone, and ends in order.
    fn drop(&mut self) {
        if !self.serves {
            // It fails if the process has just ended.
            let _ = self.child.get_mut().start_kill();
        }
    }
}

impl Process {
    /// Waits for the end of a child that was asked to end, and kills it if that takes too long.
    pub(crate) async fn end(&self) {
        let mut child = self.child.lock().await;
        if timeout(self.grace + PATIENCE, child.wait()).await.is_err() {
            tracing::warn!("a manager did not end in time and is killed");
            // It fails if the process has just ended.
            let _ = child.kill().await;
        }
    }
}

async fn write(link: &mut UnixStream, message: &impl Serialize) -> Result<()> {
    let bytes = postcard::to_allocvec(message).map_err(|_| Error::new(ErrorKind::Codec, "not encodable"))?;
    link.write_u32(bytes.len() as u32).await.map_err(lost)?;
    link.write_all(&bytes).await.map_err(lost)
}

async fn read<T: DeserializeOwned>(link: &mut UnixStream) -> Result<T> {
    let length = link.read_u32().await.map_err(lost)?;
    if length > MAX {
        return Err(Error::new(ErrorKind::TooLarge, "a message between a manager's process and its parent"));
    }
    let mut bytes = vec![0; length as usize];
    link.read_exact(&mut bytes).await.map_err(lost)?;
    postcard::from_bytes(&bytes)
        .map_err(|_| Error::new(ErrorKind::Codec, "parent and child are of different versions"))
}

fn lost(error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("between a manager's process and its parent: {error}"))
        .hint("call `child_hook` first in `main`")
}
