//! What can go wrong between a proxy and its referent.

use std::fmt;

use proxystore_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::id::ManagerId;

/// Why a call did not bring a result, apart from what the method itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
#[non_exhaustive]
pub enum RemoteErrorKind {
    /// There is no such object any more, or the reference does not open it; which of the two is not told.
    ObjectGone,
    /// The manager was started again since: its objects are others now.
    ManagerRestarted,
    /// The manager has no type of that name.
    NoSuchType,
    /// The object has no method of that name.
    NoSuchMethod,
    /// There is no object of that name.
    NoSuchName,
    /// An object of that name exists.
    NameTaken,
    /// The reference does not allow this method.
    PermissionDenied,
    /// The arguments do not decode into what the method takes.
    BadArguments,
    /// The arguments or the result cannot be encoded, or the result cannot be decoded.
    Encode,
    /// A message is above the limit.
    TooLarge,
    /// The method panicked.
    Panicked,
    /// A `&mut self` method panicked earlier, and the object may be half changed.
    Poisoned,
    /// The call would wait for itself.
    Reentrant,
    /// Nobody waited for the call any more.
    Cancelled,
    /// The deadline passed. The method may have run.
    DeadlineExceeded,
    /// A limit of the manager is reached; nothing happened.
    Overloaded,
    /// The connection was lost and the session with it before the call ran.
    ConnectionLost,
    /// The connection was lost and the session with it; the call may have run.
    MayHaveRun,
    /// The manager ended the session, since its lease was over; nothing happened.
    SessionExpired,
    /// The manager is shutting down; nothing happened.
    ShuttingDown,
    /// The other side does not have the same authkey.
    AuthenticationFailed,
    /// The other side speaks another version.
    VersionMismatch,
    /// The manager cannot be dialed: no credential for it, or no address.
    DialRefused,
    /// A defect, or a kind of a later version.
    Unexpected,
}

use RemoteErrorKind as K;

/// Each kind with its number on the wire, which never changes, and its words.
const KINDS: &[(K, &str)] = &[
    (K::ObjectGone, "no such object, or the reference does not open it"),
    (K::ManagerRestarted, "the manager was restarted"),
    (K::NoSuchType, "no such type"),
    (K::NoSuchMethod, "no such method"),
    (K::NoSuchName, "no such name"),
    (K::NameTaken, "the name is taken"),
    (K::PermissionDenied, "the reference does not allow this"),
    (K::BadArguments, "bad arguments"),
    (K::Encode, "not encodable"),
    (K::TooLarge, "too large"),
    (K::Panicked, "the method panicked"),
    (K::Poisoned, "the object is poisoned by a panic"),
    (K::Reentrant, "the call would wait for itself"),
    (K::Cancelled, "cancelled"),
    (K::DeadlineExceeded, "deadline passed"),
    (K::Overloaded, "the manager is overloaded"),
    (K::ConnectionLost, "connection lost"),
    (K::MayHaveRun, "connection lost, the call may have run"),
    (K::SessionExpired, "session expired"),
    (K::ShuttingDown, "the manager is shutting down"),
    (K::AuthenticationFailed, "authentication failed"),
    (K::VersionMismatch, "version mismatch"),
    (K::DialRefused, "the manager cannot be dialed"),
    (K::Unexpected, "unexpected"),
];

impl RemoteErrorKind {
    /// The kind in a few words, the beginning of every message.
    pub fn words(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("unexpected", |(_, words)| words)
    }

    /// Whether the method may have run although there is no result.
    pub fn may_have_run(self) -> bool {
        matches!(self, K::MayHaveRun | K::DeadlineExceeded | K::Panicked | K::Encode | K::Unexpected)
    }
}

impl From<u8> for RemoteErrorKind {
    fn from(code: u8) -> Self {
        KINDS.get(usize::from(code)).map_or(Self::Unexpected, |(kind, _)| *kind)
    }
}

impl From<RemoteErrorKind> for u8 {
    fn from(kind: RemoteErrorKind) -> Self {
        KINDS.iter().position(|(known, _)| *known == kind).unwrap_or(KINDS.len() - 1) as u8
    }
}

/// A call brought no result: what, why, and where.
///
/// `Display` is one line. It holds no argument, no result, no secret, and the text of a panic only if the manager was
/// built with [`reveal_panics`](crate::Builder::reveal_panics): otherwise that is in the manager's own log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteError {
    kind: RemoteErrorKind,
    message: String,
    manager: Option<ManagerId>,
    call: Option<u64>,
}

impl RemoteError {
    /// An error of `kind`; `message` says why, without a value or a secret.
    pub fn new(kind: RemoteErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), manager: None, call: None }
    }

    /// What went wrong.
    pub fn kind(&self) -> RemoteErrorKind {
        self.kind
    }

    /// Why, without the context.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The manager that it concerns.
    pub fn manager(&self) -> Option<ManagerId> {
        self.manager
    }

    /// The number of the call within its session, as in the manager's traces.
    pub fn call(&self) -> Option<u64> {
        self.call
    }

    /// Kind and message, in one line.
    pub(crate) fn reason(&self) -> String {
        let words = self.kind.words();
        match &*self.message {
            "" => words.into(),
            message => format!("{words}: {}", message.replace(['\n', '\r'], " ")),
        }
    }

    pub(crate) fn of_manager(mut self, manager: ManagerId) -> Self {
        self.manager.get_or_insert(manager);
        self
    }

    pub(crate) fn of_call(mut self, call: u64) -> Self {
        self.call.get_or_insert(call);
        self
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason())?;
        match (self.manager, self.call) {
            (Some(manager), Some(call)) => write!(f, " (manager={manager} call={call})"),
            (Some(manager), None) => write!(f, " (manager={manager})"),
            (None, Some(call)) => write!(f, " (call={call})"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Debug for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({self})", self.kind)
    }
}

impl std::error::Error for RemoteError {}

impl From<RemoteErrorKind> for RemoteError {
    fn from(kind: RemoteErrorKind) -> Self {
        Self::new(kind, "")
    }
}

/// So that a program with one error type can use `?`.
impl From<RemoteError> for Error {
    fn from(error: RemoteError) -> Self {
        let kind = match error.kind {
            K::ObjectGone | K::NoSuchName => ErrorKind::Missing,
            K::ManagerRestarted | K::SessionExpired => ErrorKind::Expired,
            K::NameTaken => ErrorKind::Exists,
            K::NoSuchType | K::NoSuchMethod | K::VersionMismatch => ErrorKind::Unsupported,
            K::PermissionDenied | K::AuthenticationFailed | K::DialRefused => ErrorKind::Denied,
            K::BadArguments | K::Encode => ErrorKind::Codec,
            K::TooLarge => ErrorKind::TooLarge,
            K::Poisoned | K::Reentrant => ErrorKind::Conflict,
            K::MayHaveRun => ErrorKind::Ambiguous,
            K::DeadlineExceeded => ErrorKind::Timeout,
            K::Overloaded | K::ConnectionLost => ErrorKind::Unavailable,
            K::Cancelled | K::ShuttingDown => ErrorKind::Closed,
            K::Panicked | K::Unexpected => ErrorKind::Unexpected,
        };
        Self::new(kind, error.to_string())
    }
}

/// A call failed: by the method's own word, or on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError<E> {
    /// What the method returned as its error.
    App(E),
    /// The method returned nothing.
    Remote(RemoteError),
}

impl<E> CallError<E> {
    /// The error of the way, if it is one.
    pub fn remote(&self) -> Option<&RemoteError> {
        match self {
            Self::App(_) => None,
            Self::Remote(error) => Some(error),
        }
    }
}

impl<E: From<RemoteError>> CallError<E> {
    /// The method's error type alone, where it can say what went wrong on the way.
    pub fn flatten(self) -> E {
        match self {
            Self::App(error) => error,
            Self::Remote(error) => error.into(),
        }
    }
}

impl<E> From<RemoteError> for CallError<E> {
    fn from(error: RemoteError) -> Self {
        Self::Remote(error)
    }
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(error) => error.fmt(f),
            Self::Remote(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for CallError<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_the_wire_and_unknown_ones_do_not_break_it() {
        for (code, (kind, _)) in KINDS.iter().enumerate() {
            assert_eq!(u8::from(*kind), code as u8);
            assert_eq!(RemoteErrorKind::from(code as u8), *kind);
        }
        assert_eq!(RemoteErrorKind::from(250), RemoteErrorKind::Unexpected);
    }

    #[test]
    fn the_text_is_one_line() {
        let error = RemoteError::new(K::BadArguments, "a\nb").of_call(3);
        assert_eq!(error.to_string(), "bad arguments: a b (call=3)");
    }
}
