//! What the `redis` crate reports, in the words of this project.
//!
//! A server's own text is shown only where it cannot repeat an argument of ours: an argument may be a password or a
//! value.

use std::time::Duration;

use proxystore_core::{Error, ErrorKind};
use redis::{RedisError, ServerError};

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

/// The connection broke after the command was sent.
pub(crate) fn broken(error: &RedisError, effect: Effect) -> Error {
    match effect {
        Effect::Read => {
            Error::new(ErrorKind::Unavailable, format!("the connection broke: {}", plain(error))).transient()
        }
        Effect::Idempotent => lost("the connection broke before the answer").transient(),
        Effect::Once => lost("the connection broke before the answer"),
    }
}

/// The deadline passed `after` the call began; `sent`: the command may have reached the server.
pub(crate) fn late(effect: Effect, sent: bool, after: Duration) -> Error {
    let after = format!("{after:.1?}");
    match effect {
        _ if !sent => Error::new(ErrorKind::Timeout, "no connection was free").transient(),
        Effect::Read => Error::new(ErrorKind::Timeout, "no answer").transient(),
        Effect::Idempotent => lost("no answer before the deadline").transient(),
        Effect::Once => lost("no answer before the deadline"),
    }
    .with("after", after)
}

fn lost(why: &str) -> Error {
    Error::new(ErrorKind::Ambiguous, why).hint("look whether the object is there before repeating it")
}

/// An idempotent write may have happened, and there is no connection to repeat it.
pub(crate) fn unsettled(why: &Error) -> Error {
    lost("the connection broke before the answer, and there is no other")
        .with("then", why.message())
        .transient()
}

/// No connection could be set up.
pub(crate) fn unreachable(error: &RedisError) -> Error {
    let kind = error.kind();
    if kind == redis::ErrorKind::AuthenticationFailed {
        return denied("the server refuses the user or password");
    }
    if error.code() == Some(GROWN) {
        return Error::new(
            ErrorKind::TooLarge,
            "the object was replaced by a larger one than the caller takes",
        )
        .hint("raise `max_object` where the store is opened");
    }
    if matches!(kind, redis::ErrorKind::Server(_) | redis::ErrorKind::Extension) {
        return of_server(error.code().unwrap_or_default(), error.detail().unwrap_or_default());
    }
    let text = plain(error);
    if kind == redis::ErrorKind::InvalidClientConfig {
        return Error::new(ErrorKind::Config, text)
            .hint("look at the URI; of sentinels, ask whether they know the master");
    }
    if text.contains("certificate") {
        return Error::new(ErrorKind::Denied, format!("the server's certificate is not trusted: {text}"))
            .hint("the option `ca` names the certificates to trust");
    }
    Error::new(ErrorKind::Unavailable, format!("no connection: {text}")).transient()
}

/// No server's code, but one of ours.
const GROWN: &str = "grown";

/// Another object was put since this one's size was asked for.
pub(crate) fn grown() -> RedisError {
    redis::make_extension_error(GROWN.into(), None)
}

/// No connection was set up in time.
pub(crate) fn no_connection(after: Duration) -> Error {
    Error::new(ErrorKind::Unavailable, format!("no connection within {after:.1?}")).transient()
}

/// The server answered with an error.
pub(crate) fn refused(error: &ServerError) -> Error {
    of_server(error.code(), error.details().unwrap_or_default())
}

fn of_server(code: &str, detail: &str) -> Error {
    match code {
        "OOM" => Error::new(ErrorKind::Full, "the server has no memory left")
            .hint("raise its `maxmemory`, or evict"),
        "MISCONF" => Error::new(ErrorKind::Full, "the server cannot persist and refuses writes"),
        "WRONGTYPE" => Error::new(ErrorKind::Corrupt, "the key holds something else than a string")
            .hint("another program writes under the same prefix"),
        "NOAUTH" => denied("the server demands a password"),
        "WRONGPASS" => denied("the server refuses the user or password"),
        "NOPERM" => Error::new(ErrorKind::Denied, "the server's access control refuses the command or key")
            .hint("see the crate's list of needed commands, and allow the keys `<prefix>:*`"),
        "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY" | "READONLY" | "NOREPLICAS"
        | "MOVED" | "ASK" => {
            Error::new(ErrorKind::Unavailable, format!("the server cannot serve now ({code})")).transient()
        }
        "ERR" if detail.starts_with("max number of clients") => {
            Error::new(ErrorKind::Unavailable, "the server has too many clients").transient()
        }
        "ERR" if detail.starts_with("unknown command") => {
            Error::new(ErrorKind::Unsupported, "the server does not know a command")
                .hint("Redis 6.2 or Valkey knows all that is needed")
        }
        "ERR" if detail.contains("DB index") => {
            Error::new(ErrorKind::Config, "the server has no such database")
        }
        // Before version 6 there is no code of its own for it.
        "ERR" if detail.starts_with("invalid password") => denied("the server refuses the user or password"),
        "ERR" if detail.contains("AUTH") => denied("the server knows no password for this user"),
        _ if code.len() <= 32 && code.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            Error::new(ErrorKind::Unexpected, format!("the server answers with the error {code}"))
        }
        _ => Error::new(ErrorKind::Unexpected, "the server answers with an error of no known form"),
    }
}

fn denied(why: &str) -> Error {
    Error::new(ErrorKind::Denied, why)
        .hint("put the password into a variable and write ${NAME} for it in the URI")
}

/// The answer is of no form that the command can give.
pub(crate) fn strange() -> Error {
    Error::new(ErrorKind::Unexpected, "the server's answer has an unexpected form")
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the connector was closed")
}

/// The text of an error that arose on this side, which holds no argument of ours.
fn plain(error: &RedisError) -> String {
    if error.is_io_error() { error.to_string() } else { error.category().into() }
}

/// Whether a command has more arguments than the server knows of.
pub(crate) fn is_arity(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.starts_with("wrong number of arguments"))
}

/// Whether the connection is of no use after this.
pub(crate) fn is_fatal(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error()
}
