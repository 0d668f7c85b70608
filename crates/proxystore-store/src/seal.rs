//! From a value to its key: the codec, the header, the connector. For the way back see `load`.

use std::iter::once_with;
use std::time::Instant;

use bytes::Bytes;
use proxystore_core::{
    Capabilities, Error, ErrorKind, Id, Key, KeyHint, Operation, Payload, PutOptions, Result,
};

use crate::envelope::{self, Header};
use crate::metrics::{Attribute, Timer};
use crate::request::How;
use crate::schema::Fingerprint;
use crate::{Codec, Store, rt};

impl Store {
    /// The encoded value behind its header, under a fresh key; and the length of the encoded value.
    pub(crate) async fn seal<T, C: Codec<T>>(&self, value: &T, options: &PutOptions) -> Result<Sealed> {
        let start = Instant::now();
        let body = C::encode(value)?;
        self.recorder().time(Timer::PutSerialize, start);
        self.seal_body::<T, C>(body, options).await
    }

    pub(crate) async fn seal_body<T, C: Codec<T>>(
        &self,
        body: Bytes,
        options: &PutOptions,
    ) -> Result<Sealed> {
        let fingerprint = C::schema().map(|schema| schema.fingerprint());
        self.seal_as(C::ID, fingerprint, body, options).await
    }

    /// The same for a value that is encoded already, and known by its codec and its type's fingerprint only.
    pub(crate) async fn seal_as(
        &self,
        codec: u8,
        fingerprint: Option<Fingerprint>,
        body: Bytes,
        options: &PutOptions,
    ) -> Result<Sealed> {
        let hint = KeyHint { size: Some(body.len() as u64), tags: Some(&options.tags) };
        let key = self.connector_open()?.new_key(hint)?;
        self.seal_under(key, codec, fingerprint, body).await
    }

    /// The same under a key that is known already.
    pub(crate) async fn seal_under(
        &self,
        key: Key,
        codec: u8,
        fingerprint: Option<Fingerprint>,
        body: Bytes,
    ) -> Result<Sealed> {
        let length = body.len() as u64;
        self.check_length(length)?;
        let header = Header { codec, fingerprint, nonce: Id::random()? };
        let payload = if rt::is_large(body.len()) {
            let key = key.clone();
            rt::apart(move || Ok(envelope::seal(&header, &key, body))).await?
        } else {
            envelope::seal(&header, &key, body)
        };
        Ok(Sealed { payload, key, length })
    }

    pub(crate) fn check_length(&self, length: u64) -> Result<()> {
        let Capabilities { max_value, .. } = self.connector().info().capabilities;
        let limit =
            self.config().limits.object_bytes.min(max_value.saturating_sub(envelope::HEADER_LEN as u64));
        if length <= limit {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::TooLarge,
            format!("the encoded object has {length} bytes, and the limit is {limit}"),
        )
        .hint("divide the object, or raise `max_object` if the backend takes more"))
    }

    pub(crate) async fn put_sealed(&self, sealed: Sealed, how: &How) -> Result<(Key, u64)> {
        let Sealed { key, payload, length } = sealed;
        let (sends, options) = (payload.len() as u64, how.options(self));
        let put = self.call(Operation::Put, sends, |connector| connector.put(&key, payload, &options));
        self.attached(&key, length, how, put).await?;
        Ok((key, length))
    }

    /// Runs `put`, of an object of this length under this key, which is attached to its lifetime meanwhile.
    pub(crate) async fn attached(
        &self,
        key: &Key,
        length: u64,
        how: &How,
        put: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        let start = Instant::now();
        let attaching = how.attach(self, once_with(|| key.clone()))?;
        put.await.map_err(|error| error.with("key", key))?;
        how.finish(attaching).map_err(|error| error.with("key", key))?;
        self.recorder().time(Timer::PutConnector, start);
        self.recorder().set(Attribute::PutSize, length);
        Ok(())
    }

    pub(crate) async fn put_value<T, C: Codec<T>>(&self, value: &T, how: &How) -> Result<(Key, u64)> {
        let start = Instant::now();
        let result = match self.seal::<T, C>(value, &how.options).await {
            Ok(sealed) => {
                let key = sealed.key.clone();
                in_span!("proxystore.put", self.name(), Some(&key), self.put_sealed(sealed, how))
            }
            Err(error) => Err(error),
        };
        self.done(Timer::Put, start, "put", None, result)
    }
}

/// An encoded value that is ready to be put.
pub(crate) struct Sealed {
    pub(crate) key: Key,
    pub(crate) payload: Payload,
    pub(crate) length: u64,
}
