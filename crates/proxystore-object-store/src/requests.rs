//! Requests to servers: each once, with a deadline, and without following redirects.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{BackoffConfig, RetryConfig};
use proxystore_core::Transfer;
use tokio::time::timeout;

use crate::error::Fault;

/// So many bytes have to move within a deadline, or it is the end.
pub(crate) const STEP: u64 = 16 << 10;
/// The bytes after which progress is told.
const CHUNK: usize = 64 << 10;
/// As much of an answer that is an error is read.
const SHOWN: usize = 16 << 10;

/// No repetitions: the policies around the connector have theirs, and can tell their own create from another's.
pub(crate) fn once() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO }
}

/// What the stores make requests with.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    client: reqwest::Client,
    timeout: Duration,
}

impl Requests {
    /// Reads the certificates that the system trusts: blocks.
    pub(crate) fn new(limit: Duration, connect: Duration) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(connect)
            .http1_only()
            // The length of an answer is the length of the object.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .build()?;
        Ok(Self { client, timeout: limit })
    }
}

impl HttpConnector for Requests {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Requests {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let of_credentials = request.uri().host().is_some_and(gives_credentials);
        let (head, body) = request.into_parts();
        let url = head.uri.to_string().parse().map_err(|_| fault(Fault::Broken))?;
        let mut request = reqwest::Request::new(head.method, url);
        *request.headers_mut() = head.headers;
        let moved = Arc::<AtomicU64>::default();
        let body = Counted { body, rest: Bytes::new(), moved: moved.clone(), transfer: Transfer::current() };
        *request.body_mut() = Some(reqwest::Body::wrap(body));

        let mut answer = Box::pin(self.client.execute(request));
        let mut seen = 0;
        let answer = loop {
            match timeout(self.timeout, &mut answer).await {
                Ok(answer) => break answer,
                Err(_) if moved.load(Ordering::Relaxed) >= seen + STEP => {
                    seen = moved.load(Ordering::Relaxed)
                }
                Err(_) => return Err(fault(Fault::Late(self.timeout))),
            }
        };
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(whole(answer)),
            Ok(_) | Err(_) if of_credentials => Err(fault(Fault::Unsigned)),
            Ok(answer) => match timeout(self.timeout, judged(answer)).await {
                Ok(judged) => judged,
                Err(_) => Err(fault(Fault::Late(self.timeout))),
            },
            Err(error) if is_certificate(&error) => Err(fault(Fault::Certificate)),
            Err(error) if error.is_connect() => Err(fault(Fault::NoConnection)),
            Err(_) => Err(fault(Fault::Broken)),
        }
    }
}

/// Where machines in clouds ask for their credentials. Elsewhere nobody answers there.
fn gives_credentials(host: &str) -> bool {
    host.starts_with("169.254.") || host == "metadata.google.internal"
}

fn fault(fault: Fault) -> HttpError {
    let kind = match &fault {
        Fault::NoConnection => HttpErrorKind::Connect,
        Fault::Late(_) => HttpErrorKind::Timeout,
        Fault::Broken | Fault::Answered(408 | 429 | 500..=599, _) => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, fault)
}

fn is_certificate(error: &(dyn StdError + 'static)) -> bool {
    error.to_string().starts_with("invalid peer certificate") || error.source().is_some_and(is_certificate)
}

/// An answer that is a success, whose body is still to come.
fn whole(answer: reqwest::Response) -> HttpResponse {
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = reqwest::Body::from(answer).map_err(|_| fault(Fault::Broken));
    let mut whole = HttpResponse::new(HttpResponseBody::new(body));
    (*whole.status_mut(), *whole.headers_mut()) = (status, headers);
    whole
}

/// An answer that is no success: the stores understand some, and of the others it is told what they are.
async fn judged(mut answer: reqwest::Response) -> Result<HttpResponse, HttpError> {
    let mut text = BytesMut::new();
    while text.len() < SHOWN
        && let Some(chunk) = answer.chunk().await.map_err(|_| fault(Fault::Broken))?
    {
        text.extend_from_slice(&chunk[..chunk.len().min(SHOWN - text.len())]);
    }
    let text = String::from_utf8_lossy(&text);
    let in_body = || text.split_once("<Code>")?.1.split_once("</Code>").map(|(code, _)| code);
    let in_header = answer.headers().get("x-ms-error-code").and_then(|code| code.to_str().ok());
    let code = in_header.or_else(in_body).unwrap_or_default();
    let understood = match answer.status().as_u16() {
        304 | 412 => true,
        404 => !["NoSuchBucket", "ContainerNotFound", "NoSuchUpload"].contains(&code),
        // Others mean by this that two writers met.
        409 => code == "BlobAlreadyExists",
        _ => false,
    };
    if !understood {
        return Err(fault(Fault::Answered(answer.status().as_u16(), code.into())));
    }
    let mut judged = HttpResponse::new(HttpResponseBody::from(Bytes::new()));
    (*judged.status_mut(), *judged.headers_mut()) = (answer.status(), answer.headers().clone());
    Ok(judged)
}

/// A body that tells how much of it has gone, here and to the call that it is part of.
struct Counted {
    body: HttpRequestBody,
    /// What the body has given and is still to go.
    rest: Bytes,
    moved: Arc<AtomicU64>,
    transfer: Transfer,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        while self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => self.rest = frame.into_data().unwrap_or_default(),
                ended => return ended,
            }
        }
        let len = self.rest.len().min(CHUNK);
        self.moved.fetch_add(len as u64, Ordering::Relaxed);
        self.transfer.moved(len as u64);
        let next = self.rest.split_to(len);
        Poll::Ready(Some(Ok(Frame::data(next))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64 + self.body.size_hint().exact().unwrap_or_default())
    }
}
