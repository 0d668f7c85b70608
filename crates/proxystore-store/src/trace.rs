//! Spans around the operations of a store (feature `tracing`), under the target `proxystore`, and how they join the
//! trace that a reference carries.

use crate::TraceParent;
use crate::reference::Reference;

/// Runs a future inside a span with the store's name and the key, if there is one.
macro_rules! spanned {
    ($name:literal, $store:expr, $key:expr, $future:expr) => {{
        #[cfg(feature = "tracing")]
        {
            let key: Option<&proxystore_core::Key> = $key;
            let key = key.map(tracing::field::display);
            let span = tracing::debug_span!(target: "proxystore", $name, store = $store, key);
            tracing::Instrument::instrument($future, span)
        }
        #[cfg(not(feature = "tracing"))]
        {
            let _: Option<&proxystore_core::Key> = $key;
            $future
        }
    }};
}

/// The same, awaited here. A future that nobody sees is moved once less, and boxed only in a span that somebody sees.
macro_rules! in_span {
    ($name:literal, $store:expr, $key:expr, $future:expr) => {{
        let future = $future;
        #[cfg(feature = "tracing")]
        if crate::trace::is_on() {
            spanned!($name, $store, $key, Box::pin(future)).await
        } else {
            future.await
        }
        #[cfg(not(feature = "tracing"))]
        {
            let _: Option<&proxystore_core::Key> = $key;
            future.await
        }
    }};
}

/// Whether anybody sees the spans.
pub(crate) fn is_on() -> bool {
    #[cfg(feature = "tracing")]
    return tracing::span_enabled!(target: "proxystore", tracing::Level::DEBUG);
    #[cfg(not(feature = "tracing"))]
    return false;
}

/// Lets a task of its own be part of the span that started it.
pub(crate) fn in_current_span<F: Future>(future: F) -> impl Future<Output = F::Output> {
    #[cfg(feature = "tracing")]
    return tracing::Instrument::in_current_span(future);
    #[cfg(not(feature = "tracing"))]
    return future;
}

/// Runs the resolve of a proxy in its span, which joins the trace that the reference carries, if it does.
pub(crate) fn resolving<F: Future>(reference: &Reference, future: F) -> impl Future<Output = F::Output> {
    #[cfg(feature = "tracing")]
    {
        let span = tracing::debug_span!(
            target: "proxystore",
            "proxystore.resolve",
            store = reference.store,
            key = %reference.key,
            trace_id = tracing::field::Empty,
            parent_id = tracing::field::Empty,
        );
        if let Some(parent) = &reference.traceparent {
            propagation::join(&span, parent);
        }
        tracing::Instrument::instrument(future, span)
    }
    #[cfg(not(feature = "tracing"))]
    {
        let _ = reference;
        future
    }
}

/// The span that a new reference carries, if traces are carried on.
pub(crate) fn parent() -> Option<TraceParent> {
    #[cfg(feature = "tracing")]
    return propagation::current();
    #[cfg(not(feature = "tracing"))]
    return None;
}

#[cfg(feature = "tracing")]
mod propagation;
#[cfg(feature = "tracing")]
pub use propagation::{Propagator, propagate};
