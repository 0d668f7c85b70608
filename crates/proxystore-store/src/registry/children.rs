//! Connectors that are made of others, each of which is a place of its own.

use std::sync::Arc;

use proxystore_core::{Connector, Opener, Origin, Result, Uri, WithTransform, async_trait};

use super::{Registry, State, unsigned};
use crate::Store;
use crate::reference::Identity;

impl State {
    /// The places of the connectors that the one at `uri` is made of.
    fn children(&self, uri: &Uri) -> Vec<Uri> {
        let place = uri.clone().without_option(WithTransform::OPTION);
        let driver = self.drivers.get(uri.scheme());
        // What is not understood is said when it is opened.
        driver.and_then(|driver| driver.children(&place).ok()).unwrap_or_default()
    }

    /// The place that `uri` names and those that it is made of, without transforms.
    pub(super) fn places(&self, uri: &Uri) -> Vec<Uri> {
        let bare = |uri: &Uri| uri.public().without_option(WithTransform::OPTION);
        std::iter::once(bare(uri)).chain(self.children(uri).iter().map(bare)).collect()
    }
}

impl Registry {
    /// Whether the connector at `uri` is made of others.
    pub(crate) fn has_children(&self, uri: &Uri) -> bool {
        !self.read().children(uri).is_empty()
    }

    /// The error of the first part of `uri` if none of them may be opened: nothing is tried or remembered then.
    pub(super) fn check_children(&self, uri: &Uri) -> Result<()> {
        let children = self.read().children(uri);
        let mut denied = children.iter().map(|child| self.allowed_child(child).map(drop));
        let first = denied.next().unwrap_or(Ok(()));
        if first.is_ok() || denied.any(|child| child.is_ok()) { Ok(()) } else { first }
    }

    /// Rules of trust: one that names a connector which is made of others stands for these. If it names transforms, it
    /// stands for nothing: its parts would be open without them.
    pub(super) fn parts(&self, rules: &[Uri]) -> Vec<Uri> {
        let state = self.read();
        let parts = rules.iter().map(|rule| match state.children(rule) {
            children if children.is_empty() => vec![rule.clone()],
            _ if rule.option(WithTransform::OPTION).is_some() => Vec::new(),
            children => children,
        });
        parts.flatten().collect()
    }

    /// The URI to open in place of `uri`, which is a part of the place that a reference names: that of the store which
    /// is registered there, or of the rule that allows it.
    fn allowed_child(&self, uri: &Uri) -> Result<Uri> {
        let name = Store::name_of(uri);
        if let Some(signing) = self.signing_at(uri) {
            return Err(unsigned(&signing, &name, uri));
        }
        match self.at(Identity::of(uri)) {
            Some(store) => Ok(store.config().uri.clone()),
            None => self.allowed(&name, uri),
        }
    }
}

/// Opens the children of a connector, each by the same rules as if it were alone.
#[derive(Debug)]
pub(super) struct Children {
    pub(super) registry: Registry,
    pub(super) origin: Origin,
}

#[async_trait]
impl Opener for Children {
    async fn open(&self, uri: &Uri) -> Result<Arc<dyn Connector>> {
        let uri = match self.origin {
            Origin::Program => uri.clone(),
            Origin::Reference => self.registry.allowed_child(uri)?,
        };
        self.registry.connect(&uri, &[], self.origin).await
    }

    fn identity(&self, uri: &Uri) -> Result<Uri> {
        self.registry.identity_uri(uri)
    }
}
