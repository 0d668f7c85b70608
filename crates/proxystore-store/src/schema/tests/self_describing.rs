//! Types that postcard takes and could not give back.

use super::*;

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u8),
    Text(String),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    A { x: u8 },
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", content = "value")]
enum Adjacent {
    A(u8),
    B,
}

#[derive(Serialize, Deserialize)]
struct Flat {
    id: u32,
    #[serde(flatten)]
    frame: left::Same,
}

#[derive(Serialize, Deserialize)]
enum Order<M> {
    None,
    Some { note: Vec<M> },
}

/// Reads maps only, as types do whose `Deserialize` was written for JSON.
struct MapOnly;

impl<'de> Deserialize<'de> for MapOnly {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = MapOnly;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, _: A) -> Result<MapOnly, A::Error> {
                Ok(MapOnly)
            }
        }
        deserializer.deserialize_struct("MapOnly", &["x"], Visitor)
    }
}

#[test]
fn types_that_need_a_self_describing_format() {
    #[track_caller]
    fn flagged<T: DeserializeOwned>(place: &str) {
        let schema = Schema::learn::<T>(false);
        match schema.outcome() {
            Outcome::SelfDescribing { path, .. } => assert_eq!(path, place),
            other => panic!("{}: {other:?}", type_name::<T>()),
        }
        let why = schema.needs_self_describing().unwrap();
        assert!(why.starts_with(&format!("`{place}` needs a self-describing format: ")), "{why}");
    }
    flagged::<Untagged>("Untagged");
    flagged::<serde_json::Value>("Value");
    flagged::<Vec<Tagged>>("Vec[]");
    flagged::<Job<Untagged>>("Job.meta");
    flagged::<Job<Tagged>>("Job.meta");
    flagged::<Job<serde_json::Value>>("Job.meta");
    flagged::<Job<Option<Vec<serde_json::Value>>>>("Job.meta[]");
    flagged::<HashMap<String, Job<(u8, Untagged)>>>("Job.meta.1");
    flagged::<Job<Adjacent>>("Adjacent.kind");
    flagged::<Job<Flat>>("Job.meta");
    flagged::<Job<MapOnly>>("Job.meta");
    flagged::<Job<de::IgnoredAny>>("Job.meta");
    flagged::<Order<Untagged>>("Order::Some.note[]");
}

/// What postcard takes and does not give back is flagged, and nothing else is.
#[test]
fn postcard_agrees() {
    fn check<T: Serialize + DeserializeOwned>(value: T) {
        let bytes = postcard::to_allocvec(&value);
        let read = bytes.and_then(|bytes| postcard::from_bytes::<T>(&bytes));
        let schema = Schema::learn::<T>(false);
        assert_eq!(read.is_ok(), schema.is_full(), "{}: {:?}", type_name::<T>(), schema.outcome());
        assert_eq!(read.is_err(), schema.needs_self_describing().is_some(), "{}", type_name::<T>());
    }
    check(Untagged::Number(1));
    check(Tagged::A { x: 1 });
    check(Adjacent::A(1));
    check(Adjacent::B);
    check(Flat { id: 1, frame: left::Same { x: 1 } });
    check(Job { id: 1, meta: serde_json::json!({"a": 1}) });
    check(Aliased { id: 1, name: "a".into() });
    check(AliasedEnum::Two(1));
    check(Event::Resized(1, 2));
    check(Polygon(vec![(Even(2), 0), (Even(4), 0), (Even(6), 0)]));
    check(Open::Unknown);
    check(IpAddr::from([127, 0, 0, 1]));
    check(SocketAddr::from(([127, 0, 0, 1], 80)));
    check(uuid::Uuid::nil());
}
