//! The subset of RFC 3986 that names a store.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Error, ErrorKind, Result, Secret};

mod options;
mod parse;
mod parts;
mod plain;
mod signed;

use parts::{Decoded, Ends, Parts, encode};

pub use options::Options;

/// `scheme://user:password@host:port/path?option=value`, parsed strictly and printed canonically.
///
/// Rejected rather than repaired: relative paths, segments `.` and `..`, empty segments, fragments, control
/// characters, an option given twice. The authority may be empty (`file:///dir`) or list several hosts
/// (`redis+cluster://a:7000,b:7000`). At most 2,048 bytes.
///
/// A password is a [`Secret`]: `Display` and `Debug` show `***`, and serializing writes the user information only
/// if its password is a reference to an environment variable (`redis://app:${REDIS_PASSWORD}@host`), which
/// [`password`](Self::password) looks up.
///
/// ```
/// use proxystore_core::Uri;
///
/// let uri: Uri = "redis://app:hunter2@Cache.example:6379/0?prefix=jobs".parse()?;
/// assert_eq!(uri.to_string(), "redis://***@cache.example:6379/0?prefix=jobs");
/// assert_eq!(uri.public().to_string(), "redis://cache.example:6379/0?prefix=jobs");
/// assert_eq!(uri.segments().collect::<Vec<_>>(), ["0"]);
/// assert!("file:relative/path".parse::<Uri>().is_err());
/// # Ok::<(), proxystore_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Uri {
    /// Canonical, and without the user information.
    text: Arc<str>,
    ends: Ends,
    user: Option<String>,
    password: Option<Secret>,
    /// If the text has a path or options that are percent-encoded.
    decoded: Option<Arc<Decoded>>,
}

/// The longest URI that is parsed, in bytes.
const MAX_LEN: usize = 2048;

impl Uri {
    /// A URI of this scheme with no host, path or option.
    pub fn new(scheme: &str) -> Self {
        Parts { scheme: scheme.into(), ..Parts::default() }.uri(None, None)
    }

    /// The same with one more host.
    #[must_use]
    pub fn with_host(self, host: &str, port: Option<u16>) -> Self {
        self.with(|parts| parts.hosts.push((host.to_ascii_lowercase(), port)))
    }

    /// The same with this path: `/`-separated, not percent-encoded.
    #[must_use]
    pub fn with_path(self, path: &str) -> Self {
        self.with(|parts| parts.path = path.into())
    }

    /// The same with one more option.
    #[must_use]
    pub fn with_option(self, name: &str, value: impl fmt::Display) -> Self {
        self.with(|parts| drop(parts.options.insert(name.into(), value.to_string())))
    }

    /// The same without this option.
    #[must_use]
    pub fn without_option(self, name: &str) -> Self {
        if self.option(name).is_none() {
            return self;
        }
        self.with(|parts| drop(parts.options.remove(name)))
    }

    fn with(self, change: impl FnOnce(&mut Parts)) -> Self {
        let mut parts = Parts::of(&self);
        change(&mut parts);
        parts.uri(self.user, self.password)
    }

    /// The same with the user and password of `other`: what a trust rule lends to a reference.
    #[must_use]
    pub fn with_credentials_of(mut self, other: &Uri) -> Self {
        self.user.clone_from(&other.user);
        self.password.clone_from(&other.password);
        self
    }

    /// The same without user and password.
    #[must_use]
    pub fn public(&self) -> Self {
        Self {
            text: self.text.clone(),
            ends: self.ends,
            user: None,
            password: None,
            decoded: self.decoded.clone(),
        }
    }

    /// The canonical text without user and password.
    ///
    /// ```
    /// use proxystore_core::Uri;
    ///
    /// let uri: Uri = "redis://app:hunter2@Cache.example/0".parse()?;
    /// assert_eq!(uri.public_text(), "redis://cache.example/0");
    /// # Ok::<(), proxystore_core::Error>(())
    /// ```
    pub fn public_text(&self) -> &str {
        &self.text
    }

    /// The canonical text with this user information, `@` included.
    fn text_with(&self, user_info: &str) -> String {
        let (scheme, rest) = self.text.split_at(self.ends.scheme + "://".len());
        [scheme, user_info, rest].concat()
    }

    /// The same without options: for messages about options that are wrong, as their values may be secrets that stand
    /// in the wrong place.
    #[must_use]
    pub fn without_options(&self) -> Self {
        self.clone().with(|parts| parts.options.clear())
    }

    /// The scheme, in lower case.
    pub fn scheme(&self) -> &str {
        &self.text[..self.ends.scheme]
    }

    /// Whether there is a user or a password.
    pub fn has_credentials(&self) -> bool {
        self.user.is_some() || self.password.is_some()
    }

    /// The user, percent-decoded.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password; one that is written `${NAME}` is looked up in the environment.
    ///
    /// Errors with `Config` when that variable is not set.
    pub fn password(&self) -> Result<Option<Secret>> {
        let Some(password) = &self.password else { return Ok(None) };
        let Some(name) = variable(password) else { return Ok(Some(password.clone())) };
        std::env::var(name).map(|text| Some(Secret::new(text))).map_err(|_| {
            Error::new(ErrorKind::Config, format!("the environment variable {name} is not set"))
                .with("uri", self.without_options())
                .hint("set it to the password, or change the URI")
        })
    }

    /// Hosts and ports, in order. IPv6 addresses have no brackets here.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, Option<u16>)> {
        let hosts = &self.text[self.ends.scheme + "://".len()..self.ends.hosts];
        hosts.split(',').filter(|host| !host.is_empty()).map(host_and_port)
    }

    /// The path, percent-decoded: empty, or beginning with `/`.
    pub fn path(&self) -> &str {
        let text = || &self.text[self.ends.hosts..self.ends.path];
        self.decoded.as_ref().map_or_else(text, |decoded| &decoded.path)
    }

    /// The segments of the path.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.path().split('/').filter(|segment| !segment.is_empty())
    }

    /// The value of one option.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.option_pairs().find(|(option, _)| *option == name).map(|(_, value)| value)
    }

    /// All options, by name.
    pub fn option_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let encoded = self.decoded.is_some();
        let text = self.text.get(self.ends.path + 1..).filter(|_| !encoded).unwrap_or_default();
        let decoded = self.decoded.iter().flat_map(|decoded| &decoded.options);
        let decoded = decoded.map(|(name, value)| (name.as_str(), value.as_str()));
        decoded.chain(text.split('&').filter_map(|pair| pair.split_once('=')))
    }
}

/// Reads one of the hosts in a canonical text.
fn host_and_port(text: &str) -> (&str, Option<u16>) {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    (host, port.and_then(|port| port.parse().ok()))
}

/// The name in `${NAME}`: letters, digits and `_`, which need no percent-encoding.
fn variable(password: &Secret) -> Option<&str> {
    let name = password.expose().strip_prefix("${")?.strip_suffix('}')?;
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_').then_some(name)
}

/// Whether an option's value is a URI with a password that would be shown with it.
fn hides_password(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let password = rest.rsplit_once('@').and_then(|(user_info, _)| user_info.split_once(':'));
    password.is_some_and(|(_, password)| variable(&Secret::new(password)).is_none())
}

impl FromStr for Uri {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(ends) = plain::ends(text) {
            return Ok(Self { text: text.into(), ends, user: None, password: None, decoded: None });
        }
        // The text may hold a password, so the error shows the scheme at most.
        parse::parse(text).map_err(|why| {
            let scheme =
                text.split_once("://").map(|(scheme, _)| scheme).filter(|s| is_scheme(s)).unwrap_or("?");
            Error::new(ErrorKind::Config, format!("not a store URI: {why}"))
                .with("scheme", scheme)
                .hint("write scheme://host/path?option=value, for example file:///var/lib/objects")
        })
    }
}

fn is_scheme(text: &str) -> bool {
    text.len() <= 32
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.has_credentials() { f.write_str(&self.text_with("***@")) } else { f.write_str(&self.text) }
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uri({self})")
    }
}

impl Serialize for Uri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(name) = self.password.as_ref().and_then(variable) else {
            return serializer.serialize_str(&self.text);
        };
        let mut user_info = String::new();
        encode(&mut user_info, self.user().unwrap_or_default(), b"");
        serializer.serialize_str(&self.text_with(&format!("{user_info}:${{{name}}}@")))
    }
}

impl<'de> Deserialize<'de> for Uri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Uri;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a store URI")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Uri, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests;
