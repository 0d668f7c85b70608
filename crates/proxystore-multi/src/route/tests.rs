use super::*;

fn tags<const N: usize>(tags: [&str; N]) -> Tags {
    tags.map(String::from).into()
}

fn sized(size: u64) -> Constraints<'static> {
    Constraints { size: Some(size), ..Constraints::default() }
}

#[test]
fn what_is_not_given_is_not_checked() {
    let narrow = Route {
        min_size: 10,
        max_size: 20,
        subset_tags: tags(["a"]),
        superset_tags: tags(["b"]),
        ..Route::default()
    };
    assert!(narrow.is_valid(Constraints::default()));
}

#[test]
fn bounds_are_inclusive() {
    let route = Route { min_size: 10, max_size: 20, ..Route::default() };
    for (size, valid) in [(9, false), (10, true), (15, true), (20, true), (21, false)] {
        assert_eq!(route.is_valid(sized(size)), valid, "{size}");
    }
    assert!(Route::default().is_valid(sized(0)) && Route::default().is_valid(sized(Route::ANY_SIZE)));
}

#[test]
fn given_subset_tags_are_among_the_routes() {
    let given = |given: &Tags, route: &Route| {
        route.is_valid(Constraints { subset_tags: Some(given), ..Constraints::default() })
    };
    assert!(given(&tags([]), &Route::default()));
    assert!(!given(&tags(["a"]), &Route::default()), "the default takes no tag");
    let route = Route { subset_tags: tags(["a", "b"]), ..Route::default() };
    for (names, valid) in [(tags([]), true), (tags(["a"]), true), (tags(["a", "b"]), true)] {
        assert_eq!(given(&names, &route), valid);
    }
    assert!(!given(&tags(["a", "c"]), &route));
}

#[test]
fn given_superset_tags_hold_all_of_the_routes() {
    let given = |given: &Tags, route: &Route| {
        route.is_valid(Constraints { superset_tags: Some(given), ..Constraints::default() })
    };
    assert!(given(&tags(["anything"]), &Route::default()));
    let route = Route { superset_tags: tags(["a", "b"]), ..Route::default() };
    for (names, valid) in [(tags([]), false), (tags(["a"]), false), (tags(["a", "b", "c"]), true)] {
        assert_eq!(given(&names, &route), valid, "{names:?}");
    }
}

#[test]
fn an_object_has_the_tags_that_are_demanded_and_no_others_than_allowed() {
    let route = Route { subset_tags: tags(["hot"]), superset_tags: tags(["gpu"]), ..Route::default() };
    for (names, taken) in [
        (tags([]), false),
        (tags(["hot"]), false),
        (tags(["gpu"]), true),
        (tags(["gpu", "hot"]), true),
        (tags(["gpu", "cold"]), false),
    ] {
        assert_eq!(route.takes(None, &names), taken, "{names:?}");
    }
}

#[test]
fn one_of_the_patterns_matches_the_whole_name() {
    let on = |patterns: &[&str], host: &str| {
        let hosts = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Route { hosts, ..Route::default() }.is_valid_on_host(host).unwrap()
    };
    assert!(on(&[], "anything"));
    assert!(on(&["node-[0-9]+"], "node-12"));
    assert!(!on(&["node-[0-9]+"], "node-12.example"), "not the beginning alone");
    assert!(!on(&["ode-12"], "node-12"), "not the end alone");
    assert!(on(&["a|ab"], "ab"), "the whole, not the first alternative that fits");
    assert!(on(&["x", "y.*"], "yes") && !on(&["x", "y.*"], "no"));
}

#[test]
fn what_is_no_pattern_or_too_large_a_one_is_refused() {
    for pattern in ["(", "a)|(b", "[", "*", "((((a{99}){99}){99}){99})", "(?x)a #"] {
        let route = Route { hosts: vec![pattern.into()], ..Route::default() };
        let error = route.is_valid_on_host("a").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{pattern}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn routes_are_values() {
    let route = Route {
        priority: -3,
        hosts: vec!["a.*".into()],
        min_size: 1,
        max_size: 2,
        subset_tags: tags(["a"]),
        superset_tags: tags(["b"]),
    };
    let text = serde_json::to_string(&route).unwrap();
    assert_eq!(serde_json::from_str::<Route>(&text).unwrap(), route);
    assert_eq!(serde_json::from_str::<Route>("{}").unwrap(), Route::default());
    assert!(serde_json::from_str::<Route>(r#"{"prority": 1}"#).is_err());
}
