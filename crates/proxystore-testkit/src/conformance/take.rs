//! Take: exactly one caller gets the object.

use futures_util::future::join_all;
use proxystore_core::{ErrorKind, Payload};

use super::{Harness, Outcome};
use crate::sample;

/// A take gives the object and removes it; the next one finds nothing.
pub async fn gives_once(h: &Harness) -> Outcome {
    h.needs(h.capabilities().take, "take")?;
    let key = h.key();
    for len in h.fitting(&[0, 1_000, 1 << 20]).collect::<Vec<_>>() {
        let value = sample::make(len as u64, len);
        h.put(&key, value.clone()).await;
        let taken = h.connector().take(&key).await.expect("take").map(Payload::into_bytes);
        assert!(taken == Some(value), "take gives something else than was put");
        assert!(h.connector().take(&key).await.expect("take").is_none(), "a second take gives an object");
        assert!(h.get(&key).await.is_none(), "an object that was taken is there");
        assert!(!h.connector().exists(&key).await.expect("exists"), "an object that was taken exists");
    }
    Ok(())
}

/// A take of what is not there is `None`.
pub async fn of_missing_is_none(h: &Harness) -> Outcome {
    h.needs(h.capabilities().take, "take")?;
    assert!(
        h.connector().take(&h.key()).await.expect("take").is_none(),
        "take of a missing key gives an object"
    );
    Ok(())
}

/// Of 32 concurrent takers over both connectors exactly one gets the object, whole.
pub async fn race_has_one_winner(h: &Harness) -> Outcome {
    h.needs(h.capabilities().take, "take")?;
    for round in 0..10 {
        let key = h.key();
        h.put(&key, sample::make(round, 4_000)).await;
        let takers = (0..32).map(|i| {
            let (connector, key) = ([h.connector(), h.other()][i % 2].clone(), key.clone());
            tokio::spawn(async move { connector.take(&key).await.expect("take") })
        });
        let taken = join_all(takers).await.into_iter().filter_map(|taker| taker.expect("a taker"));
        let seeds: Vec<_> = taken.map(|object| sample::seed(object).expect("a whole object")).collect();
        assert_eq!(seeds, [round], "not exactly one of 32 takers got the object");
    }
    Ok(())
}

/// Where the backend cannot take, asking is `Unsupported` and removes nothing.
pub async fn unsupported_is_said(h: &Harness) -> Outcome {
    h.needs(!h.capabilities().take, "lack of take")?;
    let key = h.key();
    h.put(&key, sample::make(1, 10)).await;
    let error = h.connector().take(&key).await.expect_err("take");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "take: {error}");
    assert!(h.get(&key).await.is_some(), "a refused take removed the object");
    Ok(())
}
