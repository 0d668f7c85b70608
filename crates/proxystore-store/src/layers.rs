//! What stands between a store and its connector, and where it comes from.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use proxystore_core::{
    Connector, Error, ErrorKind, Policy, Result, Transform, Uri, WithPolicy, WithTransform,
};

/// Puts policies around a connector, on behalf of the store of this name.
pub(crate) type Wrap = Arc<dyn Fn(Arc<dyn Connector>, &str) -> Arc<dyn Connector> + Send + Sync>;

/// Wraps each connector in policies of its own.
pub(crate) fn wrap_in<P: Policy>(make: impl Fn() -> P + Send + Sync + 'static) -> Wrap {
    Arc::new(move |connector, store| Arc::new(WithPolicy::new(connector, make(), store)))
}

/// The transforms that a program has installed by name, and the policies that its stores have.
#[derive(Clone, Default)]
pub(crate) struct Layers {
    pub(crate) transforms: BTreeMap<&'static str, Arc<dyn Transform>>,
    pub(crate) policies: Option<Wrap>,
}

impl Layers {
    /// The URI without its transforms, and these: from `own` if they are there, or else those installed.
    pub(crate) fn dissect(
        &self,
        uri: &Uri,
        own: &[Arc<dyn Transform>],
    ) -> Result<(Uri, Vec<Arc<dyn Transform>>)> {
        let mut transforms = own.to_vec();
        for name in names(uri) {
            if own.iter().any(|transform| transform.name() == name) {
                continue;
            }
            let installed = self.transforms.get(name).cloned();
            transforms.push(installed.ok_or_else(|| self.unknown(name, uri))?);
        }
        Ok((uri.clone().without_option(WithTransform::OPTION), transforms))
    }

    fn unknown(&self, name: &str, uri: &Uri) -> Error {
        let installed: Vec<_> = self.transforms.keys().copied().collect();
        let hint = if name == "encrypt" {
            "install it with its keys: `Registry::global().install_transform(Encrypt::new(keys))`".into()
        } else {
            format!(
                "enable the Cargo feature of `{name}`, and call `proxystore::install`; installed: {}",
                if installed.is_empty() { "none".into() } else { installed.join(", ") }
            )
        };
        Error::new(ErrorKind::Unsupported, format!("no transform `{name}` is installed"))
            .with("uri", uri.without_options())
            .hint(hint)
    }
}

/// The names of the transforms of a store's URI.
fn names(uri: &Uri) -> impl Iterator<Item = &str> {
    uri.option(WithTransform::OPTION)
        .into_iter()
        .flat_map(|names| names.split(','))
        .filter(|name| !name.is_empty())
}

/// The connector with transforms around it, if there are any.
pub(crate) fn with_transforms(
    connector: Arc<dyn Connector>,
    transforms: Vec<Arc<dyn Transform>>,
) -> Result<Arc<dyn Connector>> {
    if transforms.is_empty() {
        return Ok(connector);
    }
    Ok(Arc::new(WithTransform::new(connector, transforms)?))
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.transforms.values()).finish()
    }
}
