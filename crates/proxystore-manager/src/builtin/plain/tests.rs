use proptest::prelude::*;

use super::*;

fn values() -> impl Strategy<Value = Plain> {
    let leaf = prop_oneof![
        Just(Plain::Nil),
        any::<bool>().prop_map(Plain::Bool),
        any::<i64>().prop_map(|int| Plain::Int(int.into())),
        any::<u64>().prop_map(|int| Plain::Int(int.into())),
        any::<f64>().prop_map(Plain::Float),
        any::<f32>().prop_map(Plain::Float32),
        ".{0,6}".prop_map(Plain::Text),
        proptest::collection::vec(any::<u8>(), 0..6).prop_map(Plain::Bytes),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Plain::List),
            proptest::collection::vec((inner.clone(), inner), 0..4).prop_map(Plain::Map),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_is_encoded_as_it_was(value in values()) {
        let encoded = Encoded::new(&value).unwrap();
        let again = Plain::of(&encoded).unwrap();
        prop_assert_eq!(&again, &value);
        prop_assert_eq!(Encoded::new(&again).unwrap(), encoded);
    }

    #[test]
    fn the_order_is_total(a in values(), b in values(), c in values()) {
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
    }

    #[test]
    fn the_order_of_entries_does_not_matter(value in values()) {
        let mut turned = value.clone();
        turn(&mut turned);
        let (one, other) = (Encoded::new(&value).unwrap(), Encoded::new(&turned).unwrap());
        // Of equal keys, which no program writes, the first one counts.
        if !has_equal_keys(&value) {
            prop_assert!(same(&one, &other));
            prop_assert_eq!(canonical(one).unwrap(), canonical(other).unwrap());
        }
    }

    #[test]
    fn bytes_of_anybody_are_a_value_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let value = Encoded { bytes: bytes.into(), proxies: Vec::new() };
        let _ = canonical(value.clone());
        let _ = crate::builtin::text::Text(&value).to_string();
        prop_assert!(same(&value, &value));
    }
}

/// Turns the entries of all maps around.
fn turn(value: &mut Plain) {
    match value {
        Plain::List(items) => items.iter_mut().for_each(turn),
        Plain::Map(entries) => {
            entries.reverse();
            for (key, value) in entries {
                turn(key);
                turn(value);
            }
        }
        _ => {}
    }
}

fn has_equal_keys(value: &Plain) -> bool {
    match value {
        Plain::List(items) => items.iter().any(has_equal_keys),
        Plain::Map(entries) => {
            let mut keys: Vec<_> = entries.iter().map(|(key, _)| key.clone()).collect();
            for key in &mut keys {
                key.sort_maps();
            }
            keys.sort();
            keys.windows(2).any(|two| two[0] == two[1])
                || entries.iter().any(|(key, value)| has_equal_keys(key) || has_equal_keys(value))
        }
        _ => false,
    }
}

#[test]
fn a_list_of_integers_as_long_as_it_says_is_not_believed() {
    // An array of four thousand million items, in five bytes.
    let value = Encoded { bytes: vec![0xdd, 0xff, 0xff, 0xff, 0xff].into(), proxies: Vec::new() };
    assert!(Plain::of(&value).is_err());
}
