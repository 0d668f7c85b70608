//! What stores report, in the words of this project.
//!
//! A server's own text is never shown, nor that of an error of a store: they may repeat what was sent, and where to.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

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
    /// There is an object already.
    Taken,
    /// The object is not there or is another, against the condition.
    Condition,
    /// The range lies behind the object's end.
    Range,
    /// The server's access control refuses.
    Refused,
    /// The store has no such operation.
    Unsupported,
    /// Anything else.
    Other,
}

/// What became of a request that was made here: it travels through the store as the cause of the store's error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(feature = "_requests"), allow(dead_code, reason = "nothing makes requests"))]
pub(crate) enum Fault {
    /// An answer for which stores have no word, with the server's code, or empty.
    Answered(u16, String),
    /// No answer within this time.
    Late(Duration),
    /// The connection was not made.
    NoConnection,
    /// The server's certificate is not trusted.
    Certificate,
    /// Nobody gave credentials.
    Unsigned,
    /// The connection broke.
    Broken,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl StdError for Fault {}

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

/// The store gave up on a request.
pub(crate) fn failed(error: &object_store::Error, effect: Effect) -> Failed {
    use object_store::Error as E;
    let of = |why, error| Failed { why, error };
    match error {
        E::NotFound { .. } => of(Why::NoObject, Error::new(ErrorKind::Missing, "there is no such object")),
        E::AlreadyExists { .. } => of(Why::Taken, exists()),
        E::Precondition { .. } | E::NotModified { .. } => {
            of(Why::Condition, Error::new(ErrorKind::Unavailable, "the object changed meanwhile").transient())
        }
        E::PermissionDenied { .. } => of(Why::Refused, refused("403")),
        E::Unauthenticated { .. } => of(Why::Refused, refused("401")),
        E::NotSupported { .. } | E::NotImplemented { .. } => of(
            Why::Unsupported,
            Error::new(ErrorKind::Unsupported, "the store does not know what was asked of it"),
        ),
        E::InvalidPath { .. } => Error::new(ErrorKind::Config, "the store takes no such name").into(),
        _ => match chain(error).find_map(|cause| cause.downcast_ref::<Fault>()) {
            Some(fault) => of_fault(fault, effect),
            None => match chain(error).find_map(|cause| cause.downcast_ref::<std::io::Error>()) {
                Some(error) => of_files(error, effect),
                None => broken(effect).into(),
            },
        },
    }
}

fn of_fault(fault: &Fault, effect: Effect) -> Failed {
    match fault {
        Fault::Answered(status, code) => answered(*status, code, effect),
        Fault::Late(after) => late(effect, *after).into(),
        Fault::NoConnection => Error::new(ErrorKind::Unavailable, "no connection").transient().into(),
        Fault::Certificate => Error::new(ErrorKind::Denied, "the server's certificate is not trusted").into(),
        Fault::Unsigned => Error::new(ErrorKind::Denied, "no credentials were found")
            .hint("set them in the environment, or write credentials=anonymous")
            .into(),
        Fault::Broken => broken(effect).into(),
    }
}

fn of_files(error: &std::io::Error, effect: Effect) -> Failed {
    use std::io::ErrorKind as K;
    match error.kind() {
        K::StorageFull | K::QuotaExceeded => {
            Error::new(ErrorKind::Full, "the store has no space left").into()
        }
        K::PermissionDenied | K::ReadOnlyFilesystem => {
            Failed { why: Why::Refused, error: refused("permission") }
        }
        _ => broken(effect).into(),
    }
}

/// The server answered with an error: by this status, and this code unless it was an answer without a body.
fn answered(status: u16, code: &str, effect: Effect) -> Failed {
    let named = |kind, why: &str| {
        let code = if is_plain(code) { code } else { "no code" };
        Error::new(kind, format!("{why} ({status} {code})"))
    };
    let why = match status {
        401 | 403 => Why::Refused,
        416 => Why::Range,
        501 => Why::Unsupported,
        _ => Why::Other,
    };
    let error = match (status, code) {
        (_, "NoSuchBucket" | "ContainerNotFound") => no_bucket(),
        (_, "NoSuchUpload") => {
            Error::new(ErrorKind::Unavailable, "the upload was aborted by somebody else").transient()
        }
        (_, "RequestTimeTooSkewed") => {
            Error::new(ErrorKind::Denied, "this machine's clock is wrong by more than 15 minutes")
                .hint("set the clock")
        }
        (_, "ExpiredToken") => {
            Error::new(ErrorKind::Denied, "the credentials have expired").hint("renew them")
        }
        (_, "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed") | (300..=399, _) => {
            named(ErrorKind::Config, "it is in another region, or on another server")
                .hint("name the region or the server in the URI; redirects are not followed")
        }
        (_, "EntityTooLarge" | "RequestBodyTooLarge") | (413, _) => {
            Error::new(ErrorKind::TooLarge, "the server takes no object of that size")
        }
        (507, _) | (_, "QuotaExceeded") => named(ErrorKind::Full, "the server has no space left"),
        (501, _) | (_, "NotImplemented") => {
            named(ErrorKind::Unsupported, "the server does not know what was asked of it")
        }
        (401 | 403, _) => refused(&format!("{status} {}", if is_plain(code) { code } else { "no code" })),
        (409, _) => named(ErrorKind::Unavailable, "another writer of the object was faster").transient(),
        (416, _) => Error::new(ErrorKind::Unavailable, "the object became shorter meanwhile").transient(),
        (408 | 429 | 503, _) | (_, "SlowDown") => {
            named(ErrorKind::Unavailable, "the server cannot serve now").transient()
        }
        // It may have done it, and failed then.
        (500..=599, _) if effect == Effect::Idempotent => {
            named(ErrorKind::Ambiguous, "the server failed").transient()
        }
        (500..=599, _) if effect == Effect::Once => named(ErrorKind::Ambiguous, "the server failed"),
        (500..=599, _) => named(ErrorKind::Unavailable, "the server failed").transient(),
        _ => named(ErrorKind::Unexpected, "the server answers with an error"),
    };
    Failed { why, error }
}

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::Denied, format!("the store refuses ({why})"))
        .hint("look which credentials this process has, and what they allow")
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

/// The connection broke, the answer was of no known form, or the store says nothing that we know.
pub(crate) fn broken(effect: Effect) -> Error {
    match effect {
        Effect::Read => Error::new(ErrorKind::Unavailable, "the store failed").transient(),
        Effect::Idempotent => lost("the store failed before the answer").transient(),
        Effect::Once => lost("the store failed before the answer"),
    }
}

fn lost(why: &str) -> Error {
    Error::new(ErrorKind::Ambiguous, why).hint("look whether the object is there before repeating it")
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
    Error::new(ErrorKind::Config, "there is no such bucket").hint("make it, or correct the URI")
}

/// Codes that may be shown: a word.
fn is_plain(word: &str) -> bool {
    (1..=64).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}
