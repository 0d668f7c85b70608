use proptest::prelude::*;

use std::time::Duration;

use super::*;

fn rejected(text: &str) -> String {
    let error = text.parse::<Uri>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    error.to_string()
}

#[test]
fn canonical_forms_round_trip() {
    for text in [
        "local:///name",
        "file:///var/lib/objects",
        "file:///with%20space/%C3%A9",
        "file:///a@b",
        "s3://bucket/a%40b",
        "redis://host:6379/0?prefix=app",
        "redis+unix:///run/redis.sock?db=2&prefix=a",
        "redis+cluster://a:7000,b:7001,[::1]:7002",
        "s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=eu-west-1",
        "memory://",
    ] {
        assert_eq!(text.parse::<Uri>().unwrap().to_string(), text);
    }
}

/// References have such URIs, and are read all the time.
#[test]
fn the_usual_forms_are_recognized_as_they_stand() {
    for text in [
        "local://vov2xk5lvov2xk5lvov2xk5lvm/images",
        "file:///var/lib/objects",
        "redis://cache.example:6379/0?prefix=jobs&via=zstd,encrypt",
        "redis+cluster://a:7000,b:0",
        "s3://bucket/~a/b+c?endpoint=http://127.0.0.1:9000&region=eu-west-1",
    ] {
        assert!(plain::ends(text).is_some(), "{text}");
    }
    let longest = format!("file:///{}", "a".repeat(MAX_LEN - 8));
    assert!(plain::ends(&longest).is_some() && plain::ends(&format!("{longest}a")).is_none());
}

#[test]
fn nothing_is_repaired_that_could_lead_elsewhere() {
    for text in [
        "file:relative",
        "file:/one-slash",
        "file:///a/../b",
        "file:///a/%2e%2e/b",
        "file:///a//b",
        "file:///a/./b",
        "file:///a%2fb",
        "file:///a%00b",
        "File:///a",
        "://x",
        "",
        "x",
        "file:///a#b",
        "redis://h:99999",
        "redis://h:x",
        "redis://[::1",
        "redis://[zz]",
        "redis://a b",
        "redis://,a",
        "s3://b?x",
        "s3://b?a=1&a=2",
        "s3://b?=1",
        "redis://app:1234/56c4n4ry@host/0",
        "redis://app:1234@5/c4n4ry@host/0",
        "file:///%zz",
        "file:///%ff",
    ] {
        rejected(text);
    }
    rejected(&format!("file:///{}", "a".repeat(MAX_LEN)));
    rejected("multi://a?a=redis://app:hunter2@host/0");
}

#[test]
fn a_password_is_shown_nowhere() {
    let uri: Uri = "redis://app:c4n4ry@host/0".parse().unwrap();
    assert_eq!(uri.password().unwrap().unwrap().expose(), "c4n4ry");
    let shown = format!("{uri} {uri:?} {:?} {}", uri.options(&[]), serde_json::to_string(&uri).unwrap());
    assert!(!shown.contains("c4n4ry") && shown.contains("***@host"), "{shown}");
    assert!(!rejected("redis://app:c4n4ry@ho st").contains("c4n4ry"));
    assert!(!rejected("c4n4ry").contains("c4n4ry"));
    let unknown: Uri = "redis://app:c4n4ry@host/0?x=1".parse().unwrap();
    assert!(!unknown.options(&["prefix"]).unwrap_err().to_string().contains("c4n4ry"));
    // Nor one that stands in the wrong place.
    let option: Uri = "redis://:${PROXYSTORE_TEST_NO_SUCH_VARIABLE}@host/0?password=c4n4ry".parse().unwrap();
    let options = option.options(&["password"]).unwrap();
    for error in [
        option.options(&["prefix"]).unwrap_err(),
        options.parse("password", 1).unwrap_err(),
        options.duration("password", Duration::ZERO).unwrap_err(),
        option.password().unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains("uri=redis://***@host/0") && !text.contains("c4n4ry"), "{text}");
    }
}

#[test]
fn a_password_variable_travels_by_name() {
    let text = "redis://app:${PROXYSTORE_TEST_NO_SUCH_VARIABLE}@host/0";
    let uri: Uri = text.parse().unwrap();
    assert_eq!(serde_json::to_string(&uri).unwrap(), format!("\"{text}\""));
    assert!(uri.password().unwrap_err().to_string().contains("PROXYSTORE_TEST_NO_SUCH_VARIABLE is not set"));
    let set: Uri = "redis://:${PATH}@host".parse().unwrap();
    assert_eq!(set.password().unwrap().unwrap().expose(), std::env::var("PATH").unwrap());
}

#[test]
fn unknown_options_name_the_nearest_and_all() {
    let uri: Uri = "redis://h?prefx=a".parse().unwrap();
    let text = uri.options(&["prefix", "timeout"]).unwrap_err().to_string();
    assert!(text.contains("no option `prefx`") && text.contains("did you mean `prefix`?"), "{text}");
    assert!(text.contains("prefix, timeout"), "{text}");
}

#[test]
fn options_are_typed() {
    let uri: Uri = "x://h?n=7&d=500ms&h=2h&bad=5x&zero=0s".parse().unwrap();
    let options = uri.options(&["n", "d", "h", "bad", "zero"]).unwrap();
    assert_eq!(options.parse("n", 1u16).unwrap(), 7);
    assert_eq!(options.parse("absent", 1u16).unwrap(), 1);
    assert_eq!(options.duration("d", Duration::ZERO).unwrap(), Duration::from_millis(500));
    assert_eq!(options.duration("h", Duration::ZERO).unwrap(), Duration::from_secs(7200));
    assert_eq!(options.duration("bad", Duration::ZERO).unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(options.duration("zero", Duration::ZERO).unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(options.parse::<u8>("d", 0).unwrap_err().kind(), ErrorKind::Config);
}

proptest! {
    #[test]
    fn any_text_parses_to_a_fixed_point_or_not_at_all(text in "(file|redis|s3)://[ -~é]{0,60}") {
        if let Ok(uri) = text.parse::<Uri>() {
            let printed = uri.public().to_string();
            prop_assert_eq!(&printed.parse::<Uri>().unwrap(), &uri.public());
            prop_assert!(!printed.split('?').next().unwrap().contains("/../"));
        }
    }

    #[test]
    fn what_is_recognized_as_it_stands_is_canonical(
        place in "[a-c1]{0,2}(,?[ab1A:@\\[\\].-]{1,4}){0,2}",
        path in "(/[a-cA%.@~=]{0,2}){0,3}",
        query in "([?&#]([abA%é]{0,2}=)?[ab/:,@=]{0,2}){0,3}",
    ) {
        let text = format!("{}://{place}{path}{query}", if place.len() % 5 == 4 { "X" } else { "a+1" });
        if let Some(ends) = plain::ends(&text) {
            let parsed = parse::parse(&text).unwrap();
            prop_assert_eq!(parsed.public_text(), &text);
            prop_assert!(parsed.ends == ends && parsed.decoded.is_none() && !parsed.has_credentials());
        }
    }

    #[test]
    fn built_uris_round_trip(path in "(/[ -.0-~é]{1,12}){0,4}", value in "[ -~é]{0,20}") {
        prop_assume!(path.split('/').all(|segment| segment != "." && segment != ".."));
        let uri = Uri::new("file").with_host("h", Some(1)).with_path(&path).with_option("o", &value);
        prop_assert_eq!(uri.to_string().parse::<Uri>().unwrap(), uri);
    }
}
