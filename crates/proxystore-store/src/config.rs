//! How to open a store, as a value and as a TOML file.

use std::path::Path;
use std::time::Duration;

use proxystore_core::{Error, ErrorKind, Result, Uri};
use serde::{Deserialize, Serialize};

/// How to open a store: serializable, and readable from and writable to TOML.
///
/// A password is never written: name an environment variable instead, `redis://app:${REDIS_PASSWORD}@host`.
///
/// ```
/// let config = proxystore_store::StoreConfig::from_toml(r#"
///     name = "images"
///     uri = "file:///var/lib/images"
///     [cache]
///     objects = 100
/// "#)?;
/// assert_eq!(config.cache.objects, 100);
/// assert_eq!(config.cache.bytes, 256 << 20);
/// # Ok::<(), proxystore_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StoreConfig {
    /// The store's name, by which references find it: 1 to 64 characters of `A-Z a-z 0-9 - _ .`.
    pub name: String,
    /// Where the objects are.
    pub uri: Uri,
    /// Whether a proxy made by this store is born resolved, unless it is ephemeral (yes).
    #[serde(default = "yes")]
    pub populate: bool,
    /// Whether references carry the store's URI, so that readers who trust it can open it (yes).
    #[serde(default = "yes")]
    pub embed_uri: bool,
    /// How much the cache may hold.
    #[serde(default)]
    pub cache: CacheConfig,
    /// How much one operation may take.
    #[serde(default)]
    pub limits: LimitsConfig,
}

/// The bounds of a store's cache of decoded objects. 0 of either turns it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// The most objects (16).
    pub objects: u64,
    /// The most bytes, as stored (256 MiB).
    pub bytes: u64,
}

/// The bounds of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// The largest encoded object that is put or decoded, in bytes (4 GiB).
    pub object_bytes: u64,
    /// How long an operation on the backend may take in all, in milliseconds (120,000), and the time that its bytes
    /// take at 8 MiB per second. Policies and connectors have tighter deadlines of their own.
    pub timeout_ms: u64,
}

fn yes() -> bool {
    true
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { objects: 16, bytes: 256 << 20 }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { object_bytes: 4 << 30, timeout_ms: 120_000 }
    }
}

impl LimitsConfig {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

impl StoreConfig {
    /// The defaults for a store of this name at this place.
    pub fn new(name: impl Into<String>, uri: Uri) -> Self {
        Self {
            name: name.into(),
            uri,
            populate: true,
            embed_uri: true,
            cache: CacheConfig::default(),
            limits: LimitsConfig::default(),
        }
    }

    /// Reads TOML text. `Config` on anything unknown, missing or wrong, with the place and without the text, which
    /// may hold a password.
    pub fn from_toml(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            let why = match error.message().rsplit_once(", expected ") {
                // Serde quotes the value that it finds wrong, and says last what it wants.
                Some((quote, wanted)) if quote.starts_with("invalid ") => format!("expected {wanted} here"),
                _ => error.message().into(),
            };
            Error::new(ErrorKind::Config, format!("not a store configuration: {why}"))
                .with("line", line)
                .hint("see the documentation of `StoreConfig` for the fields")
        })
    }

    /// Writes TOML text.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self)
            .map_err(|error| Error::new(ErrorKind::Config, format!("cannot be written as TOML: {error}")))
    }

    /// Reads a TOML file. Blocks for as long as the file system takes: for the start of a program.
    /// `Config` if the file cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| file_error("read", path, &e))?;
        Self::from_toml(&text).map_err(|e| e.with("file", path.display()))
    }

    /// Writes a TOML file, and the directories above it. Blocks for as long as the file system takes.
    /// `Config` if the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = self.to_toml()?;
        let directories = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        directories.and_then(|()| std::fs::write(path, text)).map_err(|e| file_error("write", path, &e))
    }
}

fn file_error(verb: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Config, format!("cannot {verb} the configuration: {error}"))
        .with("file", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_round_trips_without_a_literal_password() {
        let uri = "redis://app:c4n4ry@host:6379/0?prefix=p".parse().unwrap();
        let config = StoreConfig { populate: false, ..StoreConfig::new("jobs", uri) };
        let text = config.to_toml().unwrap();
        assert!(!text.contains("c4n4ry"), "{text}");
        let read = StoreConfig::from_toml(&text).unwrap();
        assert_eq!(read, StoreConfig { uri: config.uri.public(), ..config });

        let variable: Uri = "redis://app:${REDIS_PASSWORD}@host/0".parse().unwrap();
        let config = StoreConfig::new("jobs", variable);
        assert_eq!(StoreConfig::from_toml(&config.to_toml().unwrap()).unwrap(), config);
    }

    #[test]
    fn errors_name_the_place_and_never_the_text() {
        for (text, words) in [
            ("name = \"a\"\nuri = \"redis://app:c4n4ry@ho st\"", "not a store URI"),
            ("name = \"a\"\nuri = \"file:///a\"\ncache_sise = 3", "unknown field `cache_sise`"),
            ("name = \"a\"", "missing field `uri`"),
            ("name = \"a\"\nuri = \"file:///a\"\npopulate = \"redis://a:c4n4ry@h\"", "expected a boolean"),
            ("name = \"a\"\nuri = \"file:///a\"\n[cache]\nbytes = \"c4n4ry, expected c\"", "expected u64"),
            ("name = \"a\nuri = c4n4ry", "not a store configuration"),
        ] {
            let error = StoreConfig::from_toml(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(words), "{error}");
            assert!(!format!("{error:?}").contains("c4n4ry"), "{error:?}");
        }
    }

    #[test]
    fn files_are_read_and_written() {
        let dir = std::env::temp_dir().join(proxystore_core::Id::random().unwrap().to_string());
        let config = StoreConfig::new("images", "file:///data".parse().unwrap());
        config.write(dir.join("deep/store.toml")).unwrap();
        assert_eq!(StoreConfig::read(dir.join("deep/store.toml")).unwrap(), config);
        let error = StoreConfig::read(dir.join("absent.toml")).unwrap_err();
        assert!(error.to_string().contains("absent.toml"), "{error}");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
