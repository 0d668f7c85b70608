//! From a URI to a connector, as data.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
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

    /// The places of the connectors that this one is made of, to be read or replaced. Most are made of none.
    fn children(&mut self) -> Vec<&mut Uri> {
        Vec::new()
    }

    /// [`connect`](Self::connect) for those that are made of others, which `opener` opens.
    fn connect_over(
        self,
        origin: Origin,
        opener: Arc<dyn Opener>,
    ) -> impl Future<Output = Result<Self::Connector>> + Send {
        drop(opener);
        self.connect(origin)
    }
}

/// Opens connectors for one that is made of them: what a registry lends to a [`Driver`], so that drivers need not know
/// each other.
#[async_trait]
pub trait Opener: fmt::Debug + Send + Sync {
    /// The connector at this place, transforms included, if it may be opened. Dropping the future leaves nothing.
    async fn open(&self, uri: &Uri) -> Result<Arc<dyn Connector>>;

    /// The identity of the place, without I/O: see [`ConnectorConfig::identity`].
    fn identity(&self, uri: &Uri) -> Result<Uri>;
}

/// Where the URI of a connector comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The program's own code or configuration.
    Program,
    /// A reference that somebody sent. It is allowed by a trust rule, and still must create nothing.
    Reference,
}

type Open = fn(&Uri, Origin, Option<Arc<dyn Opener>>) -> BoxFuture<'static, Result<Arc<dyn Connector>>>;

/// The identity of a place, given those of the children.
type Identity = fn(&Uri, &dyn Fn(&Uri) -> Result<Uri>) -> Result<Uri>;

/// One kind of connector as a constant: what a connector crate exports and a registry installs.
#[derive(Clone, Copy)]
pub struct Driver {
    schemes: &'static [&'static str],
    open: Open,
    identity: Identity,
    children: fn(&Uri) -> Result<Vec<Uri>>,
}

impl Driver {
    /// The driver of a config type.
    pub const fn of<C: ConnectorConfig>() -> Self {
        Self {
            schemes: C::SCHEMES,
            open: |uri, origin, opener| match C::from_uri(uri) {
                Ok(config) => async move {
                    let connector = match opener {
                        Some(opener) => config.connect_over(origin, opener).await?,
                        None => config.connect(origin).await?,
                    };
                    Ok(Arc::new(connector) as Arc<dyn Connector>)
                }
                .boxed(),
                Err(error) => async move { Err(error) }.boxed(),
            },
            identity: |uri, of_child| {
                let mut config = C::from_uri(uri)?;
                for child in config.children() {
                    *child = of_child(child)?;
                }
                Ok(config.identity())
            },
            children: |uri| Ok(C::from_uri(uri)?.children().into_iter().map(|child| child.clone()).collect()),
        }
    }

    /// The schemes it serves.
    pub fn schemes(&self) -> &'static [&'static str] {
        self.schemes
    }

    /// Opens a connector that is made of no others. See [`ConnectorConfig::connect`].
    pub async fn open(&self, uri: &Uri, origin: Origin) -> Result<Arc<dyn Connector>> {
        (self.open)(uri, origin, None).await
    }

    /// Opens a connector, and by `opener` those that it is made of. See [`ConnectorConfig::connect_over`].
    pub async fn open_over(
        &self,
        uri: &Uri,
        origin: Origin,
        opener: Arc<dyn Opener>,
    ) -> Result<Arc<dyn Connector>> {
        (self.open)(uri, origin, Some(opener)).await
    }

    /// The identity that `uri` stands for. See [`ConnectorConfig::identity`].
    pub fn identity(&self, uri: &Uri) -> Result<Uri> {
        self.identity_over(uri, &|child| Ok(child.public()))
    }

    /// The same, given the identities of its children.
    pub fn identity_over(&self, uri: &Uri, of_child: &dyn Fn(&Uri) -> Result<Uri>) -> Result<Uri> {
        (self.identity)(uri, of_child)
    }

    /// The places of the connectors that the one at `uri` is made of: none, for most.
    pub fn children(&self, uri: &Uri) -> Result<Vec<Uri>> {
        (self.children)(uri)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Driver({})", self.schemes.join(", "))
    }
}
