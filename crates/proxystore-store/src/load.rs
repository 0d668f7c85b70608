//! From a key to its target: the cache, the connector, the header, the codec.

use std::any::{TypeId, type_name};
use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::FutureExt;
use proxystore_core::{Error, ErrorKind, Key, Mode, Operation, Payload, PutOptions, Result, Transfer};

use crate::cache::{Answered, AnyTarget, Asked, Flight, Forget, Loaded, Slot};
use crate::envelope::Header;
use crate::metrics::{Attribute, Counter, Timer};
use crate::stored::{codec_mismatch, type_mismatch};
use crate::{Codec, Store, envelope, rt, schema};

/// A get of what is not there at once.
pub(crate) struct Waiting {
    slot: Slot,
    start: Instant,
    asked: Asked,
}

impl Store {
    /// The target under `key`, from the cache or by one load for all who ask.
    pub(crate) async fn load<T, C>(&self, key: &Key) -> Result<Option<Arc<T>>>
    where
        T: Send + Sync + 'static,
        C: Codec<T>,
    {
        match poll_fn(|context| Poll::Ready(self.at_once::<T, C>(key, context))).await {
            Ok(found) => found,
            Err(waiting) => self.landed::<T, C>(waiting).boxed().await,
        }
    }

    /// The target under `key` if it is there at once, which costs no wait and no memory for one.
    pub(crate) fn at_once<T, C>(
        &self,
        key: &Key,
        context: &mut Context<'_>,
    ) -> Result<Result<Option<Arc<T>>>, Waiting>
    where
        T: Send + Sync + 'static,
        C: Codec<T>,
    {
        let start = Instant::now();
        let found = match self.cached::<T, C>(key) {
            Ok(Ok(target)) => Ok(Some(target)),
            Ok(Err(slot)) => match self.ask::<T, C>(&slot, start, context) {
                Ok(Err(asked)) => return Err(Waiting { slot, start, asked }),
                Ok(Ok(found)) => Self::downcast(found),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        Ok(self.done(Timer::Get, start, "get", Some(key), found))
    }

    /// What was not there at once, in this same turn.
    pub(crate) async fn landed<T, C>(&self, waiting: Waiting) -> Result<Option<Arc<T>>>
    where
        T: Send + Sync + 'static,
        C: Codec<T>,
    {
        let Waiting { slot, start, asked } = waiting;
        let again = |context: &mut Context<'_>| self.ask::<T, C>(&slot, Instant::now(), context);
        let loaded = self.cache().landed(asked, self.timeout(), again).await;
        self.done(Timer::Get, start, "get", Some(&slot.key), loaded.and_then(Self::downcast))
    }

    /// Asks at `start` for the target of a slot that is empty: one load for all who ask.
    fn ask<T, C>(&self, slot: &Slot, start: Instant, context: &mut Context<'_>) -> Answered
    where
        T: Send + Sync + 'static,
        C: Codec<T>,
    {
        let begun = Cell::new(false);
        let load = || {
            begun.set(true);
            let (store, key, transfer) = (self.clone(), slot.key.clone(), self.transfer());
            (transfer.clone(), move || async move { store.fetch::<T, C>(&key, &transfer, start).await })
        };
        let answered = self.cache().ask(slot, &load, context);
        self.recorder().loaded(begun.get());
        answered
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
            None => {
                self.recorder().count(Counter::CacheMisses);
                Ok(Err(slot))
            }
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

    /// The object as it is in the backend now. It was asked for at `start`.
    async fn fetch<T: Send + Sync + 'static, C: Codec<T>>(
        &self,
        key: &Key,
        transfer: &Transfer,
        start: Instant,
    ) -> Loaded {
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
                let found = store.fetch::<T, C>(&key, &transfer, Instant::now()).await?;
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
