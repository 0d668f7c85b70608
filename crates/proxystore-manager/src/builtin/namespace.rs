//! Namespaces.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::ser::Serializer;

use super::decode_some;
use super::plain::Open;
use super::text::Text;
use crate::error::RemoteError;
use crate::manager::Manager;
use crate::object;
use crate::value::Encoded;

/// The namespace itself, at its manager.
#[derive(Debug, Default)]
pub(super) struct NamespaceObject(BTreeMap<String, Encoded>);

impl Serialize for NamespaceObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, Open(value))))
    }
}

impl fmt::Display for NamespaceObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Namespace(")?;
        let shown = self.0.iter().filter(|(name, _)| !name.starts_with('_'));
        for (i, (name, value)) in shown.enumerate() {
            write!(f, "{}{}={}", if i > 0 { ", " } else { "" }, name.escape_debug(), Text(value))?;
        }
        f.write_str(")")
    }
}

#[object(crate = "crate", typeid = "proxystore.Namespace", value, display)]
impl NamespaceObject {
    #[ctor]
    fn new() -> Self {
        Self::default()
    }

    #[idempotent]
    fn get(&self, name: &str) -> Option<Encoded> {
        self.0.get(name).cloned()
    }

    fn set(&mut self, name: String, value: Encoded) {
        self.0.insert(name, value);
    }

    fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    #[idempotent]
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

typed! {
    /// Shared values of any types by their names.
    ///
    /// ```
    /// # use proxystore_manager::Manager;
    /// # use proxystore_manager::builtin::Namespace;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = Manager::builder().in_process()?;
    /// let person = Namespace::create(&manager).await?;
    /// person.set("name", "Bob").await?;
    /// person.set("age", &42).await?;
    /// assert_eq!(person.get::<u8>("age").await?, Some(42));
    /// assert_eq!(person.display().await, "Namespace(age=42, name='Bob')");
    /// # Ok(()) }
    /// ```
    ///
    /// As in Python, its text leaves out names that begin with `_`; other than there, such names are shared, too.
    Namespace(NamespaceObjectProxy)
}

impl Namespace {
    /// An empty namespace.
    pub async fn create(manager: &Manager) -> Result<Self, RemoteError> {
        Ok(Self::of(NamespaceObjectProxy::create(manager).await?))
    }

    /// The namespace of this name; if there is none, an empty one gets it.
    pub async fn get_or_create(manager: &Manager, name: &str) -> Result<Self, RemoteError> {
        Ok(Self::of(NamespaceObjectProxy::get_or_create(manager, name).await?))
    }

    /// A copy of the value of a name. `Encode` if it is of another type.
    pub async fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, RemoteError> {
        decode_some(self.proxy.get(name).await?)
    }

    /// Gives a name a value.
    pub async fn set<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), RemoteError> {
        self.proxy.set(name.into(), Encoded::new(value)?).await
    }

    /// Takes a name and its value out. Whether it was there.
    pub async fn remove(&self, name: &str) -> Result<bool, RemoteError> {
        self.proxy.remove(name).await
    }

    /// The names, sorted.
    pub async fn names(&self) -> Result<Vec<String>, RemoteError> {
        self.proxy.names().await
    }
}
