//! A manager, as those who run one and those who connect to one hold it.

mod inspect;

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use proxystore_core::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

use crate::address::Address;
use crate::auth::AuthKey;
use crate::away;
use crate::builder::Builder;
use crate::child::Process;
use crate::client::{Client, Dialer, Stream, dialer};
use crate::error::{CallError, RemoteError, RemoteErrorKind};
use crate::frame::{Ask, Payload};
use crate::home::Home;
use crate::id::{ManagerId, Method, ObjectId};
use crate::locator::Locator;
use crate::object::{Answer, Object, ObjectProxy, Outcome};
use crate::proxy::ProxyBase;
use crate::registry;
use crate::server::{MAX_NAME, ObjectInfo, Space, Stats, serve};
use crate::store;
use crate::token::Mint;
use crate::value::Encoded;

/// Objects shared between processes: at home in the process that runs it, or reached from another.
///
/// Clones are the same manager. When the last one in the process that runs it is dropped, the manager ends at once;
/// [`shutdown`](Self::shutdown) lets calls finish.
#[derive(Clone)]
pub struct Manager(Place);

#[derive(Clone)]
enum Place {
    Home(Arc<Running>),
    Away(Arc<Client>),
    /// In a process that ends with this.
    Child(Arc<Client>, Arc<Process>),
}

/// Ends the manager with its last handle.
struct Running(Arc<Space>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Manager {
    /// Begins a manager. Say what clients may create, then where it runs.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Connects to a manager at `address`: `unix:/path`, `tls://<manager>@host:port` with its id, or
    /// `tcp+insecure://127.0.0.1:port`, as [`addresses`](Self::addresses) has it. It is known to this process from then on: proxies of it that come in by
    /// any way use this connection.
    pub async fn connect(address: &str, key: AuthKey) -> Result<Self> {
        let address: Address = address.parse()?;
        let manager = address.manager();
        let addresses: Arc<[Address]> = Arc::new([address]);
        Self::dial(dialer(addresses.clone(), manager), addresses, key, manager).await
    }

    /// Connects over what `open` returns: a stream to the manager each time, also after a break.
    pub async fn connect_over<S, F>(
        open: impl Fn() -> F + Send + Sync + 'static,
        key: AuthKey,
    ) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = std::io::Result<S>> + Send + 'static,
    {
        let dialer: Dialer = Arc::new(move || {
            let opening = open();
            async move {
                let lost = |error: std::io::Error| {
                    RemoteError::new(RemoteErrorKind::ConnectionLost, error.to_string())
                };
                opening.await.map(|io| Stream { io: Box::new(io), channel: Vec::new() }).map_err(lost)
            }
            .boxed()
        });
        Self::dial(dialer, Arc::new([]), key, None).await
    }

    pub(crate) async fn connect_child(address: &str, key: AuthKey, process: Arc<Process>) -> Result<Self> {
        match Self::connect(address, key).await?.0 {
            Place::Away(client) => Ok(Self(Place::Child(client, process))),
            place => Ok(Self(place)),
        }
    }

    pub(crate) fn of(space: Arc<Space>) -> Self {
        Self(Place::Home(Arc::new(Running(space))))
    }

    async fn dial(
        dialer: Dialer,
        addresses: Arc<[Address]>,
        key: AuthKey,
        expected: Option<ManagerId>,
    ) -> Result<Self> {
        let client = Client::new(dialer, addresses, key.clone(), expected);
        let session = client.session().await?;
        registry::add_client(session.manager(), key, &client);
        Ok(Self(Place::Away(client)))
    }

    /// Serves one client on `stream`, such as one end of `tokio::io::duplex`. `Unsupported` where the manager is
    /// not at home.
    pub fn serve_stream<S>(&self, stream: S) -> Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let space = self.home()?.clone();
        // The caller decides how many streams there are.
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned();
        let permit = permit.map_err(|_| Error::new(ErrorKind::Unexpected, "a fresh semaphore is empty"))?;
        tokio::spawn(async move { serve(space, stream, &[], permit).await });
        Ok(())
    }

    pub(crate) fn home(&self) -> Result<&Arc<Space>> {
        match &self.0 {
            Place::Home(running) => Ok(&running.0),
            Place::Away(_) | Place::Child(..) => {
                Err(Error::new(ErrorKind::Unsupported, "this manager runs in another process")
                    .hint("do this in the process that built it"))
            }
        }
    }

    /// Who it is. A client that is not connected connects first.
    pub async fn id(&self) -> Result<ManagerId, RemoteError> {
        match &self.0 {
            Place::Home(running) => Ok(running.0.id),
            Place::Away(client) | Place::Child(client, _) => Ok(client.session().await?.manager()),
        }
    }

    /// Where it listens, for those to connect who have the key. `Unsupported` where it is not at home.
    pub fn addresses(&self) -> Result<Vec<Address>> {
        Ok(self.home()?.addresses().to_vec())
    }

    /// The secret that its clients need. `Unsupported` where it is not at home.
    pub fn authkey(&self) -> Result<AuthKey> {
        Ok(self.home()?.key.clone())
    }

    /// Makes `object` one that proxies reach. `Unsupported` where the manager is not at home: objects move by being
    /// created there.
    pub fn host<T: Object>(&self, object: T) -> Result<T::Proxy> {
        Ok(self.home()?.host(object)?)
    }

    /// The objects that are alive. `Unsupported` where the manager is not at home.
    pub fn objects(&self) -> Result<Vec<ObjectInfo>> {
        Ok(self.home()?.table.list(None, usize::MAX))
    }

    /// Makes an object by a constructor of its type: what the generated `create` functions call.
    pub async fn create<P, A, E>(&self, ctor: &Method, args: &A) -> Result<P, CallError<E>>
    where
        P: ObjectProxy,
        A: Serialize + ?Sized + Sync,
        E: DeserializeOwned,
    {
        let args = Encoded::new(args)?;
        let made = match &self.0 {
            Place::Home(running) => Home::create(&running.0, P::TYPEID, ctor.id, args).await?,
            Place::Away(client) | Place::Child(client, _) => {
                self.ask(client, &args, |args| Ask::Create { typeid: P::TYPEID.into(), ctor: ctor.id, args })
                    .await?
            }
        };
        proxy(made)
    }

    /// The object of this name; if there is none, one is made and gets the name. When several ask at once,
    /// constructors may run in vain, and all get the same object.
    pub async fn get_or_create<P, A, E>(&self, name: &str, ctor: &Method, args: &A) -> Result<P, CallError<E>>
    where
        P: ObjectProxy,
        A: Serialize + ?Sized + Sync,
        E: DeserializeOwned,
    {
        let args = Encoded::new(args)?;
        let made = match &self.0 {
            Place::Home(running) => Home::get_or_create(&running.0, name, P::TYPEID, ctor.id, args).await?,
            Place::Away(client) | Place::Child(client, _) => {
                let ask = |args| Ask::GetOrCreate {
                    name: name.into(),
                    typeid: P::TYPEID.into(),
                    ctor: ctor.id,
                    args,
                };
                self.ask(client, &args, ask).await?
            }
        };
        proxy(made)
    }

    /// The object of this name. `NoSuchName` if there is none, `NoSuchType` if none of its interfaces is this one.
    pub async fn lookup<P: ObjectProxy>(&self, name: &str) -> Result<P, RemoteError> {
        let base = match &self.0 {
            Place::Home(running) => running.0.lookup(name)?,
            Place::Away(client) | Place::Child(client, _) => {
                self.value(client, Ask::Lookup { name: name.into() }).await?
            }
        };
        base.cast().await
    }

    /// Gives an object of this manager a name, which keeps it alive. `NameTaken` if another has it.
    pub async fn publish<P: ObjectProxy>(&self, name: &str, proxy: &P) -> Result<(), RemoteError> {
        let locator = proxy.base().locator();
        if locator.manager != self.id().await? {
            return Err(RemoteError::new(
                RemoteErrorKind::BadArguments,
                "the object is one of another manager",
            ));
        }
        match &self.0 {
            Place::Home(running) => {
                running.0.publish(name.into(), running.0.open(locator.object, &locator.token)?)
            }
            Place::Away(client) | Place::Child(client, _) => {
                let (object, token) = (locator.object, locator.token.clone());
                self.value(client, Ask::Publish { name: name.into(), object, token }).await
            }
        }
    }

    /// Takes a name away. Whether there was one.
    pub async fn unpublish(&self, name: &str) -> Result<bool, RemoteError> {
        match &self.0 {
            Place::Home(running) => Ok(running.0.unpublish(name)),
            Place::Away(client) | Place::Child(client, _) => {
                self.value(client, Ask::Unpublish { name: name.into() }).await
            }
        }
    }

    /// What it has.
    pub async fn stats(&self) -> Result<Stats, RemoteError> {
        match &self.0 {
            Place::Home(running) => Ok(running.0.stats()),
            Place::Away(client) | Place::Child(client, _) => self.value(client, Ask::Stats).await,
        }
    }

    /// Ends the manager: it accepts nothing new, calls that run have the grace time, then everything is dropped.
    /// From a client, this returns when the manager has begun, from the parent of its process when that has ended.
    /// Dropping the future does not stop the end.
    pub async fn shutdown(&self) -> Result<(), RemoteError> {
        match &self.0 {
            Place::Home(running) => running.0.shut_down().await,
            Place::Away(client) => self.value(client, Ask::Shutdown).await?,
            Place::Child(client, process) => {
                let asked: Result<(), _> = self.value(client, Ask::Shutdown).await;
                process.end().await;
                asked?;
            }
        }
        Ok(())
    }

    /// Ends the session of this client, and waits for the manager to hear of it: all that this process holds there is
    /// given back at once. A program that is about to end calls it; without, the manager waits for the lease. Who uses
    /// a proxy afterwards opens another session. Does nothing where the manager is at home.
    ///
    /// A manager that is out of reach is waited for two seconds. Dropping the future does not stop the end.
    pub async fn disconnect(&self) {
        if let Place::Away(client) | Place::Child(client, _) = &self.0 {
            client.end().await;
        }
    }

    /// Waits until somebody shuts the manager down, and then for the end of that. `Unsupported` where it is not at
    /// home.
    pub async fn wait(&self) -> Result<()> {
        let space = self.home()?;
        space.stopping.cancelled().await;
        space.shut_down().await;
        Ok(())
    }

    async fn value<T: DeserializeOwned>(&self, client: &Arc<Client>, ask: Ask) -> Result<T, RemoteError> {
        match self.ask(client, &Encoded::default(), |_| ask).await? {
            Answer::Value(value) => value.decode(),
            _ => Err(RemoteErrorKind::Unexpected.into()),
        }
    }

    async fn ask(&self, client: &Arc<Client>, args: &Encoded, ask: impl FnOnce(Payload) -> Ask) -> Outcome {
        let session = client.session().await?;
        let ask = ask(away::send(&session, args)?);
        if ask.name().is_some_and(|name| name.len() > MAX_NAME) {
            return Err(RemoteError::new(RemoteErrorKind::BadArguments, "a name has 1 to 256 bytes"));
        }
        let near = Locator {
            manager: session.manager(),
            epoch: session.epoch(),
            addresses: client.addresses(),
            object: ObjectId(0),
            typeid: "".into(),
            token: Mint::none(),
        };
        let reply = store::fetch(session.ask(ask).await?).await?;
        away::outcome(Some(client), &session, &near, reply)
    }
}

/// What came of making an object.
fn proxy<P: ObjectProxy, E: DeserializeOwned>(made: Answer) -> Result<P, CallError<E>> {
    match made {
        Answer::Value(value) => Ok(typed(value.decode()?)?),
        Answer::App(error) => Err(CallError::App(error.decode()?)),
        Answer::Stream(_) => Err(RemoteError::from(RemoteErrorKind::Unexpected).into()),
    }
}

/// The proxy with the methods of `P`, if the object is of its type.
pub(crate) fn typed<P: ObjectProxy>(base: ProxyBase) -> Result<P, RemoteError> {
    if P::TYPEID.is_empty() || base.implements(P::TYPEID) {
        return Ok(P::from_base(base.of_type(P::TYPEID)));
    }
    let why = format!("it is a `{}`, not a `{}`", base.typeid(), P::TYPEID);
    Err(RemoteError::new(RemoteErrorKind::NoSuchType, why).of_manager(base.manager()))
}

/// A typed proxy, for generated code. An object of another type is an error.
pub fn deserialize<'de, P: ObjectProxy, D: Deserializer<'de>>(deserializer: D) -> Result<P, D::Error> {
    typed(ProxyBase::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Home(running) => write!(f, "Manager({:?})", running.0),
            Place::Away(client) | Place::Child(client, _) => write!(f, "Manager({client:?})"),
        }
    }
}
