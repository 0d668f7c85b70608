//! What is seen of a store through `tracing`, and how one trace goes from process to process.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use proxystore::layers::Policies;
use proxystore::{Error, ErrorKind, Key, Propagator, Proxy, Store, TraceParent, Trust};
use proxystore_testkit::fault::{Fault, FaultConnector, Op};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// The bridge that a service writes to have its traces carried on.
#[derive(Debug)]
struct OpenTelemetry;

impl Propagator for OpenTelemetry {
    fn current(&self) -> Option<TraceParent> {
        let context = Span::current().context();
        let span = context.span().span_context().clone();
        TraceParent::new(span.trace_id().to_bytes(), span.span_id().to_bytes(), span.trace_flags().to_u8())
            .ok()
    }

    fn join(&self, span: &Span, parent: &TraceParent) {
        let (trace, id) = (TraceId::from_bytes(parent.trace_id()), SpanId::from_bytes(parent.parent_id()));
        let flags = TraceFlags::new(parent.flags());
        let remote = SpanContext::new(trace, id, flags, true, TraceState::NONE);
        span.set_parent(Context::new().with_remote_span_context(remote)).unwrap();
    }
}

/// The ids of a finished span, in hex.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Ids {
    trace: String,
    span: String,
    parent: String,
}

type Spans = BTreeMap<String, Ids>;

/// Traces this process with OpenTelemetry from now on.
fn observe() -> InMemorySpanExporter {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("proxystore"));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
    proxystore::propagate(OpenTelemetry).unwrap();
    assert_eq!(proxystore::propagate(OpenTelemetry).unwrap_err().kind(), ErrorKind::Exists);
    exporter
}

/// Tells the parent of this process of the spans that have ended, by name.
fn tell(exporter: &InMemorySpanExporter) {
    let ids = exporter.get_finished_spans().unwrap().into_iter().map(|span| {
        let trace = span.span_context.trace_id().to_string();
        let (id, parent) = (span.span_context.span_id().to_string(), span.parent_span_id.to_string());
        (span.name.to_string(), Ids { trace, span: id, parent })
    });
    process::say(&serde_json::to_string(&ids.collect::<Spans>()).unwrap());
}

#[tokio::test]
async fn service_a() {
    role!("service_a");
    let exporter = observe();
    proxystore::install(Trust::Registered);
    let store = Store::open(std::env::var("STORE").unwrap()).await.unwrap();
    let request = async {
        let proxy = store.proxy(vec![7u8; 1000]).populate(false).await.unwrap();
        process::say(&serde_json::to_string(&proxy).unwrap());
    };
    request.instrument(tracing::info_span!("request")).await;
    tell(&exporter);
}

#[tokio::test]
async fn service_b() {
    role!("service_b");
    let exporter = observe();
    proxystore::install(Trust::allow([std::env::var("STORE").unwrap()]).unwrap());
    let proxy: Proxy<Vec<u8>> = serde_json::from_str(&process::hear().await.unwrap()).unwrap();
    let work = async { assert_eq!(proxy.resolve_async().await.unwrap().len(), 1000) };
    work.instrument(tracing::info_span!("a trace of its own")).await;
    tell(&exporter);
}

#[tokio::test]
async fn one_trace_joins_the_put_and_the_resolve_of_two_services() {
    let directory = tempfile::tempdir().unwrap();
    let uri = format!("file://{}", directory.path().canonicalize().unwrap().display());
    let mut a = Role::spawn("service_a", &[("STORE", &uri)]);
    let mut b = Role::spawn("service_b", &[("STORE", &uri)]);
    let reference = a.hear().await.unwrap();
    assert!(reference.contains("traceparent"), "{reference}");
    b.say(&reference).await;
    let spans =
        async |service: &mut Role| -> Spans { serde_json::from_str(&service.hear().await.unwrap()).unwrap() };
    let (here, there) = (spans(&mut a).await, spans(&mut b).await);

    let (proxy, resolve) = (&here["proxystore.proxy"], &there["proxystore.resolve"]);
    assert_eq!(proxy.parent, here["request"].span);
    assert_eq!(here["proxystore.put"].parent, proxy.span);
    assert_eq!(here["proxystore.call"].parent, here["proxystore.put"].span);
    assert_eq!(resolve.parent, proxy.span);
    assert_eq!(there["proxystore.call"].parent, resolve.span);
    for span in here.values().chain([resolve, &there["proxystore.call"]]) {
        assert_eq!(span.trace, here["request"].trace);
    }
    assert_ne!(there["a trace of its own"].trace, resolve.trace);
}

/// Everything that a log could show: spans with their fields as they end, and events.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<Fields>>>);

type Fields = BTreeMap<&'static str, String>;

/// The fields of a span or event.
#[derive(Default)]
struct Collect(Fields);

impl tracing::field::Visit for Collect {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
        let mut text = String::new();
        write!(text, "{value:?}").unwrap();
        self.0.insert(field.name(), text.trim_matches('"').into());
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::span::Id,
        context: tracing_subscriber::layer::Context<'_, S>,
    ) {
        let mut fields = Collect::default();
        fields.0.insert("name", attributes.metadata().name().into());
        fields.0.insert("target", attributes.metadata().target().into());
        attributes.record(&mut fields);
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_record(
        &self,
        id: &tracing::span::Id,
        values: &tracing::span::Record<'_>,
        context: tracing_subscriber::layer::Context<'_, S>,
    ) {
        values.record(context.span(id).unwrap().extensions_mut().get_mut::<Collect>().unwrap());
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let mut fields = Collect::default();
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }

    fn on_close(&self, id: tracing::span::Id, context: tracing_subscriber::layer::Context<'_, S>) {
        let fields = context.span(&id).unwrap().extensions_mut().remove::<Collect>().unwrap();
        self.0.lock().unwrap().push(fields.0);
    }
}

impl Log {
    /// What was logged since the last call, those of ours.
    fn take(&self) -> Vec<Fields> {
        let mut all = std::mem::take(&mut *self.0.lock().unwrap());
        all.retain(|fields| fields.get("target").is_none_or(|target| target == "proxystore"));
        assert!(!format!("{all:?}").contains(CANARY), "{all:?}");
        all
    }

    /// The fields of the only connector call since the last call.
    fn call(&self) -> Fields {
        let mut calls = self.take();
        calls.retain(|fields| fields.get("name").is_some_and(|name| name == "proxystore.call"));
        assert_eq!(calls.len(), 1, "{calls:?}");
        calls.remove(0)
    }
}

const CANARY: &str = "c4n4ry";

#[tokio::test(start_paused = true)]
async fn spans_tell_of_each_call_and_never_of_values() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(log.clone()));
    let faults = FaultConnector::new(Arc::new(proxystore::local::LocalConnector::named("spans")));
    let builder = Store::builder("spans").shared_connector(faults.clone());
    let store = builder.policies(Policies::standard()).build().await.unwrap();

    let proxy = store.proxy(CANARY.repeat(50)).populate(false).await.unwrap();
    let key = proxy.factory().key();
    let spans = log.take();
    let names: Vec<_> = spans.iter().map(|span| &span["name"][..]).collect();
    assert_eq!(names, ["proxystore.call", "proxystore.put", "proxystore.proxy"]);
    let put = &spans[0];
    assert_eq!((&put["store"][..], &put["scheme"][..], &put["operation"][..]), ("spans", "local", "put"));
    assert_eq!((&put["key"], &put["outcome"][..]), (&key.to_string(), "ok"));
    assert!(put["bytes"].parse::<u64>().unwrap() > 300, "{put:?}");

    // An attempt that fails is an event in the span of the call.
    let down = || Error::new(ErrorKind::Unavailable, "the cable is cut").transient();
    faults.next(Op::Get, Fault::Fail(down()));
    proxy.resolve_async().await.unwrap();
    let spans = log.take();
    let again =
        spans.iter().find(|fields| fields.get("message").is_some_and(|m| m == "trying again")).unwrap();
    assert_eq!((&again["attempt"][..], &again["code"][..]), ("1", "PS0010"));
    assert!(spans.iter().any(|span| span.get("name").is_some_and(|name| name == "proxystore.resolve")));

    faults.every(Op::Exists, Fault::Fail(Error::new(ErrorKind::Denied, "no")));
    store.exists(key).await.unwrap_err();
    assert_eq!(log.call()["outcome"], "PS0013");

    faults.next(Op::Evict, Fault::Hang);
    let evict = store.evict(key);
    tokio::time::timeout(std::time::Duration::from_secs(1), evict).await.unwrap_err();
    assert_eq!(log.call()["outcome"], "dropped");

    store.get::<String>(&Key::random().unwrap()).await.unwrap();
    let get = log.call();
    assert_eq!((&get["outcome"][..], &get["bytes"][..]), ("ok", "0"));
}

#[tokio::test]
async fn a_resolve_names_the_trace_of_its_reference_without_any_bridge() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(log.clone()));
    proxystore::install(Trust::Registered);
    let builder = Store::builder("unbridged").uri("local:///unbridged");
    let store = builder.register().build().await.unwrap();
    let text = serde_json::to_string(&store.proxy(1u8).await.unwrap()).unwrap();
    assert!(!text.contains("traceparent"), "nobody asked for it");
    log.take();

    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let traced = text.replacen('{', &format!("{{\"traceparent\":\"{parent}\","), 1);
    let proxy: Proxy<u8> = serde_json::from_str(&traced).unwrap();
    assert!(serde_json::to_string(&proxy).unwrap().contains(parent), "it travels on");
    proxy.resolve_async().await.unwrap();
    let spans = log.take();
    let resolve = spans.iter().find(|span| span["name"] == "proxystore.resolve").unwrap();
    assert_eq!(resolve["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(resolve["parent_id"], "00f067aa0ba902b7");
}
