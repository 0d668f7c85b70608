//! The lender's side of borrows that go to other tasks and processes.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use proxystore_core::{Error, ErrorKind, Key, Result};
use tokio::time::sleep;

use crate::background::heartbeat::{Beat, Renewal, Term};
use crate::background::pulse::{Life, Watcher, beside};
use crate::owned::hold::Hold;
use crate::owned::ticket::{Kind, Ticket, Updated, claim_key, kept};
use crate::request::Fate;
use crate::{Codec, Lent, LentMut, OwnedProxy, Proxy, Store};

impl<T, C> OwnedProxy<T, C>
where
    T: Send + Sync + 'static,
    C: Codec<T>,
{
    /// Lends the object to a task, here or in any other process, until the task ends: the counterpart of Python
    /// ProxyStore's `submit`. What the task gets is serde and bound to no scope; as long as it has it, the compiler
    /// lets nobody update the object.
    ///
    /// The borrow is leased: it ends when the task does, when this future is dropped, and when a borrower that has
    /// begun to use it is silent for longer than the owner's ttl; then the task is dropped, too.
    ///
    /// Errors: `Expired` if the borrower was lost, `Unsupported` where the backend has no expiry or no atomic create,
    /// and whatever the backend reports before the task begins. Dropping the future drops the task.
    ///
    /// ```
    /// # use proxystore_store::{Lent, Store};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
    /// # let connector = proxystore_local::LocalConnector::named("lent out");
    /// # let store = Store::builder("lent-out").connector(connector).register().build().await?;
    /// /// Somewhere else: gets a text, gives a number.
    /// async fn worker(message: String) -> proxystore_core::Result<i32> {
    ///     let numbers: Lent<Vec<i32>> = serde_json::from_str(&message).unwrap();
    ///     Ok(numbers.resolve_async().await?.iter().sum())
    /// }
    ///
    /// let owned = store.owned_proxy(vec![1, 2, 3]).await?;
    /// let sum = owned.lend(|lent| worker(serde_json::to_string(&lent).unwrap())).await??;
    /// assert_eq!(sum, 6);
    /// # Ok(()) }
    /// ```
    pub async fn lend<R, F>(&self, task: impl FnOnce(Lent<T, C>) -> F) -> Result<R>
    where
        F: Future<Output = R>,
    {
        self.check("lend")?;
        let _counted = Counted::shared(&self.lends).ok_or_else(|| self.lent_out("lend"))?;
        let lend = async {
            let mut lending = Lending::begin(self, Kind::Lent).await?;
            let lent = Lent::new(self.readable()?, lending.ticket.clone());
            lending.during(task(lent)).await
        };
        lend.await.map_err(|error| self.place(error, "lend"))
    }

    /// Lends the object to a task that may update it: see [`lend`](Self::lend). One process only can use it: the first
    /// one that does. When the task has ended, what it has updated last is this owner's value.
    ///
    /// Errors: as [`lend`](Self::lend). The owner has what was updated last, also when the borrower was lost; when the
    /// backend fails at the end, it has the value that it had before. If the future is dropped, too.
    pub async fn lend_mut<R, F>(&mut self, task: impl FnOnce(LentMut<T, C>) -> F) -> Result<R>
    where
        F: Future<Output = R>,
    {
        self.check("lend_mut")?;
        let lend = async {
            let _counted = Counted::alone(&self.lends).ok_or_else(|| self.lent_out("lend_mut"))?;
            let mut lending = Lending::begin(self, Kind::LentMut).await?;
            let lent = LentMut::new(self.readable()?, lending.ticket.clone());
            let result = lending.during(task(lent)).await;
            Ok((result, lending.end().await?))
        };
        let (result, updated) = lend.await.map_err(|error| self.place(error, "lend_mut"))?;
        if let Some(Adopted { hold, key, length }) = updated {
            self.proxy = self.hold.store.make_proxy(key, length, Fate::Unresolved)?;
            // What it held before is evicted.
            self.hold = hold;
        }
        result.map_err(|error| self.place(error, "lend_mut"))
    }

    /// A proxy to be lent that gives no right to evict, as far as the store knows of rights.
    fn readable(&self) -> Result<Proxy<T, C>> {
        #[cfg(feature = "sign")]
        if self.proxy.factory().reference().grant.is_some() {
            return self.proxy.factory().limited(crate::Rights::READ, None).map(Proxy::new);
        }
        Ok(self.proxy.clone())
    }
}

/// A borrow that counts in its owner.
struct Counted<'a>(&'a AtomicIsize, isize);

impl<'a> Counted<'a> {
    fn shared(lends: &'a AtomicIsize) -> Option<Self> {
        let more = |lends: isize| (lends >= 0).then_some(lends + 1);
        lends.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok().map(|_| Self(lends, 1))
    }

    fn alone(lends: &'a AtomicIsize) -> Option<Self> {
        lends.compare_exchange(0, -1, Ordering::AcqRel, Ordering::Acquire).ok().map(|_| Self(lends, -1))
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::AcqRel);
    }
}

/// A value that a borrower has put, and the owner is to have.
struct Adopted {
    hold: Hold,
    key: Key,
    length: u64,
}

/// A borrow as its lender sees it.
struct Lending {
    store: Store,
    kind: Kind,
    ttl: Duration,
    ticket: Key,
    pulse: Key,
    new: Key,
    claim: Key,
    /// Renews the ticket.
    beat: Beat,
    watcher: Watcher,
    adopted: Option<Adopted>,
    /// Evicts the ticket and what stands beside it.
    _records: Hold,
}

impl Lending {
    async fn begin<T, C>(owner: &OwnedProxy<T, C>, kind: Kind) -> Result<Self> {
        let store = owner.hold.store.clone();
        store.needs_claims()?;
        let ttl = owner.manner.ttl;
        let ticket = store.fresh_key()?;
        let (pulse, new, claim) = (beside(&ticket, "pulse")?, beside(&ticket, "new")?, claim_key(&ticket)?);
        let mut records = vec![ticket.clone(), pulse.clone()];
        if kind == Kind::LentMut {
            records.extend([new.clone(), claim.clone()]);
        }
        let records = Hold::of(&store, records);
        Ticket::new(kind, owner.key(), ttl, &owner.manner).issue(&store, &ticket).await?;
        let beat = Beat::start(&store, &ticket, &Term::new(ttl, None), Renewal::Touch)?;
        let watcher = Watcher::default();
        let adopted = None;
        Ok(Self { store, kind, ttl, ticket, pulse, new, claim, beat, watcher, adopted, _records: records })
    }

    /// Runs the task for as long as its borrower lives.
    async fn during<R>(&mut self, task: impl Future<Output = R>) -> Result<R> {
        match select(pin!(task), pin!(self.lost())).await {
            Either::Left((result, _)) => Ok(result),
            Either::Right((error, _)) => Err(error),
        }
    }

    /// Waits until the borrower is lost.
    async fn lost(&mut self) -> Error {
        loop {
            sleep(self.ttl / 4).await;
            match self.watcher.look(&self.store, &self.pulse).await {
                Ok(Life::Lost) => {
                    let why = format!(
                        "the borrower was silent for longer than {:?}: it has died, or stands still",
                        self.ttl
                    );
                    return Error::new(ErrorKind::Expired, why)
                        .hint("the object is the owner's again: lend it once more");
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Closed => return error,
                // The borrower may not have reached the backend either.
                Err(_) => self.watcher = Watcher::default(),
            }
            if self.beat.is_lost() {
                let why = format!("the lender was away for longer than {:?}", self.ttl);
                return Error::new(ErrorKind::Expired, why).hint("give the owner a longer ttl");
            }
            if self.kind == Kind::LentMut {
                // Whoever has claimed it is the only one as long as this lasts. It stays through many such failures.
                let _ = self.store.touch(&self.claim, kept(self.ttl)).await;
                // What fails now is tried again at the end.
                let _ = self.adopt().await;
            }
        }
    }

    /// Takes what the borrower has updated last into care.
    async fn adopt(&mut self) -> Result<()> {
        let Some(Updated { object, length }) = self.store.record(&self.new).await? else { return Ok(()) };
        let key = Key::parse(&object).map_err(|error| error.with_kind(ErrorKind::Corrupt))?;
        if self.adopted.as_ref().is_some_and(|adopted| adopted.key == key) {
            return Ok(());
        }
        if !self.store.touch(&key, self.ttl).await? {
            return Err(Error::new(ErrorKind::Expired, "what the borrower has updated is gone"));
        }
        let mut hold = Hold::of(&self.store, vec![key.clone()]);
        hold.renew(self.ttl)?;
        self.adopted = Some(Adopted { hold, key, length });
        Ok(())
    }

    /// Ends the borrow, and gives what was updated. A borrower sees to it that the ticket is there when its update has
    /// succeeded: so none comes after this look.
    async fn end(mut self) -> Result<Option<Adopted>> {
        self.store.evict(&self.ticket).await?;
        self.adopt().await?;
        Ok(self.adopted.take())
    }
}
