use proptest::prelude::*;

use super::*;
use crate::{Proxy, Registry, Store};

pub(crate) fn any_grant() -> impl Strategy<Value = Grant> {
    let limit = (0..=Rights::ALL.0, any::<u64>())
        .prop_map(|(rights, end)| Limit { rights: Rights(rights), end: NonZeroU64::new(end) });
    ("[A-Za-z0-9._-]{1,32}", prop::collection::vec(limit, 0..=MAX_LIMITS), any::<[u8; 32]>())
        .prop_map(|(key_id, limits, tag)| Grant { key_id, limits, tag })
}

const TAG: &str = "abababababababababababababababababababababababababababababababab";

#[test]
fn what_is_no_grant_is_refused() {
    let nine = "read ".repeat(9);
    for text in [
        String::new(),
        "k1".into(),
        format!("k1  {TAG}"),
        format!("k1 {}", &TAG[1..]),
        format!("k1 {}", TAG.to_uppercase()),
        format!("k1 {TAG} "),
        format!("k/1 {TAG}"),
        format!(" {TAG}"),
        format!("{} {TAG}", "k".repeat(33)),
        format!("k1 write {TAG}"),
        format!("k1 evict+read {TAG}"),
        format!("k1 read@0 {TAG}"),
        format!("k1 read@007 {TAG}"),
        format!("k1 read@+7 {TAG}"),
        format!("k1 read@18446744073709551616 {TAG}"),
        format!("k1 {nine}{TAG}"),
    ] {
        assert!(Grant::parse(&text).is_err(), "{text}");
    }
    let text = format!("k1 {}{TAG}", &nine[5..]);
    assert_eq!(Grant::parse(&text).unwrap().text(), text);

    let mut bytes = Vec::new();
    Grant::parse(&format!("k1 read@7 {TAG}")).unwrap().encode(&mut bytes);
    assert!(Grant::decode(&mut Reader(&bytes)).is_ok());
    for (at, value) in [(0, 0), (0, 33), (1, b'/'), (3, 9), (4, 4), (5, 0x80)] {
        let mut altered = bytes.clone();
        altered[at] = value;
        assert!(Grant::decode(&mut Reader(&altered)).is_err(), "{value} at {at}");
    }
    for length in 0..bytes.len() {
        assert!(Grant::decode(&mut Reader(&bytes[..length])).is_err(), "{length}");
    }
}

#[test]
fn who_sees_a_grant_in_a_log_cannot_use_it() {
    let grant = Grant::parse(&format!("k1 read@7 {TAG}")).unwrap();
    let shown = format!("{grant:?}");
    assert!(shown.contains("k1") && !shown.contains("ab") && !shown.contains("171"), "{shown}");
}

#[tokio::test]
async fn a_store_that_does_not_sign_asks_for_nothing_and_passes_grants_on() {
    let registry = Registry::new();
    let connector = proxystore_local::LocalConnector::named("grants-of-others");
    let store =
        Store::builder("s").connector(connector).registry(&registry).register().build().await.unwrap();
    let text = serde_json::to_string(&store.proxy(7).await.unwrap()).unwrap();
    let signed = text.replace('}', &format!(r#","grant":"k1 none@1 {TAG}"}}"#));

    let proxy: Proxy<i32> = serde_json::from_str(&signed).unwrap();
    assert_eq!(serde_json::to_string(&proxy).unwrap(), signed);
    let proxy = registry.bind(proxy).await.unwrap();
    assert_eq!(proxy.resolve_async().await.unwrap(), &7);
    assert_eq!(serde_json::to_string(&proxy).unwrap(), signed);
    proxy.factory().evict().await.unwrap();
    assert!(!store.exists(proxy.factory().key()).await.unwrap());
}
