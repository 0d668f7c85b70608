//! Many objects at once: one result per item, in order.

use proxystore_core::{Bytes, ErrorKind, Key, Payload, PutOptions, Result};

use super::{Harness, Outcome, creating};
use crate::sample;

/// Items of the large batches.
const MANY: usize = 1_000;

fn value(i: usize) -> Bytes {
    sample::make(i as u64, 20 + i % 300)
}

fn kinds(results: Vec<Result<()>>) -> Vec<Option<ErrorKind>> {
    results.into_iter().map(|result| result.err().map(|error| error.kind())).collect()
}

fn found(results: Vec<Result<Option<Payload>>>) -> Vec<Option<Bytes>> {
    results.into_iter().map(|result| result.expect("an item of get_many").map(Payload::into_bytes)).collect()
}

async fn put_all(h: &Harness, items: Vec<(Key, Bytes)>) {
    let items = items.into_iter().map(|(key, value)| (key, value.into())).collect();
    for result in h.connector().put_many(items, &PutOptions::default()).await {
        result.expect("an item of put_many");
    }
}

/// 1,000 objects: put, got and evicted in batches, with results in order and absent ones in between.
pub async fn thousand_in_order(h: &Harness) -> Outcome {
    let keys = h.keys(MANY);
    // Every fifth is never put.
    let items = keys.iter().enumerate().filter(|(i, _)| i % 5 != 0).map(|(i, key)| (key.clone(), value(i)));
    put_all(h, items.collect()).await;
    let expected: Vec<_> = (0..MANY).map(|i| (i % 5 != 0).then(|| value(i))).collect();
    assert!(
        found(h.connector().get_many(&keys).await) == expected,
        "get_many is not in order or not complete"
    );
    let reversed: Vec<_> = keys.iter().rev().cloned().collect();
    let backwards: Vec<_> = expected.into_iter().rev().collect();
    assert!(
        found(h.other().get_many(&reversed).await) == backwards,
        "get_many does not follow the keys' order"
    );

    let (gone, kept): (Vec<_>, Vec<_>) = keys.iter().cloned().enumerate().partition(|(i, _)| i % 2 == 0);
    let gone: Vec<_> = gone.into_iter().map(|(_, key)| key).collect();
    assert_eq!(
        kinds(h.connector().evict_many(&gone).await),
        vec![None; gone.len()],
        "evict_many with absent keys"
    );
    assert!(
        found(h.connector().get_many(&gone).await).iter().all(Option::is_none),
        "evict_many left objects"
    );
    let (order, kept): (Vec<_>, Vec<_>) = kept.into_iter().unzip();
    let expected: Vec<_> = order.into_iter().map(|i| (i % 5 != 0).then(|| value(i))).collect();
    assert!(found(h.connector().get_many(&kept).await) == expected, "evict_many removed other objects");
    Ok(())
}

/// A batch is what single operations see, and the other way round.
pub async fn batches_agree_with_singles(h: &Harness) -> Outcome {
    let keys = h.keys(10);
    put_all(h, keys[..5].iter().cloned().enumerate().map(|(i, key)| (key, value(i))).collect()).await;
    for (i, key) in keys.iter().enumerate() {
        if i >= 5 {
            h.put(key, value(i)).await;
        } else {
            assert!(h.get(key).await == Some(value(i)), "get does not see what put_many put");
        }
    }
    let expected: Vec<_> = (0..10).map(|i| Some(value(i))).collect();
    assert!(found(h.connector().get_many(&keys).await) == expected, "get_many does not see what put put");
    Ok(())
}

/// Nothing in, nothing out.
pub async fn empty_batches(h: &Harness) -> Outcome {
    assert!(
        h.connector().put_many(Vec::new(), &PutOptions::default()).await.is_empty(),
        "put_many of nothing"
    );
    assert!(h.connector().get_many(&[]).await.is_empty(), "get_many of nothing");
    assert!(h.connector().evict_many(&[]).await.is_empty(), "evict_many of nothing");
    Ok(())
}

/// A key may come twice: each gets its result, and what is stored is one of the values, whole.
pub async fn duplicates(h: &Harness) -> Outcome {
    let (key, other) = (h.key(), h.key());
    let order = [&key, &other, &key, &key];
    put_all(h, order.iter().enumerate().map(|(i, key)| ((*key).clone(), value(i))).collect()).await;
    let keys: Vec<_> = order.into_iter().cloned().collect();
    let got = found(h.connector().get_many(&keys).await);
    assert!(got[1] == Some(value(1)), "the key beside the duplicate holds something else");
    assert!(got[0] == got[2] && got[2] == got[3], "get_many gives different objects for one key");
    assert!(
        [0, 2, 3].map(|i| Some(value(i))).contains(&got[0]),
        "a key put three times holds none of the values"
    );
    assert_eq!(kinds(h.connector().evict_many(&keys).await), [None; 4], "evict_many with a duplicate");
    Ok(())
}

/// In a batch that creates, exactly the taken keys fail, with `Exists`, and keep their objects.
pub async fn failures_are_reported_singly(h: &Harness) -> Outcome {
    h.needs(h.capabilities().create, "create")?;
    let keys = h.keys(MANY);
    let taken = |i: usize| i % 3 == 2;
    let before = keys.iter().enumerate().filter(|(i, _)| taken(*i)).map(|(i, key)| (key.clone(), value(i)));
    put_all(h, before.collect()).await;
    let items = keys.iter().enumerate().map(|(i, key)| (key.clone(), value(MANY + i).into())).collect();
    let results = kinds(h.connector().put_many(items, &creating()).await);
    let expected: Vec<_> = (0..MANY).map(|i| taken(i).then_some(ErrorKind::Exists)).collect();
    assert!(
        results == expected,
        "put_many over taken keys reports {:?}",
        first_difference(&results, &expected)
    );
    let expected: Vec<_> = (0..MANY).map(|i| Some(value(if taken(i) { i } else { MANY + i }))).collect();
    let got = found(h.connector().get_many(&keys).await);
    assert!(got == expected, "after put_many over taken keys, a key holds the wrong object");
    Ok(())
}

fn first_difference<T: PartialEq>(found: &[T], expected: &[T]) -> Option<(usize, usize)> {
    let at = found.iter().zip(expected).position(|(a, b)| a != b)?;
    Some((at, found.len()))
}

/// Of one key that comes several times in a batch that creates, one item wins.
pub async fn create_of_duplicates_has_one_winner(h: &Harness) -> Outcome {
    h.needs(h.capabilities().create, "create")?;
    let key = h.key();
    let items = (0..4).map(|i| (key.clone(), value(i).into())).collect();
    let results = kinds(h.connector().put_many(items, &creating()).await);
    let winners: Vec<_> = (0..results.len()).filter(|i| results[*i].is_none()).collect();
    assert_eq!(winners.len(), 1, "a key created four times in one batch reports {results:?}");
    assert!(results.iter().flatten().all(|kind| *kind == ErrorKind::Exists), "the losers report {results:?}");
    assert!(h.get(&key).await == Some(value(winners[0])), "the key does not hold the winner's object");
    Ok(())
}
