//! [`Mode::Create`](proxystore_core::Mode::Create): exactly one writer wins.

use futures_util::future::join_all;
use proxystore_core::{Bytes, ErrorKind};

use super::{Harness, Outcome, create, get};
use crate::sample;

/// The second create of a key is `Exists`, by whatever connector, and the first object stays.
pub async fn second_is_exists(h: &Harness) -> Outcome {
    h.needs(h.capabilities().create, "create")?;
    for first in [sample::make(1, 1_000), Bytes::new()] {
        let key = h.key();
        h.create(&key, first.clone()).await.expect("the first create");
        for connector in [h.connector(), h.other()] {
            let error = create(connector, &key, sample::make(2, 10)).await.expect_err("the second create");
            assert_eq!(error.kind(), ErrorKind::Exists, "the second create: {error}");
            assert!(!error.is_transient(), "a retry cannot help: {error}");
        }
        assert!(h.get(&key).await == Some(first), "a create that failed changed the object");
    }
    Ok(())
}

/// Create respects what overwrite has put, and overwrite replaces what create has put.
pub async fn create_and_overwrite(h: &Harness) -> Outcome {
    h.needs(h.capabilities().create, "create")?;
    let key = h.key();
    h.put(&key, sample::make(1, 10)).await;
    let error = h.create(&key, sample::make(2, 10)).await.expect_err("create over an object");
    assert_eq!(error.kind(), ErrorKind::Exists, "create over an object: {error}");
    h.put(&key, sample::make(3, 10)).await;
    assert!(h.get(&key).await == Some(sample::make(3, 10)), "overwrite does not replace");
    Ok(())
}

/// An evicted key can be created again.
pub async fn create_after_evict(h: &Harness) -> Outcome {
    h.needs(h.capabilities().create, "create")?;
    let key = h.key();
    for seed in 0..3 {
        h.create(&key, sample::make(seed, 100)).await.expect("create of a free key");
        assert!(
            h.get(&key).await == Some(sample::make(seed, 100)),
            "get gives something else than was created"
        );
        h.connector().evict(&key).await.expect("evict");
    }
    Ok(())
}

/// Of 32 concurrent creators over both connectors one wins, and all see its object at once.
pub async fn race_has_one_winner(h: &Harness) -> Outcome {
    h.needs(h.capabilities().create, "create")?;
    for round in 0..10 {
        let key = h.key();
        let creators = (0..32).map(|i| {
            let connector = [h.connector(), h.other()][i % 2].clone();
            let key = key.clone();
            tokio::spawn(async move {
                let created = create(&connector, &key, sample::make(i as u64, 4_000)).await;
                let seen = get(&connector, &key).await.expect("an object after a create");
                (created, sample::seed(seen).expect("a whole object after a create"))
            })
        });
        let mut winners = Vec::new();
        let mut seen = Vec::new();
        for (i, creator) in join_all(creators).await.into_iter().enumerate() {
            let (created, seed) = creator.expect("a creator");
            seen.push(seed);
            match created {
                Ok(()) => winners.push(i as u64),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Exists, "a loser: {error}"),
            }
        }
        assert_eq!(winners.len(), 1, "creators {winners:?} of 32 won in round {round}");
        assert!(
            seen.iter().all(|seed| *seed == winners[0]),
            "creators saw {seen:?}, the winner is {winners:?}"
        );
    }
    Ok(())
}
