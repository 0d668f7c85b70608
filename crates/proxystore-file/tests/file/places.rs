//! Keys of every length, side by side.

use std::collections::HashMap;

use proxystore_core::{Connector, Key, PutOptions};

use super::{Place, key};

fn keys() -> Vec<Key> {
    let mut keys: Vec<_> =
        ["a", "a/b", "a.b", "a-b", "a_b", "a~b", "ab", "A", "A/b", "a/B", "a/b/c", "a/b.c"].map(key).into();
    for segment in [1, 39, 119, 200] {
        for len in (1..=Key::MAX_LEN).step_by(7).chain([199, 200, 239, 240, 241, 479, 480, 481, 511, 512]) {
            let text: String =
                (0..len).map(|i| if i % (segment + 1) == segment { '/' } else { 'k' }).collect();
            keys.extend(Key::parse(&text));
        }
    }
    for tail in [".", "..", "..."] {
        // What remains after 240 bytes is `.`, `..` or `...`.
        keys.push(key(&format!("{}/{}{tail}", "a".repeat(200), "b".repeat(39))));
    }
    keys.sort();
    keys.dedup();
    keys
}

#[tokio::test]
async fn keys_of_all_lengths_hold_objects_of_their_own() {
    let place = Place::new().await;
    let mut present: HashMap<_, _> = HashMap::new();
    for k in keys() {
        assert!(place.get(&k).await.is_none(), "{k}");
        place
            .connector
            .put(&k, k.as_str().to_owned().into_bytes().into(), &PutOptions::default())
            .await
            .unwrap();
        present.insert(k, true);
    }
    assert!(present.len() > 200);
    for (i, k) in keys().into_iter().enumerate() {
        match i % 3 {
            0 => place.connector.evict(&k).await.unwrap(),
            1 => assert!(place.connector.take(&k).await.unwrap().is_some()),
            _ => continue,
        }
        present.insert(k, false);
    }
    place.connector.sweep().await.unwrap();
    for (k, there) in present {
        let expected = there.then(|| k.as_str().as_bytes().to_vec().into());
        assert_eq!(place.get(&k).await, expected, "{k}");
    }
    place.connector.clear().await.unwrap();
    // The mark and the clock are all that remains.
    assert_eq!(super::files(&place.root()).len(), 2);
}
