//! The objects of a connector on the server, and how requests for them are made.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::SdkError;
use proxystore_core::{Error, ErrorKind, Key, Result};
use tokio::time::timeout;

use crate::config::S3Config;
use crate::error::{self, Effect, Failed, Refusal, Why};
use crate::expiry;
use crate::upload::Uploads;

/// So many bytes have to move within a deadline, or it is the end.
pub(crate) const STEP: u64 = 16 << 10;

pub(crate) struct Bucket {
    pub(crate) client: Client,
    pub(crate) name: String,
    /// Empty, or with a `/` at its end.
    pub(crate) prefix: String,
    pub(crate) timeout: Duration,
    pub(crate) uploads: Uploads,
}

/// What is known of an object without its bytes.
pub(crate) struct Head {
    pub(crate) etag: String,
    pub(crate) len: u64,
    pub(crate) expiry: Option<u64>,
}

impl Bucket {
    pub(crate) fn new(client: Client, config: &S3Config) -> Self {
        let prefix = if config.prefix.is_empty() { String::new() } else { format!("{}/", config.prefix) };
        let (name, timeout) = (config.bucket.clone(), config.timeout);
        Self { client, name, prefix, timeout, uploads: Uploads::default() }
    }

    /// The name of an object on the server.
    pub(crate) fn object(&self, key: &Key) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The key of what has this name on the server, if it can be an object of ours.
    pub(crate) fn key(&self, name: &str) -> Option<Key> {
        name.strip_prefix(&self.prefix).and_then(|key| Key::parse(key).ok())
    }

    /// The answer to a request without a body, within the deadline.
    pub(crate) fn send<'a, T: 'a, E: Refusal>(
        &'a self,
        effect: Effect,
        request: impl Future<Output = Result<T, SdkError<E>>> + Send + 'a,
    ) -> impl Future<Output = Result<T, Failed>> + Send + 'a {
        self.send_for(effect, Duration::ZERO, request)
    }

    /// The same, where the server itself has work to do for so long.
    pub(crate) fn send_for<'a, T: 'a, E: Refusal>(
        &'a self,
        effect: Effect,
        work: Duration,
        request: impl Future<Output = Result<T, SdkError<E>>> + Send + 'a,
    ) -> impl Future<Output = Result<T, Failed>> + Send + 'a {
        let after = self.timeout.saturating_add(work);
        // The SDK's futures are of many KiB.
        let request = Box::pin(request);
        async move {
            match timeout(after, request).await {
                Ok(answer) => answer.map_err(|error| error::failed(&error, effect)),
                Err(_) => Err(error::late(effect, after).into()),
            }
        }
    }

    /// The answer to a request that counts in `moved` the bytes that go out: the deadline is extended while they do.
    pub(crate) fn send_moving<'a, T: 'a, E: Refusal>(
        &'a self,
        effect: Effect,
        moved: Arc<AtomicU64>,
        request: impl Future<Output = Result<T, SdkError<E>>> + Send + 'a,
    ) -> impl Future<Output = Result<T, Failed>> + Send + 'a {
        let mut request = Box::pin(request);
        async move {
            let mut seen = 0;
            loop {
                match timeout(self.timeout, &mut request).await {
                    Ok(answer) => return answer.map_err(|error| error::failed(&error, effect)),
                    Err(_) if moved.load(Ordering::Relaxed) >= seen + STEP => {
                        seen = moved.load(Ordering::Relaxed);
                    }
                    Err(_) => return Err(error::late(effect, self.timeout).into()),
                }
            }
        }
    }

    /// What is at `name`, also if it has expired.
    pub(crate) async fn head(&self, name: &str) -> Result<Option<Head>> {
        let request = self.client.head_object().bucket(&self.name).key(name).send();
        let head = match self.send(Effect::Read, request).await {
            Ok(head) => head,
            Err(Failed { why: Why::NoObject, .. }) => return Ok(None),
            Err(failed) => return Err(failed.error),
        };
        Ok(Some(Head {
            etag: head.e_tag().ok_or_else(|| error::torn("the server's answer has no ETag"))?.to_owned(),
            len: head.content_length().and_then(|len| u64::try_from(len).ok()).unwrap_or_default(),
            expiry: expiry::of(head.metadata())?,
        }))
    }
}

/// Runs `work` where it may block. It runs to its end also when the future is dropped.
pub(crate) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => {
            Err(Error::new(ErrorKind::Unexpected, "the work on a file panicked"))
        }
        Err(_) => Err(Error::new(ErrorKind::Closed, "the runtime is shutting down")),
    }
}
