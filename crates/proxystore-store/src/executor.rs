//! Functions that run elsewhere, with large arguments and results passed by reference.

mod functions;
mod should_proxy;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use proxystore_core::{Error, ErrorKind, KeyHint, Result, Tags};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::lifetime::TTL;
use crate::owned::hold::Manner;
use crate::request::Fate;
use crate::schema::{self, Fingerprint};
use crate::stored::type_mismatch;
use crate::{Codec, Handover, OwnedProxy, Postcard, Store, Stored};

pub use functions::Functions;
pub use should_proxy::ShouldProxy;

/// Whatever runs calls: tasks, threads, a pool of processes, a queue with workers behind it.
///
/// The other end gives each call to [`Functions::run`], and its answer back. Both are a few hundred bytes, unless small
/// values travel in them.
#[async_trait::async_trait]
pub trait Executor: Send + Sync {
    /// Has `call` run once, and gives the answer. Dropping the future may leave the call running.
    async fn execute(&self, call: Bytes) -> Result<Bytes>;
}

/// The name of a function, with the types of its argument and its result: the submitter and the worker share it as a
/// constant.
///
/// ```
/// use proxystore_store::Function;
/// const MEASURE: Function<Vec<u8>, u64> = Function::new("measure");
/// ```
pub struct Function<I, O> {
    name: &'static str,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O> Function<I, O> {
    /// The function of this name. Names are the program's own business; equal names mean equal functions.
    pub const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<I, O> Clone for Function<I, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I, O> Copy for Function<I, O> {}

impl<I, O> fmt::Debug for Function<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Function({})", self.name)
    }
}

/// What goes to the worker.
#[derive(Serialize, Deserialize)]
struct Call {
    function: String,
    argument: Passed,
    /// Which results are to be passed by reference, and some reference to the store where they go.
    results: ShouldProxy,
    place: Stored,
}

/// A value on its way, encoded, or a reference to it.
#[derive(Serialize, Deserialize)]
enum Passed {
    Value { fingerprint: Option<[u8; 16]>, body: Bytes },
    Proxy(Box<Stored>),
}

/// What comes back.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
enum Answer<O> {
    Value {
        fingerprint: Option<[u8; 16]>,
        body: Bytes,
    },
    /// The owner of the result changes.
    Owned(Handover<O>),
    /// The function, or what stands around it, has failed.
    Failed(String),
}

fn fingerprint<T>() -> Option<[u8; 16]>
where
    Postcard: Codec<T>,
{
    Postcard::schema().map(|schema| *schema.fingerprint().as_bytes())
}

/// Decodes a value that has travelled as it is.
fn decode<T>(sent: Option<[u8; 16]>, body: Bytes) -> Result<T>
where
    Postcard: Codec<T>,
{
    if sent != fingerprint::<T>() {
        let wanted = Postcard::schema();
        let sent = sent.map(Fingerprint::from_bytes);
        let difference = wanted.and_then(|wanted| schema::difference(&wanted, |f| sent == Some(*f)));
        return Err(type_mismatch::<T>(difference));
    }
    Postcard::decode(body)
}

/// An [`Executor`] whose large arguments and results go through a store: Python ProxyStore's `StoreExecutor`.
///
/// An argument is owned by its call: it is evicted when the call has ended, however it ends, and expires if this process
/// dies. A result belongs to the worker until it comes back, and then to whoever holds the [`Returned`].
///
/// ```
/// use proxystore_core::{Bytes, Result, async_trait};
/// use proxystore_store::{Executor, Function, Functions, ShouldProxy, StoreExecutor};
/// # use proxystore_store::{Registry, Store};
///
/// const SUM: Function<Vec<u64>, u64> = Function::new("sum");
///
/// struct Tasks(std::sync::Arc<Functions>); // runs calls in tasks of this process
///
/// #[async_trait]
/// impl Executor for Tasks {
///     async fn execute(&self, call: Bytes) -> Result<Bytes> {
///         let functions = self.0.clone();
///         Ok(tokio::spawn(async move { functions.run(call).await }).await.unwrap())
///     }
/// }
///
/// # #[tokio::main] async fn main() -> Result<()> {
/// # let connector = proxystore_local::LocalConnector::named("executor");
/// # let store = Store::builder("calls").connector(connector).register().build().await?;
/// let functions = Functions::new().with(SUM, async |numbers| Ok(numbers.iter().sum()));
/// let executor = StoreExecutor::new(Tasks(functions.into()), store).should_proxy(ShouldProxy::above(1000));
///
/// let sum = executor.submit(SUM, &(0..10_000).collect()).await?; // the numbers go through the store
/// assert_eq!(*sum.resolve_async().await?, 49_995_000);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct StoreExecutor<E> {
    executor: E,
    store: Store,
    should_proxy: ShouldProxy,
}

impl<E: Executor> StoreExecutor<E> {
    /// An executor that passes what is larger than 64 KiB by reference. Workers must be able to open `store`: see
    /// [`Trust`](crate::Trust).
    pub fn new(executor: E, store: Store) -> Self {
        Self { executor, store, should_proxy: ShouldProxy::default() }
    }

    /// Which arguments and results are passed by reference.
    pub fn should_proxy(self, should_proxy: ShouldProxy) -> Self {
        Self { should_proxy, ..self }
    }

    /// Has `function` called with `input`, and gives its result. Takes as long as the executor does, which knows how long
    /// a call may take.
    ///
    /// Errors: `Failed` with what the function says; `Codec` or `TooLarge` if the input cannot be passed; whatever the
    /// executor and the store report. Dropping the future evicts the argument; the call may go on in the worker, where
    /// it then finds no argument, or has a result that expires.
    pub async fn submit<I, O>(&self, function: Function<I, O>, input: &I) -> Result<Returned<O>>
    where
        I: Serialize + DeserializeOwned + Send + Sync + 'static,
        O: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let submit = async {
            let store = &self.store;
            let key = store.connector_open()?.new_key(KeyHint::default())?;
            let place =
                Stored::of(store.signed(store.reference::<(), Postcard>(key, 0, false))?, store.clone());
            // Held until the call has ended.
            let (argument, _owner) = match ready(input, &self.should_proxy, &place).await? {
                Ready::Value { fingerprint, body } => (Passed::Value { fingerprint, body }, None),
                Ready::Owned(owner) => (Passed::Proxy(owner.proxy.factory().again().into()), Some(owner)),
            };
            let results = self.should_proxy.clone();
            let call = Postcard::encode(&Call { function: function.name.into(), argument, results, place })?;
            match Postcard::decode(self.executor.execute(call).await?)? {
                Answer::Value { fingerprint, body } => {
                    decode(fingerprint, body).map(Arc::new).map(Returned::Value)
                }
                Answer::Owned(handover) => handover.claim().await.map(Returned::Proxy),
                Answer::Failed(why) => Err(Error::new(ErrorKind::Failed, why)),
            }
        };
        submit.await.map_err(|error| error.with("function", function.name))
    }

    /// [`submit`](Self::submit) for each of many inputs, so many `at_once`, with one result per input, in order. What
    /// is passed by reference is decided for each. Dropping the stream drops the calls under way.
    pub fn map<'a, I, O>(
        &'a self,
        function: Function<I, O>,
        inputs: impl IntoIterator<Item = I, IntoIter: Send + 'a>,
        at_once: usize,
    ) -> impl Stream<Item = Result<Returned<O>>> + Send + 'a
    where
        I: Serialize + DeserializeOwned + Send + Sync + 'static,
        O: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let submit = move |input| async move { self.submit(function, &input).await };
        stream::iter(inputs).map(submit).buffered(at_once.max(1))
    }
}

/// A value that is ready to go.
enum Ready<T> {
    Value { fingerprint: Option<[u8; 16]>, body: Bytes },
    Owned(OwnedProxy<T>),
}

/// Encodes a value, and puts it into the store of `place` if it is to be passed by reference.
async fn ready<T>(value: &T, should_proxy: &ShouldProxy, place: &Stored) -> Result<Ready<T>>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let body = Postcard::encode(value)?;
    if !should_proxy.wants::<T>(body.len()) {
        return Ok(Ready::Value { fingerprint: fingerprint::<T>(), body });
    }
    let store = place.store().await?;
    let manner = Manner { ttl: TTL, tags: Tags::new(), populate: false };
    let (hold, key, length) = store.put_body_held::<T, Postcard>(body, &manner).await?;
    OwnedProxy::of(store.make_proxy(key, length, Fate::Unresolved)?, hold, manner).map(Ready::Owned)
}

/// What a call gives back: the result itself, or the owner of one that was passed by reference.
///
/// Dropping it evicts the result from the store.
#[derive(Debug)]
pub enum Returned<O> {
    /// The result.
    Value(Arc<O>),
    /// The owner of the result.
    Proxy(OwnedProxy<O>),
}

impl<O: Serialize + DeserializeOwned + Send + Sync + 'static> Returned<O> {
    /// The result. Errors and dropping: as [`Proxy::resolve_async`](proxystore_core::Proxy::resolve_async).
    pub async fn resolve_async(&self) -> Result<&O> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Proxy(proxy) => proxy.resolve_async().await,
        }
    }
}
