//! From a key to its target: the cache, the connector, the header, the codec.

use std::any::{TypeId, type_name};
use std::sync::Arc;
use std::time::Instant;

use proxystore_core::{Error, ErrorKind, Key, Mode, Payload, PutOptions, Result};

use crate::cache::{AnyTarget, Flight, Loaded, Slot};
use crate::metrics::{Attribute, Counter, Timer};
use crate::stored::{codec_mismatch, type_mismatch};
use crate::{Codec, Store, envelope, rt, schema};

impl Store {
    /// The target under `key`, from the cache or by one load for all who ask.
    pub(crate) async fn load<T, C>(&self, key: &Key) -> Result<Option<Arc<T>>>
    where
        T: Send + Sync + 'static,
        C: Codec<T>,
    {
        let start = Instant::now();
        let found = match self.cached::<T, C>(key)? {
            Ok(target) => Ok(Some(target)),
            Err(slot) => {
                self.recorder().count(Counter::CacheMisses);
                let (store, key) = (self.clone(), key.clone());
                let fetch = move || {
                    let (store, key) = (store.clone(), key.clone());
                    async move { store.fetch::<T, C>(&key).await }
                };
                self.cache().load(slot, fetch).await.and_then(Self::downcast)
            }
        };
        self.done(Timer::Get, start, "get", Some(key), found)
    }

    /// The target if it is in the cache, or else the slot where it belongs.
    pub(crate) fn cached<T: Send + Sync + 'static, C: Codec<T>>(
        &self,
        key: &Key,
    ) -> Result<Result<Arc<T>, Slot>> {
        self.connector_open()?;
        let slot = Slot { key: key.clone(), type_id: TypeId::of::<T>(), codec: C::ID };
        match self.cache().get(&slot).and_then(|target| target.downcast().ok()) {
            Some(target) => {
                self.recorder().count(Counter::CacheHits);
                Ok(Ok(target))
            }
            None => Ok(Err(slot)),
        }
    }

    pub(crate) fn downcast<T: Send + Sync + 'static>(found: Option<AnyTarget>) -> Result<Option<Arc<T>>> {
        let Some(target) = found else { return Ok(None) };
        let target = target.downcast().map_err(|_| {
            Error::new(
                ErrorKind::Unexpected,
                format!("the cache has another type than `{}`", type_name::<T>()),
            )
        })?;
        Ok(Some(target))
    }

    async fn fetch<T: Send + Sync + 'static, C: Codec<T>>(&self, key: &Key) -> Loaded {
        let start = Instant::now();
        let payload = self.call(self.connector_open()?.get(key)).await?;
        self.recorder().time(Timer::GetConnector, start);
        match payload {
            Some(payload) => self.decode::<T, C>(key, payload).await.map(Some),
            None => Ok(None),
        }
    }

    /// Starts to take the object out of the store: exactly one of all who try gets it. An object that turns out to be
    /// of another type is put back.
    pub(crate) fn take_alone<T: Send + Sync + 'static, C: Codec<T>>(&self, key: &Key) -> Result<Arc<Flight>> {
        self.cache().forget(key);
        let (store, key) = (self.clone(), key.clone());
        Flight::alone(self.cache(), async move {
            let connector = store.connector_open()?;
            if !connector.info().capabilities.take {
                let found = store.fetch::<T, C>(&key).await?;
                store.evict(&key).await?;
                return Ok(found);
            }
            let Some(payload) = store.call(connector.take(&key)).await? else { return Ok(None) };
            match store.decode::<T, C>(&key, payload.clone()).await {
                Ok(target) => Ok(Some(target)),
                Err(error) => {
                    let options = PutOptions { mode: Mode::Create, ..PutOptions::default() };
                    store.call(connector.put(&key, payload, &options)).await?;
                    Err(error)
                }
            }
        })
    }

    /// Checks the header and decodes the body. Large ones are decoded where they keep nobody waiting.
    pub(crate) async fn decode<T, C>(&self, key: &Key, payload: Payload) -> Result<(AnyTarget, u64)>
    where
        T: Send + Sync + 'static,
        C: Codec<T>,
    {
        const LARGE: usize = 1 << 20;
        let start = Instant::now();
        let length = payload.len().saturating_sub(envelope::HEADER_LEN) as u64;
        self.check_length(length)?;
        let decoded = if payload.len() < LARGE {
            open::<T, C>(key, payload)?
        } else {
            let key = key.clone();
            rt::blocking(move || open::<T, C>(&key, payload)).await?
        };
        self.recorder().time(Timer::GetDeserialize, start);
        self.recorder().set(Attribute::GetSize, length);
        Ok((Arc::new(decoded), length))
    }
}

fn open<T, C: Codec<T>>(key: &Key, payload: Payload) -> Result<T> {
    let (header, body) = envelope::open(key, payload)?;
    if header.codec != C::ID {
        return Err(codec_mismatch::<T, C>(header.codec));
    }
    let wanted = C::schema();
    if header.fingerprint != wanted.as_ref().map(|schema| schema.fingerprint()) {
        let difference =
            wanted.and_then(|wanted| schema::difference(&wanted, |f| header.fingerprint == Some(*f)));
        return Err(type_mismatch::<T>(difference));
    }
    C::decode(body)
}
