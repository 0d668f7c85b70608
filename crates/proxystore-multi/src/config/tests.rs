use super::*;

fn parse(text: &str) -> Result<MultiConfig> {
    MultiConfig::from_uri(&text.parse()?)
}

#[test]
fn all_settings_have_an_option() {
    let text = "multi://ram,far,other?ram=local:///near&far=redis://app:${PW}@h&far.near=ram&far.keep=5m\
                &far.priority=-2&far.min=10&far.max=20&far.subset=a,b&far.superset=c&far.hosts=a.*%20b\
                &other=file:///data&fallback=yes";
    let config = parse(text).unwrap();
    let far = &config.children[1];
    assert_eq!(far.uri.user(), Some("app"));
    assert_eq!((far.near.as_deref(), far.keep), (Some("ram"), Duration::from_secs(300)));
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
    let route = Route {
        priority: -2,
        hosts: vec!["a.*".into(), "b".into()],
        min_size: 10,
        max_size: 20,
        subset_tags: tags(&["a", "b"]),
        superset_tags: tags(&["c"]),
    };
    assert_eq!(far.route, route);
    assert!(config.fallback);
    let identity = config.identity();
    assert_eq!(
        identity.to_string(),
        "multi://ram,far,other?fallback=yes&far=redis://h&far.hosts=a.%2A%20b&far.max=20&far.min=10&far.near=ram\
         &far.priority=-2&far.subset=a,b&far.superset=c&other=file:///data&ram=local:///near"
    );
    let again = MultiConfig::from_uri(&identity).unwrap();
    assert_eq!(again.identity(), identity, "the keeping concerns the process, the user is lent by it");
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<MultiConfig>(&json).unwrap(), config, "{json}");
}

#[test]
fn the_order_of_children_is_part_of_the_identity() {
    let identity =
        |order: &str| parse(&format!("multi://{order}?a=local:///a&b=local:///b")).unwrap().identity();
    assert_ne!(identity("a,b"), identity("b,a"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (text, word) in [
        ("multi://", "1 to 16 children"),
        ("multi://a", "no place"),
        ("multi://a?b=local:///b", "no option `b`"),
        ("multi://a?a=local:///a&a.mx=1", "did you mean `a.max`"),
        ("multi://a,a?a=local:///a", "one name"),
        ("multi://via?via=local:///a", "option"),
        ("multi://fallback?fallback=local:///a", "option"),
        ("multi://a.b?a.b=local:///a", "with names"),
        ("multi://seventeen-letters?seventeen-letters=local:///a", "with names"),
        ("multi://a?a=multi://b%3Fb=local:///b", "children itself"),
        ("multi://a?a=nothing", "not a store URI"),
        ("multi://a?a=local:///a&a.min=2&a.max=1", "larger"),
        ("multi://a?a=local:///a&a.min=many", "number of bytes"),
        ("multi://a?a=local:///a&a.priority=x", "whole number"),
        ("multi://a?a=local:///a&a.keep=0s", "duration"),
        ("multi://a?a=local:///a&a.keep=10ms", "less than a second"),
        ("multi://a?a=local:///a&a.near=b", "names no child"),
        ("multi://a?a=local:///a&a.near=a", "is itself"),
        ("multi://a,b,c?a=local:///a&b=local:///b&c=local:///c&a.near=b&b.near=c", "has one near"),
        ("multi://a?a=local:///a&fallback=maybe", "yes or no"),
        ("multi://a/path?a=local:///a", "no user, port or path"),
        ("multi://a:1?a=local:///a", "no user, port or path"),
        ("multi://u@a?a=local:///a", "no user, port or path"),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{text}: {error}");
        assert!(error.to_string().contains(word), "{text}: {error}");
    }
    let many: Vec<_> = (0..17).map(|i| format!("c{i}")).collect();
    let places: Vec<_> = many.iter().map(|name| format!("{name}=local:///{name}")).collect();
    assert!(parse(&format!("multi://{}?{}", many.join(","), places.join("&"))).is_err());
}

#[test]
fn a_literal_password_of_a_child_is_refused_and_shown_nowhere() {
    for text in [
        "multi://a?a=redis://app:c4n4ry@h/0",
        "multi://a?a=redis://:c4n4ry@h",
        "multi://a?a=redis://app:c4n4%252Fry@h",
        "multi://a?a=redis%3A%2F%2Fapp%3Ac4n4ry%40h",
        "multi://a?a=redis://app:c4n4/ry@h",
        "multi://a?a=redis://app:${PW}c4n4ry@h",
    ] {
        let error = text.parse::<Uri>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("c4n4"), "{error}");
        assert!(error.to_string().contains("${NAME}"), "{error}");
    }
    // By value it may be there: it is for this process.
    let child = Child::new("a", "redis://app:c4n4ry@h/0".parse().unwrap());
    let config = MultiConfig { children: vec![child], fallback: false };
    assert!(config.check().is_ok());
    let shown = format!("{config:?} {} {}", config.identity(), serde_json::to_string(&config).unwrap());
    assert!(!shown.contains("c4n4ry"), "{shown}");
}

#[test]
fn settings_that_no_uri_can_hold_are_refused() {
    let with = |change: &dyn Fn(&mut Child)| {
        let mut child = Child::new("a", "local:///a".parse().unwrap());
        change(&mut child);
        MultiConfig { children: vec![child], fallback: false }.check()
    };
    assert!(with(&|_| {}).is_ok());
    assert!(with(&|child| child.route.subset_tags.extend(["a,b".to_owned()])).is_err());
    assert!(with(&|child| child.route.superset_tags.extend([String::new()])).is_err());
    assert!(with(&|child| child.route.hosts.push("a b".into())).is_err());
    assert!(with(&|child| child.route.hosts.push("a".repeat(2048))).is_err());
    assert!(with(&|child| child.name = "A".into()).is_err());
}
