//! All policies in their order.

use proxystore_core::{Attempts, Call, Policy, Reply, Result, Within};

#[cfg(feature = "metrics")]
use crate::Metrics;
#[cfg(feature = "tracing")]
use crate::Trace;
use crate::{Limit, Retry, Timeout};

/// The policies of one store. Their order is fixed, outermost first, as the fields stand: a span and a measurement
/// hold all attempts; each attempt waits for room, and has its own deadline once it has room. `None` leaves one out.
///
/// ```
/// use std::time::Duration;
/// use proxystore_layers::{Policies, Timeout};
///
/// let patient = Policies { timeout: Some(Timeout::new(Duration::from_secs(60))), ..Policies::standard() };
/// ```
#[derive(Debug, Default)]
pub struct Policies {
    /// A span around every call.
    #[cfg(feature = "tracing")]
    pub trace: Option<Trace>,
    /// Measurements.
    #[cfg(feature = "metrics")]
    pub metrics: Option<Metrics>,
    /// Repetitions of what failed in passing.
    pub retry: Option<Retry>,
    /// The requests and bytes in flight.
    pub limit: Option<Limit>,
    /// The deadline of each attempt.
    pub timeout: Option<Timeout>,
}

impl Policies {
    /// All of them with their defaults: what a store has that is told nothing else.
    pub fn standard() -> Self {
        Self {
            #[cfg(feature = "tracing")]
            trace: Some(Trace::default()),
            #[cfg(feature = "metrics")]
            metrics: Some(Metrics::default()),
            retry: Some(Retry::default()),
            limit: Some(Limit::default()),
            timeout: Some(Timeout::default()),
        }
    }

    /// None at all: the connector's own deadlines are the only bounds.
    pub fn none() -> Self {
        Self::default()
    }
}

impl Policy for Policies {
    async fn around<T: Reply, A: Attempts<T>>(&self, call: &Call<'_>, attempts: &A) -> Result<T> {
        let timed = Within::new(&self.timeout, call, attempts);
        let limited = Within::new(&self.limit, call, &timed);
        let tried = Within::new(&self.retry, call, &limited);
        #[cfg(feature = "metrics")]
        let tried = Within::new(&self.metrics, call, &tried);
        #[cfg(feature = "tracing")]
        return self.trace.around(call, &tried).await;
        #[cfg(not(feature = "tracing"))]
        tried.begin().await
    }
}
