//! Names of objects.

use std::path::{Component, Path};

use proxystore_core::{Id, Key};

use crate::check;

/// A key is exactly what its rules say, stays what it is in every form, and leads nowhere else.
pub fn key(data: &[u8]) {
    if let Some(bits) = data.first_chunk() {
        let id = Id::from_bytes(*bits);
        let key = Key::from(id);
        assert_eq!(key.as_id(), Some(id));
        assert!(is_legal(key.as_str()));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parsed = Key::parse(text);
    assert_eq!(parsed.is_ok(), is_legal(text), "{text:?}");
    match parsed {
        Ok(key) => stays(&key, text),
        Err(error) => {
            check::is_plain(&error);
            assert!(error.to_string().len() < 1024, "a message shows too much of a key: {error}");
        }
    }
}

fn stays(key: &Key, text: &str) {
    assert_eq!(key.as_str(), text);
    assert_eq!(key.to_string(), text);
    if let Some(id) = key.as_id() {
        assert_eq!(id.to_string(), text, "an id has one form");
    }
    let json = serde_json::to_vec(key).unwrap();
    assert_eq!(serde_json::from_slice::<Key>(&json).unwrap(), *key);
    let binary = postcard::to_allocvec(key).unwrap();
    assert_eq!(postcard::from_bytes::<Key>(&binary).unwrap(), *key);
    // As a path it stays below its directory.
    let names = Path::new(text).components().map(|part| match part {
        Component::Normal(name) => name.to_str().unwrap(),
        other => panic!("{other:?} in {text}"),
    });
    assert!(names.eq(text.split('/')), "{text}");
}

/// The rules, in other words than those of the parser.
fn is_legal(text: &str) -> bool {
    let legal = |segment: &str| {
        let known = |c: char| matches!(c, 'A'..='Z' | 'a'..='z' | '0'..='9' | '-' | '_' | '.' | '~');
        (1..=200).contains(&segment.len()) && segment.chars().all(known) && segment != "." && segment != ".."
    };
    text.len() <= 512 && text.split('/').all(legal)
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let long = ["a".repeat(200), "b".repeat(200), "c".repeat(110)].join("/");
    let keys = ["a", "frames/2026/cat.png", "a/./b", "../x", "~A-Z_0.9", "aaaaaaaaaaaaaaaaaaaaaaaaay", &long];
    let ids = [[0; 16], [0xff; 16], *b"0123456789abcdef"].map(|bits| Id::from_bytes(bits).to_string());
    keys.iter().map(|key| key.as_bytes().to_vec()).chain(ids.map(String::into_bytes)).collect()
}
