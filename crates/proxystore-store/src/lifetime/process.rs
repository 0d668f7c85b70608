//! The lifetime of the process.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use proxystore_core::{Error, ErrorKind};

use super::{Members, TTL, private};
use crate::Evictions;
use crate::background::heartbeat::Term;

/// Objects that live until [`shutdown`](crate::shutdown()), or a minute longer than the process if that does not happen:
/// Python ProxyStore's `StaticLifetime`. All values of this type are the same lifetime; after a shutdown it begins anew.
///
/// ```
/// use proxystore_store::Process;
/// # use std::time::Duration;
/// # use proxystore_store::Store;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
/// # let store = Store::builder("static").connector(proxystore_local::LocalConnector::new()?).build().await?;
///
/// let model = store.proxy(vec![0.5; 1000]).lifetime(&Process).await?;
///
/// let evictions = proxystore_store::shutdown(Duration::from_secs(2)).await; // the last thing that `main` does
/// assert_eq!(evictions.evicted, 1);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Process;

static CURRENT: LazyLock<Mutex<Arc<Members>>> = LazyLock::new(|| Mutex::new(begin()));

fn begin() -> Arc<Members> {
    let ended = || Error::new(ErrorKind::Closed, "the process is shutting down");
    Members::new(Term::new(TTL, None), ended)
}

impl private::Members for Process {
    fn members(&self) -> Arc<Members> {
        CURRENT.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl super::Lifetime for Process {}

/// Ends the lifetime, and begins it anew.
pub(crate) fn end_process() -> impl Future<Output = Evictions> + Send {
    let ended = std::mem::replace(&mut *CURRENT.lock().unwrap_or_else(PoisonError::into_inner), begin());
    ended.end()
}
