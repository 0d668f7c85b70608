//! The subset of RFC 3986 that names a store.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Error, ErrorKind, Result, Secret};

mod options;
mod signed;

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
    scheme: String,
    user: Option<String>,
    password: Option<Secret>,
    hosts: Vec<(String, Option<u16>)>,
    /// Decoded; empty, or `/` and segments.
    path: String,
    options: BTreeMap<String, String>,
}

/// The longest URI that is parsed, in bytes.
const MAX_LEN: usize = 2048;

impl Uri {
    /// A URI of this scheme with no host, path or option.
    pub fn new(scheme: &str) -> Self {
        Self {
            scheme: scheme.into(),
            user: None,
            password: None,
            hosts: Vec::new(),
            path: String::new(),
            options: BTreeMap::new(),
        }
    }

    /// The same with one more host.
    #[must_use]
    pub fn with_host(mut self, host: &str, port: Option<u16>) -> Self {
        self.hosts.push((host.to_ascii_lowercase(), port));
        self
    }

    /// The same with this path: `/`-separated, not percent-encoded.
    #[must_use]
    pub fn with_path(mut self, path: &str) -> Self {
        self.path = path.into();
        self
    }

    /// The same with one more option.
    #[must_use]
    pub fn with_option(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.options.insert(name.into(), value.to_string());
        self
    }

    /// The same without this option.
    #[must_use]
    pub fn without_option(mut self, name: &str) -> Self {
        self.options.remove(name);
        self
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
        Self { user: None, password: None, ..self.clone() }
    }

    /// The same without options: for messages about options that are wrong, as their values may be secrets that stand
    /// in the wrong place.
    #[must_use]
    pub fn without_options(&self) -> Self {
        Self { options: BTreeMap::new(), ..self.clone() }
    }

    /// The scheme, in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
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
        self.hosts.iter().map(|(host, port)| (host.as_str(), *port))
    }

    /// The path, percent-decoded: empty, or beginning with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The segments of the path.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter(|segment| !segment.is_empty())
    }

    /// The value of one option.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// All options, by name.
    pub fn option_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
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
        // The text may hold a password, so the error shows the scheme at most.
        parse(text).map_err(|why| {
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

fn parse(text: &str) -> Result<Uri, &'static str> {
    if text.len() > MAX_LEN {
        return Err("it is longer than 2048 bytes");
    }
    if text.contains('#') {
        return Err("it has a fragment (write # as %23)");
    }
    let (scheme, rest) = text.split_once(':').ok_or("it has no scheme")?;
    if !is_scheme(scheme) {
        return Err("its scheme is not lower-case letters, digits, + - .");
    }
    let mut uri = Uri::new(scheme);
    let rest = rest.strip_prefix("//").ok_or("the scheme is not followed by //")?;
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));

    let hosts = match authority.rsplit_once('@') {
        None => authority,
        Some((user_info, hosts)) => {
            let (user, password) = user_info
                .split_once(':')
                .map_or((user_info, None), |(user, password)| (user, Some(password)));
            uri.user = (!user.is_empty()).then(|| decode(user)).transpose()?;
            uri.password = password.map(decode).transpose()?.map(Secret::new);
            hosts
        }
    };
    if !hosts.is_empty() {
        uri.hosts = hosts.split(',').map(parse_host).collect::<Result<_, _>>()?;
    }
    // The rest of a password that has a / in it would be shown.
    if !hosts.is_empty() && path.contains('@') {
        return Err("its path has an @ (write @ as %40; in a password, write / as %2F)");
    }
    uri.path = parse_path(path)?;
    for pair in query.into_iter().flat_map(|query| query.split('&')) {
        let (name, value) = pair.split_once('=').ok_or("an option is not of the form name=value")?;
        let (name, value) = (decode(name)?, decode(value)?);
        if hides_password(&value) {
            return Err("an option is a URI with a password (name a variable: ${NAME})");
        }
        if name.is_empty() || uri.options.insert(name, value).is_some() {
            return Err("an option has no name, or is given twice");
        }
    }
    // It travels in its canonical form, which percent-encoding may make longer.
    let fits = uri.public().to_string().len() <= MAX_LEN;
    fits.then_some(uri).ok_or("it is longer than 2048 bytes when it is percent-encoded")
}

fn parse_host(text: &str) -> Result<(String, Option<u16>), &'static str> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("an IPv6 address is not closed by ]")?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| "what stands in [ ] is not an IPv6 address")?;
        (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or("text follows ]")?) })
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return Err("a host name is empty or has an illegal character");
        }
        (host, port)
    };
    let port = port.map(|port| port.parse().map_err(|_| "a port is not a number up to 65535")).transpose()?;
    Ok((host.to_ascii_lowercase(), port))
}

fn parse_path(path: &str) -> Result<String, &'static str> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(String::new());
    }
    let mut decoded = String::with_capacity(path.len());
    for segment in path.split('/').skip(1) {
        let segment = decode(segment)?;
        if segment.is_empty() || segment == "." || segment == ".." || segment.contains('/') {
            return Err("its path has an empty segment, `.`, `..` or an encoded /");
        }
        decoded.push('/');
        decoded.push_str(&segment);
    }
    Ok(decoded)
}

fn decode(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || {
            rest.next()
                .and_then(|b| char::from(b).to_digit(16))
                .ok_or("a % is not followed by two hex digits")
        };
        bytes.push((digit()? << 4 | digit()?) as u8);
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    if text.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    Ok(text)
}

/// Percent-encodes what would change the meaning; `keep` are the delimiters that are harmless in this place.
fn encode(f: &mut impl fmt::Write, text: &str, keep: &[u8]) -> fmt::Result {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            f.write_char(byte.into())?;
        } else {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}

impl Uri {
    fn write(&self, f: &mut impl fmt::Write, user_info: &str) -> fmt::Result {
        write!(f, "{}://{user_info}", self.scheme)?;
        for (i, (host, port)) in self.hosts.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            if host.contains(':') {
                write!(f, "[{host}]")?
            } else {
                f.write_str(host)?
            }
            if let Some(port) = port {
                write!(f, ":{port}")?;
            }
        }
        // Behind a host, an @ in the path could be the end of a password.
        let keep: &[u8] = if self.hosts.is_empty() { b"/!$'()*,;=:@+" } else { b"/!$'()*,;=:+" };
        encode(f, &self.path, keep)?;
        for (i, (name, value)) in self.options.iter().enumerate() {
            f.write_char(if i == 0 { '?' } else { '&' })?;
            encode(f, name, b"")?;
            f.write_char('=')?;
            encode(f, value, b"/:,@")?;
        }
        Ok(())
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, if self.has_credentials() { "***@" } else { "" })
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uri({self})")
    }
}

impl Serialize for Uri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut user_info = String::new();
        if let Some(name) = self.password.as_ref().and_then(variable) {
            encode(&mut user_info, self.user().unwrap_or_default(), b"")
                .map_err(serde::ser::Error::custom)?;
            let _ = write!(user_info, ":${{{name}}}@");
        }
        let mut text = String::new();
        self.write(&mut text, &user_info).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&text)
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
