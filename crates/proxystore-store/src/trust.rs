//! Which stores a reference may open.

use proxystore_core::{Result, Uri, WithTransform};

/// What the program lets references do that come from elsewhere.
///
/// A reference names its store, and usually says where it is. A store that the program has registered itself is always
/// used; beyond that, the rule decides whether the address in a reference may be opened at all.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Trust {
    /// Only stores that this program has opened and registered. The default.
    #[default]
    Registered,
    /// Also stores at these places, and below them: see [`Trust::allow`].
    Allow(Vec<Uri>),
    /// Any address that any reference names. A stranger who can send references then chooses where this process
    /// connects and which of its readable directories are read: only where all senders are trusted.
    Any,
}

impl Trust {
    /// Allows stores at the places that these URIs name.
    ///
    /// A place is matched exactly in scheme, hosts, ports and options (`prefix` among them), and in whole path
    /// segments from the left: `file:///data` allows `file:///data/images` and not `file:///database`. A user, a
    /// password and the options that concern only this process (`ca`, `timeout`, …) are used for the stores that the
    /// rule allows. References carry the real path of a directory, so name it without symbolic links.
    ///
    /// A rule that names transforms, as in `redis://host?via=encrypt`, allows stores with exactly these; one that names
    /// none allows stores with any, and so objects that are *not* encrypted.
    ///
    /// Errors with `Config` if a URI is not legal.
    ///
    /// ```
    /// # use proxystore_store::Trust;
    /// let trust = Trust::allow(["file:///var/lib/objects", "redis://app:${REDIS_PASSWORD}@cache.example/0"])?;
    /// # Ok::<(), proxystore_core::Error>(())
    /// ```
    pub fn allow(places: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self> {
        places.into_iter().map(|place| place.as_ref().parse()).collect::<Result<_>>().map(Self::Allow)
    }
}

/// Whether `uri` is the place `rule`, or lies below it. Both are identities. A rule that names transforms covers stores
/// with exactly these, one that names none covers stores with any.
pub(crate) fn covers(rule: &Uri, uri: &Uri) -> bool {
    let any = rule.option(WithTransform::OPTION).is_none();
    let bare;
    let uri = if any {
        bare = uri.clone().without_option(WithTransform::OPTION);
        &bare
    } else {
        uri
    };
    let mut segments = uri.segments();
    rule.scheme() == uri.scheme()
        && rule.hosts().eq(uri.hosts())
        && rule.segments().all(|segment| segments.next() == Some(segment))
        && rule.option_pairs().eq(uri.option_pairs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(rule: &str, uri: &str) -> bool {
        covers(&rule.parse().unwrap(), &uri.parse().unwrap())
    }

    #[test]
    fn a_rule_covers_its_place_and_what_lies_below() {
        assert!(covered("file:///data", "file:///data"));
        assert!(covered("file:///data", "file:///data/images"));
        assert!(covered("redis://h:6379/0?prefix=a", "redis://h:6379/0?prefix=a"));
        assert!(covered("file:///data", "file:///data?via=zstd,encrypt"));
        assert!(covered("file:///data?via=encrypt", "file:///data/images?via=encrypt"));
    }

    #[test]
    fn a_rule_covers_nothing_beside_its_place() {
        for (rule, uri) in [
            ("file:///data", "file:///database"),
            ("file:///data", "file:///"),
            ("file:///data/images", "file:///data"),
            ("file:///data", "s3:///data"),
            ("file:///data?via=encrypt", "file:///data"),
            ("file:///data?via=encrypt", "file:///data?via=zstd,encrypt"),
            ("redis://h:6379/0", "redis://h:6380/0"),
            ("redis://h:6379/0", "redis://h:6379/1"),
            ("redis://h:6379/0", "redis://h.evil:6379/0"),
            ("redis://h:6379/0", "redis://h:6379,evil:1/0"),
            ("redis://h:6379/0?prefix=a", "redis://h:6379/0?prefix=ab"),
            ("redis://h:6379/0?prefix=a", "redis://h:6379/0"),
            ("redis://h:6379/0", "redis://h:6379/0?prefix=a"),
        ] {
            assert!(!covered(rule, uri), "{rule} covers {uri}");
        }
    }
}
