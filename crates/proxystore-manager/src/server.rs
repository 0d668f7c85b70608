//! The manager's side: objects, their names, the sessions of clients.

use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use proxystore_core::Result;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::address::Address;
use crate::auth::AuthKey;
use crate::context::Context;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::handshake::SessionId;
use crate::id::{Epoch, ManagerId, MethodId, ObjectId};
use crate::limits::Limits;
use crate::locator::{Locator, MAX_TYPEID};
use crate::mac;
use crate::object::{Answer, Call, Created, Interface, Object, ObjectProxy, Outcome};
use crate::proxy::{INTERFACES, ProxyBase};
use crate::store::Offload;
use crate::token::{Mint, Token};
use crate::value::Encoded;

mod calls;
mod cell;
mod connection;
mod cursor;
mod inspect;
pub(crate) mod listener;
mod panics;
mod session;
mod table;

pub(crate) use cell::{Cell, Guard, begin};
pub(crate) use connection::serve;
pub use inspect::{Inspected, MethodInfo};
pub(crate) use panics::{caught, watch as watch_panics};
pub(crate) use session::{Session, Step};
pub use table::ObjectInfo;
pub(crate) use table::{Local, Table};

/// The longest name of an object, in bytes.
pub(crate) const MAX_NAME: usize = 256;

/// What a manager knows of a type.
#[derive(Clone, Copy)]
pub(crate) struct Type {
    pub(crate) typeid: &'static str,
    create: fn(Call) -> BoxFuture<'static, Result<Created<Cell>, RemoteError>>,
}

impl Type {
    pub(crate) fn of<T: Object>() -> Self {
        let create = |call| {
            let created = T::Proxy::create(call);
            async move { Ok(created.await?.map(Cell::new)) }.boxed()
        };
        Self { typeid: T::Proxy::TYPEID, create }
    }
}

/// One start of a manager, and everything in it.
pub(crate) struct Space {
    pub(crate) id: ManagerId,
    pub(crate) epoch: Epoch,
    pub(crate) key: AuthKey,
    pub(crate) limits: Limits,
    pub(crate) table: Arc<Table>,
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the manager stops accepting.
    pub(crate) stopping: CancellationToken,
    /// Where large results go.
    pub(crate) offload: Option<Offload>,
    /// Whether clients are told what panics say.
    pub(crate) reveals: bool,
    mint: Mint,
    types: HashMap<&'static str, Type>,
    addresses: RwLock<Arc<[Address]>>,
    names: Mutex<HashMap<String, ProxyBase>>,
    sessions: Mutex<HashMap<SessionId, Arc<Session>>>,
}

/// What a manager has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// Objects that are alive.
    pub objects: usize,
    /// Published names.
    pub names: usize,
    /// Clients with a lease.
    pub sessions: usize,
}

impl Space {
    pub(crate) fn new(
        id: ManagerId,
        key: AuthKey,
        types: HashMap<&'static str, Type>,
        limits: Limits,
        offload: Option<Offload>,
        reveals: bool,
    ) -> Result<Arc<Self>> {
        let epoch = Epoch(u64::from_be_bytes(mac::random()?));
        let space = Arc::new(Self {
            id,
            epoch,
            key,
            table: Arc::new(Table::new(limits.max_objects)),
            limits,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            offload,
            reveals,
            mint: Mint::new(epoch)?,
            types,
            addresses: RwLock::new(Arc::new([])),
            names: Mutex::default(),
            sessions: Mutex::default(),
        });
        crate::registry::add_home(&space);
        tokio::spawn(sweep(Arc::downgrade(&space), space.limits.lease, space.stopping.clone()));
        Ok(space)
    }

    pub(crate) fn addresses(&self) -> Arc<[Address]> {
        self.addresses.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn add_address(&self, address: Address) {
        let mut addresses = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
        *addresses = addresses.iter().cloned().chain([address]).collect();
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, ProxyBase>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an object.
    pub(crate) fn host<T: Object>(self: &Arc<Self>, object: T) -> Result<T::Proxy, RemoteError> {
        Ok(T::Proxy::from_base(self.host_cell(Cell::new(object))?))
    }

    fn host_cell(self: &Arc<Self>, cell: Cell) -> Result<ProxyBase, RemoteError> {
        let local = self.table.insert(cell).map_err(|error| error.of_manager(self.id))?;
        let token = self.mint.token(local.object());
        Ok(ProxyBase::home(self.clone(), local, token))
    }

    /// The object, if the token is one for it. A wrong token and an object that is gone give the same answer.
    pub(crate) fn open(self: &Arc<Self>, object: ObjectId, token: &Token) -> Result<ProxyBase, RemoteError> {
        let known = self.mint.verify(object, token) && !token.expired();
        let local = known.then(|| self.table.local(object)).flatten();
        let local =
            local.ok_or_else(|| RemoteError::from(RemoteErrorKind::ObjectGone).of_manager(self.id))?;
        Ok(ProxyBase::home(self.clone(), local, token.clone()))
    }

    /// The same as one of the interface `typeid`, if it has that.
    pub(crate) fn open_as(
        self: &Arc<Self>,
        object: ObjectId,
        token: &Token,
        typeid: &str,
    ) -> Result<ProxyBase, RemoteError> {
        let proxy = self.open(object, token)?;
        Ok(if proxy.implements(typeid) { proxy.of_type(typeid) } else { proxy })
    }

    pub(crate) fn locator(&self, local: &Local, token: Token) -> Locator {
        Locator {
            manager: self.id,
            epoch: self.epoch,
            addresses: self.addresses(),
            object: local.object(),
            typeid: local.cell().typeid.into(),
            token,
        }
    }

    /// Calls a method; its turn is taken now.
    pub(crate) fn call(
        self: &Arc<Self>,
        object: ObjectId,
        token: &Token,
        method: MethodId,
        args: Encoded,
        context: Context,
        cancel: CancellationToken,
    ) -> Result<BoxFuture<'static, Outcome>, RemoteError> {
        let gone = || RemoteError::from(RemoteErrorKind::ObjectGone);
        if !self.mint.verify(object, token) || token.expired() {
            return Err(gone());
        }
        let local = self.table.local(object).ok_or_else(gone)?;
        let cell = local.cell().clone();
        if method == const { MethodId::of(INTERFACES) } {
            let interfaces = Encoded::new(&cell.interfaces().collect::<Vec<_>>());
            return Ok(ready(interfaces.map(Answer::Value)).boxed());
        }
        let method = cell.method(method).ok_or(RemoteErrorKind::NoSuchMethod)?;
        if !token.allows(method) {
            return Err(RemoteErrorKind::PermissionDenied.into());
        }
        let call = Call { method: method.id, args, context };
        Ok(begin(local, method, cancel, |guard| cell::dispatch(guard, call))?.boxed())
    }

    /// Makes an object.
    pub(crate) async fn create(
        self: &Arc<Self>,
        typeid: &str,
        ctor: MethodId,
        args: Encoded,
        context: Context,
        cancel: CancellationToken,
    ) -> Outcome {
        let types = &self.types;
        let Some(Type { create, .. }) = types.get(typeid) else {
            let name = if typeid.len() <= MAX_TYPEID { typeid } else { "type of so long a name" };
            let why = format!("there is no `{name}` in this manager; register it where the manager is built");
            return Err(RemoteError::new(RemoteErrorKind::NoSuchType, why));
        };
        let call = Call { method: ctor, args, context };
        let made = AssertUnwindSafe(async { create(call).await }).catch_unwind();
        let made = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(RemoteErrorKind::Cancelled.into()),
            made = made => made.unwrap_or_else(|panic| Err(panics::caught(&*panic)))?,
        };
        match made {
            Ok(cell) => Ok(Answer::Value(Encoded::new(&self.host_cell(cell)?)?)),
            Err(error) => Ok(Answer::App(error)),
        }
    }

    /// The object of this name; if there is none, a new one gets it. When two ask at once, both may make one, and
    /// both get the same.
    pub(crate) async fn get_or_create(
        self: &Arc<Self>,
        name: String,
        typeid: &str,
        ctor: MethodId,
        args: Encoded,
        context: Context,
        cancel: CancellationToken,
    ) -> Outcome {
        if let Ok(known) = self.lookup(&name) {
            return Encoded::new(&known).map(Answer::Value);
        }
        let answer = self.create(typeid, ctor, args, context, cancel).await?;
        let Answer::Value(made) = &answer else { return Ok(answer) };
        loop {
            match self.publish(name.clone(), made.decode()?) {
                // Unless the name is free again by now.
                Err(error) if error.kind() == RemoteErrorKind::NameTaken => {
                    if let Ok(known) = self.lookup(&name) {
                        return Encoded::new(&known).map(Answer::Value);
                    }
                }
                published => return published.map(|()| answer),
            }
        }
    }

    pub(crate) fn lookup(&self, name: &str) -> Result<ProxyBase, RemoteError> {
        let found = self.names().get(name).cloned();
        found.ok_or_else(|| RemoteError::from(RemoteErrorKind::NoSuchName).of_manager(self.id))
    }

    pub(crate) fn publish(&self, name: String, proxy: ProxyBase) -> Result<(), RemoteError> {
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(RemoteError::new(RemoteErrorKind::BadArguments, "a name has 1 to 256 bytes"));
        }
        if self.stopping.is_cancelled() {
            return Err(RemoteErrorKind::ShuttingDown.into());
        }
        let mut names = self.names();
        if names.len() >= self.limits.max_names {
            return Err(RemoteError::new(RemoteErrorKind::Overloaded, "it has as many names as it may"));
        }
        if names.contains_key(&name) {
            return Err(RemoteError::from(RemoteErrorKind::NameTaken).of_manager(self.id));
        }
        names.insert(name, proxy);
        Ok(())
    }

    /// Whether there was such a name.
    pub(crate) fn unpublish(&self, name: &str) -> bool {
        let removed = self.names().remove(name);
        removed.is_some()
    }

    pub(crate) fn pin(
        self: &Arc<Self>,
        object: ObjectId,
        token: &Token,
        ttl: Duration,
    ) -> Result<(), RemoteError> {
        let _alive = self.open(object, token)?;
        self.table.pin(object, Instant::now() + ttl.min(self.limits.max_pin));
        Ok(())
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats { objects: self.table.len(), names: self.names().len(), sessions: self.sessions().len() }
    }

    /// A fresh session of a client with these features. `Overloaded` if there are too many.
    pub(crate) fn open_session(self: &Arc<Self>, features: u32) -> Result<Arc<Session>, RemoteError> {
        let id = SessionId(
            mac::random().map_err(|e| RemoteError::new(RemoteErrorKind::Unexpected, e.to_string()))?,
        );
        let mut sessions = self.sessions();
        if self.stopping.is_cancelled() {
            return Err(RemoteErrorKind::ShuttingDown.into());
        }
        if sessions.len() >= self.limits.max_sessions {
            return Err(RemoteError::new(RemoteErrorKind::Overloaded, "it has as many sessions as it may"));
        }
        let session = Arc::new(Session::new(id, self.clone(), features));
        sessions.insert(id, session.clone());
        Ok(session)
    }

    pub(crate) fn find_session(&self, id: &SessionId) -> Option<Arc<Session>> {
        self.sessions().get(id).cloned()
    }

    pub(crate) fn end_session(&self, id: &SessionId) {
        let session = self.sessions().remove(id);
        if let Some(session) = session {
            session.end();
        }
    }

    /// Ends the sessions whose clients were not heard of for a lease, and takes off pins that have run out.
    fn expire(&self) {
        let silent =
            |(id, session): (&SessionId, &Arc<Session>)| session.is_silent(self.limits.lease).then_some(*id);
        let silent: Vec<_> = self.sessions().iter().filter_map(silent).collect();
        silent.iter().for_each(|id| self.end_session(id));
        self.table.sweep(Instant::now());
    }

    /// No new sessions, names or connections; calls that run have the grace time. See [`Space::shut_down`].
    pub(crate) fn begin_shutdown(&self) {
        self.stopping.cancel();
    }

    /// Waits up to the grace time for calls, then ends everything that is left.
    pub(crate) async fn shut_down(&self) {
        self.begin_shutdown();
        self.tasks.close();
        // What is not done by then is ended below.
        let _ = tokio::time::timeout(self.limits.grace, self.tasks.wait()).await;
        self.close();
    }

    /// Drops sessions, names and objects.
    pub(crate) fn close(&self) {
        self.begin_shutdown();
        let sessions: Vec<_> = self.sessions().drain().map(|(_, session)| session).collect();
        sessions.iter().for_each(|session| session.end());
        let names = std::mem::take(&mut *self.names());
        drop(names);
        self.table.close();
    }
}

/// Looks after leases and pins until the manager stops, and sees that it does.
async fn sweep(space: std::sync::Weak<Space>, lease: Duration, stopping: CancellationToken) {
    let period = (lease / 8).clamp(Duration::from_millis(10), Duration::from_millis(500));
    loop {
        let before = Instant::now();
        tokio::select! {
            () = stopping.cancelled() => break,
            () = tokio::time::sleep(period) => {}
        }
        let Some(space) = space.upgrade() else { return };
        // Who was stopped or starved has heard of nobody: what clients said meanwhile is still to be read.
        if before.elapsed() > period + lease / 4 {
            space.sessions().values().for_each(|session| session.heard.mark());
        }
        space.expire();
    }
    // A client that asked for the end hears first that it begins.
    tokio::time::sleep(period).await;
    let Some(space) = space.upgrade() else { return };
    space.shut_down().await;
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").field("id", &self.id).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
