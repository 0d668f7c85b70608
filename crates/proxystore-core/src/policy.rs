//! What runs around the calls of a connector.

use std::fmt::{self, Debug};
use std::future::Future;
use std::time::Duration;

use crate::{ConnectorInfo, Draft, Error, ErrorKind, Key, Payload, Result, Transfer, Watch};

/// Something that runs around every call of a connector: retries, deadlines, limits, metrics, spans.
///
/// A policy is private to a process: it changes when and how often a call is made and what is seen of it, never what
/// is stored. [`WithPolicy`](crate::WithPolicy) puts one around a connector.
///
/// ```
/// use proxystore_core::{Attempts, Call, Policy, Reply, Result};
///
/// /// Says what happens.
/// #[derive(Debug)]
/// struct Chatty;
///
/// impl Policy for Chatty {
///     async fn around<T: Reply, A: Attempts<T>>(&self, call: &Call<'_>, attempts: &A) -> Result<T> {
///         let result = attempts.begin().await;
///         println!("{} on {}: {}", call.operation.name(), call.store, result.is_ok());
///         result
///     }
/// }
/// ```
pub trait Policy: Debug + Send + Sync + 'static {
    /// Makes the call, by as many attempts as it likes. Dropping the future drops the attempt.
    fn around<T: Reply, A: Attempts<T>>(
        &self,
        call: &Call<'_>,
        attempts: &A,
    ) -> impl Future<Output = Result<T>> + Send;
}

/// The tries of a call.
pub trait Attempts<T>: Sync {
    /// Begins a try.
    fn begin(&self) -> impl Future<Output = Result<T>> + Send;
}

/// The tries of a call that another policy is around.
#[derive(Clone, Copy)]
pub struct Within<'a, P, A> {
    policy: &'a P,
    call: &'a Call<'a>,
    attempts: &'a A,
}

impl<'a, P, A> Within<'a, P, A> {
    /// Each try is a call by `policy`, which makes it by `attempts`.
    pub fn new(policy: &'a P, call: &'a Call<'a>, attempts: &'a A) -> Self {
        Self { policy, call, attempts }
    }
}

impl<P: Debug, A> Debug for Within<'_, P, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} within {:?}", self.call, self.policy)
    }
}

impl<P: Policy, T: Reply, A: Attempts<T>> Attempts<T> for Within<'_, P, A> {
    fn begin(&self) -> impl Future<Output = Result<T>> + Send {
        self.policy.around(self.call, self.attempts)
    }
}

/// `None` does nothing.
impl<P: Policy> Policy for Option<P> {
    async fn around<T: Reply, A: Attempts<T>>(&self, call: &Call<'_>, attempts: &A) -> Result<T> {
        match self {
            Some(policy) => policy.around(call, attempts).await,
            None => attempts.begin().await,
        }
    }
}

/// A call of a connector, as policies see it.
#[derive(Debug)]
pub struct Call<'a> {
    /// The name of the store that calls.
    pub store: &'a str,
    /// The connector that is called.
    pub info: &'a ConnectorInfo,
    /// What it is asked to do.
    pub operation: Operation,
    /// With which object, unless with many or none.
    pub key: Option<&'a Key>,
    /// The bytes that go out with it.
    pub sends: u64,
    /// What is known of the bytes while it runs.
    pub transfer: &'a Transfer,
}

impl Call<'_> {
    /// The bytes that are known to be part of it, in either direction.
    pub fn bytes(&self) -> u64 {
        self.sends.max(self.transfer.size())
    }
}

/// The operations of a connector. Of a file it is the same operation as of bytes.
#[allow(missing_docs, reason = "each is the method of that name")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    Put,
    Get,
    Exists,
    Evict,
    PutMany,
    GetMany,
    EvictMany,
    Touch,
    Take,
    Watch,
    Close,
    Clear,
}

impl Operation {
    /// The name of the method.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Exists => "exists",
            Self::Evict => "evict",
            Self::PutMany => "put_many",
            Self::GetMany => "get_many",
            Self::EvictMany => "evict_many",
            Self::Touch => "touch",
            Self::Take => "take",
            Self::Watch => "watch",
            Self::Close => "close",
            Self::Clear => "clear",
        }
    }

    /// Whether it changes something, so that one without an answer may have happened.
    pub fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::Exists | Self::GetMany | Self::Watch | Self::Close)
    }

    /// Whether doing it twice is the same as doing it once. A put in [`Mode::Create`](crate::Mode::Create) is: its
    /// attempts can tell their own object from another's.
    pub fn is_repeatable(self) -> bool {
        self != Self::Take
    }

    /// The error for a call that was under way when its deadline passed, `after` this time: `Timeout` of what reads,
    /// `Ambiguous` of what writes. Transient if the call may be made again.
    pub fn cut_off(self, after: Duration) -> Error {
        let kind = if self.writes() { ErrorKind::Ambiguous } else { ErrorKind::Timeout };
        let error = Error::new(kind, "no answer before the deadline").with("after", format!("{after:.1?}"));
        if self.is_repeatable() { error.transient() } else { error }
    }
}

/// What a call gives.
pub trait Reply: Send {
    /// The bytes that came back.
    fn bytes(&self) -> u64 {
        0
    }
}

impl Reply for () {}
impl Reply for bool {}
impl Reply for Watch {}

impl Reply for Option<Draft> {
    fn bytes(&self) -> u64 {
        self.as_ref().map_or(0, Draft::size)
    }
}

impl Reply for Option<Payload> {
    fn bytes(&self) -> u64 {
        self.as_ref().map_or(0, |payload| payload.len() as u64)
    }
}

/// The bytes that came back with all of a batch.
impl Reply for u64 {
    fn bytes(&self) -> u64 {
        *self
    }
}
