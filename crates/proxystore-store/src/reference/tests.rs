use proptest::prelude::*;
use proxystore_core::Backoff;

use super::*;
use crate::future::polling::any_polling;
use crate::grant::any_grant;

fn by_name() -> Reference {
    Reference {
        store: "images".into(),
        spec: Spec::Name(Identity([1, 2, 3, 4, 5, 6, 7, 8])),
        key: Id::from_bytes([0xab; 16]).into(),
        codec: 1,
        fingerprint: Some([9; 8]),
        length: 100_000_000,
        ephemeral: false,
        future: None,
        traceparent: None,
        grant: None,
    }
}

fn by_uri(uri: &str) -> Reference {
    Reference { spec: Spec::Uri(uri.parse().unwrap()), ..by_name() }
}

fn traced() -> Reference {
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    Reference { traceparent: Some(traceparent), ..by_name() }
}

fn signed() -> Reference {
    let grant = Grant::parse(&format!("k1 read@1800000000000 evict {}", "cd".repeat(32))).unwrap();
    Reference { grant: Some(grant), ..traced() }
}

fn future() -> Reference {
    Reference { future: Some(Polling::of(&Backoff::default()).unwrap()), length: 0, ..by_name() }
}

#[test]
fn golden_bytes() {
    assert_eq!(
        hex(&postcard::to_allocvec(&by_name()).unwrap()),
        concat!(
            "2e",
            "01",
            "03",
            "01",
            "80c2d72f",
            "06696d61676573",
            "abababababababababababababababab",
            "0909090909090909",
            "0102030405060708"
        )
    );
    let key = Key::parse("frames/cat.png").unwrap();
    let reference =
        Reference { key, fingerprint: None, ephemeral: true, codec: 2, length: 0, ..by_uri("file:///data") };
    assert_eq!(
        hex(&postcard::to_allocvec(&reference).unwrap()),
        concat!(
            "27",
            "01",
            "0c",
            "02",
            "00",
            "06696d61676573",
            "0e6672616d65732f6361742e706e67",
            "0c66696c653a2f2f2f64617461"
        )
    );
    assert_eq!(
        hex(&postcard::to_allocvec(&traced()).unwrap()),
        concat!(
            "47",
            "01",
            "13",
            "01",
            "80c2d72f",
            "06696d61676573",
            "abababababababababababababababab",
            "0909090909090909",
            "0102030405060708",
            "4bf92f3577b34da6a3ce929d0e0e4736",
            "00f067aa0ba902b7",
            "01"
        )
    );
    assert_eq!(
        hex(&postcard::to_allocvec(&future()).unwrap()),
        concat!(
            "33",
            "01",
            "43",
            "01",
            "00",
            "06696d61676573",
            "abababababababababababababababab",
            "0909090909090909",
            "0102030405060708",
            "0a",
            "a11f",
            "e807",
            "e0d403"
        )
    );
    let reference = Reference { traceparent: None, ..signed() };
    assert_eq!(
        hex(&postcard::to_allocvec(&reference).unwrap()),
        concat!(
            "5b",
            "01",
            "23",
            "01",
            "80c2d72f",
            "06696d61676573",
            "abababababababababababababababab",
            "0909090909090909",
            "0102030405060708",
            "026b31",
            "02",
            "01",
            "80a0f1c2b134",
            "02",
            "00",
            "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
        )
    );
}

#[test]
fn golden_text() {
    assert_eq!(
        serde_json::to_string(&by_name()).unwrap(),
        r#"{"proxystore":1,"store":"images","key":"vov2xk5lvov2xk5lvov2xk5lvm","codec":"postcard","type":"0909090909090909","length":100000000,"identity":"0102030405060708"}"#
    );
    let reference = Reference { ephemeral: true, codec: 77, fingerprint: None, ..by_uri("redis://h:6379/0") };
    assert_eq!(
        serde_json::to_string(&reference).unwrap(),
        r#"{"proxystore":1,"store":"images","key":"vov2xk5lvov2xk5lvov2xk5lvm","codec":"77","length":100000000,"uri":"redis://h:6379/0","ephemeral":true}"#
    );
    assert_eq!(
        serde_json::to_string(&traced()).unwrap(),
        r#"{"proxystore":1,"store":"images","key":"vov2xk5lvov2xk5lvov2xk5lvm","codec":"postcard","type":"0909090909090909","length":100000000,"identity":"0102030405060708","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#
    );
    assert_eq!(
        serde_json::to_string(&future()).unwrap(),
        r#"{"proxystore":1,"store":"images","key":"vov2xk5lvov2xk5lvov2xk5lvm","codec":"postcard","type":"0909090909090909","identity":"0102030405060708","future":{"interval_ms":10,"factor_thousandths":2000,"limit_ms":1000,"timeout_ms":60000,"jitter":true}}"#
    );
    assert_eq!(
        serde_json::to_string(&signed()).unwrap(),
        r#"{"proxystore":1,"store":"images","key":"vov2xk5lvov2xk5lvov2xk5lvm","codec":"postcard","type":"0909090909090909","length":100000000,"identity":"0102030405060708","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","grant":"k1 read@1800000000000 evict cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"}"#
    );
}

#[test]
fn at_most_64_bytes_by_name_and_128_with_a_uri() {
    let name = Reference { store: "a-name-of-20-letters".into(), length: u64::from(u32::MAX), ..by_name() };
    let bytes = postcard::to_allocvec(&name).unwrap();
    assert!(bytes.len() <= 64, "{}", bytes.len());
    for uri in [
        "file:///var/lib/some-service/proxystore/objects-of-images",
        "redis://cache-01.internal.example:6379/0?prefix=images",
    ] {
        for future in [None, future().future] {
            let reference = Reference { spec: by_uri(uri).spec, future, ..name.clone() };
            let bytes = postcard::to_allocvec(&reference).unwrap();
            assert!(bytes.len() <= 128, "{uri}: {}", bytes.len());
        }
    }
}

#[test]
fn credentials_never_travel() {
    let reference = by_uri("redis://app:c4n4ry@h:6379/0");
    let text = serde_json::to_string(&reference).unwrap();
    let bytes = postcard::to_allocvec(&reference).unwrap();
    assert!(!text.contains("c4n4ry") && !text.contains("app"), "{text}");
    assert!(!bytes.windows(6).any(|window| window == b"c4n4ry"));
    assert!(!format!("{reference:?}").contains("c4n4ry"));

    let with = text.replace("redis://", "redis://app:c4n4ry@");
    let error = serde_json::from_str::<Reference>(&with).unwrap_err().to_string();
    assert!(error.contains("credentials") && !error.contains("c4n4ry"), "{error}");
}

#[test]
fn what_a_reader_does_not_know_is_refused() {
    let bytes = by_name().encode();
    for (at, value) in [(0, 2), (0, 0), (1, 128), (1, 0x83)] {
        let mut newer = bytes.clone();
        newer[at] = value;
        assert!(Reference::decode(&newer).unwrap_err().contains("newer version"));
    }
    let mut zero = traced().encode();
    let trace_id = zero.len() - TraceParent::LEN;
    zero[trace_id..trace_id + 16].fill(0);
    assert_eq!(Reference::decode(&zero).unwrap_err(), ILLEGAL_TRACEPARENT);
    let text = serde_json::to_string(&traced()).unwrap();
    for (from, to) in [
        ("\"proxystore\":1", "\"proxystore\":2"),
        ("\"length\"", "\"surprise\""),
        ("images", "im/ages"),
        ("vov2x", "../2x"),
        ("\"identity\"", "\"uri\""),
        ("0102030405060708", "01020304050607zz"),
        ("00f067aa0ba902b7", "0000000000000000"),
    ] {
        assert!(serde_json::from_str::<Reference>(&text.replace(from, to)).is_err(), "{to}");
    }
}

fn any_reference() -> impl Strategy<Value = Reference> {
    let key = prop_oneof![
        any::<[u8; 16]>().prop_map(|bits| Key::from(Id::from_bytes(bits))),
        "[A-Za-z0-9_~-]{1,40}(/[a-z]{1,9}){0,3}".prop_map(|text| Key::parse(&text).unwrap()),
    ];
    let spec = prop_oneof![
        any::<[u8; 8]>().prop_map(|bits| Spec::Name(Identity(bits))),
        "(file|redis)://h?(/[a-z é]{1,9}){1,3}".prop_map(|text| { Spec::Uri(text.parse::<Uri>().unwrap()) }),
    ];
    let traceparent = any::<Option<([u8; 16], [u8; 8], u8)>>()
        .prop_map(|ids| ids.and_then(|(trace, parent, flags)| TraceParent::new(trace, parent, flags).ok()));
    let future = prop::option::of(any_polling());
    let known = (any::<u8>(), any::<Option<[u8; 8]>>(), any::<u64>(), any::<bool>(), future);
    let grant = prop::option::of(any_grant());
    ("[A-Za-z0-9._-]{1,64}", spec, key, known, traceparent, grant).prop_map(
        |(store, spec, key, (codec, fingerprint, length, ephemeral, future), traceparent, grant)| Reference {
            store,
            spec,
            key,
            codec,
            fingerprint,
            length,
            ephemeral,
            future,
            traceparent,
            grant,
        },
    )
}

/// One secret travels, and only where it is the signature of an address.
#[test]
fn a_signature_travels_and_no_password() {
    let signed = by_uri("https://:X-Amz-Credential=a%252Fb&X-Amz-Signature=c4n4ry@h:1/b/k%20?via=zstd");
    let text = serde_json::to_string(&signed).unwrap();
    assert!(text.contains("c4n4ry") && !format!("{signed:?}").contains("c4n4ry"), "{text}");
    assert_eq!(serde_json::from_str::<Reference>(&text).unwrap(), signed);
    assert_eq!(Reference::decode(&signed.encode()).unwrap(), signed);
    for uri in [
        "redis://:a=b@h",
        "https://user:a=b@h",
        "https://user@h",
        "https://:c4n4ry@h",
        "https://:${HOME}@h",
        "https://:%24%7BHOME%7D@h",
    ] {
        let (reference, public) = (by_uri(uri), uri.parse::<Uri>().unwrap().public().to_string());
        let text = serde_json::to_string(&reference).unwrap();
        assert!(!text.contains('@'), "{text}");
        let forged = text.replace(&public, uri);
        assert!(forged.contains(uri), "{forged}");
        assert!(serde_json::from_str::<Reference>(&forged).is_err(), "{forged}");
    }
}

proptest! {
    #[test]
    fn every_reference_round_trips_in_every_format(reference in any_reference()) {
        prop_assert_eq!(&postcard::from_bytes::<Reference>(&postcard::to_allocvec(&reference).unwrap()).unwrap(), &reference);
        prop_assert_eq!(&serde_json::from_str::<Reference>(&serde_json::to_string(&reference).unwrap()).unwrap(), &reference);
    }

    #[test]
    fn what_decodes_has_one_form(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        if let Ok(reference) = Reference::decode(&bytes) {
            prop_assert_eq!(reference.encode(), bytes);
        }
    }

    #[test]
    fn what_still_decodes_after_a_change_has_one_form(reference in any_reference(), at: prop::sample::Index, to: u8) {
        let mut bytes = reference.encode();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(reference) = Reference::decode(&bytes) {
            prop_assert_eq!(reference.encode(), bytes);
        }
    }
}
