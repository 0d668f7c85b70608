use super::*;

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

#[test]
fn the_end_of_a_signature_is_read() {
    for (query, seconds) in [
        ("X-Amz-Date=20261121T131630Z&X-Amz-Expires=600", Some(1_795_266_990 + 600)),
        ("X-Goog-Date=19700101T000000Z&X-Goog-Expires=1", Some(1)),
        ("se=2024-02-29T00%3A00%3A00Z&sig=a", Some(1_709_164_800)),
        ("se=2000-01-01T00:00:01Z", Some(946_684_801)),
        ("X-Amz-Date=2026&X-Amz-Expires=600", None),
        ("X-Amz-Date=20261321T131630Z&X-Amz-Expires=600", None),
        ("sig=a", None),
    ] {
        assert_eq!(end(&secret(query)), seconds.map(|seconds: u64| seconds * 1000), "{query}");
    }
}

#[test]
fn nothing_but_a_signature_is_sent() {
    assert!(check(&secret("X-Amz-Date=1&X-Amz-Signature=a%2Fb")).is_ok());
    assert!(check(&secret("sv=1&sig=a%3D")).is_ok());
    for query in ["acl=", "sig=a&delete", "X-Amz-Date=1&response-content-type=x", "sig=a b", "sig=a#b"] {
        let error = check(&secret(query)).unwrap_err();
        assert!(!error.to_string().contains(query), "{error}");
    }
}
