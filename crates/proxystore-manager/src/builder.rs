//! What a manager will have, and where it will run.

use std::collections::HashMap;
use std::fmt;

use proxystore_core::{Error, ErrorKind, Result};

use crate::address::Address;
use crate::auth::AuthKey;
use crate::id::ManagerId;
use crate::limits::Limits;
use crate::locator::MAX_ADDRESSES;
use crate::manager::Manager;
use crate::object::Object;
use crate::server::{Space, Type, listener};
use crate::store::Offload;
use crate::tls;

/// What a manager will have: see [`Manager::builder`].
#[derive(Default)]
pub struct Builder {
    types: HashMap<&'static str, Type>,
    identity: Option<Vec<u8>>,
    /// The key that `identity` is the public half of.
    tls: Option<tls::Identity>,
    key: Option<AuthKey>,
    pub(crate) offload: Option<Offload>,
    reveals: bool,
    pub(crate) limits: Limits,
}

impl Builder {
    /// Lets clients create objects of type `T`. Objects that are only hosted or returned need no registration.
    /// The last of several types with the same typeid counts.
    #[must_use]
    pub fn register<T: Object>(mut self) -> Self {
        let kind = Type::of::<T>();
        self.types.insert(kind.typeid, kind);
        self
    }

    /// The secret that clients must know. A random one otherwise: see [`Manager::authkey`].
    #[must_use]
    pub fn authkey(mut self, key: AuthKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Bytes that the manager's id is made of, so that it is the same after a restart. Random otherwise.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<Vec<u8>>) -> Self {
        self.identity = Some(identity.into());
        self.tls = None;
        self
    }

    /// The key pair that proves to those who dial `tls://` that this is the manager that they mean. Its id is made of
    /// the public half. A manager at `tls://` that is given none makes one, and is another after a restart.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_identity(mut self, identity: tls::Identity) -> Self {
        self.identity = Some(identity.public().to_vec());
        self.tls = Some(identity);
        self
    }

    /// What it allows.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Tells clients what a method's panic says and where it happened: for those who look for a defect. Otherwise they
    /// hear that it panicked, and the text stays here, since it may hold what is nobody's business. Sets a panic
    /// hook, once, which does what the one before does, too.
    #[must_use]
    pub fn reveal_panics(mut self) -> Self {
        crate::server::watch_panics();
        self.reveals = true;
        self
    }

    /// A manager in this process, which nobody else reaches. `Unsupported` outside a tokio runtime.
    pub fn in_process(self) -> Result<Manager> {
        let known = crate::builtin::types().into_iter().map(|kind| (kind.typeid, kind));
        let types = known.chain(self.types.clone()).collect();
        let (offload, reveals) = (self.offload.clone(), self.reveals);
        tokio::runtime::Handle::try_current().map_err(|_| {
            Error::new(ErrorKind::Unsupported, "a manager needs a tokio runtime, and there is none here")
                .hint("call it from a task, or inside `#[tokio::main]`")
        })?;
        let (limits, key, identity) = self.orders()?;
        let space = Space::new(ManagerId::of(&identity), key, types, limits, offload, reveals)?;
        Ok(Manager::of(space))
    }

    /// What a manager is made of, beside its types.
    pub(crate) fn orders(self) -> Result<(Limits, AuthKey, Vec<u8>)> {
        let identity = match self.identity {
            Some(identity) => identity,
            None => crate::mac::random::<32>()?.to_vec(),
        };
        Ok((self.limits, self.key.map_or_else(AuthKey::random, Ok)?, identity))
    }

    /// A manager in this process that listens at `address`: `unix:/path`, `tls://host:port` (feature `tls`), or
    /// `tcp+insecure://127.0.0.1:port`. Port 0 is any that is free: [`Manager::addresses`] says which.
    ///
    /// The host is one that clients can dial. Dropping the future leaves nothing that listens.
    pub async fn serve(self, address: &str) -> Result<Manager> {
        self.serve_all(&[address]).await
    }

    /// As [`serve`](Self::serve), at several addresses, such as a Unix socket for those on this machine and TLS for
    /// others: 8 at most. References name all of them, and are dialed in this order.
    pub async fn serve_all(self, addresses: &[&str]) -> Result<Manager> {
        if addresses.len() > MAX_ADDRESSES {
            let why = format!("{} addresses, and a reference has {MAX_ADDRESSES} at most", addresses.len());
            return Err(Error::new(ErrorKind::Config, why).hint("listen at fewer"));
        }
        let addresses: Vec<Address> =
            addresses.iter().map(|address| address.parse()).collect::<Result<_>>()?;
        #[cfg(feature = "tls")]
        let this = match &self.identity {
            None if addresses.iter().any(|address| matches!(address, Address::Tls { .. })) => {
                self.tls_identity(tls::Identity::random()?)
            }
            _ => self,
        };
        #[cfg(not(feature = "tls"))]
        let this = self;
        let tls = this.tls.clone();
        let manager = this.in_process()?;
        for address in addresses {
            listener::listen(manager.home()?, address, tls.as_ref()).await?;
        }
        Ok(manager)
    }

    /// As [`serve`](Self::serve), at a socket in a fresh directory of its own below the temporary directory, which goes
    /// with the manager.
    pub async fn serve_anywhere(self) -> Result<Manager> {
        let name = format!("proxystore-{}", crate::hex::write(&crate::mac::random::<8>()?));
        let directory = std::env::temp_dir().join(name);
        let manager = self.serve(&Address::Unix(directory.join("manager")).to_string()).await?;
        let space = manager.home()?;
        let stopping = space.stopping.clone();
        space.tasks.spawn(async move {
            stopping.cancelled().await;
            // Whatever is left of it harms nobody.
            let _ = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(directory)).await;
        });
        Ok(manager)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types: Vec<_> = self.types.keys().collect();
        f.debug_struct("Builder").field("types", &types).field("limits", &self.limits).finish_non_exhaustive()
    }
}
