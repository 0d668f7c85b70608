//! Signed references, and the limits on them.

use std::time::Duration;

use proxystore_core::{ErrorKind, KeyRing, SecretKey};
use proxystore_local::LocalConnector;
use proxystore_store::{Proxy, Registry, Rights, Store};
use serde_json::Value;

use crate::{check, rt};

const VALUE: u32 = 2026;
const MOST_LIMITS: usize = 8;

/// A reference gives the rights that all of its limits leave, until the first of them ends; one that was altered, or
/// lost a limit, gives none.
pub fn signature(data: &[u8]) {
    let Some((&[how, at, with], limits)) = data.split_first_chunk() else { return };
    rt::run(true, async {
        let keys = KeyRing::new(SecretKey::new("key-1", [7; 32]).unwrap());
        let builder = Store::builder("signed").connector(LocalConnector::new().unwrap());
        let store = builder.sign(keys).populate(false).cache_objects(0).build().await.unwrap();
        let _known = Registry::global().scoped(&store);
        let made = store.proxy(VALUE).await.unwrap();
        let (proxy, rights) = limited(made, limits);

        let content = readable(&proxy);
        let copy = match how % 4 {
            0 => altered(&proxy, usize::from(how >> 2) << 8 | usize::from(at), with),
            1 => without_a_limit(&content, at.into()),
            _ => None,
        };
        if let Some(copy) = copy.filter(|copy| readable(copy) != content) {
            check::teaches(&copy.resolve_async().await.unwrap_err());
            check::teaches(&copy.factory().evict().await.unwrap_err());
            assert!(store.exists(proxy.factory().key()).await.unwrap(), "an altered reference evicts");
        }
        let copy: Proxy<u32> = postcard::from_bytes(&postcard::to_allocvec(&proxy).unwrap()).unwrap();
        match copy.resolve_async().await {
            Ok(value) => assert!(*value == VALUE && rights.read && !rights.over),
            Err(error) => rights.refuse(&error, rights.read),
        }
        match copy.factory().evict().await {
            Ok(()) => assert!(rights.evict && !rights.over),
            Err(error) => rights.refuse(&error, rights.evict),
        }
    });
}

/// What is left of the rights.
struct Left {
    read: bool,
    evict: bool,
    over: bool,
}

impl Left {
    fn refuse(&self, error: &proxystore_core::Error, right: bool) {
        check::teaches(error);
        match error.kind() {
            ErrorKind::Expired => assert!(self.over),
            ErrorKind::Denied => assert!(!right),
            _ => panic!("{error}"),
        }
    }
}

/// One limit for each byte, as many as there may be.
fn limited(mut proxy: Proxy<u32>, limits: &[u8]) -> (Proxy<u32>, Left) {
    let mut left = Left { read: true, evict: true, over: false };
    for (i, byte) in limits.iter().enumerate() {
        let rights = [Rights::READ, Rights::EVICT, Rights::ALL, Rights::ALL][usize::from(byte & 3)];
        let time = [None, Some(Duration::MAX), Some(Duration::from_secs(3600)), Some(Duration::ZERO)];
        let time = time[usize::from(byte >> 2 & 3)];
        match proxy.factory().limited(rights, time) {
            Ok(stored) => proxy = Proxy::new(stored),
            Err(error) => {
                assert!(i >= MOST_LIMITS && error.kind() == ErrorKind::TooLarge, "{error}");
                break;
            }
        }
        left.read &= rights != Rights::EVICT;
        left.evict &= rights != Rights::READ;
        left.over |= time == Some(Duration::ZERO);
    }
    (proxy, left)
}

/// With one byte changed, if that is a reference.
fn altered(proxy: &Proxy<u32>, at: usize, with: u8) -> Option<Proxy<u32>> {
    let mut bytes = postcard::to_allocvec(proxy).unwrap();
    let at = at % bytes.len();
    bytes[at] ^= with;
    postcard::from_bytes(&bytes).ok()
}

/// Without one of its limits, or without its grant.
fn without_a_limit(content: &Value, at: usize) -> Option<Proxy<u32>> {
    let mut fields = content.clone();
    let mut words: Vec<_> = content["grant"].as_str()?.split(' ').collect();
    match at % (words.len() - 1) {
        0 => drop(fields.as_object_mut()?.remove("grant")),
        at => {
            words.remove(at);
            fields["grant"] = words.join(" ").into();
        }
    }
    serde_json::from_value(fields).ok()
}

/// What the signature covers.
fn readable(proxy: &Proxy<u32>) -> Value {
    let mut fields = serde_json::to_value(proxy).unwrap();
    fields.as_object_mut().unwrap().remove("traceparent");
    fields
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let limits: [&[u8]; 5] = [&[], &[0], &[2, 1], &[2, 6, 10, 2, 2, 2, 2, 2, 2], &[14]];
    let heads = [[0, 9, 1], [4, 70, 8], [1, 0, 0], [1, 1, 0], [2, 0, 0]];
    heads.iter().flat_map(|head| limits.map(|limits| [&head[..], limits].concat())).collect()
}
