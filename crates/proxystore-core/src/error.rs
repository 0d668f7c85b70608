//! The one error type: what, where, why, and what to do, in one line.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a program can act on it.
///
/// Two rules hold everywhere: a fault of the infrastructure never surfaces as [`Missing`](Self::Missing), and a
/// shutdown of this process never as [`ProducerLost`](Self::ProducerLost).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store answered: there is no such object.
    Missing,
    /// The time of the object is over, or that of the reference to it.
    Expired,
    /// The key or name is taken, and the operation may not replace it.
    Exists,
    /// The producer of a future died before it set a value.
    ProducerLost,
    /// The producer of a future reported a failure instead of a value.
    Failed,
    /// The stored object is of another type than the one asked for.
    TypeMismatch,
    /// The stored bytes are torn, truncated, altered or foreign.
    Corrupt,
    /// A size, depth or count is above a limit.
    TooLarge,
    /// The deadline passed. For writes see also [`Ambiguous`](Self::Ambiguous).
    Timeout,
    /// The backend cannot be reached or refuses service; nothing happened, a retry is safe.
    Unavailable,
    /// The connection was lost or the deadline passed while a write was under way: it may have happened.
    Ambiguous,
    /// The backend has no space or memory left.
    Full,
    /// Trust rules or the backend's access control refuse.
    Denied,
    /// The name is registered, but for another store than the one meant.
    StoreMismatch,
    /// No store of that name is registered.
    Unregistered,
    /// A URI, option or configuration is wrong.
    Config,
    /// A value cannot be encoded, or its bytes cannot be decoded.
    Codec,
    /// The store or handle is closed.
    Closed,
    /// A borrow rule is violated.
    Conflict,
    /// The backend or the build cannot do this.
    Unsupported,
    /// A defect, of ours or of the backend.
    Unexpected,
}

impl ErrorKind {
    /// The stable code of this kind, such as `PS0001`: it never changes its meaning between versions.
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "PS0001",
            Self::Expired => "PS0002",
            Self::Exists => "PS0003",
            Self::ProducerLost => "PS0004",
            Self::Failed => "PS0005",
            Self::TypeMismatch => "PS0006",
            Self::Corrupt => "PS0007",
            Self::TooLarge => "PS0008",
            Self::Timeout => "PS0009",
            Self::Unavailable => "PS0010",
            Self::Ambiguous => "PS0011",
            Self::Full => "PS0012",
            Self::Denied => "PS0013",
            Self::StoreMismatch => "PS0014",
            Self::Unregistered => "PS0015",
            Self::Config => "PS0016",
            Self::Codec => "PS0017",
            Self::Closed => "PS0018",
            Self::Conflict => "PS0019",
            Self::Unsupported => "PS0020",
            Self::Unexpected => "PS0021",
        }
    }

    /// The kind in a few words, the beginning of every message.
    pub fn words(self) -> &'static str {
        match self {
            Self::Missing => "no such object",
            Self::Expired => "expired",
            Self::Exists => "already exists",
            Self::ProducerLost => "producer lost",
            Self::Failed => "producer failed",
            Self::TypeMismatch => "type mismatch",
            Self::Corrupt => "corrupt object",
            Self::TooLarge => "too large",
            Self::Timeout => "deadline passed",
            Self::Unavailable => "backend unavailable",
            Self::Ambiguous => "write may have happened",
            Self::Full => "backend full",
            Self::Denied => "denied",
            Self::StoreMismatch => "store mismatch",
            Self::Unregistered => "store not registered",
            Self::Config => "bad configuration",
            Self::Codec => "codec error",
            Self::Closed => "closed",
            Self::Conflict => "conflict",
            Self::Unsupported => "unsupported",
            Self::Unexpected => "unexpected",
        }
    }
}

/// An error: one pointer wide and cheap to clone, since one shared load hands its failure to many waiters.
///
/// `Display` is one line: kind, message, context (`store`, `scheme`, `operation`, `key`; never a value or a secret),
/// cause, hint and code.
///
/// ```
/// use proxystore_core::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Missing, "it was evicted, has expired or was never put")
///     .with("store", "images").with("key", "cat.png").hint("put it again");
/// assert_eq!(
///     error.to_string(),
///     "no such object: it was evicted, has expired or was never put (store=images key=cat.png); put it again [PS0001]"
/// );
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    transient: bool,
    context: Vec<(&'static str, String)>,
    hint: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` says why, in words, without a value or a secret.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            transient: false,
            context: Vec::new(),
            hint: None,
            source: None,
        }))
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Why, without context, hint and code.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether the same call may succeed if it is tried again a little later.
    pub fn is_transient(&self) -> bool {
        self.0.transient
    }

    /// The value of the context entry `name`: `store`, `scheme`, `operation`, `key`, …
    pub fn context(&self, name: &str) -> Option<&str> {
        self.0.context.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    /// Adds where it happened. The first entry of a name stays: the innermost caller knows best.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        if self.context(name).is_none() {
            self.0.context.push((name, value.to_string()));
        }
        self
    }

    /// Says what to do: a command, a feature, an option.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Marks the error as passing: see [`is_transient`](Self::is_transient).
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.0.transient = true;
        self
    }

    /// Changes the kind: a connector that knows more than its backend's error says so.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Attaches the cause. Its text becomes part of the message, so it must hold no value and no secret.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, message, context, hint, source, .. } = &*self.0;
        write!(f, "{}: {message}", kind.words())?;
        if let Some(source) = source {
            write!(f, ": {}", source.to_string().replace(['\n', '\r'], " "))?;
        }
        for (i, (name, value)) in context.iter().enumerate() {
            write!(f, "{}{name}={value}", if i == 0 { " (" } else { " " })?;
        }
        if !context.is_empty() {
            f.write_str(")")?;
        }
        if let Some(hint) = hint {
            write!(f, "; {hint}")?;
        }
        write!(f, " [{}]", kind.code())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({self})", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
