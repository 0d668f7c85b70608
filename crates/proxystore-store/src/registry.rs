//! Drivers by scheme, stores by name, and one rule of trust.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, LazyLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use proxystore_core::{Connector, Driver, Error, ErrorKind, Origin, Result, Uri};
use tokio::sync::OnceCell;

use crate::reference::{Identity, Reference, Spec};
use crate::trust::covers;
use crate::{Proxy, Store, StoreConfig, Stored, Trust};

/// Finds the store of a reference: drivers by scheme, stores by name, and one rule of [`Trust`].
///
/// There is a [global](Self::global) one, which everything uses unless told otherwise. A registry is a handle; clones
/// are the same registry.
#[derive(Clone)]
pub struct Registry(Arc<Shared>);

struct Shared {
    state: RwLock<State>,
    /// Stores that were opened because a reference named them, by URI: bounded, and connected at most once.
    foreign: moka::sync::Cache<String, Arc<OnceCell<Store>>>,
}

#[derive(Default)]
struct State {
    drivers: BTreeMap<&'static str, Driver>,
    stores: HashMap<String, Store>,
    trust: Trust,
}

/// How many stores are kept open because references named them.
const FOREIGN_STORES: u64 = 64;

impl Default for Registry {
    fn default() -> Self {
        let foreign = moka::sync::Cache::builder().max_capacity(FOREIGN_STORES).build();
        Self(Arc::new(Shared { state: RwLock::default(), foreign }))
    }
}

impl Registry {
    /// A registry without drivers and stores, that trusts what is registered.
    pub fn new() -> Self {
        Self::default()
    }

    /// The registry of the process.
    pub fn global() -> &'static Self {
        static GLOBAL: LazyLock<Registry> = LazyLock::new(Registry::new);
        &GLOBAL
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a driver known, in place of an earlier one of the same scheme.
    pub fn install(&self, driver: Driver) {
        let mut state = self.write();
        for scheme in driver.schemes() {
            state.drivers.insert(scheme, driver);
        }
    }

    /// Sets the rule of trust. Stores that references have opened under the old rule are let go.
    pub fn set_trust(&self, trust: Trust) {
        self.write().trust = trust;
        self.0.foreign.invalidate_all();
    }

    /// Registers a store under its name. Registering the same store again is no error;
    /// `Exists` if another store has the name.
    pub fn register(&self, store: &Store) -> Result<()> {
        let mut state = self.write();
        match state.stores.get(store.name()) {
            Some(registered) if !registered.same(store) => {
                Err(Error::new(ErrorKind::Exists, "another store is registered under this name")
                    .with("store", store.name())
                    .hint("choose another name, or unregister that store first"))
            }
            _ => {
                state.stores.insert(store.name().into(), store.clone());
                Ok(())
            }
        }
    }

    /// Removes a store; a different one of the same name stays. Does not close it.
    pub fn unregister(&self, store: &Store) {
        let mut state = self.write();
        if state.stores.get(store.name()).is_some_and(|registered| registered.same(store)) {
            state.stores.remove(store.name());
        }
    }

    /// Registers a store for as long as the guard lives; then, the store that had the name before has it again.
    pub fn scoped(&self, store: &Store) -> Registration {
        let before = self.write().stores.insert(store.name().into(), store.clone());
        Registration { registry: self.clone(), store: store.clone(), before }
    }

    /// The store of this name, if it is registered.
    pub fn get_store(&self, name: &str) -> Option<Store> {
        self.read().stores.get(name).cloned()
    }

    /// The registered store of this name, or a new one that is registered.
    ///
    /// Errors: `StoreMismatch` if the name is registered for another place; else as [`StoreBuilder::build`].
    ///
    /// [`StoreBuilder::build`]: crate::StoreBuilder::build
    pub async fn get_or_create(&self, config: StoreConfig) -> Result<Store> {
        if let Some(store) = self.get_store(&config.name) {
            store.check_identity(self.identity(&config.uri)?)?;
            return Ok(store);
        }
        let store = Store::from_config(config).registry(self).build().await?;
        match self.register(&store) {
            Ok(()) => Ok(store),
            // Somebody was faster: theirs is as good, if it leads to the same place.
            Err(error) => match self.get_store(store.name()) {
                Some(theirs) if theirs.identity() == store.identity() => Ok(theirs),
                _ => Err(error),
            },
        }
    }

    /// The same proxy, resolved by the stores and the trust of this registry instead of the global one.
    /// `Denied`, `StoreMismatch`, `Unregistered` or a connection error if it has no store here.
    pub async fn bind<T, C: 'static>(&self, proxy: Proxy<T, C>) -> Result<Proxy<T, C>> {
        let reference = proxy.factory().reference().clone();
        let store = self.open(&reference).await?;
        Ok(Proxy::new(Stored::of(reference, store)))
    }

    fn driver(&self, uri: &Uri) -> Result<Driver> {
        let state = self.read();
        state.drivers.get(uri.scheme()).copied().ok_or_else(|| {
            let scheme = uri.scheme();
            let hint = if state.drivers.is_empty() {
                "call `proxystore::install(Trust::Registered)` first".into()
            } else {
                let installed: Vec<_> = state.drivers.keys().copied().collect();
                let feature = scheme.split('+').next().unwrap_or(scheme);
                format!(
                    "enable the Cargo feature of `{feature}`; installed schemes: {}",
                    installed.join(", ")
                )
            };
            Error::new(ErrorKind::Unsupported, format!("no driver is installed for `{scheme}://`"))
                .with("uri", uri)
                .hint(hint)
        })
    }

    /// Opens a connector because the program says so.
    pub(crate) async fn connect(&self, uri: &Uri) -> Result<Arc<dyn Connector>> {
        self.driver(uri)?.open(uri, Origin::Program).await
    }

    /// The registered store that leads to this place, whatever its name.
    pub(crate) fn at(&self, identity: Identity) -> Option<Store> {
        self.read().stores.values().find(|store| store.identity() == identity).cloned()
    }

    /// The identity of the place that `uri` names, without I/O.
    pub(crate) fn identity(&self, uri: &Uri) -> Result<Identity> {
        self.identity_uri(uri).map(|uri| Identity::of(&uri))
    }

    /// The canonical form of `uri`. Credentials are no part of it, and are not looked up for it.
    fn identity_uri(&self, uri: &Uri) -> Result<Uri> {
        self.driver(uri)?.identity(&uri.public())
    }

    /// The store that a reference means, if this process may use it.
    pub(crate) async fn open(&self, reference: &Reference) -> Result<Store> {
        let identity = reference.spec.identity();
        if let Some(store) = self.get_store(&reference.store) {
            store.check_identity(identity)?;
            return Ok(store);
        }
        if let Some(store) = self.at(identity) {
            return Ok(store);
        }
        let name = &reference.store;
        let Spec::Uri(uri) = &reference.spec else {
            return Err(Error::new(
                ErrorKind::Unregistered,
                "the reference names its store and does not say where it is, and no store of that name is registered",
            )
            .with("store", name)
            .hint(format!("open it with `Store::builder(\"{name}\").uri(…).register().build().await`")));
        };
        let opened = self.allowed(name, uri)?;
        // Only the cell is made inside of the cache; what may fail and take time happens outside.
        let cell = self.0.foreign.get_with_by_ref(&format!("{name} {uri}"), Arc::default);
        let store = cell.get_or_try_init(|| async {
            let connector = self.driver(&opened)?.open(&opened, Origin::Reference).await?;
            if connector.info().uri != *uri {
                return Err(denied(name, uri, "the address is another name of a place that it does not say"));
            }
            Ok(Store::over(connector, StoreConfig::new(name, uri.clone())))
        });
        store.await.cloned()
    }

    /// The URI to open in place of `uri`, with the credentials of the rule that allows it.
    fn allowed(&self, name: &str, uri: &Uri) -> Result<Uri> {
        let trust = self.read().trust.clone();
        let rules = match &trust {
            Trust::Registered => &[][..],
            Trust::Allow(rules) => rules,
            Trust::Any => return self.canonical(name, uri).map(|()| uri.clone()),
        };
        for rule in rules {
            if rule.scheme() == uri.scheme() && covers(&self.identity_uri(rule)?, uri) {
                self.canonical(name, uri)?;
                return Ok(uri.clone().with_credentials_of(rule));
            }
        }
        let why = if rules.is_empty() {
            "the store is not registered here, and this program opens no store that a reference names"
        } else {
            "the store is not registered here, and no trust rule allows its address"
        };
        Err(denied(name, uri, why).hint(format!(
            "allow it with `proxystore::install(Trust::allow([\"{uri}\"])?)`, \
             or register it with `Store::builder(\"{name}\").uri(\"{uri}\").register().build().await`"
        )))
    }

    /// A reference may name a place, and set no option that concerns only this process.
    fn canonical(&self, name: &str, uri: &Uri) -> Result<()> {
        if self.identity_uri(uri)? == *uri {
            return Ok(());
        }
        Err(denied(
            name,
            uri,
            "the address is not in canonical form, or sets options that a reference may not set",
        ))
    }
}

fn denied(name: &str, uri: &Uri, why: &str) -> Error {
    Error::new(ErrorKind::Denied, why).with("store", name).with("uri", uri)
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.read();
        f.debug_struct("Registry")
            .field("schemes", &state.drivers.keys().collect::<Vec<_>>())
            .field("stores", &state.stores.keys().collect::<Vec<_>>())
            .field("trust", &state.trust)
            .finish()
    }
}

/// Keeps a store registered: see [`Registry::scoped`].
#[derive(Debug)]
#[must_use = "the store is unregistered when this is dropped"]
pub struct Registration {
    registry: Registry,
    store: Store,
    before: Option<Store>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.unregister(&self.store);
        if let Some(before) = self.before.take() {
            self.registry.write().stores.entry(before.name().into()).or_insert(before);
        }
    }
}

/// The store of this name in the [global registry](Registry::global), if it is registered.
pub fn get_store(name: &str) -> Option<Store> {
    Registry::global().get_store(name)
}
