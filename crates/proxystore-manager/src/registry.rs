//! What this process knows of managers: those that live here, and the keys to others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use crate::auth::AuthKey;
use crate::client::{Client, dialer};
use crate::error::{RemoteError, RemoteErrorKind};
use crate::id::{Epoch, ManagerId};
use crate::locator::Locator;
use crate::server::Space;

#[derive(Default)]
struct Registry {
    homes: HashMap<(ManagerId, Epoch), Weak<Space>>,
    keys: HashMap<ManagerId, AuthKey>,
    /// Clients that the program made. They end with what the program holds of them.
    connected: HashMap<ManagerId, Weak<Client>>,
    /// Clients that were made for proxies which came in from elsewhere.
    dialed: HashMap<ManagerId, Arc<Client>>,
}

fn registry() -> MutexGuard<'static, Registry> {
    static REGISTRY: OnceLock<Mutex<Registry>> = OnceLock::new();
    REGISTRY.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn add_home(space: &Arc<Space>) {
    let mut registry = registry();
    registry.homes.retain(|_, space| space.strong_count() > 0);
    registry.homes.insert((space.id, space.epoch), Arc::downgrade(space));
}

/// The manager of this identity and start, if it lives in this process.
pub(crate) fn home(manager: ManagerId, epoch: Epoch) -> Option<Arc<Space>> {
    registry().homes.get(&(manager, epoch)).and_then(Weak::upgrade)
}

/// Says with which authkey proxies of `manager` that come into this process from anywhere reach it. Without one, they
/// fail with `DialRefused`: no manager is dialed because somebody sent a reference to it.
pub fn trust(manager: ManagerId, key: AuthKey) {
    let mut registry = registry();
    let before = registry.keys.insert(manager, key.clone());
    if before.is_some_and(|before| before.expose() != key.expose()) {
        registry.dialed.remove(&manager);
    }
}

/// Proxies of `manager` that come in from elsewhere use this client from now on.
pub(crate) fn add_client(manager: ManagerId, key: AuthKey, client: &Arc<Client>) {
    let mut registry = registry();
    registry.connected.retain(|_, client| client.strong_count() > 0);
    registry.keys.insert(manager, key);
    registry.connected.insert(manager, Arc::downgrade(client));
}

/// The client of a manager that is known here.
pub(crate) fn client(locator: &Locator) -> Result<Arc<Client>, RemoteError> {
    let mut registry = registry();
    let connected = registry.connected.get(&locator.manager).and_then(Weak::upgrade);
    // A manager may be elsewhere after a restart: who has lost it looks where the reference leads.
    let leads_there = |client: &&Arc<Client>| !client.is_over() || client.addresses() == locator.addresses;
    let dialed = || registry.dialed.get(&locator.manager).filter(leads_there).cloned();
    if let Some(client) = connected.or_else(dialed) {
        return Ok(client);
    }
    let Some(key) = registry.keys.get(&locator.manager).cloned() else {
        let why =
            "this process has no authkey for it; call `trust` with its id and key, or connect to it first";
        return Err(RemoteError::new(RemoteErrorKind::DialRefused, why).of_manager(locator.manager));
    };
    let (addresses, manager) = (locator.addresses.clone(), Some(locator.manager));
    let client = Client::new(dialer(addresses.clone(), manager), addresses, key, manager);
    registry.dialed.retain(|_, client| !client.is_over());
    registry.dialed.insert(locator.manager, client.clone());
    Ok(client)
}
