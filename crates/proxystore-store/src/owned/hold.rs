//! What keeps an object for its owner, and evicts it when that is gone.

use std::time::Duration;

use bytes::Bytes;
use proxystore_core::{Error, ErrorKind, Key, PutOptions, Result, Tags};

use crate::background::heartbeat::{Beat, Renewal, Term};
use crate::background::pulse::SHORTEST_LEASE;
use crate::request::How;
use crate::{Codec, Evictions, Store};

/// How an owner keeps its object.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    pub(crate) ttl: Duration,
    pub(crate) tags: Tags,
    pub(crate) populate: bool,
}

impl Manner {
    pub(crate) fn how(&self, store: &Store) -> How {
        let options =
            PutOptions { ttl: store.ttl(self.ttl), tags: self.tags.clone(), ..PutOptions::default() };
        How { options, lifetime: None }
    }
}

/// Objects that are evicted when this is dropped, unless it is released.
pub(crate) struct Hold {
    pub(crate) store: Store,
    /// The object comes first.
    keys: Vec<Key>,
    beats: Vec<Beat>,
}

impl Hold {
    pub(crate) fn of(store: &Store, keys: Vec<Key>) -> Self {
        Self { store: store.clone(), keys, beats: Vec::new() }
    }

    /// Renews them from now on, where there is anything to renew.
    pub(crate) fn renew(&mut self, ttl: Duration) -> Result<()> {
        if self.store.expires() {
            let term = Term::new(ttl, None);
            let beats = self.keys.iter().map(|key| Beat::start(&self.store, key, &term, Renewal::Touch));
            self.beats = beats.collect::<Result<_>>()?;
        }
        Ok(())
    }

    /// Renews them no more. When this returns, no renewal is under way.
    pub(crate) async fn stop(&mut self) {
        for beat in &self.beats {
            beat.stop().await;
        }
        self.beats.clear();
    }

    /// Gives them all this time, from now on. `false` if the object is gone.
    pub(crate) async fn touch(&self, ttl: Duration) -> Result<bool> {
        let mut there = true;
        for (i, key) in self.keys.iter().enumerate() {
            there &= self.store.touch(key, ttl).await? || i > 0;
        }
        Ok(there)
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.beats.first().is_some_and(Beat::is_lost)
    }

    /// Evicts them now, and says what came of the object.
    pub(crate) fn evict(mut self) -> impl Future<Output = Evictions> + Send {
        let mut object = std::mem::take(&mut self.keys);
        let records = object.split_off(object.len().min(1));
        let evicted = self.store.reap_now(object);
        self.store.reap(records);
        evicted
    }

    /// Leaves them to others.
    pub(crate) fn release(mut self) {
        self.keys.clear();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.store.reap(std::mem::take(&mut self.keys));
    }
}

impl Store {
    /// Puts a value for an owner: what holds it, without renewing it, and the length of the encoded value.
    pub(crate) async fn put_held<T, C: Codec<T>>(
        &self,
        value: &T,
        manner: &Manner,
    ) -> Result<(Hold, Key, u64)> {
        let body = C::encode(value).map_err(|error| self.place(error, "put", None))?;
        self.put_body_held::<T, C>(body, manner).await
    }

    /// The same with a value that is encoded already.
    pub(crate) async fn put_body_held<T, C: Codec<T>>(
        &self,
        body: Bytes,
        manner: &Manner,
    ) -> Result<(Hold, Key, u64)> {
        let put = async {
            if manner.ttl < SHORTEST_LEASE {
                return Err(Error::new(ErrorKind::Config, format!("a ttl of {:?} is too short", manner.ttl))
                    .hint(format!("take at least {SHORTEST_LEASE:?}")));
            }
            let how = manner.how(self);
            let sealed = self.seal_body::<T, C>(body, &how.options).await?;
            // Before the put: so nothing is left when that is given up half-way.
            let hold = Hold::of(self, vec![sealed.key.clone()]);
            let (key, length) = self.put_sealed(sealed, &how).await?;
            Ok((hold, key, length))
        };
        put.await.map_err(|error| self.place(error, "put", None))
    }
}
