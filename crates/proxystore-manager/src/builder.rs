//! What a manager will have, and where it will run.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use proxystore_core::{Error, ErrorKind, Result};

use crate::address::Address;
use crate::auth::AuthKey;
use crate::id::ManagerId;
use crate::limits::Limits;
use crate::manager::Manager;
use crate::object::Object;
use crate::server::{Space, Type, listener};

/// What a manager will have: see [`Manager::builder`].
#[derive(Default)]
pub struct Builder {
    types: HashMap<&'static str, Type>,
    identity: Option<Vec<u8>>,
    key: Option<AuthKey>,
    limits: Limits,
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
        self
    }

    /// What it allows.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// A manager in this process, which nobody else reaches. `Unsupported` outside a tokio runtime.
    pub fn in_process(self) -> Result<Manager> {
        let known = crate::builtin::types().into_iter().map(|kind| (kind.typeid, kind));
        let types = known.chain(self.types.clone()).collect();
        tokio::runtime::Handle::try_current().map_err(|_| {
            Error::new(ErrorKind::Unsupported, "a manager needs a tokio runtime, and there is none here")
                .hint("call it from a task, or inside `#[tokio::main]`")
        })?;
        let (limits, key, identity) = self.orders()?;
        let space = Space::new(ManagerId::of(&identity), key, types, limits)?;
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

    /// A manager in this process that listens at `address`: `unix:/path`. Dropping the future leaves nothing that
    /// listens.
    pub async fn serve(self, address: &str) -> Result<Manager> {
        let address = address.parse()?;
        let manager = self.in_process()?;
        listener::listen(manager.home()?, address).await?;
        Ok(manager)
    }

    /// As [`serve`](Self::serve), at a socket in a fresh directory of its own below the temporary directory.
    pub async fn serve_anywhere(self) -> Result<Manager> {
        let name = format!("proxystore-{}", crate::hex::write(&crate::mac::random::<8>()?));
        let path: PathBuf = std::env::temp_dir().join(name).join("manager");
        self.serve(&Address::Unix(path).to_string()).await
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types: Vec<_> = self.types.keys().collect();
        f.debug_struct("Builder").field("types", &types).field("limits", &self.limits).finish_non_exhaustive()
    }
}
