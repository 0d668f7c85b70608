//! What the SDK reports, in the words of this project.
//!
//! A server's own text is never shown: it may repeat what it was sent. Its codes are.

use std::error::Error as StdError;
use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use proxystore_core::{Error, ErrorKind};

/// What is at stake when an answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: it only reads.
    Read,
    /// Doing it twice is the same as doing it once.
    Idempotent,
    /// Doing it twice is not: a create, a take.
    Once,
}

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) why: Why,
    pub(crate) error: Error,
}

/// What the connector itself acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// There is no such object.
    NoObject,
    /// There is no such upload any more.
    NoUpload,
    /// The object is there or is not there or is another, against the condition.
    Condition,
    /// The range begins behind the object's end.
    Range,
    /// The server's access control refuses.
    Refused,
    /// Anything else.
    Other,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { why: Why::Other, error }
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

/// The answer of a server that did not do what it was asked for.
pub(crate) trait Refusal: ProvideErrorMetadata + RequestId + StdError + Send + Sync + 'static {}

impl<E: ProvideErrorMetadata + RequestId + StdError + Send + Sync + 'static> Refusal for E {}

/// The SDK gave up on a request.
pub(crate) fn failed<E: Refusal>(error: &SdkError<E>, effect: Effect) -> Failed {
    match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let code = service.err().code().unwrap_or_default();
            let failed = answered(status, code, effect);
            match service.err().request_id() {
                Some(id) if is_plain(id) => Failed { error: failed.error.with("request", id), ..failed },
                _ => failed,
            }
        }
        SdkError::ResponseError(_) => broken(effect).into(),
        SdkError::DispatchFailure(dispatch) => match dispatch.as_connector_error() {
            _ if lacks_credentials(error) => unsigned().into(),
            Some(_) if is_certificate(error) => {
                Error::new(ErrorKind::Denied, "the server's certificate is not trusted").into()
            }
            // The only timeout that the client has is that of connecting.
            Some(connector) if connector.is_timeout() || is_connect(error) => unreachable().into(),
            _ => broken(effect).into(),
        },
        _ if lacks_credentials(error) => unsigned().into(),
        SdkError::ConstructionFailure(_) => {
            Error::new(ErrorKind::Config, "the request could not be made of these settings").into()
        }
        _ => broken(effect).into(),
    }
}

/// The server answered with an error: by this status, and this code unless it was an answer without a body.
pub(crate) fn answered(status: u16, code: &str, effect: Effect) -> Failed {
    let error = |kind, why: &str| Error::new(kind, why);
    let named = |kind, why: &str| {
        let code = if is_plain(code) { code } else { "no code" };
        Error::new(kind, format!("{why} ({status} {code})"))
    };
    let why = match (status, code) {
        (_, "NoSuchUpload") => Why::NoUpload,
        (_, "NoSuchKey") | (404, "NotFound" | "") => Why::NoObject,
        (412, _) | (_, "PreconditionFailed") => Why::Condition,
        (416, _) | (_, "InvalidRange") => Why::Range,
        (401 | 403, _) => Why::Refused,
        _ => Why::Other,
    };
    let error = match (status, code) {
        (_, "NoSuchUpload") => error(ErrorKind::Unavailable, "the upload was aborted by somebody else").transient(),
        (_, "NoSuchBucket") => no_bucket(),
        (404, _) | (_, "NoSuchKey") => error(ErrorKind::Missing, "there is no such object"),
        (412, _) | (_, "PreconditionFailed") => {
            error(ErrorKind::Unavailable, "the object changed meanwhile").transient()
        }
        (416, _) => error(ErrorKind::Unavailable, "the object became shorter meanwhile").transient(),
        (_, "ConditionalRequestConflict" | "OperationAborted") => {
            error(ErrorKind::Unavailable, "another writer of the object was faster").transient()
        }
        (_, "RequestTimeTooSkewed") => error(ErrorKind::Denied, "this machine's clock is wrong by more than 15 minutes")
            .hint("set the clock"),
        (_, "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired") => {
            error(ErrorKind::Denied, "the credentials have expired").hint("renew them")
        }
        (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken") => {
            named(ErrorKind::Denied, "the server does not know these credentials")
                .hint("look which profile or environment variables this process has")
        }
        (_, "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException")
        | (300..=399, _) => named(ErrorKind::Config, "the bucket is in another region, or on another server")
            .hint("name it by the option region=<region>; redirects are not followed"),
        (_, "EntityTooLarge") => error(ErrorKind::TooLarge, "the server takes no object of that size"),
        (_, "QuotaExceeded" | "InsufficientStorage" | "ServerSideQuotaExceeded") | (507, _) => {
            named(ErrorKind::Full, "the server has no space left")
        }
        (_, "NotImplemented" | "MissingContentMD5") | (501, _) => {
            named(ErrorKind::Unsupported, "the server does not know what was asked of it")
        }
        (_, "InvalidObjectState") => error(ErrorKind::Unavailable, "the object is archived")
            .hint("restore it, and let no rule archive objects under the prefix"),
        (_, "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "IncompleteBody" | "RequestTimeout") => {
            named(ErrorKind::Unavailable, "the object was damaged on its way to the server").transient()
        }
        (_, "SlowDown" | "ServiceUnavailable" | "Throttling" | "ThrottlingException" | "TooManyRequests")
        | (408 | 429 | 503, _) => named(ErrorKind::Unavailable, "the server cannot serve now").transient(),
        (401 | 403, _) => named(ErrorKind::Denied, "the server refuses")
            .hint("allow the actions that the crate's documentation names; without s3:ListBucket, what is absent looks like this"),
        // It may have done it, and failed then.
        (500..=599, _) | (_, "InternalError") if effect != Effect::Read => {
            let lost = named(ErrorKind::Ambiguous, "the server failed");
            if effect == Effect::Idempotent { lost.transient() } else { lost }
        }
        (500..=599, _) | (_, "InternalError") => named(ErrorKind::Unavailable, "the server failed").transient(),
        _ => named(ErrorKind::Unexpected, "the server answers with an error"),
    };
    Failed { why, error }
}

/// The deadline passed.
pub(crate) fn late(effect: Effect, after: Duration) -> Error {
    let after = format!("{after:.1?}");
    match effect {
        Effect::Read => Error::new(ErrorKind::Timeout, "no answer").transient(),
        Effect::Idempotent => lost("no answer before the deadline").transient(),
        Effect::Once => lost("no answer before the deadline"),
    }
    .with("after", after)
}

/// The connection broke, or the answer was of no known form.
pub(crate) fn broken(effect: Effect) -> Error {
    match effect {
        Effect::Read => Error::new(ErrorKind::Unavailable, "the connection broke").transient(),
        Effect::Idempotent => lost("the connection broke before the answer").transient(),
        Effect::Once => lost("the connection broke before the answer"),
    }
}

fn lost(why: &str) -> Error {
    Error::new(ErrorKind::Ambiguous, why).hint("look whether the object is there before repeating it")
}

fn unreachable() -> Error {
    Error::new(ErrorKind::Unavailable, "no connection").transient()
}

/// The body of an answer ended early, or did not go on.
pub(crate) fn torn(why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, why).transient()
}

/// Others wrote to the object each time.
pub(crate) fn contended() -> Error {
    Error::new(ErrorKind::Unavailable, "others change the object all the time").transient()
}

pub(crate) fn exists() -> Error {
    Error::new(ErrorKind::Exists, "the key is taken")
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the connector is closed")
}

pub(crate) fn no_bucket() -> Error {
    Error::new(ErrorKind::Config, "there is no such bucket")
        .hint("make it, or correct the URI; it may be in another region or on another server")
}

pub(crate) fn no_region(after: Duration) -> Error {
    Error::new(ErrorKind::Unavailable, format!("no region was found within {after:.1?}"))
        .hint("name it by the option region=<region>")
        .transient()
}

fn unsigned() -> Error {
    Error::new(ErrorKind::Denied, "no credentials were found").hint(
        "set them in the environment or the AWS configuration files, or write profile=<name> or anonymous=true",
    )
}

/// Codes and ids that may be shown: a word.
fn is_plain(word: &str) -> bool {
    (1..=64).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=+/".contains(&byte))
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

fn lacks_credentials(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(|cause| cause.is::<aws_credential_types::provider::error::CredentialsError>())
}

fn is_connect(error: &(dyn StdError + 'static)) -> bool {
    let client = |cause: &(dyn StdError + 'static)| {
        cause.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect())
    };
    chain(error).any(client)
}

fn is_certificate(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(|cause| cause.to_string().starts_with("invalid peer certificate"))
}
