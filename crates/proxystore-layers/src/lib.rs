//! What stands between a store and its connector.
//!
//! *Policies* decide when and how often a call is made, and what is seen of it; they are private to a process:
//! [`Policies`] puts them in their order, and [`Policies::standard`] is what every store has by default.
//! *Transforms* change the bytes, and are part of the contract with the reader: they are named in the store's URI, as
//! in `file:///data?via=zstd,encrypt`.

mod limit;
mod policies;
mod retry;
mod timeout;

#[cfg(any(feature = "zstd", feature = "lz4"))]
mod compress;
#[cfg(feature = "encrypt")]
mod encrypt;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "tracing")]
mod trace;

#[cfg(any(feature = "zstd", feature = "lz4"))]
pub use compress::Compress;
#[cfg(feature = "encrypt")]
pub use encrypt::Encrypt;
pub use limit::Limit;
#[cfg(feature = "metrics")]
pub use metrics::{METRICS, Metric, Metrics};
pub use policies::Policies;
pub use retry::{Retry, RetryBudget};
pub use timeout::Timeout;
#[cfg(feature = "tracing")]
pub use trace::Trace;
