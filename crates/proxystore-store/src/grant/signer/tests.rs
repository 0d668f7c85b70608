use proxystore_core::{Id, KeyRing};
use proxystore_local::LocalConnector;

use super::*;
use crate::reference::{Identity, Spec};
use crate::{Proxy, Registry, Store};

const HOUR: Duration = Duration::from_secs(3600);

fn key(id: &str, byte: u8) -> SecretKey {
    SecretKey::new(id, [byte; 32]).unwrap()
}

fn ring() -> KeyRing {
    KeyRing::new(key("new", 0xc4)).with_old(key("old", 0xc5))
}

fn unsigned() -> Reference {
    Reference {
        store: "images".into(),
        spec: Spec::Name(Identity([1, 2, 3, 4, 5, 6, 7, 8])),
        key: Id::from_bytes([0xab; 16]).into(),
        codec: 1,
        fingerprint: Some([9; 8]),
        length: 100,
        future: None,
        ephemeral: false,
        traceparent: None,
        grant: None,
    }
}

fn signed_with(keys: KeyRing) -> Reference {
    let mut reference = unsigned();
    Signer::new(keys).sign(&mut reference).unwrap();
    reference
}

fn limited(mut reference: Reference, rights: Rights, time: Option<Duration>) -> Reference {
    reference.grant = Some(reference.grant.unwrap().limited(rights, time).unwrap());
    reference
}

fn grant(reference: &mut Reference) -> &mut Grant {
    reference.grant.as_mut().unwrap()
}

/// How a check of these keys ends.
fn check(keys: KeyRing, reference: &Reference, needed: Rights) -> Result<(), ErrorKind> {
    Signer::new(keys).check(reference, needed).map_err(|error| error.kind())
}

fn is_forged(reference: &Reference) -> bool {
    match Signer::new(ring()).check(reference, Rights::READ) {
        Err(error) => error.kind() == ErrorKind::Denied && error.message().contains("signature is wrong"),
        Ok(()) => false,
    }
}

#[test]
fn each_changed_field_is_noticed() {
    let changes: [fn(&mut Reference); 9] = [
        |r| r.store = "Images".into(),
        |r| r.spec = Spec::Name(Identity([1, 2, 3, 4, 5, 6, 7, 9])),
        |r| r.spec = Spec::Uri("file:///data".parse().unwrap()),
        |r| r.key = Id::from_bytes([0xaa; 16]).into(),
        |r| r.codec = 2,
        |r| r.fingerprint = None,
        |r| r.length = 0,
        |r| r.ephemeral = true,
        |r| grant(r).key_id = "old".into(),
    ];
    let reference = limited(signed_with(ring()), Rights::ALL, Some(HOUR));
    assert_eq!(check(ring(), &reference, Rights::ALL), Ok(()));
    for (i, change) in changes.into_iter().enumerate() {
        let mut altered = reference.clone();
        change(&mut altered);
        assert!(is_forged(&altered), "{i}");
    }
    // Whoever passes a reference on may say in which trace.
    let mut traced = reference;
    traced.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().ok();
    assert_eq!(check(ring(), &traced, Rights::ALL), Ok(()));
}

#[test]
fn each_flipped_bit_is_noticed() {
    let reference = limited(signed_with(ring()), Rights::READ, Some(HOUR));
    let bytes = postcard::to_allocvec(&reference).unwrap();
    let (mut decoded, mut refused) = (0, 0);
    for bit in 0..8 * bytes.len() {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        match postcard::from_bytes::<Reference>(&altered) {
            Ok(altered) => {
                decoded += 1;
                assert_eq!(check(ring(), &altered, Rights::READ), Err(ErrorKind::Denied), "bit {bit}");
            }
            Err(_) => refused += 1,
        }
    }
    assert!(decoded > 500 && refused > 50, "{decoded} {refused}");
}

#[test]
fn a_grant_belongs_to_one_reference() {
    let mine = signed_with(ring());
    let mut theirs = Reference { key: Id::from_bytes([1; 16]).into(), ..unsigned() };
    Signer::new(ring()).sign(&mut theirs).unwrap();
    let swapped = Reference { grant: mine.grant.clone(), ..theirs.clone() };
    assert!(is_forged(&swapped) && !is_forged(&mine) && !is_forged(&theirs));
}

#[test]
fn limits_can_be_added_and_nothing_else() {
    let whole = signed_with(ring());
    let once = limited(whole.clone(), Rights::READ, Some(HOUR));
    let twice = limited(once.clone(), Rights::ALL, Some(2 * HOUR));
    for good in [&whole, &once, &twice] {
        assert_eq!(check(ring(), good, Rights::READ), Ok(()));
    }
    let changes: [fn(&mut Vec<Limit>); 8] = [
        |limits| limits.truncate(1),
        |limits| *limits = limits.split_off(1),
        |limits| limits.clear(),
        |limits| limits.swap(0, 1),
        |limits| limits[0].rights = Rights::ALL,
        |limits| limits[0].end = None,
        |limits| limits[1].end = limits[1].end.map(|end| end.saturating_add(1)),
        |limits| limits.push(limits[1]),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut altered = twice.clone();
        change(&mut grant(&mut altered).limits);
        assert!(is_forged(&altered), "{i}");
    }
    // Not with the tag of another stage either.
    for (from, to) in [(&once, &whole), (&twice, &once), (&whole, &twice)] {
        let mut altered = to.clone();
        grant(&mut altered).tag = from.grant.clone().unwrap().tag;
        assert!(is_forged(&altered));
    }
}

#[test]
fn rights_are_those_that_every_limit_gives() {
    let whole = signed_with(ring());
    let read = limited(whole.clone(), Rights::READ, None);
    let regained = limited(read.clone(), Rights::ALL, None);
    let none = limited(read.clone(), Rights::EVICT, None);
    let evict = limited(whole.clone(), Rights::EVICT, None);
    for (reference, rights) in
        [(&whole, "read+evict"), (&read, "read"), (&regained, "read"), (&none, "none"), (&evict, "evict")]
    {
        for (needed, word) in [(Rights::READ, "read"), (Rights::EVICT, "evict")] {
            let wanted = if rights.contains(word) { Ok(()) } else { Err(ErrorKind::Denied) };
            assert_eq!(check(ring(), reference, needed), wanted, "{rights}, {word}");
        }
        let all = if rights == "read+evict" { Ok(()) } else { Err(ErrorKind::Denied) };
        assert_eq!(check(ring(), reference, Rights::READ | Rights::EVICT), all, "{rights}");
    }
    let error = Signer::new(ring()).check(&read, Rights::ALL).unwrap_err().to_string();
    assert!(error.contains("takes the rights `read+evict`, and the reference gives `read`"), "{error}");
}

#[test]
fn the_nearest_end_counts() {
    let whole = signed_with(ring());
    let over = limited(whole.clone(), Rights::ALL, Some(Duration::ZERO));
    let longer = limited(over.clone(), Rights::ALL, Some(HOUR));
    let endless = limited(whole, Rights::ALL, Some(Duration::MAX));
    assert_eq!(check(ring(), &over, Rights::READ), Err(ErrorKind::Expired));
    assert_eq!(check(ring(), &longer, Rights::READ), Err(ErrorKind::Expired));
    assert_eq!(check(ring(), &endless, Rights::READ), Ok(()));
    assert_eq!(check(ring(), &limited(endless, Rights::ALL, Some(HOUR)), Rights::READ), Ok(()));
    // A forged end is forged, not over.
    let mut forged = over;
    grant(&mut forged).limits[0].end = NonZeroU64::new(1);
    assert!(is_forged(&forged));
}

#[test]
fn eight_limits_are_the_most() {
    let eight = (0..8).fold(signed_with(ring()), |reference, _| limited(reference, Rights::READ, Some(HOUR)));
    assert_eq!(check(ring(), &eight, Rights::READ), Ok(()));
    let bytes = postcard::to_allocvec(&eight).unwrap();
    assert_eq!(postcard::from_bytes::<Reference>(&bytes).unwrap(), eight);
    let error = eight.grant.unwrap().limited(Rights::READ, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[test]
fn old_keys_are_good_for_reading_and_unknown_ones_are_named() {
    let before = signed_with(KeyRing::new(key("old", 0xc5)));
    assert_eq!(check(ring(), &before, Rights::ALL), Ok(()));
    assert_eq!(signed_with(ring()).grant.unwrap().key_id, "new");

    let error = Signer::new(KeyRing::new(key("new", 0xc4))).check(&before, Rights::READ).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("the key `old`, which is not known here; add that key"), "{error}");
    assert!(is_forged(&signed_with(KeyRing::new(key("old", 0xc6)))), "another key of this id");
}

#[test]
fn a_signature_is_35_bytes_and_the_id() {
    let length = |reference: &Reference| postcard::to_allocvec(reference).unwrap().len();
    let signed = signed_with(KeyRing::new(key("2026-11", 1)));
    assert_eq!(length(&signed) - length(&unsigned()), 34 + 7);
    assert_eq!(length(&limited(signed.clone(), Rights::READ, None)) - length(&signed), 2);
    assert_eq!(length(&limited(signed.clone(), Rights::READ, Some(HOUR))) - length(&signed), 7);
}

#[test]
fn golden_tags() {
    let reference = signed_with(KeyRing::new(key("k1", 7)));
    let first = Hash::from_bytes(reference.grant.unwrap().tag);
    assert_eq!(first.to_string(), "ecfbab59806b1efc41f927393fe0b62fb17d2fe47ca368e1281940f7feb66810");
    let limit = Limit { rights: Rights::READ, end: NonZeroU64::new(1_800_000_000_000) };
    assert_eq!(
        next_tag(&first, &limit).to_string(),
        "12f6e2485c237a65c69034422a3e63f219f4676baf546dc74600f596b8975129"
    );
}

/// A program that has the store, with these keys.
async fn program(place: &str, keys: KeyRing) -> (Registry, Store) {
    let registry = Registry::new();
    let builder = Store::builder("jobs").connector(LocalConnector::named(place)).sign(keys);
    let store = builder.registry(&registry).register().build().await.unwrap();
    (registry, store)
}

async fn received(registry: &Registry, reference: &str) -> Proxy<i32> {
    registry.bind(serde_json::from_str(reference).unwrap()).await.unwrap()
}

fn sent(proxy: &Proxy<i32>) -> String {
    serde_json::to_string(proxy).unwrap()
}

#[tokio::test]
async fn a_store_that_signs_takes_signed_references_only() {
    let (_, producer) = program("signed-only", ring()).await;
    let (registry, consumer) = program("signed-only", ring()).await;
    let other = Store::builder("jobs").connector(LocalConnector::named("signed-only")).build().await.unwrap();

    let reference = sent(&producer.proxy(7).await.unwrap());
    assert_eq!(received(&registry, &reference).await.resolve_async().await.unwrap(), &7);

    let reference = sent(&other.proxy(8).await.unwrap());
    let proxy = received(&registry, &reference).await;
    let error = proxy.resolve_async().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("not signed") && error.to_string().contains(".sign(keys)"), "{error}");
    assert_eq!(error.context("operation"), Some("resolve"));
    let error = proxy.factory().evict().await.unwrap_err();
    assert_eq!((error.kind(), error.context("operation")), (ErrorKind::Denied, Some("evict")));
    assert!(consumer.exists(proxy.factory().key()).await.unwrap());
    assert_eq!(consumer.metrics().counters["store.get.cache_misses"], 1, "what is denied is not looked up");

    // The same object by a name of its own.
    let proxy: Proxy<i32> = consumer.proxy_from_key(proxy.factory().key().clone());
    assert_eq!(received(&registry, &sent(&proxy)).await.resolve_async().await.unwrap(), &8);
    proxy.factory().evict().await.unwrap();
    assert!(!consumer.exists(proxy.factory().key()).await.unwrap());
}

#[tokio::test]
async fn whoever_holds_a_reference_limits_it_without_a_key() {
    let (registry, store) = program("limited-by-holder", ring()).await;
    let reference = sent(&store.proxy(7).populate(false).await.unwrap());

    // The holder has neither the store nor a key.
    let held: Proxy<i32> = serde_json::from_str(&reference).unwrap();
    let narrow = |time| sent(&Proxy::new(held.factory().limited(Rights::READ, time).unwrap()));
    let proxy = received(&registry, &narrow(Some(HOUR))).await;
    assert_eq!(proxy.resolve_async().await.unwrap(), &7);
    assert_eq!(proxy.factory().evict().await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(
        proxy.factory().limited(Rights::ALL, None).unwrap().evict().await.unwrap_err().kind(),
        ErrorKind::Denied
    );

    // It is in the cache now, which does not help a reference whose time is over.
    assert!(store.is_cached(proxy.factory().key()));
    let late = received(&registry, &narrow(Some(Duration::ZERO))).await;
    let error = late.resolve_async().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Expired);
    assert!(error.to_string().starts_with("expired: the reference was good until "), "{error}");

    received(&registry, &reference).await.factory().evict().await.unwrap();
    assert!(!store.exists(proxy.factory().key()).await.unwrap());
}

#[tokio::test]
async fn an_ephemeral_object_goes_to_who_may_read_and_evict_it() {
    let (registry, store) = program("signed-ephemeral", ring()).await;
    let proxy = store.proxy(7).ephemeral().await.unwrap();
    for rights in [Rights::READ, Rights::EVICT] {
        let narrow = Proxy::<i32>::new(proxy.factory().limited(rights, None).unwrap());
        assert_eq!(narrow.resolve_async().await.unwrap_err().kind(), ErrorKind::Denied);
    }
    let kept = sent(&proxy).replace(r#","ephemeral":true"#, "");
    let kept = received(&registry, &kept).await;
    assert_eq!(kept.resolve_async().await.unwrap_err().kind(), ErrorKind::Denied);

    assert_eq!(received(&registry, &sent(&proxy)).await.resolve_async().await.unwrap(), &7);
    assert_eq!(proxy.resolve_async().await.unwrap_err().kind(), ErrorKind::Missing);
}

#[tokio::test]
async fn proxies_of_the_store_itself_are_checked_too() {
    let (_, store) = program("signed-here", ring()).await;
    let proxy = store.proxy(7).populate(false).await.unwrap();
    let late: Proxy<i32> = Proxy::new(proxy.factory().limited(Rights::READ, Some(Duration::ZERO)).unwrap());
    assert_eq!(late.resolve_async().await.unwrap_err().kind(), ErrorKind::Expired);
    assert_eq!(proxy.resolve_async().await.unwrap(), &7);
}

#[tokio::test]
async fn what_is_not_signed_cannot_be_limited() {
    let store = Store::builder("jobs").connector(LocalConnector::named("unlimited")).build().await.unwrap();
    let proxy = store.proxy(7).await.unwrap();
    let error = proxy.factory().limited(Rights::READ, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("store=jobs") && error.to_string().contains(".sign(keys)"), "{error}");
}

#[derive(Debug)]
struct NoKeys;

impl Keys for NoKeys {
    fn active(&self) -> Result<SecretKey> {
        Err(Error::new(ErrorKind::Unavailable, "the vault is sealed"))
    }

    fn find(&self, _: &str) -> Result<Option<SecretKey>> {
        self.active().map(Some)
    }
}

#[tokio::test]
async fn without_a_key_nothing_is_signed() {
    let connector = LocalConnector::named("no-keys");
    let store = Store::builder("jobs").connector(connector).sign(NoKeys).build().await.unwrap();
    let error = store.proxy(7).await.unwrap_err();
    assert!(error.message().contains("sealed") && error.context("operation") == Some("proxy"), "{error}");
    let error = store.proxy_many([7]).await.remove(0).unwrap_err();
    assert!(error.message().contains("sealed"), "{error}");
    let error = store.offload(7).above(0).await.unwrap_err();
    assert!(error.message().contains("sealed"), "{error}");
    let proxy: Proxy<i32> = store.proxy_from_key("k".parse().unwrap());
    assert_eq!(proxy.resolve_async().await.unwrap_err().kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn neither_keys_nor_tags_are_shown() {
    let (registry, store) = program("signed-silently", ring()).await;
    let proxy = store.proxy(7).populate(false).await.unwrap();
    let text = sent(&proxy);
    let (_, tag) = text.trim_end_matches("\"}").rsplit_once(' ').unwrap();
    let narrow = |rights, time| proxy.factory().limited(rights, time).unwrap();
    let other = sent(&proxy).replace(r#""new "#, r#""next "#);
    let forged = sent(&proxy).replace(r#""new "#, r#""old "#);
    let mut shown = vec![format!("{proxy:?} {store:?} {registry:?} {:?}", proxy.factory().reference())];
    shown.push(format!("{:?}", Store::builder("jobs").uri("local:///x").sign(ring())));
    for stored in [narrow(Rights::EVICT, None), narrow(Rights::READ, Some(Duration::ZERO))] {
        let error = Proxy::<i32>::new(stored).resolve_async().await.unwrap_err();
        shown.push(format!("{error} {error:?}"));
    }
    for reference in [other, forged] {
        let error = received(&registry, &reference).await.resolve_async().await.unwrap_err();
        shown.push(format!("{error} {error:?}"));
    }
    for shown in shown {
        for secret in ["c4c4", "c5c5", "196, 196", "197, 197", &tag[..8]] {
            assert!(!shown.to_lowercase().contains(secret), "{shown}");
        }
    }
}
