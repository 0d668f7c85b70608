//! Keys of every legal form, none of which is taken for another.

use proxystore_core::{Bytes, Key, Payload, PutOptions};

use super::{Harness, Outcome};

fn key(text: impl AsRef<str>) -> Key {
    Key::parse(text.as_ref()).expect("a legal key")
}

/// Legal keys that a connector is likely to trip over.
fn legal() -> Vec<Key> {
    let segment = |c: char| c.to_string().repeat(Key::MAX_SEGMENT);
    let all: String = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain("-_.~".chars()).collect();
    let longest =
        [segment('x'), segment('y'), "z".repeat(Key::MAX_LEN - 2 * (Key::MAX_SEGMENT + 1))].join("/");
    let deepest = vec!["d"; Key::MAX_LEN / 2].join("/");
    let mut keys: Vec<_> = [all, segment('s'), longest, deepest].iter().map(key).collect();
    // Names that are prefixes of each other: an object may stand where another key has a directory.
    keys.extend(["a", "a/b", "a/b/c", "ab", "a.b", "a-b", "a~"].map(key));
    // Names that differ by case alone, that look like hidden or special files, options, numbers or patterns.
    keys.extend(["Case", "case", "CASE", "cAsE/x", "Case/x"].map(key));
    keys.extend(["...", ".hidden", "x.", "x..y", "-", "--flag", "~", "~root", "_", "0", "00", "-1"].map(key));
    keys.extend(["tmp", ".tmp", "x.tmp", "lock", "CON", "nul", "index.html", "..x/y..", "null"].map(key));
    keys
}

async fn evict_all(h: &Harness, keys: &[Key]) {
    for result in h.connector().evict_many(keys).await {
        result.expect("evict of a legal key");
    }
}

/// Every legal key holds an object of its own, by single operations and in batches.
pub async fn every_legal_key(h: &Harness) -> Outcome {
    let keys = legal();
    evict_all(h, &keys).await;
    let value = |key: &Key, round: &str| Bytes::from(format!("{round} {key}"));
    for key in &keys {
        assert!(h.get(key).await.is_none(), "{key} is there before it was put");
    }
    for key in &keys {
        h.put(key, value(key, "one")).await;
    }
    for key in &keys {
        assert!(h.get(key).await == Some(value(key, "one")), "{key} holds the object of another key");
        assert!(h.connector().exists(key).await.expect("exists"), "{key} does not exist");
    }
    let items = keys.iter().map(|key| (key.clone(), value(key, "many").into())).collect();
    for result in h.connector().put_many(items, &PutOptions::default()).await {
        result.expect("put_many of legal keys");
    }
    for (key, got) in keys.iter().zip(h.connector().get_many(&keys).await) {
        let got = got.expect("get_many of legal keys").map(Payload::into_bytes);
        assert!(got == Some(value(key, "many")), "{key} holds the object of another key after put_many");
    }
    evict_all(h, &keys).await;
    for key in &keys {
        assert!(h.get(key).await.is_none(), "{key} is there after evict_many");
    }
    Ok(())
}

/// Evicting a key leaves those above, below and beside it, in whatever order they come and go.
pub async fn nested_keys_are_independent(h: &Harness) -> Outcome {
    let keys = ["n", "n/o", "n/o/p", "n/o/q", "N/o"].map(key);
    evict_all(h, &keys).await;
    for reverse in [false, true] {
        for gone in 0..keys.len() {
            let mut order: Vec<_> = keys.iter().collect();
            if reverse {
                order.reverse();
            }
            for key in order {
                h.put(key, Bytes::from(key.to_string())).await;
            }
            h.connector().evict(&keys[gone]).await.expect("evict");
            for (i, key) in keys.iter().enumerate() {
                let expected = (i != gone).then(|| Bytes::from(key.to_string()));
                assert!(h.get(key).await == expected, "{key} changed when {} was evicted", keys[gone]);
            }
        }
    }
    evict_all(h, &keys).await;
    Ok(())
}
