//! Traces that go with references from process to process.

use std::fmt::Debug;
use std::sync::OnceLock;

use proxystore_core::{Error, ErrorKind, Result};
use tracing::Span;

use crate::TraceParent;

static PROPAGATOR: OnceLock<Box<dyn Propagator>> = OnceLock::new();

/// What knows the ids of spans: the bridge between `tracing` and a tracing system such as OpenTelemetry.
///
/// ```
/// use opentelemetry::Context;
/// use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
/// use proxystore_store::{Propagator, TraceParent};
/// use tracing::Span;
/// use tracing_opentelemetry::OpenTelemetrySpanExt;
///
/// #[derive(Debug)]
/// struct OpenTelemetry;
///
/// impl Propagator for OpenTelemetry {
///     fn current(&self) -> Option<TraceParent> {
///         let context = Span::current().context();
///         let span = context.span().span_context().clone();
///         TraceParent::new(span.trace_id().to_bytes(), span.span_id().to_bytes(), span.trace_flags().to_u8()).ok()
///     }
///
///     fn join(&self, span: &Span, parent: &TraceParent) {
///         let (trace, id) = (TraceId::from_bytes(parent.trace_id()), SpanId::from_bytes(parent.parent_id()));
///         let flags = TraceFlags::new(parent.flags());
///         let remote = SpanContext::new(trace, id, flags, true, TraceState::NONE);
///         let _ = span.set_parent(Context::new().with_remote_span_context(remote));
///     }
/// }
///
/// proxystore_store::propagate(OpenTelemetry)?;
/// # Ok::<(), proxystore_core::Error>(())
/// ```
pub trait Propagator: Debug + Send + Sync + 'static {
    /// The span that the thread is in. It becomes part of each reference that is made.
    fn current(&self) -> Option<TraceParent>;

    /// A reference that `parent` made is about to be resolved in `span`, which nobody has entered yet.
    fn join(&self, span: &Span, parent: &TraceParent);
}

/// From now on, and in all of this process, references carry the trace that they were made in, and resolves join it:
/// so the put in one service and the resolve in another are parts of one trace. Adds 25 bytes to a reference.
///
/// Whoever writes references chooses what is in them, so a traceparent is not to be believed: it can put a resolve into
/// a wrong trace, and no more. It leads to no store, names no key, and gives no right. A sampler that follows the flag
/// of a remote parent lets the writer choose what is sampled, too; where that is too much, give the propagator a `join`
/// that links instead of following.
///
/// Errors: `Exists` if there is a propagator already.
pub fn propagate(propagator: impl Propagator) -> Result<()> {
    PROPAGATOR
        .set(Box::new(propagator))
        .map_err(|_| Error::new(ErrorKind::Exists, "this process has a propagator of traces already"))
}

pub(super) fn current() -> Option<TraceParent> {
    PROPAGATOR.get()?.current()
}

pub(super) fn join(span: &Span, parent: &TraceParent) {
    if span.is_disabled() {
        return;
    }
    let text = parent.to_string();
    span.record("trace_id", &text[3..35]).record("parent_id", &text[36..52]);
    if let Some(propagator) = PROPAGATOR.get() {
        propagator.join(span, parent);
    }
}
