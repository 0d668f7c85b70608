//! A proxy away from its manager: a session's hold, taken when it is needed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;

use crate::client::{Client, Pulls, Session};
use crate::error::{RemoteError, RemoteErrorKind};
use crate::frame::{Ask, Capability, Item, Payload, Reply};
use crate::id::MethodId;
use crate::locator::Locator;
use crate::object::{Answer, Outcome};
use crate::proxy::ProxyBase;
use crate::store;
use crate::value::Encoded;
use crate::wire;

/// How a proxy reaches its manager. Clones share the hold.
#[derive(Clone)]
pub(crate) struct Away {
    /// The client that it came from, if it came by a call.
    client: Option<Arc<Client>>,
    held: Arc<Mutex<Option<Held>>>,
}

/// One hold of one session.
struct Held {
    session: Arc<Session>,
    object: crate::id::ObjectId,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.session.say(Item::Release { object: self.object, count: 1 });
    }
}

impl Away {
    pub(crate) fn detached() -> Self {
        Self { client: None, held: Arc::default() }
    }

    fn held(&self) -> Option<Arc<Session>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|held| !held.session.is_over()).map(|held| held.session.clone())
    }

    /// A session that holds the object.
    async fn session(&self, locator: &Locator) -> Result<Arc<Session>, RemoteError> {
        if let Some(session) = self.held() {
            return Ok(session);
        }
        let client = match &self.client {
            Some(client) => client.clone(),
            None => crate::registry::client(locator)?,
        };
        let session = client.session().await?;
        self.attach(locator, session.clone()).await?;
        Ok(session)
    }

    /// Takes a hold. Dropping the future leaves none.
    pub(crate) async fn attach(&self, locator: &Locator, session: Arc<Session>) -> Result<(), RemoteError> {
        if self.held().is_some() {
            return Ok(());
        }
        if session.epoch() != locator.epoch || session.manager() != locator.manager {
            return Err(RemoteError::from(RemoteErrorKind::ManagerRestarted).of_manager(locator.manager));
        }
        let ask = Ask::Attach { object: locator.object, token: locator.token.clone() };
        match session.ask(ask).await? {
            Reply::Value(_) => {}
            Reply::Remote(error) => return Err(error),
            _ => return Err(strange()),
        }
        let fresh = Held { session, object: locator.object };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // If another task was faster, one of the two holds is given back here, outside of the lock.
        let _other = match &*held {
            Some(known) if !known.session.is_over() => Some(fresh),
            _ => held.replace(fresh),
        };
        drop(held);
        Ok(())
    }

    pub(crate) async fn call(
        &self,
        locator: &Locator,
        method: MethodId,
        idempotent: bool,
        args: Encoded,
    ) -> Outcome {
        let first = self.call_once(locator, method, &args).await;
        match first {
            Err(error) if again(&error, idempotent) => self.call_once(locator, method, &args).await,
            result => result,
        }
    }

    async fn call_once(&self, locator: &Locator, method: MethodId, args: &Encoded) -> Outcome {
        let session = self.session(locator).await?;
        let args = send(&session, args)?;
        let ask = Ask::Method { object: locator.object, token: locator.token.clone(), method, args };
        let reply = store::fetch(session.ask(ask).await?).await?;
        outcome(self.client.as_ref(), &session, locator, reply)
    }

    /// Has a copy put into the store that `place` leads to.
    #[cfg(feature = "store")]
    pub(crate) async fn snapshot(&self, locator: &Locator, place: Vec<u8>) -> Outcome {
        let session = self.session(locator).await?;
        let ask = Ask::Snapshot { object: locator.object, token: locator.token.clone(), place };
        outcome(self.client.as_ref(), &session, locator, session.ask(ask).await?)
    }

    /// The object stays for a while. If there is no session yet, whoever sent the reference here sees to that.
    pub(crate) fn pin(&self, locator: &Locator, ttl: Duration) {
        if let Some(session) = self.held() {
            let millis = ttl.as_millis() as u64;
            session.say(Item::Pin { object: locator.object, token: locator.token.clone(), millis });
        }
    }

    pub(crate) async fn pin_confirmed(&self, locator: &Locator, ttl: Duration) -> Result<(), RemoteError> {
        let session = self.session(locator).await?;
        let millis = ttl.as_millis() as u64;
        let ask = Ask::Pin { object: locator.object, token: locator.token.clone(), millis };
        match session.ask(ask).await? {
            Reply::Value(_) => Ok(()),
            Reply::Remote(error) => Err(error),
            _ => Err(strange()),
        }
    }
}

/// Whether a second attempt is safe and may go better.
fn again(error: &RemoteError, idempotent: bool) -> bool {
    match error.kind() {
        RemoteErrorKind::SessionExpired | RemoteErrorKind::ConnectionLost => true,
        RemoteErrorKind::MayHaveRun => idempotent,
        _ => false,
    }
}

/// Arguments on their way out. The caller keeps `args` until the reply is there.
pub(crate) fn send(session: &Session, args: &Encoded) -> Result<Payload, RemoteError> {
    let own = |locator: &Locator| locator.manager == session.manager() && locator.epoch == session.epoch();
    let (size, max) = (args.bytes.len(), session.max_frame());
    let weight = |proxy: &ProxyBase| proxy.locator().weight(own(proxy.locator()));
    if !wire::fits(size, args.proxies.iter().map(weight).sum(), max) {
        let count = args.proxies.len();
        let why = format!("arguments of {size} bytes and {count} proxies, and the manager takes {max} bytes");
        return Err(RemoteError::new(RemoteErrorKind::TooLarge, why));
    }
    let capability = |proxy: &ProxyBase| {
        let locator = proxy.locator();
        if own(locator) {
            let typeid = locator.typeid.to_string();
            return Capability::Here { object: locator.object, typeid, token: locator.token.clone() };
        }
        proxy.pin();
        Capability::There(locator.clone())
    };
    Ok(Payload { bytes: args.bytes.clone(), capabilities: args.proxies.iter().map(capability).collect() })
}

/// A reply that came in. Its references hold their objects from now on.
pub(crate) fn outcome(
    client: Option<&Arc<Client>>,
    session: &Arc<Session>,
    near: &Locator,
    reply: Reply,
) -> Outcome {
    match reply {
        Reply::Value(payload) => Ok(Answer::Value(receive(client, session, near, payload))),
        Reply::App(payload) => Ok(Answer::App(receive(client, session, near, payload))),
        Reply::Remote(error) => Err(error),
        Reply::Stream(stream) => {
            let (client, near) = (client.cloned(), near.clone());
            let read = {
                let session = session.clone();
                move |reply| batch(client.as_ref(), &session, &near, reply)
            };
            Ok(Answer::Stream(Pulls::new(session.clone(), stream, Arc::new(read)).boxed()))
        }
        Reply::Seen(_) | Reply::Batch { .. } | Reply::Offloaded(_) => Err(strange()),
    }
}

/// Items of a stream that came in.
fn batch(
    client: Option<&Arc<Client>>,
    session: &Arc<Session>,
    near: &Locator,
    reply: Reply,
) -> Result<(Vec<Encoded>, bool), RemoteError> {
    let (sizes, payload, last) = match reply {
        Reply::Batch { items, payload, last } => (items, payload, last),
        Reply::Remote(error) => return Err(error),
        _ => return Err(strange()),
    };
    // All of it first: what the sizes leave out is given back.
    let Encoded { mut bytes, proxies } = receive(client, session, near, payload);
    let mut proxies = proxies.into_iter();
    let mut items = Vec::with_capacity(sizes.len());
    for (size, count) in sizes {
        if size as usize > bytes.len() || count as usize > proxies.len() {
            return Err(strange());
        }
        let bytes = bytes.split_to(size as usize);
        items.push(Encoded { bytes, proxies: proxies.by_ref().take(count as usize).collect() });
    }
    Ok((items, last))
}

fn receive(
    client: Option<&Arc<Client>>,
    session: &Arc<Session>,
    near: &Locator,
    payload: Payload,
) -> Encoded {
    let proxy = |capability| match capability {
        Capability::There(locator) => ProxyBase::at(locator),
        Capability::Here { object, typeid, token } => {
            let held = Held { session: session.clone(), object };
            let locator = Locator { object, typeid: typeid.into(), token, ..near.clone() };
            ProxyBase::away(locator, Away { client: client.cloned(), held: Arc::new(Mutex::new(Some(held))) })
        }
    };
    Encoded { bytes: payload.bytes, proxies: payload.capabilities.into_iter().map(proxy).collect() }
}

fn strange() -> RemoteError {
    RemoteError::new(RemoteErrorKind::Unexpected, "the manager answers something else than what was asked")
}
