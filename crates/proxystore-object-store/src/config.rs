//! Settings of the schemes that lead here.

use std::time::Duration;

use proxystore_core::{ConnectorConfig, Error, ErrorKind, Key, Origin, Result, Uri};
use serde::{Deserialize, Serialize};

use crate::{ObjectStoreConnector, open, space};

/// A name in a bucket has at most 1,024 bytes: prefix, `/` and key.
const MAX_PREFIX: usize = 1024 - 1 - Key::MAX_LEN;

/// Settings of an [`ObjectStoreConnector`] that is opened by a URI.
///
/// ```
/// use proxystore_core::ConnectorConfig;
/// use proxystore_object_store::{ObjectStoreConfig, Place};
///
/// let config = ObjectStoreConfig::from_uri(&"gs://models/team-a?timeout=5s".parse()?)?;
/// assert!(matches!(&config.place, Place::Gcs { bucket, .. } if bucket == "models"));
/// assert_eq!(config.identity().to_string(), "gs://models/team-a");
/// # Ok::<(), proxystore_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectStoreConfig {
    /// Where the objects are. There is no default.
    pub place: Place,
    /// What signs the requests. None: the environment's where the program itself opens the store, and none where a
    /// reference from elsewhere does.
    pub credentials: Option<Credentials>,
    /// The deadline of a request's answer, and of each next 16 KiB while bytes move.
    pub timeout: Duration,
    /// The deadline of a connection's set-up.
    pub connect_timeout: Duration,
    /// How often expired objects are removed. None: never.
    pub sweep: Option<Duration>,
}

/// Where objects are.
///
/// A prefix follows the rules of a [`Key`], with at most 511 bytes; objects are named `<prefix>/<key>`, or by their keys
/// alone if it is empty. An endpoint is `http` or `https`, a host and perhaps a port and a path, without credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Place {
    /// `memory:///name`, or `memory://process/name` as references spell it: the memory of one process.
    Memory {
        /// The name of the map within the process.
        name: String,
        /// The process that has it, by its random id; none: this one.
        #[serde(default)]
        process: Option<String>,
    },
    /// `s3+object://bucket/prefix`: S3 and what speaks its protocol. Feature `aws`.
    S3 {
        /// The bucket, which must be there.
        bucket: String,
        /// What names begin with.
        #[serde(default)]
        prefix: String,
        /// The bucket's region. None: `us-east-1`.
        #[serde(default)]
        region: Option<String>,
        /// Another server than AWS.
        #[serde(default)]
        endpoint: Option<String>,
    },
    /// `gs://bucket/prefix`: Google Cloud Storage. Feature `gcp`.
    Gcs {
        /// The bucket, which must be there.
        bucket: String,
        /// What names begin with.
        #[serde(default)]
        prefix: String,
        /// Another server than Google's.
        #[serde(default)]
        endpoint: Option<String>,
    },
    /// `az://account/container/prefix`: Azure Blob Storage. Feature `azure`.
    Azure {
        /// The storage account.
        account: String,
        /// The container, which must be there.
        container: String,
        /// What names begin with.
        #[serde(default)]
        prefix: String,
        /// Another server than Azure's, for this account.
        #[serde(default)]
        endpoint: Option<String>,
    },
    /// `http://host/path`, `https://host/path`: any server, to read from. Feature `http`.
    Http {
        /// What the key is appended to; or if it holds a signature, the one object that it is for.
        uri: Uri,
    },
}

/// What signs requests. Keys are never part of a URI, a configuration or a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Credentials {
    /// What the environment has: see the [crate's documentation](crate#credentials).
    Environment,
    /// Nothing: for public buckets.
    Anonymous,
}

impl Default for ObjectStoreConfig {
    fn default() -> Self {
        Self {
            place: Place::Memory { name: String::new(), process: None },
            credentials: None,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            sweep: Some(Duration::from_secs(3600)),
        }
    }
}

impl ConnectorConfig for ObjectStoreConfig {
    const SCHEMES: &'static [&'static str] = &["gs", "az", "s3+object", "http", "https", "memory"];
    type Connector = ObjectStoreConnector;

    fn from_uri(uri: &Uri) -> Result<Self> {
        const OF_ALL: [&str; 2] = ["timeout", "connect_timeout"];
        let own: &[&str] = match uri.scheme() {
            "memory" => &[],
            "http" | "https" => &OF_ALL,
            "s3+object" => &["region", "endpoint", "credentials", "sweep", OF_ALL[0], OF_ALL[1]],
            _ => &["endpoint", "credentials", "sweep", OF_ALL[0], OF_ALL[1]],
        };
        let options = uri.options(own)?;
        let bad = |why: &str| Error::new(ErrorKind::Config, why).with("uri", uri.without_options());
        let credentials = match uri.option("credentials") {
            None => None,
            Some("environment") => Some(Credentials::Environment),
            Some("anonymous") => Some(Credentials::Anonymous),
            Some(_) => return Err(bad("the option `credentials` is not environment or anonymous")),
        };
        let default = Self::default();
        let config = Self {
            place: Place::of(uri)?,
            credentials,
            timeout: options.duration("timeout", default.timeout)?,
            connect_timeout: options.duration("connect_timeout", default.connect_timeout)?,
            sweep: match uri.option("sweep") {
                Some("off") => None,
                _ => Some(options.duration("sweep", Duration::from_secs(3600))?),
            },
        };
        config.check().map_err(|error| error.with("uri", uri.without_options()))?;
        Ok(config)
    }

    fn identity(&self) -> Uri {
        let of = |scheme: &str, host: &str, path: &[&str], endpoint: &Option<String>| {
            let path: String =
                path.iter().filter(|part| !part.is_empty()).map(|part| format!("/{part}")).collect();
            let uri = Uri::new(scheme).with_host(host, None).with_path(&path);
            match endpoint.as_deref().and_then(canonical) {
                Some(endpoint) => uri.with_option("endpoint", endpoint),
                None => uri,
            }
        };
        match &self.place {
            Place::Memory { name, process } => {
                of("memory", process.as_deref().unwrap_or(space::process_id()), &[name], &None)
            }
            Place::S3 { bucket, prefix, region, endpoint } => {
                let uri = of("s3+object", bucket, &[prefix], endpoint);
                match region {
                    Some(region) => uri.with_option("region", region),
                    None => uri,
                }
            }
            Place::Gcs { bucket, prefix, endpoint } => of("gs", bucket, &[prefix], endpoint),
            Place::Azure { account, container, prefix, endpoint } => {
                of("az", account, &[container, prefix], endpoint)
            }
            Place::Http { uri } => plain(uri).unwrap_or_else(|| uri.public()),
        }
    }

    /// Finds the credentials' source and looks whether the bucket is there. For [`Origin::Reference`], only a trust rule
    /// that says `credentials=environment` has requests signed, and nothing is swept. Dropping the future leaves nothing.
    async fn connect(self, origin: Origin) -> Result<ObjectStoreConnector> {
        self.check()?;
        let identity = self.identity();
        let connector = open::connector(self, origin).await;
        connector.map_err(|error| error.with("operation", "connect").with("connector", identity))
    }
}

impl Place {
    fn of(uri: &Uri) -> Result<Self> {
        let bad = |why: &str, hint: &str| {
            Err(Error::new(ErrorKind::Config, why).with("uri", uri.without_options()).hint(hint))
        };
        let web = matches!(uri.scheme(), "http" | "https");
        if uri.has_credentials() && !(web && uri.user().is_none()) {
            return bad(
                "the URI has a user or a password",
                "keys come from the environment; see the crate's documentation",
            );
        }
        let hosts: Vec<_> = uri.hosts().collect();
        let text = |name| uri.option(name).map(str::to_owned);
        let path = uri.path().trim_start_matches('/');
        match (uri.scheme(), &hosts[..]) {
            ("memory", []) => Ok(Self::Memory { name: path.into(), process: None }),
            ("memory", [(process, None)]) => {
                Ok(Self::Memory { name: path.into(), process: Some((*process).into()) })
            }
            ("http" | "https", [_]) => {
                let uri = uri.clone().without_option("timeout").without_option("connect_timeout");
                Ok(Self::Http { uri })
            }
            ("s3+object", [(bucket, None)]) => Ok(Self::S3 {
                bucket: (*bucket).into(),
                prefix: path.into(),
                region: text("region"),
                endpoint: text("endpoint"),
            }),
            ("gs", [(bucket, None)]) => {
                Ok(Self::Gcs { bucket: (*bucket).into(), prefix: path.into(), endpoint: text("endpoint") })
            }
            ("az", [(account, None)]) if !path.is_empty() => {
                let (container, prefix) = path.split_once('/').unwrap_or((path, ""));
                let (account, container, prefix) = ((*account).into(), container.into(), prefix.into());
                Ok(Self::Azure { account, container, prefix, endpoint: text("endpoint") })
            }
            ("memory", _) => {
                bad("a store in memory has no port and no list of hosts", "write memory:///name")
            }
            ("az", _) => {
                bad("the URI does not name one account and container", "write az://account/container/prefix")
            }
            ("s3+object", _) => bad("the URI does not name one bucket", "write s3+object://bucket/prefix"),
            ("gs", _) => bad("the URI does not name one bucket", "write gs://bucket/prefix"),
            _ => bad("the URI does not name one host", "write https://host/path"),
        }
    }

    /// What the names of objects begin with, without a `/` at the end.
    pub(crate) fn prefix(&self) -> &str {
        match self {
            Self::S3 { prefix, .. } | Self::Gcs { prefix, .. } | Self::Azure { prefix, .. } => prefix,
            Self::Memory { .. } | Self::Http { .. } => "",
        }
    }

    /// The server that the URI names, in its one spelling.
    #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
    pub(crate) fn endpoint(&self) -> Option<String> {
        match self {
            Self::S3 { endpoint, .. } | Self::Gcs { endpoint, .. } | Self::Azure { endpoint, .. } => {
                endpoint.as_deref().and_then(canonical)
            }
            Self::Memory { .. } | Self::Http { .. } => None,
        }
    }
}

impl ObjectStoreConfig {
    /// Checks what the types allow and the server does not.
    fn check(&self) -> Result<()> {
        let bad = |why: &str| Err(Error::new(ErrorKind::Config, why));
        let prefix = self.place.prefix();
        if !prefix.is_empty() {
            Key::parse(prefix).map_err(|error| error.with("part", "prefix"))?;
        }
        // Names that stand in the host of a request.
        let is_name = |name: &str, longest: usize| {
            (3..=longest).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b))
        };
        let is_word = |word: &str| !word.is_empty() && word.len() <= 64 && Key::parse(word).is_ok();
        let endpoint = match &self.place {
            Place::S3 { endpoint, .. } | Place::Gcs { endpoint, .. } | Place::Azure { endpoint, .. } => {
                endpoint.as_deref()
            }
            _ => None,
        };
        match &self.place {
            _ if prefix.len() > MAX_PREFIX => bad("the prefix is longer than 511 bytes"),
            Place::Memory { name, .. } if name.contains('/') || !is_word(name) => {
                bad("a store in memory has a name of one segment")
            }
            Place::S3 { bucket, .. } if !is_name(bucket, 63) => {
                bad("the name of the bucket is not 3 to 63 of the characters a-z 0-9 - . _")
            }
            Place::Gcs { bucket, .. } if !is_name(bucket, 222) => {
                bad("the name of the bucket is not 3 to 222 of the characters a-z 0-9 - . _")
            }
            Place::Azure { account, container, .. } if !is_name(account, 24) || !is_name(container, 63) => {
                bad("the account or the container is not 3 to 24, or 63, of the characters a-z 0-9 -")
            }
            Place::S3 { region: Some(region), .. } if region.contains('/') || !is_word(region) => {
                bad("the option `region` is not a word such as eu-west-1")
            }
            Place::Http { uri } if plain(uri).is_none() => bad("the URI is not http or https and one host"),
            _ if endpoint.is_some_and(|endpoint| canonical(endpoint).is_none()) => {
                bad("the option `endpoint` is not http or https, a host and perhaps a port and a path")
            }
            _ if self.timeout.is_zero() || self.connect_timeout.is_zero() => bad("a timeout is zero"),
            _ if self.sweep.is_some_and(|every| every.is_zero()) => bad("the option `sweep` is zero"),
            _ => Ok(()),
        }
    }
}

/// The one spelling of an endpoint.
fn canonical(endpoint: &str) -> Option<String> {
    let uri: Uri = endpoint.parse().ok()?;
    let bare = !uri.has_credentials() && uri.option_pairs().next().is_none();
    plain(&uri).filter(|_| bare).map(|uri| uri.to_string())
}

/// An address on the web without credentials and options, and without the port that is usual.
pub(crate) fn plain(uri: &Uri) -> Option<Uri> {
    let usual = match uri.scheme() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let mut hosts = uri.hosts();
    let (Some((host, port)), None) = (hosts.next(), hosts.next()) else { return None };
    Some(Uri::new(uri.scheme()).with_host(host, port.filter(|port| *port != usual)).with_path(uri.path()))
}

#[cfg(test)]
mod tests;
