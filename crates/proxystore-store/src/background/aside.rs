//! The connector of the background thread.

use std::sync::Arc;

use proxystore_core::{Connector, Origin, Reach, Result, Transform, Uri};
use tokio::sync::OnceCell;

use crate::Registry;

/// What it takes to open a store's connector another time.
pub(crate) struct Again {
    pub(crate) registry: Registry,
    pub(crate) uri: Uri,
    pub(crate) transforms: Vec<Arc<dyn Transform>>,
    pub(crate) origin: Origin,
}

/// A store's connector for the background thread: one of its own if connections are bound to the runtime that has
/// opened them, and the store's connector can be opened another time.
pub(crate) struct Aside {
    again: Option<Again>,
    shared: Arc<dyn Connector>,
    /// `None` if it was closed before anybody needed it.
    connector: OnceCell<Option<Arc<dyn Connector>>>,
}

impl Aside {
    pub(crate) fn new(shared: &Arc<dyn Connector>, again: Option<Again>) -> Self {
        // What reaches no further than this host is bound to no runtime; what is made of several may reach further.
        let apart = |again: &Again| {
            shared.info().capabilities.reach == Reach::Network || again.registry.has_children(&again.uri)
        };
        let again = again.filter(apart);
        Self { again, shared: shared.clone(), connector: OnceCell::new() }
    }

    /// The connector, opened now unless it is open; `None` if it was closed.
    pub(crate) async fn connector(&self) -> Result<Option<Arc<dyn Connector>>> {
        let open = || async {
            Ok(Some(match &self.again {
                Some(Again { registry, uri, transforms, origin }) => {
                    registry.connect(uri, transforms, *origin).await?
                }
                None => self.shared.clone(),
            }))
        };
        self.connector.get_or_try_init(open).await.cloned()
    }

    /// Closes it, if it is a connector of its own.
    pub(crate) async fn close(&self) -> Result<()> {
        // Who comes later finds it closed; who is opening it now is waited for.
        let connector = self.connector.get_or_init(async || None).await;
        match (&self.again, connector) {
            (Some(_), Some(connector)) => connector.close().await,
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
