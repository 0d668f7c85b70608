//! Serialized proxies.

use proxystore_core::{Key, Uri};
use proxystore_store::{Postcard, Proxy};
use serde_json::Value;

type Reference = Proxy<Vec<u8>, Postcard>;

/// The longest reference that is decoded, in bytes.
const LONGEST: usize = 4096;

/// What decodes is legal in every part, holds no secret, and means the same in every format. Its binary form is the
/// only one: what decodes is what encodes.
pub fn reference(data: &[u8]) {
    let framed = postcard::to_allocvec(data).unwrap();
    if let Ok(proxy) = postcard::from_bytes::<Reference>(&framed) {
        assert!(data.len() <= LONGEST, "{} bytes are decoded", data.len());
        assert_eq!(binary(&proxy), framed, "another form of the same reference");
        legal(&proxy);
    }
    if let Ok(proxy) = serde_json::from_slice::<Reference>(data) {
        legal(&proxy);
    }
    if let Ok(proxy) = rmp_serde::from_slice::<Reference>(data) {
        legal(&proxy);
    }
}

fn legal(proxy: &Reference) {
    let stored = proxy.factory();
    assert!(!proxy.is_resolved());
    assert_eq!(Key::parse(stored.key().as_str()).unwrap(), *stored.key());
    let name = stored.store_name();
    assert!((1..=64).contains(&name.len()) && !name.contains(['/', ' ', '\n', '\0']), "{name:?}");

    let bytes = binary(proxy);
    let text = serde_json::to_string(proxy).unwrap();
    let read: Reference = serde_json::from_str(&text).unwrap();
    assert_eq!(binary(&read), bytes, "the readable form means something else: {text}");
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
    let read: Reference = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(binary(&read), bytes);
    let packed = rmp_serde::to_vec(proxy).unwrap();
    assert_eq!(binary(&rmp_serde::from_slice(&packed).unwrap()), bytes);

    let fields: Value = serde_json::from_str(&text).unwrap();
    if let Some(uri) = fields["uri"].as_str() {
        let parsed: Uri = uri.parse().unwrap();
        assert!(!parsed.has_credentials(), "{uri}");
        assert_eq!(parsed.to_string(), uri, "an address has one form");
    }
}

fn binary(proxy: &Reference) -> Vec<u8> {
    postcard::to_allocvec(proxy).unwrap()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let readable = [
        r#"{"proxystore":1,"store":"images","key":"frames/1","codec":"postcard","type":"0123456789abcdef","length":300,"uri":"redis://cache.example:6379/0?prefix=jobs"}"#,
        r#"{"proxystore":1,"store":"a.b-c_d","key":"aaaaaaaaaaaaaaaaaaaaaaaaaa","codec":"65","identity":"00112233445566ff","ephemeral":true}"#,
        r#"{"proxystore":1,"store":"x","key":"~","codec":"raw","length":18446744073709551615,"uri":"redis+cluster://[::1]:7000,b:7001/0"}"#,
        r#"{"proxystore":1,"store":"x","key":"k","codec":"postcard","identity":"00112233445566ff","future":{"interval_ms":10,"factor_thousandths":2000,"limit_ms":1000,"timeout_ms":60000,"jitter":true}}"#,
        r#"{"proxystore":1,"store":"x","key":"k","codec":"postcard","identity":"00112233445566ff","traceparent":"00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"}"#,
        r#"{"proxystore":1,"store":"x","key":"k","codec":"postcard","identity":"00112233445566ff","grant":"key-1 read read+evict@1790000000000 none abababababababababababababababababababababababababababababababab"}"#,
        r#"{"proxystore":1,"store":"x","key":"k","codec":"json","uri":"redis://app:c4n4ry@host/0"}"#,
    ];
    let proxies = readable.iter().flat_map(|text| serde_json::from_str::<Reference>(text));
    let mut seeds: Vec<Vec<u8>> = proxies
        .flat_map(|proxy| {
            let framed = binary(&proxy);
            let (_, bytes) = postcard::take_from_bytes::<u8>(&framed).unwrap();
            let bytes = if framed[0] < 0x80 { bytes } else { &bytes[1..] };
            [bytes.to_vec(), rmp_serde::to_vec(&proxy).unwrap()]
        })
        .collect();
    seeds.extend(readable.iter().map(|text| text.as_bytes().to_vec()));
    seeds
}
