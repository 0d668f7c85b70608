//! Settings of `file://`.

use std::path::PathBuf;
use std::time::Duration;

use proxystore_core::{ConnectorConfig, Error, ErrorKind, Origin, Result, Uri};
use serde::{Deserialize, Serialize};

use crate::FileConnector;

/// Settings of a [`FileConnector`].
///
/// ```
/// use proxystore_core::ConnectorConfig;
/// use proxystore_file::{Durability, FileConfig};
///
/// let config = FileConfig::from_uri(&"file:///var/lib/objects?durability=power&sweep=5m".parse()?)?;
/// assert_eq!(config.durability, Durability::Power);
/// assert_eq!(config.identity().to_string(), "file:///var/lib/objects");
/// # Ok::<(), proxystore_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileConfig {
    /// The directory of the objects, an absolute path. There is no default.
    pub root: PathBuf,
    /// What a put outlives.
    pub durability: Durability,
    /// How often expired objects and the files of dead writers are removed. Not zero.
    pub sweep: Duration,
}

/// What a put that has returned outlives. Whatever the level, an object is seen whole or not at all, and the death of
/// any process loses nothing. An evict is not synced: after a power failure, the object may be back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Processes. A power failure or crash of the system may lose recent objects, or leave them `Corrupt`.
    #[default]
    None,
    /// The content is on the disk before the object appears: a power failure may lose a recent object, or bring back
    /// the one it replaced, but what is there is whole.
    Data,
    /// Power failures: content, name and new directories are on the disk when the put returns.
    Power,
}

impl Default for FileConfig {
    fn default() -> Self {
        Self { root: PathBuf::new(), durability: Durability::default(), sweep: Duration::from_secs(60) }
    }
}

impl ConnectorConfig for FileConfig {
    const SCHEMES: &'static [&'static str] = &["file"];
    type Connector = FileConnector;

    fn from_uri(uri: &Uri) -> Result<Self> {
        let bad = |why| {
            Error::new(ErrorKind::Config, why).with("uri", uri).hint("write file:///absolute/directory")
        };
        let options = uri.options(&["durability", "sweep"])?;
        if uri.has_credentials() || uri.hosts().next().is_some() {
            return Err(bad("a file store has no host, user or password"));
        }
        if uri.path().is_empty() {
            return Err(bad("a file store needs a directory"));
        }
        let durability = match uri.option("durability") {
            None | Some("none") => Durability::None,
            Some("data") => Durability::Data,
            Some("power") => Durability::Power,
            Some(_) => return Err(bad("the option `durability` is not none, data or power")),
        };
        let sweep = options.duration("sweep", Self::default().sweep)?;
        Ok(Self { root: uri.path().into(), durability, sweep })
    }

    fn identity(&self) -> Uri {
        let root: PathBuf = self.root.components().collect();
        Uri::new("file").with_path(&root.to_string_lossy())
    }

    /// Opens the directory. [`Origin::Program`] makes it if it is missing; [`Origin::Reference`] opens what such a
    /// connector has made, by its real path, and makes nothing but the store's [clock](crate#time), where it is the
    /// first since the machine started. Dropping the future may leave an empty directory.
    async fn connect(self, origin: Origin) -> Result<FileConnector> {
        FileConnector::open(self, origin).await
    }
}
