//! From a key to its target: the cache, the connector, the header, the codec.

use std::any::{TypeId, type_name};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use proxystore_core::{Error, ErrorKind, Key, Mode, Operation, Payload, PutOptions, Result, Transfer};

use crate::cache::{AnyTarget, Flight, Forget, Loaded, Slot};
use crate::envelope::Header;
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
        match self.cached::<T, C>(key)? {
            Ok(target) => self.done(Timer::Get, start, "get", Some(key), Ok(Some(target))),
            Err(slot) => self.load_into::<T, C>(slot, start).await,
        }
    }

    /// The target of a slot that is empty, by one load for all who ask.
    pub(crate) async fn load_into<T, C>(&self, slot: Slot, start: Instant) -> Result<Option<Arc<T>>>
    where
        T: Send + Sync + 'static,
        C: Codec<T>,
    {
        self.recorder().count(Counter::CacheMisses);
        let begun = AtomicBool::new(false);
        let fetch = || {
            begun.store(true, Ordering::Relaxed);
            let (store, key, transfer) = (self.clone(), slot.key.clone(), self.transfer());
            (transfer.clone(), move || async move { store.fetch::<T, C>(&key, &transfer).await })
        };
        let loaded = self.cache().load(&slot, self.timeout(), fetch).await;
        self.recorder().loaded(begun.into_inner());
        self.done(Timer::Get, start, "get", Some(&slot.key), loaded.and_then(Self::downcast))
    }

    /// The target if it is in the cache, or else the slot where it belongs.
    pub(crate) fn cached<T: Send + Sync + 'static, C: Codec<T>>(
        &self,
        key: &Key,
    ) -> Result<Result<Arc<T>, Slot>> {
        self.connector_open()?;
        let slot = Slot { key: key.clone(), type_id: TypeId::of::<T>(), codec: C::ID, waits: false };
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

    async fn fetch<T: Send + Sync + 'static, C: Codec<T>>(&self, key: &Key, transfer: &Transfer) -> Loaded {
        let start = Instant::now();
        let get = self.connector_open()?.get(key);
        let payload = self.limited(Operation::Get, 0, transfer, get).await?;
        let start = self.recorder().time(Timer::GetConnector, start);
        let Some(payload) = payload else { return Ok(None) };
        // Who waits gives it the time to decode them, too.
        transfer.moved(payload.len() as u64);
        self.decode::<T, C>(key, payload, start).await.map(Some)
    }

    /// Starts to take the object out of the store: exactly one of all who try gets it. An object that turns out to be
    /// of another type is put back.
    pub(crate) fn take_alone<T: Send + Sync + 'static, C: Codec<T>>(&self, key: &Key) -> Result<Arc<Flight>> {
        let (store, key, transfer) = (self.clone(), key.clone(), self.transfer());
        Flight::alone(self.cache(), transfer.clone(), move || async move {
            let connector = store.connector_open()?;
            let _forgets = Forget::new(store.cache(), std::slice::from_ref(&key));
            if !connector.info().capabilities.take {
                let found = store.fetch::<T, C>(&key, &transfer).await?;
                // A value in hand is not thrown away because its object stays.
                let _ = store.evict(&key).await;
                return Ok(found);
            }
            let taken = store.limited(Operation::Take, 0, &transfer, connector.take(&key)).await?;
            let Some(payload) = taken else { return Ok(None) };
            transfer.moved(payload.len() as u64);
            match store.decode::<T, C>(&key, payload.clone(), Instant::now()).await {
                Ok(target) => Ok(Some(target)),
                Err(error) => {
                    let options = PutOptions { mode: Mode::Create, ..PutOptions::default() };
                    let sends = payload.len() as u64;
                    let put = connector.put(&key, payload, &options);
                    match store.limited(Operation::Put, sends, &transfer, put).await {
                        Ok(()) => Err(error),
                        Err(lost) => Err(error.with("not_put_back", lost.kind().words())),
                    }
                }
            }
        })
    }

    /// Checks the header and decodes the body. Large ones are decoded where they keep nobody waiting. It began at `start`.
    pub(crate) async fn decode<T, C>(
        &self,
        key: &Key,
        payload: Payload,
        start: Instant,
    ) -> Result<(AnyTarget, u64)>
    where
        T: Send + Sync + 'static,
        C: Codec<T>,
    {
        let length = payload.len().saturating_sub(envelope::HEADER_LEN) as u64;
        self.check_length(length)?;
        let decoded = if rt::is_large(payload.len()) {
            let key = key.clone();
            rt::apart(move || guarded::<T, C>(&key, payload)).await
        } else {
            guarded::<T, C>(key, payload)
        };
        let decoded = decoded?;
        self.recorder().time(Timer::GetDeserialize, start);
        self.recorder().set(Attribute::GetSize, length);
        Ok((Arc::new(decoded), length))
    }
}

/// [`open`], of a type whose decoding may panic.
fn guarded<T, C: Codec<T>>(key: &Key, payload: Payload) -> Result<T> {
    let panicked = |_| Err(Error::new(ErrorKind::Codec, "the type's own decoding panicked"));
    catch_unwind(AssertUnwindSafe(|| open::<T, C>(key, payload))).unwrap_or_else(panicked)
}

/// The value in an object's bytes, if they are of this type and codec.
pub(crate) fn open<T, C: Codec<T>>(key: &Key, payload: Payload) -> Result<T> {
    let (header, body) = envelope::open(key, payload)?;
    check::<T, C>(&header)?;
    C::decode(body)
}

/// Whether a header is that of a `T` of this codec.
pub(crate) fn check<T, C: Codec<T>>(header: &Header) -> Result<()> {
    if header.codec != C::ID {
        return Err(codec_mismatch::<T, C>(header.codec));
    }
    let wanted = C::schema();
    if header.fingerprint != wanted.as_ref().map(|schema| schema.fingerprint()) {
        let difference =
            wanted.and_then(|wanted| schema::difference(&wanted, |f| header.fingerprint == Some(*f)));
        return Err(type_mismatch::<T>(difference));
    }
    Ok(())
}
