//! What processes agree by: a lent or handed over object has a ticket in the store, under a random key that travels
//! with the reference. Whoever comes with it is let in for as long as the ticket is there.

use std::sync::OnceLock;
use std::time::Duration;

use proxystore_core::{Error, ErrorKind, Id, Key, KeyHint, Mode, Operation, PutOptions, Result, Tags};
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize};

use crate::background::pulse::{SHORTEST_LEASE, beside};
use crate::envelope::{self, Header};
use crate::load::open;
use crate::owned::hold::Manner;
use crate::reference::Reference;
use crate::{Codec, Format, Postcard, Store};

/// What a ticket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Lent,
    LentMut,
    Handover,
}

/// What stands in the store under the ticket's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ticket {
    pub(crate) kind: Kind,
    /// The key of the object.
    object: String,
    /// How long the ticket itself stays when nobody renews it.
    valid_ms: u64,
    /// How long the object outlives an owner that dies, and a borrow a borrower that does.
    ttl_ms: u64,
    tags: Tags,
}

impl Ticket {
    pub(crate) fn new(kind: Kind, object: &Key, valid: Duration, manner: &Manner) -> Self {
        Self {
            kind,
            object: object.to_string(),
            valid_ms: millis(valid),
            ttl_ms: millis(manner.ttl),
            tags: manner.tags.clone(),
        }
    }

    pub(crate) fn valid(&self) -> Duration {
        Duration::from_millis(self.valid_ms)
    }

    /// How the object's owner keeps it.
    pub(crate) fn manner(&self, store: &Store) -> Manner {
        let ttl = Duration::from_millis(self.ttl_ms).max(SHORTEST_LEASE);
        Manner { ttl, tags: self.tags.clone(), populate: store.config().populate }
    }

    /// Puts it under a fresh key.
    pub(crate) async fn issue(&self, store: &Store, key: &Key) -> Result<()> {
        // What overwrites can be tried again when an answer was lost.
        store.put_record(key, self, Mode::Overwrite, self.valid()).await
    }

    /// The ticket under `key`, if it is one for this use of this object.
    ///
    /// Errors: `Conflict` if another has claimed it and it is gone, `Expired` if it is just gone, `Denied` if it is for
    /// something else.
    pub(crate) async fn admit(store: &Store, kind: Kind, key: &Key, object: &Key, by: Id) -> Result<Self> {
        match store.record::<Self>(key).await? {
            Some(ticket) if ticket.kind == kind && ticket.object == object.as_str() => Ok(ticket),
            Some(_) => Err(Error::new(
                ErrorKind::Denied,
                "the ticket is for another object, or for another use of it",
            )
            .hint("pass on what is lent or handed over as it is")),
            None => match store.record::<Claim>(&claim_key(key)?).await? {
                Some(claim) if claim.by != *by.as_bytes() => Err(claimed()),
                _ => Err(gone(kind)),
            },
        }
    }
}

/// How long a record stays that is to outlive what is renewed every quarter of `ttl`: through many renewals that fail.
pub(crate) fn kept(ttl: Duration) -> Duration {
    ttl.saturating_mul(2).max(Duration::from_secs(600))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The error for a ticket that is not there any more.
pub(crate) fn gone(kind: Kind) -> Error {
    match kind {
        Kind::Handover => Error::new(ErrorKind::Expired, "it was not claimed in time")
            .hint("claim sooner, or let the owner `hand_over_within` a longer time"),
        Kind::Lent | Kind::LentMut => Error::new(ErrorKind::Expired, "the borrow has ended")
            .hint("use what is lent only while the task that it was lent to runs"),
    }
}

/// The error for what another has claimed.
pub(crate) fn claimed() -> Error {
    Error::new(ErrorKind::Conflict, "somebody else has claimed it")
        .hint("only one can have it: send it to one receiver, and decode it once")
}

/// Who was the first.
#[derive(Debug, Serialize, Deserialize)]
struct Claim {
    by: [u8; 16],
}

/// Who claims: so that one who tries again is known.
#[derive(Debug, Default)]
pub(crate) struct Claimant(OnceLock<Id>);

impl Claimant {
    pub(crate) fn id(&self) -> Result<Id> {
        if let Some(id) = self.0.get() {
            return Ok(*id);
        }
        let id = Id::random()?;
        Ok(*self.0.get_or_init(|| id))
    }
}

/// Where the claim of what lies under `key` stands.
pub(crate) fn claim_key(key: &Key) -> Result<Key> {
    beside(key, "claim")
}

/// Where a borrower puts what it has updated.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Updated {
    pub(crate) object: String,
    pub(crate) length: u64,
}

/// Records: small values of our own, each with a key of its own.
impl Store {
    pub(crate) fn fresh_key(&self) -> Result<Key> {
        self.connector_open()?.new_key(KeyHint::default())
    }

    pub(crate) async fn put_record<R>(&self, key: &Key, record: &R, mode: Mode, ttl: Duration) -> Result<()>
    where
        R: Serialize + DeserializeOwned + 'static,
    {
        let fingerprint = <Postcard as Codec<R>>::schema().map(|schema| schema.fingerprint());
        let header = Header { codec: Postcard::ID, fingerprint, nonce: Id::random()? };
        let payload = envelope::seal(&header, key, Postcard::encode(record)?);
        let options = PutOptions { mode, ttl: self.ttl(ttl), ..PutOptions::default() };
        let sends = payload.len() as u64;
        self.call(Operation::Put, sends, |connector| connector.put(key, payload, &options)).await
    }

    pub(crate) async fn record<R>(&self, key: &Key) -> Result<Option<R>>
    where
        R: Serialize + DeserializeOwned + 'static,
    {
        let payload = self.call(Operation::Get, 0, |connector| connector.get(key)).await?;
        let record = payload.map(|payload| open::<R, Postcard>(key, payload)).transpose();
        record.map_err(|error| match error.kind() {
            // Of what stands there instead, nothing is told.
            ErrorKind::Codec | ErrorKind::TypeMismatch => {
                Error::new(ErrorKind::Corrupt, "what stands beside the object was written by somebody else")
                    .hint("pass on what is lent or handed over as it is")
            }
            _ => error,
        })
    }

    /// Claims under `key`: of all who try, in any processes, the first one is told `true`, each time it asks.
    pub(crate) async fn claim(&self, key: &Key, by: Id, ttl: Duration) -> Result<bool> {
        let claim = Claim { by: *by.as_bytes() };
        match self.put_record(key, &claim, Mode::Create, ttl).await {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::Exists | ErrorKind::Ambiguous) => {
                match self.record::<Claim>(key).await? {
                    Some(claim) => Ok(claim.by == *by.as_bytes()),
                    None if error.kind() == ErrorKind::Exists => Ok(false),
                    None => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// `Unsupported` unless the backend can do what borrowing and owning take between processes.
    pub(crate) fn needs_claims(&self) -> Result<()> {
        let capabilities = self.connector().info().capabilities;
        if capabilities.ttl && capabilities.create {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unsupported,
            "this backend has no expiry, or cannot create a key just once",
        )
        .hint("lending, handing over and `into_owned` take both: choose another connector"))
    }
}

/// What travels: a reference to the object, and the key of the ticket. Inert, as references are.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wire<R> {
    #[serde(deserialize_with = "version")]
    proxystore: u8,
    kind: Kind,
    ticket: Key,
    reference: R,
}

const VERSION: u8 = 1;

fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    match u8::deserialize(deserializer)? {
        VERSION => Ok(VERSION),
        _ => Err(de::Error::custom("it was written by a newer version of proxystore")),
    }
}

impl<'a> Wire<&'a Reference> {
    pub(crate) fn new(kind: Kind, ticket: &Key, reference: &'a Reference) -> Self {
        Self { proxystore: VERSION, kind, ticket: ticket.clone(), reference }
    }
}

impl Wire<Reference> {
    /// Decodes one of this kind: the ticket's key, and the reference.
    pub(crate) fn decode<'de, D: Deserializer<'de>>(
        wanted: Kind,
        deserializer: D,
    ) -> Result<(Key, Reference), D::Error> {
        let Self { kind, ticket, reference, .. } = Self::deserialize(deserializer)?;
        if kind != wanted {
            return Err(de::Error::custom(format_args!("it is {kind:?}, not {wanted:?}")));
        }
        if reference.ephemeral {
            return Err(de::Error::custom("what has an owner is not ephemeral"));
        }
        Ok((ticket, reference))
    }
}

#[cfg(test)]
mod tests;
