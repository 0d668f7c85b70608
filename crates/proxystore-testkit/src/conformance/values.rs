//! Objects of every size and shape.

use futures_util::future::join_all;
use proxystore_core::{Bytes, ErrorKind, Payload, PutOptions};

use super::{Harness, NotApplicable, Outcome, get, put};
use crate::sample;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

async fn round_trip(h: &Harness, len: usize) {
    let (key, value) = (h.key(), sample::make(len as u64, len));
    h.put(&key, value.clone()).await;
    let got = h.connector().get(&key).await.expect("get").map(Payload::into_bytes);
    let found = got.as_ref().map(Bytes::len);
    assert!(got == Some(value), "an object of {len} bytes comes back as {found:?} bytes, or altered");
    assert!(h.connector().exists(&key).await.expect("exists"), "an object of {len} bytes does not exist");
    h.connector().evict(&key).await.expect("evict");
}

/// Sizes around every border that buffers and protocols have, from empty to 64 KiB.
pub async fn small_sizes(h: &Harness) -> Outcome {
    let powers = (0..=16).map(|power| 1usize << power);
    let mut sizes: Vec<_> = powers.flat_map(|size| [size - 1, size, size + 1]).collect();
    sizes.extend([100, 1_000, 10_000, 3 * KIB, 60 * KIB]);
    for len in h.fitting(&sizes) {
        round_trip(h, len).await;
    }
    Ok(())
}

/// 1, 16 and 64 MiB, as far as the connector takes them.
pub async fn large_sizes(h: &Harness) -> Outcome {
    for len in h.fitting(&[MIB, 16 * MIB, 64 * MIB]) {
        round_trip(h, len).await;
    }
    Ok(())
}

/// An empty object is an object: it exists and is not absent.
pub async fn empty_is_not_absent(h: &Harness) -> Outcome {
    let key = h.key();
    h.put(&key, Bytes::new()).await;
    assert!(h.get(&key).await == Some(Bytes::new()), "an empty object is not got as empty");
    assert!(h.connector().exists(&key).await.expect("exists"), "an empty object does not exist");
    let many = h.connector().get_many(std::slice::from_ref(&key)).await;
    assert!(
        matches!(&many[..], [Ok(Some(it))] if it.is_empty()),
        "get_many of an empty object gives {many:?}"
    );
    Ok(())
}

/// A payload of several segments is stored as their concatenation, by `put` and by `put_many`.
pub async fn segments_are_joined(h: &Harness) -> Outcome {
    let sizes = h.fitting(&[0, 1, 12, 100, 70 * KIB]).collect::<Vec<_>>();
    let pairs = sizes.iter().flat_map(|head| sizes.iter().map(move |body| (*head, *body)));
    for (head, body) in pairs.filter(|(head, body)| (head + body) as u64 <= h.capabilities().max_value) {
        let payload = Payload::new(sample::make(1, head), sample::make(2, body));
        let whole = payload.clone().into_bytes();
        let (one, many) = (h.key(), h.key());
        h.put(&one, payload.clone()).await;
        let put = h.connector().put_many(vec![(many.clone(), payload)], &PutOptions::default()).await;
        assert!(matches!(&put[..], [Ok(())]), "put_many gives {put:?}");
        for key in [one, many] {
            let got = h.get(&key).await;
            assert!(got.as_ref() == Some(&whole), "segments of {head} and {body} bytes come back altered");
        }
    }
    Ok(())
}

/// One byte above the claimed maximum is `TooLarge` and stores nothing, also in a batch, whose other items are stored.
pub async fn too_large_is_refused(h: &Harness) -> Outcome {
    let max = h.capabilities().max_value;
    if max > 64 * MIB as u64 {
        return Err(NotApplicable(format!("the largest object is {max} bytes")));
    }
    round_trip(h, max as usize).await;
    let (big, small) = (sample::make(1, max as usize + 1), sample::make(2, (max as usize).min(100)));
    let keys = h.keys(4);
    let put = h.connector().put(&keys[0], big.clone().into(), &PutOptions::default()).await;
    assert_eq!(put.expect_err("a put above the maximum").kind(), ErrorKind::TooLarge, "above the maximum");
    let items = [&small, &big, &small].into_iter().cloned().map(Payload::from);
    let many = keys[1..].iter().cloned().zip(items).collect();
    let kinds: Vec<_> = h.connector().put_many(many, &PutOptions::default()).await.into_iter().collect();
    let kinds: Vec<_> = kinds.into_iter().map(|result| result.err().map(|error| error.kind())).collect();
    assert_eq!(kinds, [None, Some(ErrorKind::TooLarge), None], "one item of a batch is above the maximum");
    for (key, there) in keys.iter().zip([false, true, false, true]) {
        assert_eq!(h.get(key).await.is_some(), there, "only what fits is stored");
    }
    Ok(())
}

/// 64 objects of 1 MiB at once, put and got by concurrent tasks, then the same as one batch.
pub async fn many_megabytes_at_once(h: &Harness) -> Outcome {
    let len = h.fitting(&[MIB, 64 * KIB, KIB, 64]).next().unwrap_or(1);
    let items: Vec<_> = h.keys(64).into_iter().zip((0..).map(|seed| sample::make(seed, len))).collect();
    join_all(items.iter().map(|(key, value)| put(h.connector(), key, value.clone()))).await;
    let got = join_all(items.iter().map(|(key, _)| get(h.other(), key))).await;
    for ((_, value), got) in items.iter().zip(got) {
        assert!(
            got.as_ref() == Some(value),
            "one of 64 concurrent objects of {len} bytes comes back altered"
        );
    }
    let again: Vec<_> = h.keys(64).into_iter().zip(items.iter().map(|(_, value)| value.clone())).collect();
    let batch = again.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    for result in h.connector().put_many(batch, &PutOptions::default()).await {
        result.expect("an item of a large put_many");
    }
    let keys: Vec<_> = again.iter().map(|(key, _)| key.clone()).collect();
    for ((_, value), got) in again.iter().zip(h.connector().get_many(&keys).await) {
        let got = got.expect("an item of a large get_many").map(Payload::into_bytes);
        assert!(
            got.as_ref() == Some(value),
            "one object of a batch of 64 times {len} bytes comes back altered"
        );
    }
    Ok(())
}
