//! The borrower's side of borrows that come from other tasks and processes.

use std::fmt;

use proxystore_core::{Key, Mode, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::OnceCell;

use crate::background::pulse::{Pulse, beside};
use crate::grant::Rights;
use crate::owned::hold::{Hold, Manner};
use crate::owned::ticket::{Claimant, Kind, Ticket, Updated, Wire, claim_key, claimed, gone, kept};
use crate::request::Fate;
use crate::{Codec, Postcard, Proxy, Store, Stored};

/// A shared borrow for another task or process, which [`OwnedProxy::lend`](crate::OwnedProxy::lend) gives. It is serde,
/// and any number of copies can be used.
///
/// Decoding one does nothing but check its form. The first use claims the borrow; from then on a sign of life is written
/// in the background, until this is dropped.
pub struct Lent<T, C = Postcard>(Loan<T, C>);

/// A mutable borrow for another task or process, which [`OwnedProxy::lend_mut`](crate::OwnedProxy::lend_mut) gives. It
/// is serde, and one copy can be used: the first one.
///
/// Decoding and using it: as [`Lent`].
pub struct LentMut<T, C = Postcard> {
    loan: Loan<T, C>,
    /// What was updated last.
    updated: Option<Proxy<T, C>>,
}

impl<T, C> Lent<T, C> {
    pub(crate) fn new(proxy: Proxy<T, C>, ticket: Key) -> Self {
        Self(Loan::new(Kind::Lent, proxy, ticket))
    }
}

impl<T, C> Lent<T, C>
where
    T: Send + Sync + 'static,
    C: Codec<T>,
{
    /// The value, fetched now unless it is here already.
    ///
    /// Errors: `Expired` if the borrow had ended before the first use, and those of a [`Proxy`]. Dropping the future
    /// leaves everything as it was; call it again to go on.
    pub async fn resolve_async(&self) -> Result<&T> {
        self.0.resolve().await
    }
}

impl<T, C> LentMut<T, C> {
    pub(crate) fn new(proxy: Proxy<T, C>, ticket: Key) -> Self {
        Self { loan: Loan::new(Kind::LentMut, proxy, ticket), updated: None }
    }
}

impl<T, C> LentMut<T, C>
where
    T: Send + Sync + 'static,
    C: Codec<T>,
{
    /// The value, or what it was updated to, fetched now unless it is here already.
    ///
    /// Errors: `Conflict` if another copy is in use; otherwise, and dropping: as [`Lent::resolve_async`].
    pub async fn resolve_async(&self) -> Result<&T> {
        match &self.updated {
            Some(updated) => updated.resolve_async().await,
            None => self.loan.resolve().await,
        }
    }

    /// Replaces the value, which is the owner's when the task that this was lent to has ended.
    ///
    /// Errors: `Conflict` if another copy is in use; `Expired` if the borrow has ended, and then the owner may have the
    /// new value or not; as [`Store::put`]. After another error, and if the future is dropped, too.
    pub async fn update(&mut self, value: T) -> Result<()> {
        let Used { store, manner, .. } = self.loan.used().await?;
        let ticket = &self.loan.ticket;
        let update = async {
            let (hold, key, length) = store.put_held::<T, C>(&value, manner).await?;
            let record = Updated { object: key.to_string(), length };
            let proxy = store.make_proxy(key, length, Fate::Unresolved)?;
            // From here on the lender may have it.
            hold.release();
            // It stays for longer than the object: the lender is to find out if that is lost.
            store.put_record(&beside(ticket, "new")?, &record, Mode::Overwrite, kept(manner.ttl)).await?;
            if store.exists(ticket).await? { Ok(proxy) } else { Err(gone(Kind::LentMut)) }
        };
        let proxy = update.await.map_err(|error| self.loan.proxy.factory().place(error, "update"))?;
        if let Some(before) = &self.updated {
            store.reap([before.factory().key().clone()]);
        }
        self.updated = Some(proxy);
        Ok(())
    }
}

/// What both have in common.
struct Loan<T, C> {
    kind: Kind,
    proxy: Proxy<T, C>,
    ticket: Key,
    claimant: Claimant,
    used: OnceCell<Used>,
}

/// A borrow that was claimed.
struct Used {
    store: Store,
    manner: Manner,
    /// The sign of life.
    pulse: Option<Pulse>,
}

impl Drop for Used {
    fn drop(&mut self) {
        if let Some(pulse) = self.pulse.take() {
            pulse.withdraw(None);
        }
    }
}

impl<T, C> Loan<T, C> {
    fn new(kind: Kind, proxy: Proxy<T, C>, ticket: Key) -> Self {
        Self { kind, proxy, ticket, claimant: Claimant::default(), used: OnceCell::new() }
    }

    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire::new(self.kind, &self.ticket, self.proxy.factory().reference()).serialize(serializer)
    }

    fn deserialize<'de, D: Deserializer<'de>>(kind: Kind, deserializer: D) -> Result<Self, D::Error> {
        let (ticket, reference) = Wire::decode(kind, deserializer)?;
        Ok(Self::new(kind, Proxy::new(Stored::inert(reference)), ticket))
    }
}

impl<T, C> Loan<T, C>
where
    T: Send + Sync + 'static,
    C: Codec<T>,
{
    async fn resolve(&self) -> Result<&T> {
        self.used().await?;
        self.proxy.resolve_async().await
    }

    /// The borrow, claimed now unless it is already.
    async fn used(&self) -> Result<&Used> {
        let used = self.used.get_or_try_init(|| self.claim()).await;
        used.map_err(|error| self.proxy.factory().place(error, "borrow"))
    }

    async fn claim(&self) -> Result<Used> {
        let stored = self.proxy.factory();
        stored.check::<T>()?;
        // The right to update is the ticket's to give: the object itself is the owner's to evict.
        let store = stored.allowed(Rights::READ).await?;
        let by = self.claimant.id()?;
        let ticket = Ticket::admit(&store, self.kind, &self.ticket, stored.key(), by).await?;
        let manner = ticket.manner(&store);
        if self.kind == Kind::LentMut
            && !store.claim(&claim_key(&self.ticket)?, by, kept(ticket.valid())).await?
        {
            return Err(claimed());
        }
        let key = beside(&self.ticket, "pulse")?;
        // Given up half-way, it would look as if the borrower had died.
        let written = Hold::of(&store, vec![key.clone()]);
        let pulse = Pulse::start(&store, &key, manner.ttl).await?;
        written.release();
        let used = Used { store, manner, pulse: Some(pulse) };
        // The borrow may have ended meanwhile.
        if used.store.exists(&self.ticket).await? { Ok(used) } else { Err(gone(self.kind)) }
    }
}

macro_rules! travels {
    ($Name:ident, |$this:ident| $loan:expr, $make:expr) => {
        impl<T, C> Serialize for $Name<T, C> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $this = self;
                $loan.serialize(serializer)
            }
        }

        impl<'de, T, C> Deserialize<'de> for $Name<T, C> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Loan::deserialize(Kind::$Name, deserializer).map($make)
            }
        }

        impl<T, C> fmt::Debug for $Name<T, C> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $this = self;
                f.debug_tuple(stringify!($Name)).field($loan.proxy.factory()).finish()
            }
        }
    };
}
travels!(Lent, |this| this.0, Lent);
travels!(LentMut, |this| this.loan, |loan| LentMut { loan, updated: None });
