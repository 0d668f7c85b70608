use super::*;

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

/// Keys of every length, in segments of 200 bytes, of one byte and of sizes between.
fn keys() -> Vec<Key> {
    let mut keys = Vec::new();
    for segment in [1, 39, 199, 200] {
        for len in 1..=Key::MAX_LEN {
            let text: String =
                (0..len).map(|i| if i % (segment + 1) == segment { '/' } else { 'k' }).collect();
            if !text.ends_with('/') {
                keys.push(key(&text));
            }
        }
    }
    for tail in [".", "..", "...", "~", "-"] {
        // The rest after 240 bytes is `.` or `..` or looks like it.
        keys.push(key(&format!("{}/{}{tail}", "a".repeat(200), "b".repeat(39))));
        keys.push(key(&format!("{}/{}{tail}", "a".repeat(200), "b".repeat(40 - tail.len()))));
    }
    keys.extend(
        ["a/b", "a.b", "a-b", "a_b", "a~b", "A/b", "ab", "a/b/", "..a", "a/..b"]
            .iter()
            .filter_map(|k| Key::parse(k).ok()),
    );
    keys.sort();
    keys.dedup();
    keys
}

#[test]
fn every_key_has_a_place_of_its_own_and_is_read_back() {
    let mut places = std::collections::HashSet::new();
    let keys = keys();
    assert!(keys.len() > 1_500);
    for key in keys {
        let place = Place::of(&key);
        for part in place.path().split('/') {
            assert!(
                part.len() <= 255 && !["", ".", ".."].contains(&part) && !part.starts_with('='),
                "{part}"
            );
        }
        let mut dir = shard_name(place.shard);
        for name in &place.dirs {
            assert_eq!(classify(&dir, name), Entry::Directory);
            dir = format!("{dir}/{name}");
        }
        assert_eq!(dir, place.dir());
        assert_eq!(classify(&dir, &place.leaf), Entry::Object(key));
        assert!(places.insert(place.path()), "two keys have the place {}", place.path());
    }
}

#[test]
fn names_of_others_are_foreign() {
    let k = key("k");
    let shard = shard_name(Place::of(&k).shard);
    assert_eq!(classify(&shard, "k"), Entry::Object(k.clone()));
    let elsewhere = shard_name(Place::of(&k).shard.wrapping_add(1));
    assert_eq!(classify(&elsewhere, "k"), Entry::Foreign);
    let long = "x".repeat(300);
    for name in ["", ".", "..", "=", "=x", "k+", "+k", "+", ",", "k,", "a b", "é", "k\n", "k/..", &long] {
        assert_eq!(classify(&shard, name), Entry::Foreign, "{name:?}");
    }
    let temp = temp_name().unwrap();
    assert_eq!(classify(&shard, &temp), Entry::Temp);
    let directory = format!("{}+", "x".repeat(240));
    assert_eq!(classify(&shard, &directory), Entry::Directory);
    assert_eq!(classify(&format!("{shard}/{directory}"), &temp), Entry::Foreign);
    assert_eq!(classify(&format!("{shard}/{directory}/{directory}"), &directory), Entry::Foreign);
}

#[test]
fn shards_are_even() {
    let mut counts = [0u32; SHARDS];
    for _ in 0..SHARDS * 100 {
        counts[usize::from(Place::of(&Key::random().unwrap()).shard)] += 1;
    }
    assert!(counts.iter().all(|count| (40..200).contains(count)), "{counts:?}");
}

#[test]
fn fnv1a_is_the_published_function() {
    assert_eq!(fnv1a(&[]), 0xcbf2_9ce4_8422_2325);
    assert_eq!(fnv1a(&[b"foo", b"bar"]), 0x8594_4171_f739_67e8);
}
