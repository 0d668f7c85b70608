//! Settings, and how URIs spell them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proxystore_core::{ConnectorConfig, Error, ErrorKind, Opener, Options, Origin, Result, Tags, Uri};
use serde::{Deserialize, Serialize};

use crate::key::is_name;
use crate::{MultiConnector, Route};

/// Names that a child may not have: options of the whole.
const RESERVED: &[&str] = &["fallback", "via"];
/// The most children: a key may have to be looked up in all of them.
const MAX_CHILDREN: usize = 16;

/// Settings of a [`MultiConnector`].
///
/// ```
/// use proxystore_core::ConnectorConfig;
/// use proxystore_multi::MultiConfig;
///
/// let uri = "multi://small,large?small=redis://cache.example&small.max=65536&large=file:///data";
/// let config = MultiConfig::from_uri(&uri.parse()?)?;
/// assert_eq!(config.children[0].route.max_size, 65_536);
/// assert_eq!(config.children[1].uri.to_string(), "file:///data");
/// # Ok::<(), proxystore_core::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MultiConfig {
    /// The children, 1 to 16 of them. Their order decides between equal priorities.
    pub children: Vec<Child>,
    /// Whether the next child that takes an object gets it when the one that should is unavailable or full (no). See
    /// the documentation of the crate for what that costs.
    pub fallback: bool,
}

/// One connector of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Child {
    /// Its name, which stands in the keys of its objects: 1 to 16 characters of `a-z 0-9 - _`.
    pub name: String,
    /// Where its objects are. A password is never written; name an environment variable, `${NAME}`.
    pub uri: Uri,
    /// Which objects it takes.
    #[serde(default)]
    pub route: Route,
    /// The name of the child that gets its objects first, and keeps a copy near. That one takes no objects of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near: Option<String>,
    /// How long copies stay near, at most (an hour).
    #[serde(default = "Child::default_keep")]
    pub keep: Duration,
}

impl Child {
    /// A child that takes every object without tags, and none near.
    pub fn new(name: impl Into<String>, uri: Uri) -> Self {
        let keep = Self::default_keep();
        Self { name: name.into(), uri, route: Route::default(), near: None, keep }
    }

    fn default_keep() -> Duration {
        Duration::from_secs(3600)
    }

    fn from_uri(uri: &Uri, options: Options<'_>, name: &str) -> Result<Self> {
        let option = |attribute: &str| uri.option(&format!("{name}.{attribute}"));
        let bad = |attribute: &str, wanted: &str| {
            Error::new(ErrorKind::Config, format!("the option `{name}.{attribute}` is not {wanted}"))
        };
        let number = |attribute: &str, default: u64| match option(attribute) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| bad(attribute, "a number of bytes")),
        };
        let words = |attribute: &str, by: char| {
            let words = option(attribute).unwrap_or_default().split(by);
            words.filter(|word| !word.is_empty()).map(str::to_owned)
        };
        let place = uri
            .option(name)
            .ok_or_else(|| bad_uri(uri, &format!("the child `{name}` has no place")))?
            .parse::<Uri>()?;
        let priority = match option("priority") {
            None => 0,
            Some(text) => text.parse().map_err(|_| bad("priority", "a whole number"))?,
        };
        let route = Route {
            priority,
            hosts: words("hosts", ' ').collect(),
            min_size: number("min", 0)?,
            max_size: number("max", Route::ANY_SIZE)?,
            subset_tags: words("subset", ',').collect(),
            superset_tags: words("superset", ',').collect(),
        };
        let keep = options.duration(&format!("{name}.keep"), Self::default_keep())?;
        Ok(Self { name: name.into(), uri: place, route, near: option("near").map(str::to_owned), keep })
    }

    /// Adds what tells it from others: all but what concerns one process only.
    fn write(&self, uri: Uri) -> Uri {
        let Route { priority, hosts, min_size, max_size, subset_tags, superset_tags } = &self.route;
        let tags = |tags: &Tags| Vec::from_iter(tags.iter().map(String::as_str)).join(",");
        let attributes = [
            ("priority", (*priority != 0).then(|| priority.to_string())),
            ("hosts", (!hosts.is_empty()).then(|| hosts.join(" "))),
            ("min", (*min_size != 0).then(|| min_size.to_string())),
            ("max", (*max_size != Route::ANY_SIZE).then(|| max_size.to_string())),
            ("subset", (!subset_tags.is_empty()).then(|| tags(subset_tags))),
            ("superset", (!superset_tags.is_empty()).then(|| tags(superset_tags))),
            ("near", self.near.clone()),
        ];
        let uri = uri.with_host(&self.name, None).with_option(&self.name, self.uri.public());
        attributes.into_iter().fold(uri, |uri, (attribute, value)| match value {
            Some(value) => uri.with_option(&format!("{}.{attribute}", self.name), value),
            None => uri,
        })
    }

    fn check(&self, others: &[Self]) -> Result<(), &'static str> {
        let Route { hosts, min_size, max_size, subset_tags, superset_tags, .. } = &self.route;
        let near = self.near.as_ref().map(|near| others.iter().find(|other| other.name == *near));
        let is_word =
            |word: &String, by: char| !word.is_empty() && !word.contains([by, '\n', '\r', '\t', '\0']);
        if !is_name(&self.name) || RESERVED.contains(&&*self.name) {
            return Err("its name is not 1 to 16 characters of a-z 0-9 - _, or is that of an option");
        }
        if MultiConfig::SCHEMES.contains(&self.uri.scheme()) {
            return Err("it is made of children itself");
        }
        if min_size > max_size {
            return Err("its smallest object is larger than its largest");
        }
        if !subset_tags.iter().chain(superset_tags).all(|tag| is_word(tag, ',')) {
            return Err("a tag is empty, or has a comma or control characters");
        }
        if !hosts.iter().all(|pattern| is_word(pattern, ' ')) {
            return Err("a pattern of host names is empty, or has a space or control characters");
        }
        if self.keep < Duration::from_secs(1) {
            return Err("its copies stay near for less than a second");
        }
        match near {
            None => Ok(()),
            Some(None) => Err("its `near` names no child"),
            Some(Some(near)) if near.name == self.name || near.near.is_some() => {
                Err("its `near` is itself, or has one near")
            }
            Some(Some(_)) => Ok(()),
        }
    }
}

fn bad_uri(uri: &Uri, why: &str) -> Error {
    Error::new(ErrorKind::Config, why)
        .with("uri", uri.without_options())
        .hint("write multi://a,b?a=file:///dir&b=redis://host, with options such as a.max=65536")
}

impl ConnectorConfig for MultiConfig {
    const SCHEMES: &'static [&'static str] = &["multi"];
    type Connector = MultiConnector;

    fn from_uri(uri: &Uri) -> Result<Self> {
        if uri.has_credentials() || !uri.path().is_empty() || uri.hosts().any(|(_, port)| port.is_some()) {
            return Err(bad_uri(uri, "a multi store has names of children, and no user, port or path"));
        }
        let names: Vec<&str> = uri.hosts().map(|(name, _)| name).collect();
        // Before any message lists their options.
        if names.len() > MAX_CHILDREN || names.iter().any(|name| !is_name(name)) {
            let why = "a multi store has 1 to 16 children, with names of 1 to 16 characters of a-z 0-9 - _";
            return Err(Error::new(ErrorKind::Config, why));
        }
        const ATTRIBUTES: [&str; 8] =
            ["priority", "hosts", "min", "max", "subset", "superset", "near", "keep"];
        let of_child = |name: &&str| ATTRIBUTES.map(|attribute| format!("{name}.{attribute}"));
        let attributes: Vec<String> = names.iter().flat_map(of_child).collect();
        let valid = attributes.iter().map(String::as_str).chain(names.iter().copied());
        let options = uri.options(&valid.chain(["fallback"]).collect::<Vec<_>>())?;
        let child = |name: &&str| {
            let child = Child::from_uri(uri, options, name);
            child.map_err(|error| error.with("child", name).with("uri", uri.without_options()))
        };
        let children = names.iter().map(child).collect::<Result<_>>()?;
        let fallback = match uri.option("fallback") {
            None | Some("no") => false,
            Some("yes") => true,
            Some(_) => return Err(bad_uri(uri, "the option `fallback` is not yes or no")),
        };
        let config = Self { children, fallback };
        config.check()?;
        Ok(config)
    }

    fn identity(&self) -> Uri {
        let uri = self.children.iter().fold(Uri::new("multi"), |uri, child| child.write(uri));
        if self.fallback { uri.with_option("fallback", "yes") } else { uri }
    }

    /// Fails: a multi store does not know how to open its children. See [`connect_over`](Self::connect_over).
    async fn connect(self, _: Origin) -> Result<MultiConnector> {
        Err(Error::new(ErrorKind::Config, "a multi store needs somebody who opens its children")
            .hint("open it as a store, or by `connect_over`"))
    }

    fn children(&mut self) -> Vec<&mut Uri> {
        self.children.iter_mut().map(|child| &mut child.uri).collect()
    }

    /// Opens the children that are for this host, all at once.
    ///
    /// For [`Origin::Program`] an error of any is an error of the whole. For [`Origin::Reference`], a child that cannot
    /// be opened here, or may not, is an error when a key of it is used; but one that cannot be reached in passing is an
    /// error of the whole, so that opening it is tried again.
    async fn connect_over(self, origin: Origin, opener: Arc<dyn Opener>) -> Result<MultiConnector> {
        self.check()?;
        MultiConnector::open(self, origin, &*opener).await
    }
}

impl MultiConfig {
    pub(crate) fn check(&self) -> Result<()> {
        let bad = |why: &str| Error::new(ErrorKind::Config, why);
        if !(1..=MAX_CHILDREN).contains(&self.children.len()) {
            return Err(bad("a multi store has 1 to 16 children"));
        }
        let names: BTreeSet<&str> = self.children.iter().map(|child| &*child.name).collect();
        if names.len() < self.children.len() {
            return Err(bad("two children have one name"));
        }
        for child in &self.children {
            child.check(&self.children).map_err(|why| {
                let shown: String = child.name.chars().take(40).collect();
                bad(why).with("child", shown)
            })?;
        }
        // References carry it.
        let identity = self.identity();
        match identity.to_string().parse::<Uri>() {
            Ok(parsed) if parsed == identity => Ok(()),
            _ => Err(bad("the settings do not fit into a URI").hint("take shorter ones, or fewer children")),
        }
    }

    /// The names of the children that others have near.
    pub(crate) fn near(&self) -> BTreeSet<&str> {
        self.children.iter().filter_map(|child| child.near.as_deref()).collect()
    }
}

#[cfg(test)]
mod tests;
