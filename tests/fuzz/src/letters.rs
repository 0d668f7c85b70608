//! Futures, loans and owners on their way between processes.

use std::fmt::Debug;

use proxystore_core::Key;
use proxystore_local::LocalConnector;
use proxystore_store::{Handover, Lent, LentMut, Proxy, Store, StoreFuture};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{check, rt};

type Target = Vec<u8>;

/// The longest reference in bytes, and what goes with it: keys are shorter than 256.
const LONGEST: usize = 4096 + 300;

/// What decodes is whole: it means the same in every format, is taken for nothing else, and shows no more of itself
/// than where the object is. Decoding and dropping do nothing to anybody.
pub fn letters(data: &[u8]) {
    rt::run(true, async {
        read::<StoreFuture<Target>>(data, "StoreFuture(");
        read::<Lent<Target>>(data, "Lent(Stored(");
        read::<LentMut<Target>>(data, "LentMut(Stored(");
        if let Some(handover) = read::<Handover<Target>>(data, "Handover(Stored(") {
            assert_eq!(Key::parse(handover.key().as_str()).unwrap(), *handover.key());
        }
    });
}

/// What decodes from any format, if it does.
fn read<T: Serialize + DeserializeOwned + Debug>(data: &[u8], shown: &str) -> Option<T> {
    let binary = || postcard::from_bytes::<T>(data).ok();
    let text = || serde_json::from_slice(data).ok();
    let packed = || rmp_serde::from_slice(data).ok();
    binary().or_else(text).or_else(packed).inspect(|letter| whole(letter, shown))
}

fn whole<T: Serialize + DeserializeOwned + Debug>(letter: &T, shown: &str) {
    let bytes = postcard::to_allocvec(letter).unwrap();
    assert!(bytes.len() <= LONGEST, "{} bytes were decoded", bytes.len());
    let same = |read: T| assert_eq!(postcard::to_allocvec(&read).unwrap(), bytes);
    same(postcard::from_bytes(&bytes).unwrap());
    let text = serde_json::to_string(letter).unwrap();
    same(serde_json::from_str(&text).unwrap());
    same(rmp_serde::from_slice(&rmp_serde::to_vec(letter).unwrap()).unwrap());

    let kinds = [
        serde_json::from_str::<StoreFuture<Target>>(&text).is_ok(),
        serde_json::from_str::<Lent<Target>>(&text).is_ok(),
        serde_json::from_str::<LentMut<Target>>(&text).is_ok(),
        serde_json::from_str::<Handover<Target>>(&text).is_ok(),
        serde_json::from_str::<Proxy<Target>>(&text).is_ok(),
    ];
    assert_eq!(kinds.into_iter().filter(|is| *is).count(), 1, "it is taken for two things: {text}");
    let debug = format!("{letter:?}");
    assert!(debug.starts_with(shown) && debug.len() < 400, "{debug}");
    check::hides(letter);
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    fn forms(seeds: &mut Vec<Vec<u8>>, letter: &impl Serialize) {
        seeds.push(postcard::to_allocvec(letter).unwrap());
        seeds.push(serde_json::to_vec(letter).unwrap());
        seeds.push(rmp_serde::to_vec(letter).unwrap());
    }
    rt::run(false, async {
        let connector = LocalConnector::named("letters");
        let store = Store::builder("letters").connector(connector).build().await.unwrap();
        let mut seeds = Vec::new();
        forms(&mut seeds, &store.future::<Target>().await.unwrap());
        forms(&mut seeds, &store.future::<Target>().ephemeral().jitter(false).await.unwrap());
        let mut owned = store.owned_proxy(vec![1, 2]).await.unwrap();
        owned.lend(async |lent| forms(&mut seeds, &lent)).await.unwrap();
        owned.lend_mut(async |lent| forms(&mut seeds, &lent)).await.unwrap();
        forms(&mut seeds, &owned.hand_over().await.unwrap());
        forms(&mut seeds, &store.proxy(vec![1u8]).await.unwrap());
        seeds
    })
}
