use super::*;

/// The wire contract: these never change, or objects that were stored can no longer be read.
#[test]
fn golden() {
    let golden = |schema: Arc<Schema>, hex: &str| {
        assert_eq!(schema.fingerprint().to_string(), hex, "{}", schema.text())
    };
    golden(schema::<u32>(false), "2b77109a37d96cba5f64bb4a42cff6a4");
    golden(schema::<String>(false), "a00724552fd99d673e9cf8a4dd243af8");
    golden(schema::<String>(true), "0ea54f2e8341da46c6f1fd88858919d0");
    golden(schema::<Frame>(false), "dd25ef75a632cb837f38e1640a54c4f4");
    golden(schema::<Expr>(false), "63564ce6a1dea61e3635c4a85f877425");
    golden(schema::<HashMap<String, Option<[u8; 4]>>>(false), "044c6bc07a8748bcff9060103940ee0a");
    golden(schema::<hostile::Never>(false), "5243ee5137ee2503191518fed9575e7a");
}

#[test]
fn twenty_types_have_twenty_fingerprints() {
    macro_rules! all {
        ($($type:ty),*) => { [$((type_name::<$type>(), schema::<$type>(false).fingerprint())),*] };
    }
    let all = all![
        u8, u32, u64, i32, f32, f64, bool, char, String, bytes::Bytes, Vec<u8>, Vec<f64>, Vec<String>, (u32, u32),
        [u8; 16], Option<u32>, HashMap<String, u64>, Frame, Event, Duration
    ];
    let mut pairs = 0;
    for (i, (one, a)) in all.iter().enumerate() {
        for (j, (two, b)) in all.iter().enumerate().filter(|(j, _)| i != *j) {
            assert_ne!(a, b, "{one} ({i}) and {two} ({j})");
            pairs += 1;
        }
    }
    assert_eq!(pairs, 380);
}

#[test]
fn a_name_is_part_of_the_shape() {
    #[derive(Deserialize)]
    #[expect(dead_code)]
    struct Celsius(f64);
    assert_ne!(full::<Meters>(), full::<Celsius>());
}

#[test]
fn human_readable_formats_have_their_own() {
    let (binary, text) = (schema::<IpAddr>(false), schema::<IpAddr>(true));
    assert_eq!(text.text(), "str");
    assert_eq!(schema::<uuid::Uuid>(true).text(), "str");
    assert_ne!(binary.fingerprint(), text.fingerprint());
    assert_ne!(schema::<u8>(false).fingerprint(), schema::<u8>(true).fingerprint());
}

#[test]
fn bytes_one_by_one_are_pointed_out() {
    assert_eq!(schema::<Frame>(false).byte_seqs(), ["Frame.pixels"]);
    assert_eq!(schema::<Vec<u8>>(false).byte_seqs(), ["Vec"]);
    assert!(schema::<bytes::Bytes>(false).byte_seqs().is_empty());
}

#[test]
fn any_order_and_any_thread_gives_the_same() {
    fn one(i: usize) -> Arc<Schema> {
        match i % 5 {
            0 => schema::<Vec<(Expr, Log)>>(false),
            1 => schema::<(Log, Block)>(false),
            2 => schema::<BTreeMap<String, Tree>>(false),
            3 => schema::<Job<serde_json::Value>>(false),
            _ => schema::<(Polygon, Both)>(false),
        }
    }
    let barrier = std::sync::Barrier::new(8);
    let seen: Vec<Vec<Arc<Schema>>> = thread::scope(|scope| {
        let start = |t: usize| {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                let mut seen: Vec<_> = (0..5).map(|i| (i + t, one(i + t))).collect();
                seen.sort_by_key(|(i, _)| i % 5);
                seen.into_iter().map(|(_, schema)| schema).collect()
            })
        };
        let threads: Vec<_> = (0..8).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for others in &seen[1..] {
        for (a, b) in seen[0].iter().zip(others) {
            assert!(Arc::ptr_eq(a, b), "one schema per type and process");
        }
    }
    for _ in 0..20 {
        assert_eq!(Schema::learn::<(Log, Block)>(false).text(), seen[0][1].text());
    }
}
