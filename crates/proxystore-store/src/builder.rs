//! Opening a store step by step.

use std::sync::Arc;

use proxystore_core::{Connector, Result, Uri};

use crate::reference::check_name;
use crate::{Registry, Store, StoreConfig};

/// A name that still needs a place: see [`Store::builder`].
#[derive(Debug)]
#[must_use = "say where the objects are with `uri` or `connector`"]
pub struct Named(pub(crate) String);

impl Named {
    /// The store at this URI, opened by the driver that is installed for its scheme.
    pub fn uri(self, uri: impl AsRef<str>) -> StoreBuilder {
        StoreBuilder::at(uri.as_ref().parse::<Uri>().map(|uri| StoreConfig::new(self.0, uri)), None)
    }

    /// The store over a connector in hand. References to it carry the connector's own URI.
    pub fn connector(self, connector: impl Connector) -> StoreBuilder {
        self.shared_connector(Arc::new(connector))
    }

    /// [`connector`](Self::connector) for a connector that others hold, too.
    pub fn shared_connector(self, connector: Arc<dyn Connector>) -> StoreBuilder {
        let config = StoreConfig::new(self.0, connector.info().uri.clone());
        StoreBuilder::at(Ok(config), Some(connector))
    }
}

/// Opens a store: see [`Store::builder`]. What is not set has the default of [`StoreConfig`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is awaited"]
pub struct StoreBuilder {
    config: Result<StoreConfig>,
    connector: Option<Arc<dyn Connector>>,
    registry: Registry,
    register: bool,
}

impl StoreBuilder {
    fn at(config: Result<StoreConfig>, connector: Option<Arc<dyn Connector>>) -> Self {
        Self { config, connector, registry: Registry::global().clone(), register: false }
    }

    pub(crate) fn of(config: StoreConfig) -> Self {
        Self::at(Ok(config), None)
    }

    fn set(mut self, change: impl FnOnce(&mut StoreConfig)) -> Self {
        if let Ok(config) = &mut self.config {
            change(config);
        }
        self
    }

    /// The most objects in the cache (16); 0 turns it off.
    pub fn cache_objects(self, objects: u64) -> Self {
        self.set(|config| config.cache.objects = objects)
    }

    /// The most bytes in the cache, as stored (256 MiB); 0 turns it off.
    pub fn cache_bytes(self, bytes: u64) -> Self {
        self.set(|config| config.cache.bytes = bytes)
    }

    /// The largest encoded object that is put or decoded, in bytes (4 GiB).
    pub fn max_object(self, bytes: u64) -> Self {
        self.set(|config| config.limits.object_bytes = bytes)
    }

    /// How long an operation on the backend may take (two minutes), in whole milliseconds.
    pub fn timeout(self, timeout: std::time::Duration) -> Self {
        self.set(|config| config.limits.timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
    }

    /// Whether proxies are born resolved (yes).
    pub fn populate(self, populate: bool) -> Self {
        self.set(|config| config.populate = populate)
    }

    /// Whether references carry the store's URI (yes). Without it they are shorter, and only processes that have
    /// registered the store under its name resolve them.
    pub fn embed_uri(self, embed: bool) -> Self {
        self.set(|config| config.embed_uri = embed)
    }

    /// The registry whose drivers open the URI, and that [`register`](Self::register) means (the global one).
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = registry.clone();
        self
    }

    /// Registers the store when it is open, so that references to it resolve in this process wherever they come from.
    pub fn register(mut self) -> Self {
        self.register = true;
        self
    }

    /// Opens the store. Dropping the future leaves nothing behind.
    ///
    /// Errors: `Config` if the name, the URI or an option is wrong; `Unsupported` if no driver is installed for the
    /// scheme; `Exists` if it is to be registered and another store has the name; and whatever connecting reports.
    pub async fn build(self) -> Result<Store> {
        let config = self.config?;
        check_name(&config.name)?;
        let connector = match self.connector {
            Some(connector) => connector,
            None => self.registry.connect(&config.uri).await?,
        };
        let store = Store::over(connector, config);
        if self.register {
            self.registry.register(&store)?;
        }
        Ok(store)
    }
}
