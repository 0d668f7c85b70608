//! From a URI to a connector, as data.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Connector, Result, Uri};

/// The settings of one kind of connector: a plain serde value, convertible from and to a URI.
///
/// ```text
/// URI  ⇄  config  →  connector
/// ```
pub trait ConnectorConfig:
    Serialize + DeserializeOwned + Default + fmt::Debug + Send + Sync + 'static
{
    /// The schemes that lead here, such as `redis` and `rediss`.
    const SCHEMES: &'static [&'static str];

    /// What [`connect`](Self::connect) gives.
    type Connector: Connector;

    /// Reads the settings out of a URI. `Config` on anything unknown or wrong; no I/O.
    fn from_uri(uri: &Uri) -> Result<Self>;

    /// The identity: the canonical URI that leads others to the same objects. It holds no user, password or option
    /// that concerns only this process (timeouts, pool sizes, durability): those never travel in references.
    fn identity(&self) -> Uri;

    /// Opens it. Dropping the future leaves no connection and no file behind.
    fn connect(self, origin: Origin) -> impl Future<Output = Result<Self::Connector>> + Send;
}

/// Where the URI of a connector comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The program's own code or configuration.
    Program,
    /// A reference that somebody sent. It is allowed by a trust rule, and still must create nothing.
    Reference,
}

type Open = fn(&Uri, Origin) -> BoxFuture<'static, Result<Arc<dyn Connector>>>;

/// One kind of connector as a constant: what a connector crate exports and a registry installs.
#[derive(Clone, Copy)]
pub struct Driver {
    schemes: &'static [&'static str],
    open: Open,
    identity: fn(&Uri) -> Result<Uri>,
}

impl Driver {
    /// The driver of a config type.
    pub const fn of<C: ConnectorConfig>() -> Self {
        Self {
            schemes: C::SCHEMES,
            open: |uri, origin| match C::from_uri(uri) {
                Ok(config) => async move {
                    config.connect(origin).await.map(|connector| Arc::new(connector) as Arc<dyn Connector>)
                }
                .boxed(),
                Err(error) => async move { Err(error) }.boxed(),
            },
            identity: |uri| C::from_uri(uri).map(|config| config.identity()),
        }
    }

    /// The schemes it serves.
    pub fn schemes(&self) -> &'static [&'static str] {
        self.schemes
    }

    /// Opens a connector. See [`ConnectorConfig::connect`].
    pub async fn open(&self, uri: &Uri, origin: Origin) -> Result<Arc<dyn Connector>> {
        (self.open)(uri, origin).await
    }

    /// The identity that `uri` stands for. See [`ConnectorConfig::identity`].
    pub fn identity(&self, uri: &Uri) -> Result<Uri> {
        (self.identity)(uri)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Driver({})", self.schemes.join(", "))
    }
}
