//! Drivers by scheme, stores by name, and one rule of trust.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, LazyLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use moka::policy::EvictionPolicy;
use proxystore_core::{
    Connector, Driver, Error, ErrorKind, Origin, Policy, Result, Transform, Uri, WithTransform,
};
use tokio::sync::OnceCell;
use xxhash_rust::xxh3::xxh3_128;

use crate::background::aside::Again;
use crate::layers::{Layers, with_transforms, wrap_in};
use crate::reference::{Identity, Reference, Spec};
use crate::trust::covers;
use crate::{Proxy, Store, StoreConfig, Stored, Trust};

use self::children::Children;

mod children;

/// Finds the store of a reference: drivers by scheme, stores by name, and one rule of [`Trust`].
///
/// There is a [global](Self::global) one, which everything uses unless told otherwise. A registry is a handle; clones
/// are the same registry.
#[derive(Clone)]
pub struct Registry(Arc<Shared>);

struct Shared {
    state: RwLock<State>,
    /// Stores that were opened because a reference named them, by URI: bounded, and connected once.
    foreign: moka::sync::Cache<String, Arc<OnceCell<Store>>>,
}

#[derive(Default)]
struct State {
    drivers: BTreeMap<&'static str, Driver>,
    /// By name; the last one that is open is the one that is registered, the others come back when it goes.
    stores: HashMap<String, Vec<Store>>,
    layers: Layers,
    trust: Trust,
}

/// How many stores are kept open because references named them, and how many bytes each may cache.
const FOREIGN_STORES: u64 = 32;
const FOREIGN_CACHE: u64 = 64 << 20;

impl State {
    fn store(&self, name: &str) -> Option<&Store> {
        self.stores.get(name)?.iter().rfind(|store| !store.is_closed())
    }

    /// All that are registered and open.
    fn open(&self) -> impl Iterator<Item = &Store> {
        self.stores.keys().filter_map(|name| self.store(name))
    }
}

impl Default for Registry {
    fn default() -> Self {
        let foreign = moka::sync::Cache::builder()
            .max_capacity(FOREIGN_STORES)
            .eviction_policy(EvictionPolicy::lru())
            .build();
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

    /// Makes a transform known by its name, in place of an earlier one of the same name: stores whose URI names it, as
    /// in `redis://host?via=zstd,encrypt`, are opened with it.
    pub fn install_transform(&self, transform: impl Transform) {
        self.write().layers.transforms.insert(transform.name(), Arc::new(transform));
    }

    /// Sets the policies of the stores that are opened from now on, unless their builder is given others. Each store
    /// has its own, which `make` makes.
    pub fn set_policies<P: Policy>(&self, make: impl Fn() -> P + Send + Sync + 'static) {
        self.write().layers.policies = Some(wrap_in(make));
    }

    /// Sets the rule of trust. Stores that references have opened under the old rule are let go; proxies that hold one
    /// keep it.
    pub fn set_trust(&self, trust: Trust) {
        self.write().trust = trust;
        self.0.foreign.invalidate_all();
    }

    /// Registers a store under its name. Registering the same store again is no error;
    /// `Exists` if another store has the name.
    pub fn register(&self, store: &Store) -> Result<()> {
        let mut state = self.write();
        match state.store(store.name()) {
            Some(registered) if registered.same(store) => Ok(()),
            Some(_) => Err(Error::new(ErrorKind::Exists, "another store is registered under this name")
                .with("store", store.name())
                .hint("choose another name, or unregister that store first")),
            None => {
                state.stores.insert(store.name().into(), vec![store.clone()]);
                Ok(())
            }
        }
    }

    /// Removes a store; a different one of the same name stays. Does not close it.
    pub fn unregister(&self, store: &Store) {
        let mut state = self.write();
        if let Some(named) = state.stores.get_mut(store.name()) {
            named.retain(|registered| !registered.same(store));
            if named.is_empty() {
                state.stores.remove(store.name());
            }
        }
    }

    /// Registers a store for as long as the guard lives; then, the store that had the name before has it again.
    pub fn scoped(&self, store: &Store) -> Registration {
        self.write().stores.entry(store.name().into()).or_default().push(store.clone());
        Registration { registry: self.clone(), store: store.clone() }
    }

    /// The store of this name, if one is registered and open.
    pub fn get_store(&self, name: &str) -> Option<Store> {
        self.read().store(name).cloned()
    }

    /// The registered store of this name, or a new one that is registered.
    ///
    /// Errors: `StoreMismatch` if the name is registered for another place; else as [`StoreBuilder::build`].
    ///
    /// [`StoreBuilder::build`]: crate::StoreBuilder::build
    pub async fn get_or_create(&self, config: StoreConfig) -> Result<Store> {
        if let Some(store) = self.get_store(&config.name) {
            if store.config().uri != config.uri {
                store.check_identity(self.identity(&config.uri)?)?;
            }
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
                .with("uri", uri.without_options())
                .hint(hint)
        })
    }

    /// Opens the connector at `uri`, with the transforms that it names: from `own` if they are there.
    pub(crate) async fn connect(
        &self,
        uri: &Uri,
        own: &[Arc<dyn Transform>],
        origin: Origin,
    ) -> Result<Arc<dyn Connector>> {
        let (place, transforms) = self.read().layers.dissect(uri, own)?;
        let opener = Arc::new(Children { registry: self.clone(), origin });
        let connector = self.driver(&place)?.open_over(&place, origin, opener).await?;
        with_transforms(connector, transforms)
    }

    /// The connector with the policies that stores have here.
    pub(crate) fn with_policies(&self, connector: Arc<dyn Connector>, store: &str) -> Arc<dyn Connector> {
        let policies = self.read().layers.policies.clone();
        match policies {
            Some(wrap) => wrap(connector, store),
            None => connector,
        }
    }

    /// The registered store that leads to this place, whatever its name.
    pub(crate) fn at(&self, identity: Identity) -> Option<Store> {
        let state = self.read();
        state.open().find(|store| store.identity() == identity).cloned()
    }

    /// The registered store that signs its references to this place, or to one that both are made of, whatever its name
    /// and transforms.
    fn signing_at(&self, uri: &Uri) -> Option<Store> {
        let state = self.read();
        let places = state.places(uri);
        let signs = |store: &&Store| {
            let theirs = || state.places(&store.connector().info().uri);
            store.signer().is_some() && theirs().iter().any(|place| places.contains(place))
        };
        state.open().find(signs).cloned()
    }

    /// `store`, or the one that signs at its place: a reference goes round no signature by another name or transform.
    fn guarded(&self, store: Store) -> Result<Store> {
        if store.signer().is_some() {
            return Ok(store);
        }
        let uri = &store.connector().info().uri;
        match self.signing_at(uri) {
            Some(signing) if signing.identity() == store.identity() => Ok(signing),
            Some(signing) => Err(unsigned(&signing, store.name(), uri)),
            None => Ok(store),
        }
    }

    /// The identity of the place that `uri` names, without I/O.
    pub(crate) fn identity(&self, uri: &Uri) -> Result<Identity> {
        self.identity_uri(uri).map(|uri| Identity::of(&uri))
    }

    /// The canonical form of `uri`. Credentials are no part of it, and are not looked up for it.
    fn identity_uri(&self, uri: &Uri) -> Result<Uri> {
        let (place, transforms) = self.read().layers.dissect(&uri.public(), &[])?;
        // The place of a child that is for other hosts may be of a kind that is not known here.
        let child = |child: &Uri| match self.identity_uri(child) {
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(child.public()),
            identity => identity,
        };
        let place = self.driver(&place)?.identity_over(&place, &child)?;
        Ok(WithTransform::identity(&place, &transforms))
    }

    /// The store that a reference means, if this process may use it.
    pub(crate) async fn open(&self, reference: &Reference) -> Result<Store> {
        let identity = reference.spec.identity();
        // A signed address is opened by its own signature, whoever else has been there with another.
        if !matches!(&reference.spec, Spec::Uri(uri) if uri.is_signed()) {
            if let Some(store) = self.get_store(&reference.store) {
                store.check_identity(identity)?;
                return self.guarded(store);
            }
            if let Some(store) = self.at(identity) {
                return self.guarded(store);
            }
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
        if let Some(signing) = self.signing_at(uri) {
            return Err(unsigned(&signing, name, uri));
        }
        // Each signature is a store of its own, and is not kept as text.
        let address = match uri.expose_signed() {
            Some(text) => format!("{uri} {:032x}", xxh3_128(text.expose().as_bytes())),
            None => uri.to_string(),
        };
        // Only the cell is made inside of the cache; what may fail and take time happens outside.
        let cell = self.0.foreign.get_with_by_ref(&address, Arc::default);
        let connect = || async {
            let connector = self.connect(&opened, &[], Origin::Reference).await?;
            if connector.info().uri != uri.public() {
                return Err(denied(name, uri, "the address is another name of a place that it does not say"));
            }
            // The sender's name for it is not ours: metrics and spans have a name that follows from the place.
            let mut config = StoreConfig::new(Store::name_of(uri), uri.clone());
            config.cache.bytes = FOREIGN_CACHE;
            let origin = Origin::Reference;
            let again = Again { registry: self.clone(), uri: opened.clone(), transforms: Vec::new(), origin };
            Ok(Store::over(self.with_policies(connector, &config.name), config, None, Some(again)))
        };
        let store = cell.get_or_try_init(connect).await?;
        if !store.is_closed() {
            return Ok(store.clone());
        }
        // Somebody closed it: it makes room for another.
        let cell = Arc::<OnceCell<Store>>::default();
        self.0.foreign.insert(address, cell.clone());
        cell.get_or_try_init(connect).await.cloned()
    }

    /// The URI to open in place of `uri`: that of the rule that allows it, with its credentials and settings.
    ///
    /// What is made of other connectors is no place of its own: each of these has to be allowed when it is opened.
    fn allowed(&self, name: &str, uri: &Uri) -> Result<Uri> {
        if self.has_children(uri) {
            self.canonical(name, uri)?;
            return self.check_children(uri).map(|()| uri.clone());
        }
        let trust = self.read().trust.clone();
        let rules = match &trust {
            Trust::Registered => Vec::new(),
            Trust::Allow(rules) => self.parts(rules),
            Trust::Any => return self.canonical(name, uri).map(|()| uri.clone()),
        };
        // A rule that cannot be understood here covers nothing, and spoils no other.
        let mut broken = None;
        for rule in rules.iter().filter(|rule| rule.scheme() == uri.scheme()) {
            let rule_identity = match self.identity_uri(rule) {
                Ok(identity) => identity,
                Err(error) => {
                    broken = Some(error);
                    continue;
                }
            };
            if covers(&rule_identity, uri) {
                self.canonical(name, uri)?;
                let opened = rule.clone().with_path(uri.path());
                let opened = if uri.is_signed() { opened.with_credentials_of(uri) } else { opened };
                return Ok(match uri.option(WithTransform::OPTION) {
                    Some(names) => opened.with_option(WithTransform::OPTION, names),
                    None => opened,
                });
            }
        }
        if let Some(error) = broken {
            return Err(error);
        }
        let why = if rules.is_empty() {
            "the store is not registered here, and this program opens no store that a reference names"
        } else {
            "the store is not registered here, and no trust rule allows its address"
        };
        Err(denied(name, uri, why).hint(format!(
            "allow it with `proxystore::install(Trust::allow([\"{place}\"])?)`, \
             or register it with `Store::builder(\"{name}\").uri(\"{place}\").register().build().await`",
            place = uri.public()
        )))
    }

    /// A reference may name a place, and set no option that concerns only this process.
    fn canonical(&self, name: &str, uri: &Uri) -> Result<()> {
        if self.identity_uri(uri)? == uri.public() {
            return Ok(());
        }
        Err(denied(
            name,
            uri,
            "the address is not in canonical form, or sets options that a reference may not set",
        ))
    }
}

fn unsigned(signing: &Store, name: &str, uri: &Uri) -> Error {
    denied(name, uri, "a store is registered here that takes signed references to this place only")
        .with("signing", signing.name())
        .hint("ask for a reference that this store has made")
}

fn denied(name: &str, uri: &Uri, why: &str) -> Error {
    Error::new(ErrorKind::Denied, why).with("store", name).with("uri", uri)
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.read();
        f.debug_struct("Registry")
            .field("schemes", &state.drivers.keys().collect::<Vec<_>>())
            .field("transforms", &state.layers)
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
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.unregister(&self.store);
    }
}

/// The store of this name in the [global registry](Registry::global), if it is registered.
pub fn get_store(name: &str) -> Option<Store> {
    Registry::global().get_store(name)
}
