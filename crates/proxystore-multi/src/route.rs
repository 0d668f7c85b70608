//! Which objects a child takes.

use proxystore_core::{Error, ErrorKind, Result, Tags};
use regex_lite::RegexBuilder;
use serde::{Deserialize, Serialize};

/// The most memory that a compiled pattern may take, in bytes.
const PATTERN: usize = 64 << 10;

/// Which objects a child takes, on which hosts, and before which others: ProxyStore's `Policy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// Of several children that take an object, the one with the highest priority has it (0); of those with the same,
    /// the first.
    pub priority: i64,
    /// Regular expressions, one of which matches the whole name of each host where the child is used. None: all hosts.
    pub hosts: Vec<String>,
    /// The size of the smallest object that it takes, in bytes (0).
    pub min_size: u64,
    /// The size of the largest object that it takes, in bytes ([`ANY_SIZE`](Self::ANY_SIZE)).
    pub max_size: u64,
    /// The tags that an object may have (none).
    pub subset_tags: Tags,
    /// The tags that an object must have (none).
    pub superset_tags: Tags,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            priority: 0,
            hosts: Vec::new(),
            min_size: 0,
            max_size: Self::ANY_SIZE,
            subset_tags: Tags::new(),
            superset_tags: Tags::new(),
        }
    }
}

/// What is known of an object. What is not given is not checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Constraints<'a> {
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Tags that have to be among the [`subset_tags`](Route::subset_tags) of the child.
    pub subset_tags: Option<&'a Tags>,
    /// Tags among which all [`superset_tags`](Route::superset_tags) of the child have to be.
    pub superset_tags: Option<&'a Tags>,
}

impl Route {
    /// The bound of a child that takes objects of any size.
    pub const ANY_SIZE: u64 = i64::MAX as u64;

    /// Whether it takes an object of which this is known. Bounds are inclusive. The host is not looked at.
    ///
    /// ```
    /// use proxystore_multi::{Constraints, Route};
    ///
    /// let route = Route { max_size: 100, subset_tags: ["hot".to_owned()].into(), ..Route::default() };
    /// assert!(route.is_valid(Constraints { size: Some(100), ..Constraints::default() }));
    /// assert!(!route.is_valid(Constraints { size: Some(101), ..Constraints::default() }));
    /// let cold = ["cold".to_owned()].into();
    /// assert!(!route.is_valid(Constraints { subset_tags: Some(&cold), ..Constraints::default() }));
    /// ```
    pub fn is_valid(&self, known: Constraints<'_>) -> bool {
        known.size.is_none_or(|size| (self.min_size..=self.max_size).contains(&size))
            && known.subset_tags.is_none_or(|tags| tags.is_subset(&self.subset_tags))
            && known.superset_tags.is_none_or(|tags| tags.is_superset(&self.superset_tags))
    }

    /// Whether it takes an object with just these tags: all that it demands, and of others only those it allows.
    pub(crate) fn takes(&self, size: Option<u64>, tags: &Tags) -> bool {
        let others = tags - &self.superset_tags;
        self.is_valid(Constraints { size, subset_tags: Some(&others), superset_tags: Some(tags) })
    }

    /// Whether it takes objects of any size above some bound, and so such as may turn out to be large.
    pub(crate) fn is_open(&self) -> bool {
        self.max_size >= Self::ANY_SIZE
    }

    /// Whether it takes every object without tags, on every host.
    pub(crate) fn takes_all(&self) -> bool {
        self.is_open() && self.min_size == 0 && self.superset_tags.is_empty() && self.hosts.is_empty()
    }

    /// Whether the child is used on the host of this name. `Config` if a pattern is not legal.
    pub fn is_valid_on_host(&self, host: &str) -> Result<bool> {
        let mut valid = self.hosts.is_empty();
        for pattern in &self.hosts {
            valid |= matches_whole(pattern, host).map_err(|why| {
                let shown: String = pattern.chars().take(80).collect();
                Error::new(ErrorKind::Config, format!("{shown:?} is no pattern of host names: {why}"))
                    .hint("write a regular expression that matches whole names, such as node-[0-9]+")
            })?;
        }
        Ok(valid)
    }
}

fn matches_whole(pattern: &str, host: &str) -> Result<bool, regex_lite::Error> {
    let compile = |pattern: &str| RegexBuilder::new(pattern).size_limit(PATTERN).build();
    // By itself, first: what closes the group early is no pattern.
    compile(pattern)?;
    Ok(compile(&format!(r"\A(?:{pattern})\z"))?.is_match(host))
}

/// The name of this host, as `uname -n` shows it.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
