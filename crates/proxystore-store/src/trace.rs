//! Spans around the operations of a store (feature `tracing`), under the target `proxystore`.

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

/// Lets a task of its own be part of the span that started it.
pub(crate) fn in_current_span<F: Future>(future: F) -> impl Future<Output = F::Output> {
    #[cfg(feature = "tracing")]
    return tracing::Instrument::in_current_span(future);
    #[cfg(not(feature = "tracing"))]
    return future;
}
