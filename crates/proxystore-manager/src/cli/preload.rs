//! Objects that a manager has from the beginning.

use proxystore_core::{Error, ErrorKind, Result};

use crate::builtin::{Counter, Dict, List, Namespace, Order, Queue, Set};
use crate::manager::Manager;
use crate::sync::{
    BarrierProxy, ConditionProxy, EventProxy, LockProxy, RLockProxy, RwLockProxy, SemaphoreProxy,
};

/// A type, a name, and for some types a number.
#[derive(Clone, Debug)]
pub(super) struct Preload {
    kind: String,
    name: String,
    number: Option<u32>,
}

/// Reads `queue:jobs:100`.
pub(super) fn preload(text: &str) -> Result<Preload, String> {
    let mut parts = text.splitn(3, ':').map(str::to_owned);
    let (kind, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let number = parts.next().map(|number| number.parse()).transpose();
    match number {
        Ok(number) if !name.is_empty() => Ok(Preload { kind, name, number }),
        _ => Err("write TYPE:NAME or TYPE:NAME:NUMBER, such as dict:state or queue:jobs:100".into()),
    }
}

impl Preload {
    /// Makes the object, which its name keeps alive.
    pub(super) async fn make(&self, manager: &Manager) -> Result<()> {
        let name = &*self.name;
        match (&*self.kind, self.number) {
            ("barrier", Some(parties)) => drop(BarrierProxy::get_or_create(manager, name, parties).await?),
            ("condition", None) => drop(ConditionProxy::get_or_create(manager, name).await?),
            ("counter", start) => {
                drop(Counter::get_or_create(manager, name, start.unwrap_or(0).into()).await?);
            }
            ("dict", None) => drop(Dict::<(), ()>::get_or_create(manager, name).await?),
            ("event", None) => drop(EventProxy::get_or_create(manager, name).await?),
            ("list", None) => drop(List::<()>::get_or_create(manager, name).await?),
            ("lock", None) => drop(LockProxy::get_or_create(manager, name).await?),
            ("namespace", None) => drop(Namespace::get_or_create(manager, name).await?),
            ("queue", capacity) => {
                let capacity = capacity.unwrap_or(0) as usize;
                drop(Queue::<()>::get_or_create(manager, name, Order::Fifo, capacity).await?);
            }
            ("rlock", None) => drop(RLockProxy::get_or_create(manager, name).await?),
            ("rwlock", None) => drop(RwLockProxy::get_or_create(manager, name).await?),
            ("semaphore", Some(permits)) => {
                drop(SemaphoreProxy::get_or_create(manager, name, permits).await?)
            }
            ("set", None) => drop(Set::<()>::get_or_create(manager, name).await?),
            (kind, _) => {
                let why = format!("there is no {kind:?} to preload, or its number is missing or too much");
                let hint = "there are condition, dict, event, list, lock, namespace, rlock, rwlock and set; counter \
                            and queue, with a number or without; barrier and semaphore with a number";
                return Err(Error::new(ErrorKind::Config, why).hint(hint));
            }
        }
        Ok(())
    }
}
