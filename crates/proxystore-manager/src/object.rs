//! What makes a type shareable: the traits that `#[object]` and `#[interface]` implement.

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, Stream, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::id::{Method, MethodId};
use crate::interfaces::Interfaces;
use crate::proxy::ProxyBase;
use crate::value::Encoded;

/// A type whose values live in a manager and are reached through proxies. `#[object]` implements it.
pub trait Object: Sized + Send + Sync + 'static {
    /// What clients hold.
    type Proxy: Interface<Self>;

    /// Further interfaces of its objects. A proxy becomes one of another interface by
    /// [`cast`](crate::ProxyBase::cast).
    ///
    /// ```
    /// use proxystore_manager::{Interfaces, Manager, Object, ObjectProxy, interface};
    ///
    /// #[interface]
    /// trait Greeter {
    ///     fn greet(&self) -> String;
    /// }
    ///
    /// #[interface]
    /// trait Leaver {
    ///     fn leave(&self) -> String;
    /// }
    ///
    /// struct Guest;
    ///
    /// impl Greeter for Guest {
    ///     fn greet(&self) -> String {
    ///         "hello".into()
    ///     }
    /// }
    ///
    /// impl Leaver for Guest {
    ///     fn leave(&self) -> String {
    ///         "goodbye".into()
    ///     }
    /// }
    ///
    /// impl Object for Guest {
    ///     type Proxy = GreeterProxy;
    ///
    ///     fn interfaces() -> Interfaces<Self> {
    ///         Interfaces::none().and::<LeaverProxy>()
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let manager = Manager::builder().in_process()?;
    /// let guest = manager.host(Guest)?;
    /// let leaver: LeaverProxy = guest.base().cast().await?;
    /// assert_eq!(leaver.leave().await?, "goodbye");
    /// # Ok(()) }
    /// ```
    fn interfaces() -> Interfaces<Self> {
        Interfaces::none()
    }
}

/// The proxy of an object of type `T`: what a method returns that hands out an object, and what clients hold.
pub type Remote<T> = <T as Object>::Proxy;

/// A typed proxy: a [`ProxyBase`] with methods.
pub trait ObjectProxy: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name of the type, the same in all processes.
    const TYPEID: &'static str;
    /// What can be called.
    const METHODS: &'static [Method];

    /// A proxy of this type. Whether the object is of this type is checked where it comes from, and by the manager.
    fn from_base(base: ProxyBase) -> Self;

    /// The proxy without its type.
    fn base(&self) -> &ProxyBase;
}

/// How the calls of a proxy reach an object of type `T`.
///
/// Arguments are one tuple, also for one argument or none.
pub trait Interface<T>: ObjectProxy {
    /// Runs a `&self` method. `NoSuchMethod` for others.
    fn shared(object: &T, call: Call) -> BoxFuture<'_, Outcome>;

    /// Runs a `&mut self` method. `NoSuchMethod` for others.
    fn exclusive(object: &mut T, call: Call) -> BoxFuture<'_, Outcome>;

    /// Runs a constructor. `NoSuchMethod` for others.
    fn create(call: Call) -> BoxFuture<'static, Result<Created<T>, RemoteError>>;
}

/// What a constructor made: an object, or its own encoded error.
pub type Created<T> = Result<T, Encoded>;

/// What a method brought, or why it brought nothing.
pub type Outcome = Result<Answer, RemoteError>;

/// What a method brought.
pub enum Answer {
    /// Its result.
    Value(Encoded),
    /// Its own error.
    App(Encoded),
    /// Items, encoded one by one.
    Stream(BoxStream<'static, Result<Encoded, RemoteError>>),
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Value(_) => "Value(..)",
            Self::App(_) => "App(..)",
            Self::Stream(_) => "Stream(..)",
        })
    }
}

/// A call on its way into an object.
#[derive(Debug)]
pub struct Call {
    pub(crate) method: MethodId,
    pub(crate) args: Encoded,
    pub(crate) context: Context,
}

impl Call {
    /// What is called.
    pub fn method(&self) -> MethodId {
        self.method
    }

    /// For whom, and where: for methods that host further objects.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The arguments, a tuple. `BadArguments` if they are others.
    pub fn args<A: DeserializeOwned>(&self) -> Result<A, RemoteError> {
        self.args.decode().map_err(|error| RemoteError::new(RemoteErrorKind::BadArguments, error.message()))
    }

    /// The outcome of a method that returns a value.
    pub fn value<T: Serialize>(&self, value: &T) -> Outcome {
        Encoded::new(value).map(Answer::Value)
    }

    /// The outcome of a method that returns a `Result`.
    pub fn result<T: Serialize, E: Serialize>(&self, result: &Result<T, E>) -> Outcome {
        match result {
            Ok(value) => Encoded::new(value).map(Answer::Value),
            Err(error) => Encoded::new(error).map(Answer::App),
        }
    }

    /// The outcome of what is behind [`ProxyBase::display`].
    pub async fn text(&self, write: impl FnOnce() -> String) -> Outcome {
        self.value(&crate::builtin::whole(write).await)
    }

    /// The outcome of a method that returns a stream.
    pub fn stream<S>(&self, stream: S) -> Outcome
    where
        S: Stream<Item: Serialize> + Send + 'static,
    {
        Ok(Answer::Stream(stream.map(|item| Encoded::new(&item)).fuse().boxed()))
    }

    /// What a constructor made that returns the object.
    pub fn created<T>(&self, object: T) -> Result<Created<T>, RemoteError> {
        Ok(Ok(object))
    }

    /// What a constructor made that returns a `Result`.
    pub fn created_result<T, E: Serialize>(&self, result: Result<T, E>) -> Result<Created<T>, RemoteError> {
        match result {
            Ok(object) => Ok(Ok(object)),
            Err(error) => Encoded::new(&error).map(Err),
        }
    }

    /// The answer to a method that is not there.
    pub fn unknown(&self) -> RemoteError {
        RemoteErrorKind::NoSuchMethod.into()
    }
}
