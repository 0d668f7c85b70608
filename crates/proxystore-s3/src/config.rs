//! Settings of `s3://`.

use std::time::Duration;

use proxystore_core::{ConnectorConfig, Error, ErrorKind, Key, Origin, Result, Uri};
use serde::{Deserialize, Serialize};

use crate::{S3Connector, client};

/// The region where none is named: what compatible servers take, whatever theirs is.
pub(crate) const REGION: &str = "us-east-1";
/// A name on the server has at most 1,024 bytes: prefix, `/` and key.
const MAX_PREFIX: usize = 1024 - 1 - Key::MAX_LEN;

/// Settings of an [`S3Connector`].
///
/// ```
/// use proxystore_core::ConnectorConfig;
/// use proxystore_s3::{Credentials, S3Config};
///
/// let config = S3Config::from_uri(&"s3://models/team-a?region=eu-west-1&profile=reader&timeout=5s".parse()?)?;
/// assert_eq!(config.credentials, Credentials::Profile("reader".into()));
/// assert_eq!(config.identity().to_string(), "s3://models/team-a?region=eu-west-1");
/// # Ok::<(), proxystore_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Config {
    /// The bucket, which must be there. There is no default.
    pub bucket: String,
    /// Objects are named `<prefix>/<key>`, or by their keys alone if it is empty. Follows the rules of a [`Key`], with
    /// at most 511 bytes.
    pub prefix: String,
    /// The bucket's region. None: that of the environment or the profile, or else `us-east-1`.
    pub region: Option<String>,
    /// The server, such as `https://minio.example:9000`. None: AWS. Settings of the environment do not change it, as
    /// whoever gets a reference has another environment.
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path of a request rather than in the name of the host. None: where there is an
    /// endpoint.
    pub path_style: Option<bool>,
    /// What signs the requests.
    pub credentials: Credentials,
    /// Which checksums go with requests. None: [`Checksum::Supported`] on AWS, [`Checksum::Required`] elsewhere.
    pub checksum: Option<Checksum>,
    /// The deadline of a request's answer, and of each next 16 KiB while bytes move.
    pub timeout: Duration,
    /// The deadline of a connection's set-up.
    pub connect_timeout: Duration,
    /// How often expired objects and abandoned uploads are removed. None: never.
    pub sweep: Option<Duration>,
}

/// What signs requests. Keys are never part of a URI, a configuration or a reference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Credentials {
    /// What the AWS chain finds: the environment, the default profile, web identity, the role of a container or a
    /// machine. A connector that is opened for a reference from elsewhere does not look for them, and signs nothing.
    #[default]
    Chain,
    /// This profile of the AWS configuration files alone.
    Profile(String),
    /// Nothing: for public buckets.
    Anonymous,
}

/// Which checksums of the protocol are used. Damage on the way or at rest is found without them too, by the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checksum {
    /// Wherever the protocol has them: the server finds damage before it stores an object.
    Supported,
    /// Only where the protocol demands them: for servers that refuse those of recent years.
    Required,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            prefix: String::new(),
            region: None,
            endpoint: None,
            path_style: None,
            credentials: Credentials::default(),
            checksum: None,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            sweep: Some(Duration::from_secs(3600)),
        }
    }
}

impl ConnectorConfig for S3Config {
    const SCHEMES: &'static [&'static str] = &["s3"];
    type Connector = S3Connector;

    fn from_uri(uri: &Uri) -> Result<Self> {
        let bad = |why: &str| Error::new(ErrorKind::Config, why).with("uri", uri.without_options());
        let options = uri.options(&[
            "region",
            "endpoint",
            "path_style",
            "profile",
            "anonymous",
            "checksum",
            "timeout",
            "connect_timeout",
            "sweep",
        ])?;
        if uri.has_credentials() {
            return Err(bad("an S3 URI has no user and no password").hint(
                "put the keys into a profile of the AWS configuration files, and name it by the option profile=<name>",
            ));
        }
        let mut hosts = uri.hosts();
        let (Some((bucket, None)), None) = (hosts.next(), hosts.next()) else {
            return Err(bad("the URI does not name one bucket").hint("write s3://bucket/prefix"));
        };
        let default = Self::default();
        let text = |name| uri.option(name).map(str::to_owned);
        let anonymous = options.parse("anonymous", false)?;
        let credentials = match (text("profile"), anonymous) {
            (None, false) => Credentials::Chain,
            (Some(profile), false) => Credentials::Profile(profile),
            (None, true) => Credentials::Anonymous,
            (Some(_), true) => return Err(bad("the options `profile` and `anonymous` exclude each other")),
        };
        let checksum = match uri.option("checksum") {
            None => None,
            Some("supported") => Some(Checksum::Supported),
            Some("required") => Some(Checksum::Required),
            Some(_) => return Err(bad("the option `checksum` is not supported or required")),
        };
        let path_style = uri.option("path_style").map(|_| options.parse("path_style", true)).transpose()?;
        let sweep = match uri.option("sweep") {
            Some("off") => None,
            _ => Some(options.duration("sweep", Duration::from_secs(3600))?),
        };
        let config = Self {
            bucket: bucket.into(),
            prefix: uri.path().trim_start_matches('/').into(),
            region: text("region"),
            endpoint: text("endpoint"),
            path_style,
            credentials,
            checksum,
            timeout: options.duration("timeout", default.timeout)?,
            connect_timeout: options.duration("connect_timeout", default.connect_timeout)?,
            sweep,
        };
        config.check().map_err(|error| error.with("uri", uri.without_options()))?;
        Ok(config)
    }

    fn identity(&self) -> Uri {
        let mut uri = Uri::new("s3").with_host(&self.bucket, None);
        if !self.prefix.is_empty() {
            uri = uri.with_path(&format!("/{}", self.prefix));
        }
        if let Some(region) = &self.region {
            uri = uri.with_option("region", region);
        }
        if let Some(endpoint) = self.endpoint.as_deref().and_then(canonical) {
            uri = uri.with_option("endpoint", endpoint);
        }
        if self.path_style() != self.endpoint.is_some() {
            uri = uri.with_option("path_style", self.path_style());
        }
        uri
    }

    /// Finds the credentials' source and looks whether the bucket is there. For [`Origin::Reference`], only a profile
    /// that the trust rule names signs requests, and nothing is swept. Dropping the future leaves nothing.
    async fn connect(self, origin: Origin) -> Result<S3Connector> {
        self.check()?;
        S3Connector::open(client::of(&self, origin).await?, &self, origin).await
    }
}

impl S3Config {
    pub(crate) fn path_style(&self) -> bool {
        self.path_style.unwrap_or(self.endpoint.is_some())
    }

    pub(crate) fn checksum(&self) -> Checksum {
        let default = if self.endpoint.is_some() { Checksum::Required } else { Checksum::Supported };
        self.checksum.unwrap_or(default)
    }

    /// Checks what the types allow and the server does not.
    pub(crate) fn check(&self) -> Result<()> {
        let bad = |why: &str| Err(Error::new(ErrorKind::Config, why));
        if !self.prefix.is_empty() {
            Key::parse(&self.prefix).map_err(|error| error.with("part", "prefix"))?;
        }
        let is_word = |word: &str| {
            (1..=64).contains(&word.len())
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        let is_bucket = |name: &str| {
            (3..=63).contains(&name.len())
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte))
        };
        match self {
            _ if !is_bucket(&self.bucket) => {
                bad("the name of the bucket is not 3 to 63 of the characters a-z 0-9 - . _")
            }
            _ if self.prefix.len() > MAX_PREFIX => bad("the prefix is longer than 511 bytes"),
            Self { region: Some(region), .. } if !is_word(region) => {
                bad("the option `region` is not a word such as eu-west-1")
            }
            Self { endpoint: Some(endpoint), .. } if canonical(endpoint).is_none() => {
                bad("the option `endpoint` is not http or https, a host and perhaps a port and a path")
            }
            Self { credentials: Credentials::Profile(name), .. } if name.is_empty() => {
                bad("the option `profile` is empty")
            }
            _ if self.timeout.is_zero() || self.connect_timeout.is_zero() => bad("a timeout is zero"),
            _ if self.sweep.is_some_and(|every| every.is_zero()) => bad("the option `sweep` is zero"),
            _ => Ok(()),
        }
    }
}

/// The one spelling of an endpoint.
pub(crate) fn canonical(endpoint: &str) -> Option<String> {
    let uri: Uri = endpoint.parse().ok()?;
    let usual = match uri.scheme() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let mut hosts = uri.hosts();
    let (Some((host, port)), None) = (hosts.next(), hosts.next()) else { return None };
    let plain = !uri.has_credentials() && uri.option_pairs().next().is_none();
    let port = port.filter(|port| *port != usual);
    plain.then(|| Uri::new(uri.scheme()).with_host(host, port).with_path(uri.path()).to_string())
}

#[cfg(test)]
mod tests;
