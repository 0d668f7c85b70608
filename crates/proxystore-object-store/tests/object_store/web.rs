//! Any server of the web, to read from.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use proxystore_core::{
    Bytes, Connector, ConnectorConfig, Error, ErrorKind, Key, Origin, Payload, PutOptions,
};
use proxystore_object_store::{DRIVER, ObjectStoreConfig, ObjectStoreConnector};
use proxystore_store::{Proxy, Registry, Store, Trust};
use proxystore_testkit::sample;
use proxystore_testkit::tcp_proxy::{Direction, Faults, Scope, TcpProxy};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A server that serves files as simple servers do, without ranges and ETags, and refuses all else.
pub(crate) struct Server {
    addr: std::net::SocketAddr,
    shared: Arc<Shared>,
    _accepts: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    files: Mutex<HashMap<String, Bytes>>,
    seen: Mutex<Vec<String>>,
    /// The status of all answers, if not that which fits.
    status: Mutex<Option<u16>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (addr, shared) = (listener.local_addr().unwrap(), Arc::<Shared>::default());
        let mut accepts = JoinSet::new();
        let accepted = shared.clone();
        accepts.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = accepted.clone();
                connections.spawn(async move {
                    let service = service_fn(|request| {
                        std::future::ready(Ok::<_, Infallible>(shared.answer(&request)))
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    // A connection that breaks is what the tests are about.
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { addr, shared, _accepts: accepts }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// All requests so far, with their headers.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().clone()
    }

    fn serve(&self, path: &str, bytes: impl Into<Bytes>) {
        self.shared.files.lock().unwrap().insert(path.into(), bytes.into());
    }

    pub(crate) fn answer_all_by(&self, status: u16) {
        *self.shared.status.lock().unwrap() = Some(status);
    }
}

impl Shared {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let line = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
        self.seen.lock().unwrap().push(line);
        let file = self.files.lock().unwrap().get(request.uri().path()).cloned();
        let status = *self.status.lock().unwrap();
        let status = match (status, &file) {
            (Some(status), _) => status,
            (None, _) if request.uri().query().is_some() => 403,
            (None, Some(_)) => 200,
            (None, None) => 404,
        };
        let body = file.filter(|_| request.method() == Method::GET && status == 200).unwrap_or_default();
        let answer = Response::builder().status(status).header("location", "http://127.0.0.1:1/");
        answer.body(Full::new(body)).unwrap()
    }
}

async fn open(uri: &str) -> Result<ObjectStoreConnector, Error> {
    ObjectStoreConfig::from_uri(&uri.parse()?)?.connect(Origin::Program).await
}

async fn get(connector: &ObjectStoreConnector, name: &str) -> Result<Option<Bytes>, Error> {
    Ok(connector.get(&Key::parse(name).unwrap()).await?.map(Payload::into_bytes))
}

/// What a server has is got, and what it has not is absent.
#[tokio::test]
async fn files_are_objects() {
    let server = Server::start().await;
    let connector = open(&format!("{}/files", server.endpoint())).await.unwrap();
    for (i, len) in [0, 1_000, 300_000, 20 << 20].into_iter().enumerate() {
        server.serve(&format!("/files/a/{i}"), sample::make(i as u64, len));
        assert!(
            get(&connector, &format!("a/{i}")).await.unwrap() == Some(sample::make(i as u64, len)),
            "{len}"
        );
        let key = Key::parse(&format!("a/{i}")).unwrap();
        // An answer to HEAD without a length says that it is there, too, or fails; it never says that it is not.
        assert!(!matches!(connector.exists(&key).await, Ok(false)));
    }
    assert!(get(&connector, "b").await.unwrap().is_none());
    assert!(!connector.exists(&Key::parse("b").unwrap()).await.unwrap());
}

/// A proxy of what a store put, and somebody copied to a server, resolves there.
#[tokio::test]
async fn a_reference_resolves_from_a_server() {
    let server = Server::start().await;
    let writer = Store::builder("w").connector(in_memory().await).build().await.unwrap();
    let key = writer.put(&vec![9u8; 5_000]).await.unwrap();
    let stored = writer.connector().get(&key).await.unwrap().unwrap().into_bytes();
    server.serve(&format!("/mirror/{key}"), stored);

    let registry = Registry::new();
    registry.install(DRIVER);
    registry.set_trust(Trust::allow([server.endpoint()]).unwrap());
    let uri = format!("{}/mirror", server.endpoint());
    let mirror = Store::builder("m").uri(uri).registry(&registry).build().await.unwrap();
    let proxy: Proxy<Vec<u8>> = mirror.proxy_from_key(key);
    let received = serde_json::from_str(&serde_json::to_string(&proxy).unwrap()).unwrap();
    let received: Proxy<Vec<u8>> = registry.bind(received).await.unwrap();
    assert_eq!(received.resolve_async().await.unwrap(), &vec![9u8; 5_000]);
}

async fn in_memory() -> ObjectStoreConnector {
    open("memory:///web").await.unwrap()
}

/// Nothing is written to a server, and the error says where instead.
#[tokio::test]
async fn nothing_is_written() {
    let server = Server::start().await;
    let connector = open(&server.endpoint()).await.unwrap();
    let (key, options) = (Key::parse("a").unwrap(), PutOptions::default());
    let capabilities = connector.info().capabilities;
    assert!(!capabilities.create && !capabilities.ttl && !capabilities.take);
    let errors = [
        connector.put(&key, vec![1].into(), &options).await.unwrap_err(),
        connector.evict(&key).await.unwrap_err(),
        connector.evict_many(std::slice::from_ref(&key)).await.remove(0).unwrap_err(),
        connector.touch(&key, Duration::from_secs(1)).await.unwrap_err(),
        connector.take(&key).await.unwrap_err(),
        connector.clear().await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("only read from"), "{error}");
    }
    assert!(server.seen().is_empty());
}

/// No status but 404 is absence, and redirects are not followed.
#[tokio::test]
async fn a_failing_server_is_no_absence() {
    let server = Server::start().await;
    let connector = open(&server.endpoint()).await.unwrap();
    for (status, kind) in [
        (302, ErrorKind::Config),
        (400, ErrorKind::Unexpected),
        (401, ErrorKind::Denied),
        (403, ErrorKind::Denied),
        (405, ErrorKind::Unexpected),
        (410, ErrorKind::Unexpected),
        (429, ErrorKind::Unavailable),
        (500, ErrorKind::Unavailable),
        (503, ErrorKind::Unavailable),
    ] {
        server.answer_all_by(status);
        let error = get(&connector, "a").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}: {error}");
        let error = connector.exists(&Key::parse("a").unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}: {error}");
    }
    let seen = server.seen();
    assert_eq!(seen.len(), 18, "a request is made once: {seen:?}");
}

/// A body that breaks off or stalls is an outage, and never an object.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_body_is_an_outage() {
    let server = Server::start().await;
    server.serve("/a", sample::make(1, 300_000));
    let proxy = TcpProxy::start(server.addr).await;
    let connector = open(&format!("http://{}?timeout=300ms", proxy.addr())).await.unwrap();
    assert_eq!(sample::seed(get(&connector, "a").await.unwrap().unwrap()), Ok(1));
    let silent = Faults { black_hole: Some((Scope::All, Some(Direction::Down))), ..Faults::default() };
    let broken = [1, 100, 10_000, 200_000]
        .map(|at| Faults { reset_after: Some((Direction::Down, at)), ..Faults::default() });
    for faults in broken.into_iter().chain([silent]) {
        proxy.reset();
        proxy.set(faults).await;
        let error = get(&connector, "a").await.expect_err("there is no whole answer");
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error}");
        assert!(error.is_transient(), "{error}");
        proxy.pass().await;
    }
}

/// A signature that a server refuses is not shown.
#[tokio::test]
async fn a_refused_signature_is_not_shown() {
    let server = Server::start().await;
    server.serve("/a", "object");
    let host = server.endpoint().replace("http://", "");
    for (query, kind) in
        [("sig=c4n4ry", ErrorKind::Denied), ("sig=c4n4ry&se=2020-01-01T00:00:00Z", ErrorKind::Expired)]
    {
        let connector = open(&format!("http://:{query}@{host}/a")).await.unwrap();
        let error = get(&connector, "a").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!format!("{error:?} {connector:?}").contains("c4n4ry"), "{error:?}");
    }
    assert!(server.seen().iter().all(|seen| seen.starts_with("GET /a?sig=c4n4ry")), "{:?}", server.seen());
}
