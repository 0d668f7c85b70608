//! An owner on its way to another process.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proxystore_core::{Error, ErrorKind, Key, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::background::pulse::{SHORTEST_LEASE, beside};
use crate::grant::Rights;
use crate::owned::hold::Hold;
use crate::owned::ticket::{Claimant, Kind, Ticket, Wire, claim_key, claimed, gone};
use crate::{Codec, OwnedProxy, Postcard, Proxy, Stored};

/// How long an object waits for its new owner.
const TRANSIT: Duration = Duration::from_secs(600);

/// An object without an owner, on its way to a new one: made by [`OwnedProxy::hand_over`], sent anywhere, and
/// [`claim`](Self::claim)ed there. Of all copies exactly one can be claimed. What nobody claims in time expires.
///
/// Decoding one does nothing but check its form, and dropping one does nothing at all.
///
/// ```
/// # use proxystore_store::{Handover, Store};
/// # use proxystore_core::ErrorKind;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
/// # let connector = proxystore_local::LocalConnector::named("handed over");
/// # let store = Store::builder("handed-over").connector(connector).register().build().await?;
/// let owned = store.owned_proxy(vec![1, 2, 3]).await?;
/// let handover = owned.hand_over().await.map_err(|kept| kept.error)?;
/// let letter = serde_json::to_string(&handover).unwrap();
///
/// let received: Handover<Vec<i32>> = serde_json::from_str(&letter).unwrap();
/// let owned = received.claim().await?;
/// assert_eq!(owned.resolve_async().await?, &[1, 2, 3]);
///
/// let copy: Handover<Vec<i32>> = serde_json::from_str(&letter).unwrap();
/// assert_eq!(copy.claim().await.unwrap_err().kind(), ErrorKind::Conflict);
/// # Ok(()) }
/// ```
#[must_use = "what nobody claims expires"]
pub struct Handover<T, C = Postcard> {
    stored: Box<Stored<C>>,
    ticket: Key,
    claimant: Claimant,
    claimed: AtomicBool,
    target: PhantomData<fn() -> T>,
}

/// Why an owner could not be handed over, and the owner, who has the object still.
pub struct NotHandedOver<T, C = Postcard> {
    /// The owner, as it was.
    pub owner: Box<OwnedProxy<T, C>>,
    /// Why.
    pub error: Error,
}

impl<T, C> OwnedProxy<T, C> {
    /// Gives the object away, to whoever is the first to [`claim`](Handover::claim) it. It waits for ten minutes, and
    /// expires then.
    ///
    /// Errors: `Unsupported` where the backend has no expiry or no atomic create, `Expired` if the object is gone,
    /// `Conflict` if a borrow was leaked, and whatever the backend reports; all of them give the owner back. Dropping
    /// the future drops the owner, which evicts the object.
    pub async fn hand_over(self) -> Result<Handover<T, C>, NotHandedOver<T, C>> {
        self.hand_over_within(TRANSIT).await
    }

    /// The same, with the time that it waits.
    pub async fn hand_over_within(
        mut self,
        transit: Duration,
    ) -> Result<Handover<T, C>, NotHandedOver<T, C>> {
        match self.depart(transit).await {
            Ok(ticket) => {
                let stored = Stored::of(self.proxy.factory().reference().clone(), self.hold.store.clone());
                self.hold.release();
                Ok(Handover::of(stored, ticket))
            }
            Err(error) => {
                let error = self.place(error, "hand_over");
                Err(NotHandedOver { owner: Box::new(self), error })
            }
        }
    }

    /// Lets the object wait for its new owner, and gives the key of its ticket.
    async fn depart(&mut self, transit: Duration) -> Result<Key> {
        self.check_alone("hand_over")?;
        let store = &self.hold.store;
        store.needs_claims()?;
        if transit < SHORTEST_LEASE {
            return Err(Error::new(
                ErrorKind::Config,
                format!("{transit:?} is too short to hand anything over"),
            )
            .hint(format!("take at least {SHORTEST_LEASE:?}")));
        }
        let ticket = store.fresh_key()?;
        let issued = Hold::of(store, vec![ticket.clone()]);
        Ticket::new(Kind::Handover, self.key(), transit, &self.manner).issue(store, &ticket).await?;
        self.hold.stop().await;
        let departed = match self.hold.touch(transit).await {
            Ok(true) => {
                issued.release();
                return Ok(ticket);
            }
            Ok(false) => Err(Error::new(ErrorKind::Expired, "the object is gone")),
            Err(error) => Err(error),
        };
        // It may wait for a shorter time than its owner gives it. If this fails, too, the renewals try again.
        let _ = self.hold.touch(self.manner.ttl).await;
        self.hold.renew(self.manner.ttl)?;
        departed
    }
}

impl<T, C> Handover<T, C> {
    fn of(stored: Stored<C>, ticket: Key) -> Self {
        let (claimant, claimed) = (Claimant::default(), AtomicBool::new(false));
        Self { stored: Box::new(stored), ticket, claimant, claimed, target: PhantomData }
    }

    /// The key of the object.
    pub fn key(&self) -> &Key {
        self.stored.key()
    }
}

impl<T, C> Handover<T, C>
where
    T: Send + Sync + 'static,
    C: Codec<T>,
{
    /// Takes the object: from now on its owner is here. The sender may claim its own copy back.
    ///
    /// Errors: `Conflict` if it was claimed already, by this or any other copy; `Expired` if that was too long ago;
    /// those of [`Stored::store`], and at a store that signs `Denied` unless the reference gives all rights. If the
    /// backend fails, or the future is dropped, this copy, and no other, can be claimed again as long as there is time.
    pub async fn claim(&self) -> Result<OwnedProxy<T, C>> {
        let key = self.key();
        let claim = async {
            if self.claimed.load(Ordering::Acquire) {
                return Err(claimed());
            }
            self.stored.check::<T>()?;
            let store = self.stored.allowed(Rights::ALL).await?;
            let by = self.claimant.id()?;
            let ticket = Ticket::admit(&store, Kind::Handover, &self.ticket, key, by).await?;
            // The claim outlives the ticket.
            if !store.claim(&claim_key(&self.ticket)?, by, ticket.valid()).await? {
                return Err(claimed());
            }
            let manner = ticket.manner(&store);
            if !store.exists(&self.ticket).await? || !store.touch(key, manner.ttl).await? {
                return Err(gone(Kind::Handover));
            }
            let mut keys = vec![key.clone()];
            if let Ok(mark) = beside(key, "owner")
                && store.touch(&mark, manner.ttl).await?
            {
                keys.push(mark);
            }
            if self.claimed.swap(true, Ordering::AcqRel) {
                return Err(claimed());
            }
            let hold = Hold::of(&store, keys);
            store.reap([self.ticket.clone()]);
            let proxy = Proxy::new(Stored::of(self.stored.reference().clone(), store));
            OwnedProxy::of(proxy, hold, manner)
        };
        claim.await.map_err(|error| self.stored.place(error, "claim"))
    }
}

impl<T, C> Serialize for Handover<T, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire::new(Kind::Handover, &self.ticket, self.stored.reference()).serialize(serializer)
    }
}

impl<'de, T, C> Deserialize<'de> for Handover<T, C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (ticket, reference) = Wire::decode(Kind::Handover, deserializer)?;
        Ok(Self::of(Stored::inert(reference), ticket))
    }
}

impl<T, C> fmt::Debug for Handover<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handover").field(&self.stored).finish()
    }
}

impl<T, C> fmt::Debug for NotHandedOver<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T, C> fmt::Display for NotHandedOver<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T, C> std::error::Error for NotHandedOver<T, C> {}
