//! Which values are passed by reference.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::schema::schema;

/// Which values an executor passes by reference: those above a size (64 KiB is the default), of some types, all, or none.
/// The counterpart of Python ProxyStore's `should_proxy`; it travels to the worker with each call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShouldProxy(Rule);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Rule {
    Never,
    Always,
    Above(u64),
    /// The fingerprints of the types.
    Types(Vec<[u8; 16]>),
}

impl Default for ShouldProxy {
    fn default() -> Self {
        Self::above(64 << 10)
    }
}

impl ShouldProxy {
    /// None.
    pub const fn never() -> Self {
        Self(Rule::Never)
    }

    /// All: even a proxy, which would travel as it is by its size.
    pub const fn always() -> Self {
        Self(Rule::Always)
    }

    /// Those of more than so many bytes, encoded.
    pub const fn above(bytes: u64) -> Self {
        Self(Rule::Above(bytes))
    }

    /// Those of type `T`.
    ///
    /// ```
    /// use proxystore_store::ShouldProxy;
    /// let images_and_sounds = ShouldProxy::of::<Vec<u8>>().or::<Vec<f32>>();
    /// ```
    pub fn of<T: DeserializeOwned + 'static>() -> Self {
        Self(Rule::Types(Vec::new())).or::<T>()
    }

    /// Those of type `T`, too, if this is by type; else it stays as it is.
    #[must_use]
    pub fn or<T: DeserializeOwned + 'static>(mut self) -> Self {
        if let Rule::Types(types) = &mut self.0 {
            types.push(*schema::<T>(false).fingerprint().as_bytes());
        }
        self
    }

    /// Whether a value of type `T` that is encoded in so many bytes is one of them.
    pub(super) fn wants<T: DeserializeOwned + 'static>(&self, bytes: usize) -> bool {
        match &self.0 {
            Rule::Never => false,
            Rule::Always => true,
            Rule::Above(limit) => bytes as u64 > *limit,
            Rule::Types(types) => types.contains(schema::<T>(false).fingerprint().as_bytes()),
        }
    }
}
