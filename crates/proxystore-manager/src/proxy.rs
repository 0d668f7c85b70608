//! What all proxies are: a reference, and the way to the object it means.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Either;
use proxystore_core::{Result, Secret};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::away::Away;
use crate::error::{CallError, RemoteError, RemoteErrorKind};
use crate::home::Home;
use crate::id::{ManagerId, Method, MethodId, ObjectId};
use crate::locator::Locator;
use crate::object::{Answer, Object, ObjectProxy, Outcome};
use crate::server::{Local, Space};
use crate::stream::RemoteStream;
use crate::token::{Caveat, Token};
use crate::value::{self, Encoded, Slot};

/// How long a reference outside of calls keeps its object when nobody else does.
pub(crate) const TRANSIT: Duration = Duration::from_secs(60);
/// The methods behind [`ProxyBase::get_value`] and [`ProxyBase::display`].
pub const GET_VALUE: &str = "__get_value";
/// See [`GET_VALUE`].
pub const DISPLAY: &str = "__display";
/// The method behind [`ProxyBase::cast`], which all objects have.
pub(crate) const INTERFACES: &str = "__interfaces";

/// A proxy without the methods of its type: what the generated ones consist of.
///
/// It is a plain serde value. In the process where the manager runs it is the referent itself, and calls go through
/// neither network nor codec. Clones share one hold; when the last is dropped, the hold is given back in the
/// background. Two are equal if they mean the same object of the same start of a manager; their rights may differ.
#[derive(Clone)]
pub struct ProxyBase(Arc<Inner>);

struct Inner {
    locator: Locator,
    place: Place,
}

enum Place {
    Home(Home),
    Away(Away),
    /// It was an object of this process, and is no more.
    Gone,
}

impl ProxyBase {
    pub(crate) fn home(space: Arc<Space>, local: Local, token: Token) -> Self {
        let locator = space.locator(&local, token);
        Self(Arc::new(Inner { locator, place: Place::Home(Home::new(space, local)) }))
    }

    /// Comes from outside of a call. Nothing is dialed yet, but an object of this process is held from now on.
    pub(crate) fn at(locator: Locator) -> Self {
        let Some(space) = crate::registry::home(locator.manager, locator.epoch) else {
            let proxy = Self(Arc::new(Inner { locator, place: Place::Away(Away::detached()) }));
            proxy.attach_soon();
            return proxy;
        };
        let opened = space.open_as(locator.object, &locator.token, &locator.typeid);
        opened.unwrap_or_else(|_| Self(Arc::new(Inner { locator, place: Place::Gone })))
    }

    /// Comes from a session that holds it.
    pub(crate) fn away(locator: Locator, away: Away) -> Self {
        Self(Arc::new(Inner { locator, place: Place::Away(away) }))
    }

    pub(crate) fn locator(&self) -> &Locator {
        &self.0.locator
    }

    /// The hold, if the object lives in `space`.
    pub(crate) fn local_of(&self, space: &Arc<Space>) -> Option<&Local> {
        match &self.0.place {
            Place::Home(home) if Arc::ptr_eq(home.space(), space) => Some(home.local()),
            _ => None,
        }
    }

    /// The referent itself, where the manager runs in this process and the object is a `T`.
    #[doc(hidden)]
    pub fn referent<T: Object>(&self) -> Option<&Home> {
        match &self.0.place {
            Place::Home(home) if home.is::<T>() => Some(home),
            _ => None,
        }
    }

    #[doc(hidden)]
    pub fn allows(&self, method: &Method) -> Result<(), RemoteError> {
        if self.0.locator.token.allows(method) {
            Ok(())
        } else {
            Err(RemoteErrorKind::PermissionDenied.into())
        }
    }

    /// The manager where the object is.
    pub fn manager(&self) -> ManagerId {
        self.0.locator.manager
    }

    /// The object's id, for people: within one start of its manager no other has it.
    pub fn object(&self) -> ObjectId {
        self.0.locator.object
    }

    /// The name of the object's type.
    pub fn typeid(&self) -> &str {
        &self.0.locator.typeid
    }

    /// Whether the object lives in this process.
    pub fn is_home(&self) -> bool {
        matches!(self.0.place, Place::Home(_))
    }

    /// Whether this runs inside of one of the object's methods, here, or inside of very many.
    pub(crate) fn is_running(&self) -> bool {
        matches!(&self.0.place, Place::Home(home) if home.local().cell().is_running())
    }

    /// Calls a method with a tuple of arguments. A call that was lost is made again if the method is idempotent, or
    /// did certainly not run.
    ///
    /// Dropping the future cancels the call: a `&self` method ends at its next `await`, a `&mut self` method that has
    /// begun goes on to its end unless it is marked `cancel`.
    pub async fn call<A, R, E>(&self, method: &Method, args: &A) -> Result<R, CallError<E>>
    where
        A: Serialize + ?Sized + Sync,
        R: DeserializeOwned,
        E: DeserializeOwned,
    {
        self.allows(method)?;
        self.result(self.listed(method, Encoded::new(args)?).await?)
    }

    /// [`call`](Self::call) for methods without an error of their own.
    pub async fn call_plain<A, R>(&self, method: &Method, args: &A) -> Result<R, RemoteError>
    where
        A: Serialize + ?Sized + Sync,
        R: DeserializeOwned,
    {
        self.call(method, args).await.map_err(only_remote)
    }

    /// Calls a method that returns a stream. Dropping the stream ends it there.
    pub async fn call_stream<A, T>(&self, method: &Method, args: &A) -> Result<RemoteStream<T>, RemoteError>
    where
        A: Serialize + ?Sized + Sync,
        T: DeserializeOwned,
    {
        self.allows(method)?;
        match self.listed(method, Encoded::new(args)?).await? {
            Answer::Stream(items) => Ok(RemoteStream::new(items)),
            _ => Err(RemoteError::new(RemoteErrorKind::NoSuchMethod, "it returns a value, and no stream")),
        }
    }

    /// Calls the method of this name, which need not be known here: the peer's `_callmethod`. Arguments are a
    /// tuple, also for one or none.
    ///
    /// ```no_run
    /// # use proxystore_manager::{CallError, ProxyBase};
    /// # async fn example(counter: ProxyBase) -> Result<(), CallError<String>> {
    /// let sum: i64 = counter.call_method::<_, _, String>("add", &(2,)).await?;
    /// # Ok(()) }
    /// ```
    pub async fn call_method<A, R, E>(&self, name: &str, args: &A) -> Result<R, CallError<E>>
    where
        A: Serialize + ?Sized + Sync,
        R: DeserializeOwned,
        E: DeserializeOwned,
    {
        self.result(self.call_encoded(name, Encoded::new(args)?).await?)
    }

    pub(crate) async fn call_encoded(&self, name: &str, args: Encoded) -> Outcome {
        self.encoded(MethodId::of(name), false, args).await
    }

    /// A copy of the object, for types with `#[object(value)]`: the peer's `_getvalue`. Proxies in it stay proxies.
    /// `NoSuchMethod` for other types.
    pub async fn get_value<T: DeserializeOwned>(&self) -> Result<T, RemoteError> {
        self.call_method(GET_VALUE, &()).await.map_err(only_remote)
    }

    /// The object's text, for types with `#[object(display)]`; for others, and if the manager is out of reach, the
    /// text of the proxy. That of a container has those of the objects in it, as far as its proxies allow.
    pub async fn display(&self) -> String {
        let text = self.call_method::<_, String, ()>(DISPLAY, &()).await;
        text.unwrap_or_else(|_| format!("{self:?}"))
    }

    /// The same object with fewer rights: `&self` methods alone. Whoever has only that cannot make it more.
    pub fn read_only(&self) -> Result<Self> {
        self.with(Caveat::ReadOnly)
    }

    /// The same object with fewer rights: the methods of these names alone.
    pub fn only_methods(&self, names: &[&str]) -> Result<Self> {
        self.with(Caveat::Methods(names.iter().map(|name| MethodId::of(name)).collect()))
    }

    /// The same object, usable for so long: from now by the clock of this machine until then by that of the manager's.
    pub fn expires_in(&self, time: Duration) -> Result<Self> {
        self.with(Caveat::expires_in(time))
    }

    /// The same object with the methods of another of its [`interfaces`](Object::interfaces). Asks the manager, once.
    /// `NoSuchType` if the object has no such interface. Dropping the future leaves nothing.
    pub async fn cast<P: ObjectProxy>(&self) -> Result<P, RemoteError> {
        if !P::TYPEID.is_empty() && self.typeid() != P::TYPEID {
            let interfaces: Vec<String> = self.call_method(INTERFACES, &()).await.map_err(only_remote)?;
            if !interfaces.iter().any(|typeid| typeid == P::TYPEID) {
                let why = format!("it is `{}`, and not `{}`", interfaces.join(", "), P::TYPEID);
                return Err(RemoteError::new(RemoteErrorKind::NoSuchType, why).of_manager(self.manager()));
            }
        }
        Ok(P::from_base(self.of_type(P::TYPEID)))
    }

    /// Whether it is known here that the object has this interface.
    pub(crate) fn implements(&self, typeid: &str) -> bool {
        let has = |home: &Home| home.local().cell().interfaces().any(|known| known == typeid);
        self.typeid() == typeid || matches!(&self.0.place, Place::Home(home) if has(home))
    }

    /// The same with the name of another type.
    pub(crate) fn of_type(&self, typeid: &str) -> Self {
        if typeid.is_empty() || self.typeid() == typeid {
            return self.clone();
        }
        self.at_place(Locator { typeid: typeid.into(), ..self.0.locator.clone() })
    }

    fn with(&self, caveat: Caveat) -> Result<Self> {
        let token = self.0.locator.token.with(caveat)?;
        Ok(self.at_place(Locator { token, ..self.0.locator.clone() }))
    }

    fn at_place(&self, locator: Locator) -> Self {
        let place = match &self.0.place {
            Place::Home(home) => Place::Home(home.clone()),
            Place::Away(away) => Place::Away(away.clone()),
            Place::Gone => Place::Gone,
        };
        Self(Arc::new(Inner { locator, place }))
    }

    /// The reference as text, which keeps the object for `ttl` without a holder, at most for as long as the manager
    /// allows. Whoever has the text has the proxy's rights, but not the authkey.
    ///
    /// Serializing the proxy is the same for 60 seconds, without waiting for the manager to say that it is done.
    pub async fn ticket(&self, ttl: Duration) -> Result<Secret, RemoteError> {
        match &self.0.place {
            Place::Home(home) if home.pin(ttl) => {}
            Place::Home(_) => {
                return Err(RemoteError::from(RemoteErrorKind::ShuttingDown).of_manager(self.manager()));
            }
            Place::Away(away) => away.pin_confirmed(&self.0.locator, ttl).await?,
            Place::Gone => return Err(self.gone()),
        }
        Ok(Secret::new(self.0.locator.text()))
    }

    /// Keeps the object for a while: a reference to it leaves this process. No I/O; a manager elsewhere hears of it
    /// before it hears that the proxy was dropped.
    pub(crate) fn pin(&self) {
        match &self.0.place {
            Place::Home(home) => _ = home.pin(TRANSIT),
            Place::Away(away) => away.pin(&self.0.locator, TRANSIT),
            Place::Gone => {}
        }
    }

    /// Has the manager put a copy where `place` leads. `None` at home.
    #[cfg(feature = "store")]
    pub(crate) async fn ask_snapshot(&self, place: Vec<u8>) -> Option<Outcome> {
        match &self.0.place {
            Place::Away(away) => Some(away.snapshot(&self.0.locator, place).await),
            Place::Home(_) | Place::Gone => None,
        }
    }

    async fn listed(&self, method: &Method, args: Encoded) -> Outcome {
        within(method, self.encoded(method.id, method.idempotent, args)).await
    }

    async fn encoded(&self, method: MethodId, idempotent: bool, args: Encoded) -> Outcome {
        match &self.0.place {
            Place::Home(home) => home.call(&self.0.locator.token, method, args).await,
            Place::Away(away) => away.call(&self.0.locator, method, idempotent, args).await,
            Place::Gone => Err(self.gone()),
        }
    }

    fn result<R: DeserializeOwned, E: DeserializeOwned>(&self, answer: Answer) -> Result<R, CallError<E>> {
        match answer {
            Answer::Value(value) => Ok(value.decode()?),
            Answer::App(error) => Err(CallError::App(error.decode()?)),
            Answer::Stream(_) => {
                Err(RemoteError::new(RemoteErrorKind::NoSuchMethod, "it returns a stream, and no value")
                    .into())
            }
        }
    }

    fn gone(&self) -> RemoteError {
        RemoteError::from(RemoteErrorKind::ObjectGone).of_manager(self.manager())
    }

    /// Takes a hold in the background if that is possible here; on first use otherwise.
    fn attach_soon(&self) {
        let (Ok(runtime), Ok(client)) =
            (tokio::runtime::Handle::try_current(), crate::registry::client(&self.0.locator))
        else {
            return;
        };
        let inner = Arc::downgrade(&self.0);
        runtime.spawn(async move {
            let session = client.session().await;
            if let (Ok(session), Some(inner)) = (session, inner.upgrade())
                && let Place::Away(away) = &inner.place
            {
                // Whoever uses the proxy hears of the failure.
                let _ = away.attach(&inner.locator, session).await;
            }
        });
    }
}

/// Waits for a call for as long as the method says, and then no more.
pub(crate) fn within<R>(
    method: &Method,
    call: impl Future<Output = Result<R, RemoteError>>,
) -> impl Future<Output = Result<R, RemoteError>> {
    let Some(timeout) = method.timeout else { return Either::Left(call) };
    Either::Right(tokio::time::timeout(timeout, call).map(move |ended| {
        ended.unwrap_or_else(|_| {
            let why = format!("`{}` took longer than {timeout:?}; it may have run", method.name);
            Err(RemoteError::new(RemoteErrorKind::DeadlineExceeded, why))
        })
    }))
}

/// Of methods without an error of their own.
pub fn only_remote(error: CallError<()>) -> RemoteError {
    match error {
        CallError::Remote(error) => error,
        CallError::App(()) => RemoteErrorKind::Unexpected.into(),
    }
}

impl PartialEq for ProxyBase {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for ProxyBase {}

impl Hash for ProxyBase {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl ProxyBase {
    fn identity(&self) -> (ManagerId, crate::id::Epoch, ObjectId) {
        (self.0.locator.manager, self.0.locator.epoch, self.0.locator.object)
    }
}

/// No network, and no token.
impl fmt::Debug for ProxyBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({:?})", self.0.locator)
    }
}

impl Serialize for ProxyBase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match value::capture(self) {
            Some(number) => Slot(number).serialize(serializer),
            None => {
                self.pin();
                self.0.locator.serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for ProxyBase {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if value::is_decoding() {
            let Slot(number) = Slot::deserialize(deserializer)?;
            return value::captured(number)
                .ok_or_else(|| D::Error::custom("a proxy that did not come along"));
        }
        Locator::deserialize(deserializer).map(Self::at)
    }
}

/// As untyped as can be: any object is of it.
impl ObjectProxy for ProxyBase {
    const TYPEID: &'static str = "";
    const METHODS: &'static [Method] = &[];

    fn from_base(base: ProxyBase) -> Self {
        base
    }

    fn base(&self) -> &ProxyBase {
        self
    }
}
