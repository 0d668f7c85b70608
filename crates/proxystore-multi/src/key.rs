//! How keys name children.

use proxystore_core::{Key, Result};

/// Between the name of a child and its key.
const MARK: char = '~';
/// The longest name of a child, in bytes.
const MAX_NAME: usize = 16;

/// Whether a child may have this name: it stands in keys, in URIs as a host, and in the names of options.
pub(crate) fn is_name(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(legal)
}

/// The name and the key of the child, if `key` is of the form `name~key`.
pub(crate) fn parts(key: &Key) -> Option<(&str, Key)> {
    let (name, rest) = key.as_str().split_once(MARK)?;
    let inner = is_name(name).then(|| Key::parse(rest))?;
    Some((name, inner.ok()?))
}

/// `name~key`. `Config` if that is too long for a key.
pub(crate) fn join(name: &str, key: &Key) -> Result<Key> {
    Key::parse(&format!("{name}{MARK}{key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::parse(text).unwrap()
    }

    #[test]
    fn what_is_joined_comes_apart() {
        for inner in ["a", "a/b/c", "~", "x~y", "a.producer", "..."] {
            let joined = join("far-1", &key(inner)).unwrap();
            assert_eq!(parts(&joined), Some(("far-1", key(inner))));
        }
        assert!(join("far", &key(&"k".repeat(197))).is_err(), "a segment is too long");
    }

    #[test]
    fn what_is_derived_stays_with_its_child() {
        let derived = key(&format!("{}.producer", join("far", &key("k")).unwrap()));
        assert_eq!(parts(&derived), Some(("far", key("k.producer"))));
    }

    #[test]
    fn other_keys_name_no_child() {
        for text in ["a", "a~", "~a", "~", "a~/b", "a~.", "a~..", "a~../b", "A~b", "a.b~c", "a/b~c", "x~./y"]
        {
            assert_eq!(parts(&key(text)), None, "{text}");
        }
        assert_eq!(parts(&key(&format!("{}~b", "a".repeat(17)))), None);
    }
}
