//! Where live objects and stores meet: copies of objects in a store, and large results that go through one.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use proxystore_core::{Error, ErrorKind, Factory, Key, Result, async_trait};
use proxystore_store::{Codec, Format, MsgPack, Proxy, Raw, Store, Stored};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::builder::Builder;
use crate::context::Context;
use crate::error::{RemoteError, RemoteErrorKind};
use crate::frame::{Payload, Reply};
use crate::object::{Answer, Outcome};
use crate::proxy::{GET_VALUE, ProxyBase};
use crate::value::Encoded;

/// What a client says of itself: it fetches results from where they lie.
pub(crate) const FEATURES: u32 = FETCHES;
const FETCHES: u32 = 1;

/// MessagePack that is encoded already.
struct Packed;

impl Format for Packed {
    const ID: u8 = MsgPack::ID;
    const NAME: &'static str = MsgPack::NAME;
}

impl Codec<Encoded> for Packed {
    fn encode(value: &Encoded) -> Result<Bytes> {
        Ok(value.bytes.clone())
    }

    fn decode(bytes: Bytes) -> Result<Encoded> {
        Ok(Encoded { bytes, proxies: Vec::new() })
    }
}

/// A proxy whose target is a copy of a live object, made when somebody resolves it.
pub type LazyProxy<T> = proxystore_core::Proxy<T, Live>;

/// The factory of a [`LazyProxy`]: asks the manager for a copy. A serde value, as the proxy that it is made of.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Live(ProxyBase);

#[async_trait]
impl<T: DeserializeOwned + Send + Sync + 'static> Factory<T> for Live {
    async fn resolve_async(&self) -> Result<Arc<T>> {
        Ok(Arc::new(self.0.get_value().await?))
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Live({:?})", self.0)
    }
}

impl ProxyBase {
    /// A proxy of a store's kind, whose target is a copy of the object as it is when the proxy is resolved: for types
    /// with `#[object(value)]`. It does no I/O until then, and keeps the object alive as this proxy does.
    pub fn lazy<T>(&self) -> LazyProxy<T> {
        LazyProxy::new(Live(self.clone()))
    }

    /// Puts a copy of the object into `store`, for types with `#[object(value)]`: the manager writes it, so that the
    /// bytes do not come along here. The proxy resolves without the manager.
    ///
    /// Errors: `Denied` if the manager's process does not trust the store or knows no stores (feature `store`),
    /// `Unsupported` if the type gives no value, `Codec` if the value holds live proxies, which a store cannot keep alive, and what the
    /// store reports. Dropping the future may leave the copy in the store.
    pub async fn snapshot_into<T>(&self, store: &Store) -> Result<Proxy<T, MsgPack>>
    where
        T: Serialize + DeserializeOwned + 'static,
    {
        // Says where the store is; there is nothing under this key.
        let place = store.proxy_from_key::<Bytes, Raw>(Key::parse("snapshot")?);
        let place = postcard::to_allocvec(place.factory())
            .map_err(|_| Error::new(ErrorKind::Codec, "a reference to a store does not encode"))?;
        let key = match self.ask_snapshot(place).await {
            Some(outcome) => value(outcome?)?.decode::<String>()?.parse()?,
            None => keep(&value(self.call_encoded(GET_VALUE, Encoded::new(&())?).await?)?, store).await?,
        };
        Ok(store.proxy_from_key(key))
    }
}

fn value(answer: Answer) -> Result<Encoded, RemoteError> {
    match answer {
        Answer::Value(value) => Ok(value),
        Answer::App(_) | Answer::Stream(_) => Err(RemoteErrorKind::Unexpected.into()),
    }
}

async fn keep(value: &Encoded, store: &Store) -> Result<Key> {
    if !value.proxies.is_empty() {
        return Err(Error::new(ErrorKind::Codec, "the value holds proxies of live objects")
            .hint("a store cannot keep them alive: put what they mean instead"));
    }
    store.put(value).codec::<Packed>().await
}

/// At the manager: puts a copy where a client says, and tells the key.
pub(crate) async fn snapshot(
    copy: impl Future<Output = Outcome>,
    place: Vec<u8>,
    context: Context,
) -> Result<Encoded, RemoteError> {
    let place: Stored<Raw> = postcard::from_bytes(&place)
        .map_err(|_| RemoteError::new(RemoteErrorKind::BadArguments, "not a reference to a store"))?;
    let store = place.store().await.map_err(failed)?;
    let key = keep(&value(copy.await?)?, &store).await.map_err(failed)?;
    evict_unless_wanted(&store, &key, &context);
    Encoded::new(key.as_str())
}

fn evict_unless_wanted(store: &Store, key: &Key, context: &Context) {
    let (store, key, runtime) = (store.clone(), key.clone(), tokio::runtime::Handle::current());
    context.on_discard(move || {
        // What cannot be evicted stays until its time is over.
        runtime.spawn(async move { store.evict(&key).await });
    });
}

fn failed(error: Error) -> RemoteError {
    let kind = match error.kind() {
        ErrorKind::Denied | ErrorKind::Unregistered | ErrorKind::StoreMismatch | ErrorKind::Unsupported => {
            RemoteErrorKind::DialRefused
        }
        ErrorKind::Codec => RemoteErrorKind::Encode,
        ErrorKind::TooLarge => RemoteErrorKind::TooLarge,
        _ => RemoteErrorKind::Unexpected,
    };
    RemoteError::new(kind, error.to_string())
}

impl Builder {
    /// Results above so many bytes go to clients through `store`, and not through the manager's connection: methods and
    /// those who call them see no difference. Clients have the feature `store`, and have opened that store or trust it;
    /// a client without the feature gets its results as usual. Results with live proxies in them go as usual, too.
    ///
    /// What nobody has fetched expires after twice the lease, where the store lets objects expire. If the store is out of
    /// order, results go as usual.
    #[must_use]
    pub fn offload_above(mut self, bytes: usize, store: &Store) -> Self {
        self.offload = Some(Offload { store: store.clone(), above: bytes });
        self
    }
}

/// Where large results go.
#[derive(Clone)]
pub(crate) struct Offload {
    store: Store,
    above: usize,
}

impl Offload {
    /// Whether this result is one of them, for a client with these features.
    pub(crate) fn takes(&self, value: &Encoded, features: u32) -> bool {
        features & FETCHES != 0 && value.bytes.len() > self.above && value.proxies.is_empty()
    }

    /// A reference to the result, which lies in the store until it is fetched. `None` if it cannot be put there.
    pub(crate) async fn put(
        &self,
        value: Encoded,
        context: &Context,
        ttl: std::time::Duration,
    ) -> Option<Vec<u8>> {
        let request = self.store.proxy(value).codec::<Packed>().ephemeral();
        let expires = self.store.connector().info().capabilities.ttl;
        let put = if expires { request.ttl(ttl).await } else { request.await };
        let reference = put.and_then(|proxy| {
            evict_unless_wanted(&self.store, proxy.factory().key(), context);
            postcard::to_allocvec(proxy.factory()).map_err(|e| Error::new(ErrorKind::Codec, e.to_string()))
        });
        let warn = |error: &Error| tracing::warn!(%error, "a large result goes over the connection");
        reference.inspect_err(warn).ok()
    }
}

/// At the client: a result that lies in a store.
pub(crate) async fn fetch(reply: Reply) -> Result<Reply, RemoteError> {
    let Reply::Offloaded(reference) = reply else { return Ok(reply) };
    let lost =
        |why: String| RemoteError::new(RemoteErrorKind::Encode, format!("the result is in a store: {why}"));
    let stored: Stored<Packed> =
        postcard::from_bytes(&reference).map_err(|_| lost("the reference does not decode".into()))?;
    // Who has asked may be gone before it is here; the object is to be gone, too.
    let fetching = tokio::spawn(async move { stored.resolve_async().await });
    let fetched = fetching.await.map_err(|_| lost("the runtime is shutting down".into()))?;
    let value: Arc<Encoded> = fetched.map_err(|error| lost(error.to_string()))?;
    Ok(Reply::Value(Payload { bytes: value.bytes.clone(), capabilities: Vec::new() }))
}
