//! The end of the process: what is to be evicted is, as far as there is time.

use std::sync::mpsc;
use std::time::Duration;

#[cfg(feature = "signal")]
use proxystore_core::{Error, ErrorKind, Result};
use tokio::runtime::Handle;

#[cfg(feature = "signal")]
use crate::background::heartbeat;
use crate::background::reaper;
use crate::lifetime::end_process;
use crate::{Evictions, background};

/// Ends the [`Process`](crate::Process) lifetime, and waits until all evictions of this process have ended, those of
/// dropped lifetimes and owners included, or `deadline` is over. Says what came of them since the call; what is pending
/// then goes on while the process lives, and is left to its ttl after that.
///
/// The last thing that an async `main` does. Can be called again. Dropping the future stops nothing.
pub async fn shutdown(deadline: Duration) -> Evictions {
    let before = reaper::total();
    let ended = end_process();
    let drain = async move {
        ended.await;
        // These may have something to evict.
        background::finished().await;
        reaper::drained().await;
    };
    // What is not done in time is pending.
    background::wait(deadline, drain).await;
    reaper::total().since(&before)
}

/// Gives evictions time at the end of the program: when it is dropped, it waits until all of this process have ended,
/// and two seconds at most unless told otherwise.
///
/// Hold it in a `main` that is not async, outside of the runtime, before everything else. Where the guard is dropped
/// inside of a runtime, it must not wait, and only lets the evictions begin: there, await [`shutdown`] at the end.
///
/// ```
/// use proxystore_store::ShutdownGuard;
///
/// fn main() {
///     let _guard = ShutdownGuard::new();
///     let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
///     runtime.block_on(async {
///         // proxies with owners and lifetimes, dropped wherever it happens, by panics too
///     });
/// }
/// ```
#[derive(Debug)]
#[must_use = "it waits for the evictions when it is dropped"]
pub struct ShutdownGuard(Duration);

impl ShutdownGuard {
    /// A guard that waits for two seconds at most.
    pub fn new() -> Self {
        Self::with_limit(Duration::from_secs(2))
    }

    /// A guard that waits for `limit` at most.
    pub fn with_limit(limit: Duration) -> Self {
        Self(limit)
    }
}

impl Default for ShutdownGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for ShutdownGuard {
    fn drop(&mut self) {
        let limit = self.0;
        let (done, ended) = mpsc::channel();
        let begun = background::spawn(async move {
            shutdown(limit).await;
            // Nobody listens inside of a runtime.
            let _ = done.send(());
        });
        if Handle::try_current().is_ok() {
            #[cfg(feature = "tracing")]
            tracing::warn!(
                target: "proxystore",
                "a ShutdownGuard was dropped inside of a runtime and did not wait: await `shutdown` there"
            );
        } else if begun.is_ok() {
            // Late is late: what is pending is left to its ttl.
            let _ = ended.recv_timeout(limit);
        }
    }
}

/// Lets SIGTERM and SIGINT (Ctrl-C) end the process in order: on the first of them, everything that has an owner or a
/// lifetime in this process is evicted, wherever that is held, by a [`shutdown`] with this deadline; and then the process
/// ends by `exit`, with the code that a shell gives for the signal, 143 or 130. Works whatever the program's own runtimes
/// do. Whoever has more to do at the end waits for signals itself, and then awaits [`shutdown`].
///
/// Where the backend has no expiry, only what is attached to [`Process`](crate::Process), and what was dropped before,
/// is evicted.
///
/// Errors: `Unexpected` if the signals cannot be had, or there is no thread for the background.
#[cfg(feature = "signal")]
pub fn shutdown_on_signal(deadline: Duration) -> Result<()> {
    use std::pin::pin;

    use futures_util::future::{Either, select};
    use tokio::signal::unix::{SignalKind, signal};

    let _inside = background::runtime()?.enter();
    let hear = |kind| {
        signal(kind)
            .map_err(|error| Error::new(ErrorKind::Unexpected, format!("cannot listen to signals: {error}")))
    };
    let (mut terminate, mut interrupt) = (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?);
    background::spawn(async move {
        let (terminated, interrupted) = (pin!(terminate.recv()), pin!(interrupt.recv()));
        let kind = match select(terminated, interrupted).await {
            Either::Left(_) => SignalKind::terminate(),
            Either::Right(_) => SignalKind::interrupt(),
        };
        heartbeat::release_all();
        shutdown(deadline).await;
        std::process::exit(128 + kind.as_raw_value());
    })
}
