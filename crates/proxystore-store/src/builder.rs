//! Opening a store step by step.

use std::fmt;
use std::sync::Arc;

use proxystore_core::{Connector, Origin, Policy, Result, Transform, Uri, WithPolicy, WithTransform};

use crate::background::aside::Again;
use crate::grant::Signer;
use crate::layers::with_transforms;
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

    /// [`connector`](Self::connector) for a connector that others hold, too. Closing the store closes it for all of
    /// them.
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
    transforms: Vec<Arc<dyn Transform>>,
    policies: Option<Policed>,
    signer: Option<Signer>,
    registry: Registry,
    register: bool,
}

/// Policies that are yet to be put around a connector, on behalf of a store of this name.
struct Policed(PutAround);

type PutAround = Box<dyn FnOnce(Arc<dyn Connector>, &str) -> Arc<dyn Connector> + Send>;

impl fmt::Debug for Policed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Policies")
    }
}

impl StoreBuilder {
    fn at(config: Result<StoreConfig>, connector: Option<Arc<dyn Connector>>) -> Self {
        let registry = Registry::global().clone();
        Self {
            config,
            connector,
            transforms: Vec::new(),
            policies: None,
            signer: None,
            registry,
            register: false,
        }
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

    /// How long an operation on the backend may take in all, repetitions included (two minutes, and the time that its
    /// bytes take at 8 MiB per second), in whole milliseconds. Policies have tighter deadlines of their own, which a
    /// longer time here does not change.
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

    /// Changes all objects on their way into the store and back: compression, encryption. Its name becomes part of the
    /// store's URI and so of its references; other processes resolve them if they have a transform of this name
    /// [installed](Registry::install_transform), or open the store with it.
    pub fn transform(mut self, transform: impl Transform) -> Self {
        self.transforms.push(Arc::new(transform));
        self
    }

    /// The policies around every call of the connector, in place of [those of the registry](Registry::set_policies).
    pub fn policies<P: Policy>(mut self, policies: P) -> Self {
        let wrap = move |connector, store: &str| Arc::new(WithPolicy::new(connector, policies, store)) as _;
        self.policies = Some(Policed(Box::new(wrap)));
        self
    }

    /// Signs the references that this store makes with the active key, and resolves and evicts only by references that
    /// are signed with one of these keys: what was forged, altered or not signed is `Denied` before anything is asked
    /// of the backend. A signature adds some 45 bytes to a reference.
    ///
    /// The holder of a signed reference can hand it on with fewer rights or for a shorter time:
    /// [`Stored::limited`](crate::Stored::limited).
    ///
    /// The keys are those of the processes that use the store, and all of them should [`register`](Self::register) it
    /// with this: a store that does not sign, such as one that a reference opens by [`Trust`](crate::Trust), asks for
    /// no signature and no rights. If the keys cannot be had, making a proxy fails with their error.
    ///
    /// ```
    /// # use proxystore_core::{ErrorKind, KeyRing, SecretKey};
    /// # use proxystore_store::{Proxy, Store};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
    /// # let connector = proxystore_local::LocalConnector::named("signed");
    /// let keys = KeyRing::new(SecretKey::random("2026-11")?);
    /// let store = Store::builder("jobs").connector(connector).sign(keys).register().build().await?;
    /// let reference = serde_json::to_string(&store.proxy(1).await?).unwrap();
    ///
    /// let forged = reference.replace("jobs", "Jobs");
    /// let forged: Proxy<i32> = serde_json::from_str(&forged).unwrap();
    /// assert_eq!(forged.resolve_async().await.unwrap_err().kind(), ErrorKind::Denied);
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "sign")]
    pub fn sign(mut self, keys: impl proxystore_core::Keys) -> Self {
        self.signer = Some(Signer::new(keys));
        self
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
        let mut config = self.config?;
        check_name(&config.name)?;
        let (connector, again) = match self.connector {
            Some(connector) => (with_transforms(connector, self.transforms)?, None),
            None => {
                let (registry, uri) = (self.registry.clone(), config.uri.clone());
                let origin = Origin::Program;
                let again = Again { registry, uri, transforms: self.transforms, origin };
                (self.registry.connect(&again.uri, &again.transforms, Origin::Program).await?, Some(again))
            }
        };
        // The configuration opens the same store again.
        if let Some(names) = connector.info().uri.option(WithTransform::OPTION) {
            config.uri = config.uri.with_option(WithTransform::OPTION, names);
        }
        let connector = match self.policies {
            Some(Policed(wrap)) => wrap(connector, &config.name),
            None => self.registry.with_policies(connector, &config.name),
        };
        let store = Store::over(connector, config, self.signer, again);
        if self.register {
            self.registry.register(&store)?;
        }
        Ok(store)
    }
}
