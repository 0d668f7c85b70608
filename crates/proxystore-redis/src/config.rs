//! Settings, and how URIs spell them.

use std::path::PathBuf;
use std::time::Duration;

use proxystore_core::{ConnectorConfig, Error, ErrorKind, Key, Origin, Result, Secret, Uri};
use serde::{Deserialize, Serialize};

use crate::RedisConnector;
use crate::endpoint::Endpoint;

const DEFAULT_PREFIX: &str = "proxystore";
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Settings of a [`RedisConnector`].
///
/// ```
/// use proxystore_core::ConnectorConfig;
/// use proxystore_redis::RedisConfig;
///
/// let config = RedisConfig::from_uri(&"redis://app:hunter2@Cache.example?timeout=5s".parse()?)?;
/// assert_eq!(config.identity().to_string(), "redis://cache.example:6379/0");
/// # Ok::<(), proxystore_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisConfig {
    /// Where the objects are.
    pub server: Server,
    /// The user to log in as; none: the server's default user.
    pub user: Option<String>,
    /// The password. Never serialized.
    #[serde(skip)]
    pub password: Option<Secret>,
    /// The number of the database. A cluster has 0 alone.
    pub db: u32,
    /// Objects are named `<prefix>:<key>`. Follows the rules of a [`Key`].
    pub prefix: String,
    /// The deadline of an operation, to which its bytes add a second per 8 MiB.
    pub timeout: Duration,
    /// The deadline of a connection's set-up.
    pub connect_timeout: Duration,
    /// How many connections carry objects above 64 KiB, at most. They are opened as needed.
    pub bulk: usize,
    /// A file of PEM certificates to trust instead of the public ones.
    pub ca: Option<PathBuf>,
}

/// Where the objects are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Server {
    /// One server.
    Tcp {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
        /// Whether to speak TLS.
        tls: bool,
    },
    /// One server, by its unix socket.
    Unix {
        /// The absolute path of the socket.
        path: PathBuf,
    },
    /// The master that sentinels agree on.
    Sentinel {
        /// Hosts and ports of sentinels.
        hosts: Vec<(String, u16)>,
        /// The name by which they know the master.
        master: String,
    },
    /// A cluster.
    Cluster {
        /// Hosts and ports of some of its nodes.
        hosts: Vec<(String, u16)>,
    },
}

impl Default for RedisConfig {
    /// `redis://127.0.0.1:6379/0`
    fn default() -> Self {
        Self {
            server: Server::Tcp { host: "127.0.0.1".into(), port: PORT, tls: false },
            user: None,
            password: None,
            db: 0,
            prefix: DEFAULT_PREFIX.into(),
            timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(2),
            bulk: 4,
            ca: None,
        }
    }
}

impl ConnectorConfig for RedisConfig {
    const SCHEMES: &'static [&'static str] =
        &["redis", "rediss", "redis+unix", "redis+sentinel", "redis+cluster"];
    type Connector = RedisConnector;

    fn from_uri(uri: &Uri) -> Result<Self> {
        let bad = |why: &str| Error::new(ErrorKind::Config, why).with("uri", uri);
        let own: &[&str] = match uri.scheme() {
            "rediss" => &["ca"],
            "redis+unix" => &["db"],
            "redis+sentinel" => &["master"],
            _ => &[],
        };
        let options = uri.options(&[&["prefix", "timeout", "connect_timeout", "bulk"], own].concat())?;
        let default = Self::default();
        let hosts = |port| hosts(uri, port).ok_or_else(|| bad("the URI names no host"));
        let (server, db) = match uri.scheme() {
            "redis+unix" => {
                let db = options.parse("db", 0)?;
                let path = PathBuf::from(uri.path());
                if uri.hosts().next().is_some() || !path.is_absolute() {
                    return Err(bad("a unix socket is an absolute path and has no host")
                        .hint("write redis+unix:///path/to.sock"));
                }
                (Server::Unix { path }, db)
            }
            "redis+sentinel" => {
                let master = options.text("master");
                if master.is_empty() {
                    return Err(bad("the master's name is missing").hint("add the option master=<name>"));
                }
                (Server::Sentinel { hosts: hosts(SENTINEL_PORT)?, master }, db(uri)?)
            }
            "redis+cluster" => (Server::Cluster { hosts: hosts(PORT)? }, db(uri)?),
            scheme => match &hosts(PORT)?[..] {
                [(host, port)] => {
                    (Server::Tcp { host: host.clone(), port: *port, tls: scheme == "rediss" }, db(uri)?)
                }
                _ => {
                    return Err(bad("several hosts are not one server")
                        .hint("write redis+cluster:// or redis+sentinel://"));
                }
            },
        };
        let config = Self {
            server,
            user: uri.user().map(Into::into),
            password: uri.password()?,
            db,
            prefix: uri.option("prefix").unwrap_or(DEFAULT_PREFIX).into(),
            timeout: options.duration("timeout", default.timeout)?,
            connect_timeout: options.duration("connect_timeout", default.connect_timeout)?,
            bulk: options.parse("bulk", default.bulk)?,
            ca: uri.option("ca").map(Into::into),
        };
        config.check().map_err(|error| error.with("uri", uri))?;
        Ok(config)
    }

    fn identity(&self) -> Uri {
        let uri = match &self.server {
            Server::Tcp { host, port, tls } => Uri::new(if *tls { "rediss" } else { "redis" })
                .with_host(host, Some(*port))
                .with_path(&format!("/{}", self.db)),
            Server::Unix { path } => {
                Uri::new("redis+unix").with_path(&path.to_string_lossy()).with_option("db", self.db)
            }
            Server::Sentinel { hosts, master } => with_hosts(Uri::new("redis+sentinel"), hosts)
                .with_path(&format!("/{}", self.db))
                .with_option("master", master),
            Server::Cluster { hosts } => with_hosts(Uri::new("redis+cluster"), hosts),
        };
        if self.prefix == DEFAULT_PREFIX { uri } else { uri.with_option("prefix", &self.prefix) }
    }

    async fn connect(self, _: Origin) -> Result<RedisConnector> {
        self.check()?;
        RedisConnector::open(&self, Endpoint::of(&self).await?).await
    }
}

impl RedisConfig {
    /// Checks what the types allow and the server does not.
    pub(crate) fn check(&self) -> Result<()> {
        Key::parse(&self.prefix).map_err(|error| error.with("option", "prefix"))?;
        let bad = |why: &str| Err(Error::new(ErrorKind::Config, why));
        match &self.server {
            Server::Cluster { .. } if self.db != 0 => bad("a cluster has no databases but 0"),
            Server::Cluster { .. } if !cfg!(feature = "cluster") => {
                Err(Error::new(ErrorKind::Unsupported, "this build speaks to no cluster")
                    .hint("`redis+cluster://` needs the Cargo feature `redis-cluster`"))
            }
            Server::Tcp { tls: true, .. } if !cfg!(feature = "tls") => {
                Err(Error::new(ErrorKind::Unsupported, "this build speaks no TLS to Redis")
                    .hint("`rediss://` needs the Cargo feature `redis-tls`"))
            }
            Server::Sentinel { hosts, .. } | Server::Cluster { hosts } if hosts.is_empty() => {
                bad("there are no hosts")
            }
            _ if !(1..=64).contains(&self.bulk) => bad("the option `bulk` is not 1 to 64"),
            _ if self.timeout.is_zero() || self.connect_timeout.is_zero() => bad("a timeout is zero"),
            // References carry it.
            _ if self.identity().to_string().parse::<Uri>().is_err() => {
                bad("there are too many hosts for a URI")
            }
            _ => Ok(()),
        }
    }
}

fn hosts(uri: &Uri, port: u16) -> Option<Vec<(String, u16)>> {
    let hosts: Vec<_> = uri.hosts().map(|(host, p)| (host.to_owned(), p.unwrap_or(port))).collect();
    (!hosts.is_empty()).then_some(hosts)
}

/// In one order, so that two spellings of the same hosts are one identity.
fn with_hosts(uri: Uri, hosts: &[(String, u16)]) -> Uri {
    let hosts: std::collections::BTreeSet<_> = hosts.iter().collect();
    hosts.into_iter().fold(uri, |uri, (host, port)| uri.with_host(host, Some(*port)))
}

fn db(uri: &Uri) -> Result<u32> {
    let mut segments = uri.segments();
    let number = match (segments.next(), segments.next()) {
        (None, _) => Some(0),
        (Some(db), None) => db.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| {
        Error::new(ErrorKind::Config, "the path is not the number of a database")
            .with("uri", uri)
            .hint("write scheme://host/0")
    })
}

#[cfg(test)]
mod tests;
