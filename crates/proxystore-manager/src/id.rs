//! Names of things on the wire: managers, their starts, objects, methods.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use proxystore_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// Who a manager is: 128 bits that it keeps across restarts if it is given the same identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ManagerId(pub(crate) [u8; 16]);

impl ManagerId {
    /// The id that belongs to these bytes, such as a public key.
    pub fn of(identity: &[u8]) -> Self {
        let hash = crate::mac::hash(&[b"proxystore manager id", identity]);
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        Self(id)
    }
}

impl fmt::Display for ManagerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::hex::write(&self.0))
    }
}

impl fmt::Debug for ManagerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManagerId({self})")
    }
}

impl FromStr for ManagerId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bytes = crate::hex::read(text).and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(Self)
            .ok_or_else(|| Error::new(ErrorKind::Config, "a manager id is not of 32 hexadecimal digits"))
    }
}

/// One start of a manager: random, so that references never survive a restart by accident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Epoch(pub(crate) u64);

/// An object of a manager. Ids count up and are never used again within an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectId(pub(crate) u64);

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A method: the hash of its name, so that adding and reordering methods changes nothing for those that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MethodId(pub(crate) u32);

impl MethodId {
    /// The id of the method `name`: FNV-1a with 32 bits.
    pub const fn of(name: &str) -> Self {
        let bytes = name.as_bytes();
        let mut hash = 0x811c_9dc5_u32;
        let mut at = 0;
        while at < bytes.len() {
            hash = (hash ^ bytes[at] as u32).wrapping_mul(0x0100_0193);
            at += 1;
        }
        Self(hash)
    }
}

/// Whether no two of these methods have the same id. Generated code asserts it when it is compiled.
pub const fn distinct(methods: &[Method]) -> bool {
    let mut a = 0;
    while a < methods.len() {
        let mut b = a + 1;
        while b < methods.len() {
            if methods[a].id.0 == methods[b].id.0 {
                return false;
            }
            b += 1;
        }
        a += 1;
    }
    true
}

/// How a method is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// `&self`: calls run in parallel; a call that nobody waits for any more ends at its next `await`.
    Shared,
    /// `&mut self`: one call at a time, which runs to its end.
    Exclusive,
    /// `#[ctor]`: makes an object.
    Create,
}

/// What proxies and servers know of a method.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Its id on the wire.
    pub id: MethodId,
    /// Its name, as in the source or as renamed.
    pub name: &'static str,
    /// How it is called.
    pub access: Access,
    /// Whether running it twice does what running it once does: a call that was lost is made again.
    pub idempotent: bool,
    /// Whether it ends at its next `await` when nobody waits any more. Otherwise it runs to its end.
    pub cancel: bool,
    /// Whether its panic poisons the object.
    pub poisons: bool,
    /// How long callers wait for it.
    pub timeout: Option<Duration>,
}

impl Method {
    /// A method of this name without marks: `&self` methods end when nobody waits, and `&mut self` methods poison
    /// the object if they panic.
    pub const fn new(name: &'static str, access: Access) -> Self {
        let (cancel, poisons) = (matches!(access, Access::Shared), matches!(access, Access::Exclusive));
        Self { id: MethodId::of(name), name, access, idempotent: false, cancel, poisons, timeout: None }
    }

    /// The same, idempotent.
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// The same, which ends when nobody waits, or does not.
    #[must_use]
    pub const fn cancel(mut self, cancel: bool) -> Self {
        self.cancel = cancel;
        self
    }

    /// The same, whose panic leaves the object as it is.
    #[must_use]
    pub const fn unpoisoned(mut self) -> Self {
        self.poisons = false;
        self
    }

    /// The same, whose callers wait for so many milliseconds at most.
    #[must_use]
    pub const fn timeout(mut self, millis: u64) -> Self {
        self.timeout = Some(Duration::from_millis(millis));
        self
    }
}
