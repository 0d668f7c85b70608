use proptest::prelude::*;

use super::*;

fn config(uri: &str) -> Result<ObjectStoreConfig> {
    ObjectStoreConfig::from_uri(&uri.parse().unwrap())
}

fn identity(uri: &str) -> String {
    config(uri).unwrap().identity().to_string()
}

#[test]
fn an_identity_says_what_others_need_and_no_more() {
    for (uri, of) in [
        ("gs://bucket", "gs://bucket"),
        ("gs://bucket/a/b?credentials=anonymous&timeout=1s&sweep=off", "gs://bucket/a/b"),
        ("gs://bucket?endpoint=http://Fake.example:80/", "gs://bucket?endpoint=http://fake.example"),
        ("az://account/container", "az://account/container"),
        ("az://account/container/a/b?connect_timeout=1s", "az://account/container/a/b"),
        (
            "s3+object://bucket/a?region=eu-west-1&credentials=environment",
            "s3+object://bucket/a?region=eu-west-1",
        ),
        ("s3+object://bucket?endpoint=https://h:443", "s3+object://bucket?endpoint=https://h"),
        ("http://Host:80/a/b?timeout=1s", "http://host/a/b"),
        ("https://host:8443", "https://host:8443"),
        ("https://:sig=c4n4ry@host/a", "https://host/a"),
        ("memory://somebody/name", "memory://somebody/name"),
    ] {
        assert_eq!(identity(uri), of);
        assert_eq!(identity(of), of);
    }
    assert_eq!(identity("memory:///name"), format!("memory://{}/name", space::process_id()));
}

#[test]
fn what_is_wrong_is_said() {
    for (uri, why) in [
        ("gs:///prefix", "gs://bucket/prefix"),
        ("gs://a,b/prefix", "gs://bucket/prefix"),
        ("gs://bucket:80", "gs://bucket/prefix"),
        ("gs://user:secret@bucket", "from the environment"),
        ("gs://bu", "3 to 222"),
        ("gs://bucket/a%20b", "prefix"),
        ("gs://bucket?region=x", "no option `region`"),
        ("gs://bucket?endpoint=ftp://h", "endpoint"),
        ("gs://bucket?endpoint=http://user@h", "endpoint"),
        ("gs://bucket?credentials=secret", "environment or anonymous"),
        ("gs://bucket?tmeout=1s", "did you mean `timeout`"),
        ("gs://bucket?timeout=0s", "timeout"),
        ("az://account", "az://account/container/prefix"),
        ("az://acc_ount.too.long.too.long/container", "3 to 24"),
        ("s3+object:///prefix", "s3+object://bucket/prefix"),
        ("s3+object://bucket?region=EU!", "region"),
        ("http:///path", "https://host/path"),
        ("https://user:secret@host/path", "from the environment"),
        ("https://host/path?sweep=1h", "no option `sweep`"),
        ("memory://a:80/name", "memory:///name"),
        ("memory:///a/b", "one segment"),
        ("memory://", "one segment"),
    ] {
        let error = config(uri).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = error.to_string();
        assert!(text.contains(why) && !text.contains("secret"), "{uri}: {text}");
    }
    let longest = vec!["a".repeat(127); 4].join("/");
    assert!(config(&format!("gs://bucket/{longest}")).is_ok());
    assert!(config(&format!("gs://bucket/{longest}a")).unwrap_err().to_string().contains("511 bytes"));
}

#[test]
fn a_config_is_data() {
    for uri in [
        "gs://bucket/a?credentials=anonymous&endpoint=http://h:1&sweep=off",
        "az://account/container/a?timeout=1s",
        "s3+object://bucket/a?region=eu-west-1",
        "https://host/a",
        "memory:///a",
    ] {
        let config = config(uri).unwrap();
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<ObjectStoreConfig>(&text).unwrap(), config);
    }
    let least = r#"{"place": {"gcs": {"bucket": "b-1"}}}"#;
    assert_eq!(serde_json::from_str::<ObjectStoreConfig>(least).unwrap().identity().to_string(), "gs://b-1");
    assert!(ObjectStoreConfig::default().check().is_err());
}

/// A bucket of a cloud in the form of a URI.
fn places() -> impl Strategy<Value = String> {
    let prefix = "(/[A-Za-z0-9_~-]{1,9}){0,3}";
    let endpoint = prop_oneof![
        Just(String::new()),
        "(https?)://[a-z0-9]{1,9}(:[1-9][0-9]{0,3})?/?".prop_map(|endpoint| format!("?endpoint={endpoint}")),
    ];
    let bucket = prop_oneof![
        "(gs|s3\\+object)://[a-z0-9][a-z0-9-]{2,9}".boxed(),
        "az://[a-z0-9]{3,9}/[a-z0-9-]{3,9}".boxed(),
    ];
    (bucket, prefix, endpoint).prop_map(|(bucket, prefix, endpoint)| format!("{bucket}{prefix}{endpoint}"))
}

proptest! {
    /// An identity is its own identity, leads to the same place, and has nothing of one process in it.
    #[test]
    fn identities_are_canonical(uri in places()) {
        let config = config(&uri).unwrap();
        let identity = config.identity();
        let again = ObjectStoreConfig::from_uri(&identity.to_string().parse().unwrap()).unwrap();
        prop_assert_eq!(again.identity(), identity.clone());
        prop_assert_eq!(again.place.prefix(), config.place.prefix());
        prop_assert!(identity.option_pairs().all(|(name, _)| name == "endpoint"));
    }

    /// No text is opened that is not understood whole: it is refused, or its identity opens the same.
    #[test]
    fn no_text_panics(rest in "[ -~]{0,40}", scheme in "gs|az|s3\\+object|https?|memory") {
        if let Ok(uri) = format!("{scheme}://{rest}").parse::<Uri>()
            && let Ok(config) = ObjectStoreConfig::from_uri(&uri)
        {
            let identity = config.identity();
            prop_assert_eq!(ObjectStoreConfig::from_uri(&identity).unwrap().identity(), identity);
        }
    }
}
