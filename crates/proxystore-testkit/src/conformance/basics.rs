//! One object: put, get, exists, evict.

use proxystore_core::{KeyHint, PutOptions, Uri};

use super::{Harness, Outcome};
use crate::sample;

/// What was put is got, by every connector to the backend.
pub async fn put_then_get(h: &Harness) -> Outcome {
    let (key, value) = (h.key(), sample::make(1, 1_000));
    h.put(&key, value.clone()).await;
    assert!(h.get(&key).await.as_ref() == Some(&value), "get gives something else than was put");
    let other = h.other().get(&key).await.expect("get by the other connector");
    assert!(other.map(|it| it.into_bytes()) == Some(value), "the other connector does not see the object");
    Ok(())
}

/// A key that nobody has put is absent, which is no error.
pub async fn missing_is_none(h: &Harness) -> Outcome {
    let key = h.key();
    assert!(h.get(&key).await.is_none(), "get of a missing key gives an object");
    assert!(!h.connector().exists(&key).await.expect("exists"), "a missing key exists");
    Ok(())
}

/// `exists` follows put and evict.
pub async fn exists_follows(h: &Harness) -> Outcome {
    let key = h.key();
    h.put(&key, sample::make(2, 100)).await;
    assert!(h.connector().exists(&key).await.expect("exists"), "an object that was put does not exist");
    h.connector().evict(&key).await.expect("evict");
    assert!(!h.connector().exists(&key).await.expect("exists"), "an evicted object exists");
    Ok(())
}

/// An evicted object is absent, and evicting what is not there is no error.
pub async fn evict_is_idempotent(h: &Harness) -> Outcome {
    let (key, never) = (h.key(), h.key());
    h.put(&key, sample::make(3, 100)).await;
    for _ in 0..3 {
        h.connector().evict(&key).await.expect("evict");
        assert!(h.get(&key).await.is_none(), "an evicted object is there");
    }
    h.connector().evict(&never).await.expect("evict of a key that never was");
    Ok(())
}

/// An evicted key can be put again.
pub async fn put_after_evict(h: &Harness) -> Outcome {
    let key = h.key();
    for seed in 4..8 {
        let value = sample::make(seed, 500);
        h.put(&key, value.clone()).await;
        assert!(h.get(&key).await == Some(value), "the object put after an evict is not got");
        h.connector().evict(&key).await.expect("evict");
    }
    Ok(())
}

/// Overwriting replaces all of an object, whether the new one is longer or shorter.
pub async fn overwrite_replaces(h: &Harness) -> Outcome {
    let key = h.key();
    for (seed, len) in [(1, 1_000), (2, 10), (3, 5_000), (4, 0), (5, 100)] {
        let value = sample::make(seed, len);
        h.put(&key, value.clone()).await;
        assert!(
            h.get(&key).await == Some(value),
            "get after an overwrite with {len} bytes gives something else"
        );
    }
    Ok(())
}

/// Fresh keys are all different, whatever the hint, and name nothing until they are put.
pub async fn new_keys_are_unique(h: &Harness) -> Outcome {
    let tags = ["hot".to_owned()].into();
    let hints = [KeyHint::default(), KeyHint { size: Some(1 << 20), tags: Some(&tags) }];
    let mut keys = std::collections::HashSet::new();
    for i in 0..1_000 {
        let key = h.connector().new_key(hints[i % 2]).expect("new_key");
        assert!(keys.insert(key), "new_key gave the same key twice");
    }
    for key in keys.iter().take(3) {
        assert!(h.get(key).await.is_none(), "a fresh key has an object");
    }
    Ok(())
}

/// Tags do not disturb.
pub async fn tags_are_accepted(h: &Harness) -> Outcome {
    let key = h.key();
    let options = PutOptions { tags: ["hot".to_owned(), "gpu".to_owned()].into(), ..PutOptions::default() };
    h.connector().put(&key, sample::make(9, 10).into(), &options).await.expect("put with tags");
    assert!(h.get(&key).await.is_some(), "an object with tags is not got");
    Ok(())
}

/// The identity is a URI that can be parsed again and holds no credentials; all connectors to the backend have it.
pub async fn info_is_public(h: &Harness) -> Outcome {
    let uri = &h.connector().info().uri;
    assert!(!uri.has_credentials(), "the identity {uri} holds credentials");
    assert_eq!(
        &uri.to_string().parse::<Uri>().expect("the identity parses"),
        uri,
        "the identity parses to itself"
    );
    assert_eq!(&h.other().info().uri, uri, "two connectors to the same objects have one identity");
    Ok(())
}

/// Neither `Debug` of the connector nor an error shows what an object holds.
pub async fn debug_shows_no_object(h: &Harness) -> Outcome {
    const CANARY: &str = "canary-in-an-object";
    let key = h.key();
    h.put(&key, CANARY.as_bytes()).await;
    let debug = format!("{:?} {:#?}", h.connector(), h.connector());
    assert!(!debug.contains(CANARY), "Debug of the connector shows an object");
    if let Err(error) = h.create(&key, CANARY.as_bytes()).await {
        assert!(!format!("{error} {error:?}").contains(CANARY), "an error shows an object");
        assert!(!error.to_string().contains('\n'), "an error has several lines: {error}");
    }
    Ok(())
}
