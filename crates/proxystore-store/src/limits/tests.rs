use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::*;

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let limits = Limits::for_input(bytes.len());
    let mut postcard = postcard::Deserializer::from_bytes(bytes);
    let value = T::deserialize(limited(&mut postcard, &limits)).map_err(|e| limits.explain(e))?;
    assert_eq!(limits.depth.get(), MAX_DEPTH, "all levels were left");
    let rest = postcard.finalize().map_err(|e| e.to_string())?;
    if rest.is_empty() { Ok(value) } else { Err("bytes are left over".into()) }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Value {
    Unit,
    Number(i64),
    Text(String),
    Bytes(bytes::Bytes),
    Some(Option<Box<Value>>),
    Pair(Box<Value>, Meters),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    Fields { a: Option<u8>, b: [u16; 3], c: Box<Value>, d: char },
    Floats(Vec<(f32, bool, u128)>),
    Nothing(Vec<()>, Marker),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Meters(u64);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Marker;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Nested(Vec<Nested>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct List {
    next: Option<Box<List>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Peano {
    Zero,
    Next(Box<Peano>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Maps(BTreeMap<u8, Maps>);

/// As much stack as a worker of the runtime has.
fn on_a_worker<R: Send>(run: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| {
        let worker = thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, run);
        worker.unwrap().join().unwrap()
    })
}

#[test]
fn nested_boxes_are_an_error_and_no_overflow() {
    fn too_deep<T: DeserializeOwned + std::fmt::Debug + Send>(bytes: &[u8]) {
        let error = on_a_worker(|| decode::<T>(bytes).unwrap_err());
        assert_eq!(error, "nesting deeper than 128 levels");
    }
    let bomb = vec![1; 200_000];
    too_deep::<Nested>(&bomb);
    too_deep::<List>(&bomb);
    too_deep::<Peano>(&bomb);
    too_deep::<Maps>(&bomb);
    too_deep::<Value>(&[4, 1].repeat(100_000));
    too_deep::<Value>(&[6, 1].repeat(100_000));
}

#[test]
fn depth_is_exact_and_given_back() {
    let peano = |depth: usize| [vec![1; depth], vec![0]].concat();
    assert!(decode::<Peano>(&peano(127)).is_ok());
    assert!(decode::<Peano>(&peano(128)).is_err());
    // Many values beside each other are not deep.
    let list: Vec<Value> = (0..1000).map(|_| Value::List(vec![Value::Some(None); 3])).collect();
    assert_eq!(decode::<Vec<Value>>(&postcard::to_allocvec(&list).unwrap()).unwrap(), list);
}

#[test]
fn four_billion_units_are_an_error_at_once() {
    fn too_many<T: DeserializeOwned + std::fmt::Debug>(bytes: &[u8]) {
        let start = Instant::now();
        assert_eq!(decode::<T>(bytes).unwrap_err(), format!("more than {} elements", 65_536 + bytes.len()));
        assert!(start.elapsed() < Duration::from_secs(5), "not by counting to four billion");
    }
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f];
    too_many::<Vec<()>>(&bomb);
    too_many::<Vec<[(); 3]>>(&bomb);
    too_many::<BTreeMap<(), ()>>(&bomb);
    too_many::<Value>(&[&[10], &bomb[..]].concat());
    // Many small ones share one budget.
    too_many::<Vec<Vec<()>>>(&[vec![100], [0xe8, 0x07].repeat(100)].concat());
}

#[test]
fn what_takes_bytes_is_not_limited() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        id: u8,
        none: (),
        nothing: Marker,
        list: Vec<Vec<u8>>,
    }
    let rows: Vec<Row> =
        (0..200_000).map(|_| Row { id: 1, none: (), nothing: Marker, list: vec![vec![], vec![2]] }).collect();
    let bytes = postcard::to_allocvec(&rows).unwrap();
    assert!(decode::<Vec<Row>>(&bytes).unwrap() == rows);
    let units = postcard::to_allocvec(&vec![(); 65_536]).unwrap();
    assert_eq!(decode::<Vec<()>>(&units).unwrap().len(), 65_536);
}

#[test]
fn self_describing_formats_are_limited_too() {
    fn msgpack<T: DeserializeOwned>(mut bytes: &[u8]) -> Result<T, String> {
        let limits = Limits::for_input(bytes.len());
        let mut reader = rmp_serde::Deserializer::new(&mut bytes);
        T::deserialize(limited(&mut reader, &limits)).map_err(|e| limits.explain(e))
    }
    let value = serde_json::json!({"a": [1, {"b": null}], "c": "d", "e": 0.5, "f": true});
    assert_eq!(msgpack::<serde_json::Value>(&rmp_serde::to_vec_named(&value).unwrap()).unwrap(), value);
    let bomb = vec![0x91; 200_000];
    let error = on_a_worker(|| msgpack::<serde_json::Value>(&bomb).unwrap_err());
    assert_eq!(error, "nesting deeper than 128 levels");
}

#[test]
fn a_number_of_elements_that_cannot_be_true_makes_no_room() {
    thread_local!(static HINT: Cell<usize> = const { Cell::new(0) });

    #[derive(Debug)]
    struct Roomy;

    impl<'de> Deserialize<'de> for Roomy {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Parts;
            impl<'de> Visitor<'de> for Parts {
                type Value = Roomy;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("parts")
                }
                fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Roomy, A::Error> {
                    HINT.set(seq.size_hint().unwrap());
                    Ok(Roomy)
                }
                fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Roomy, A::Error> {
                    HINT.set(map.size_hint().unwrap());
                    Ok(Roomy)
                }
            }
            deserializer.deserialize_any(Parts)
        }
    }

    for kind in [0xdd, 0xdf] {
        let four_billion = [kind, 0xff, 0xff, 0xff, 0xff];
        let limits = Limits::for_input(four_billion.len());
        let mut reader = rmp_serde::Deserializer::new(&four_billion[..]);
        let _ = Roomy::deserialize(limited(&mut reader, &limits));
        assert_eq!(HINT.take(), four_billion.len());
    }
}

#[test]
fn the_formats_own_errors_stay() {
    assert_eq!(decode::<u32>(&[]).unwrap_err(), postcard::Error::DeserializeUnexpectedEnd.to_string());
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Unit),
        any::<i64>().prop_map(Value::Number),
        ".{0,8}".prop_map(Value::Text),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| Value::Bytes(bytes.into())),
        proptest::collection::vec((-1e9f32..1e9, any::<bool>(), any::<u128>()), 0..4).prop_map(Value::Floats),
        (0usize..9).prop_map(|n| Value::Nothing(vec![(); n], Marker)),
    ];
    leaf.prop_recursive(5, 60, 5, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        prop_oneof![
            proptest::option::of(boxed.clone()).prop_map(Value::Some),
            (boxed.clone(), any::<u64>()).prop_map(|(a, b)| Value::Pair(a, Meters(b))),
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            proptest::collection::btree_map(".{0,3}", inner, 0..5).prop_map(Value::Map),
            (any::<Option<u8>>(), any::<[u16; 3]>(), boxed, any::<char>())
                .prop_map(|(a, b, c, d)| Value::Fields { a, b, c, d }),
        ]
    })
}

proptest! {
    #[test]
    fn values_decode_as_without_limits(value in value()) {
        let bytes = postcard::to_allocvec(&value).unwrap();
        prop_assert_eq!(decode::<Value>(&bytes), Ok(value));
    }

    #[test]
    fn any_bytes_decode_as_without_limits(bytes in proptest::collection::vec(0u8..12, 0..64)) {
        let plain = postcard::take_from_bytes::<Value>(&bytes);
        let plain = plain.ok().filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value);
        prop_assert_eq!(decode::<Value>(&bytes).ok(), plain);
    }
}
