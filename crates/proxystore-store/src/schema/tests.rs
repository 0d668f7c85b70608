use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroI64, NonZeroU8, NonZeroU32, Wrapping};
use std::ops::{Bound, Range};
use std::path::PathBuf;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, SystemTime};

use serde::de::{self, DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize};

use super::*;

mod hostile;

#[track_caller]
fn full<T: DeserializeOwned>() -> String {
    let schema = Schema::learn::<T>(false);
    assert_eq!(schema.outcome(), &Outcome::Full, "{}", type_name::<T>());
    schema.text().to_owned()
}

macro_rules! shapes {
    ($($type:ty => $text:expr;)*) => {$( assert_eq!(full::<$type>(), $text); )*};
}

#[derive(Serialize, Deserialize)]
struct Frame {
    id: u32,
    name: String,
    pixels: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Point(f64, f64);

#[derive(Serialize, Deserialize)]
struct Meters(f64);

#[derive(Serialize, Deserialize)]
struct Marker;

#[derive(Serialize, Deserialize)]
struct List {
    value: u32,
    next: Option<Box<List>>,
}

#[derive(Serialize, Deserialize)]
struct Tree {
    value: Point,
    children: Vec<Tree>,
    names: BTreeMap<String, Tree>,
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Forest {
    trees: Vec<Forest>,
}

/// The first variants contain the type itself.
#[derive(Serialize, Deserialize)]
enum Expr {
    Add(Box<Expr>, Box<Expr>),
    Neg(Box<Expr>),
    Call { name: String, args: Vec<Expr> },
    Literal(i64),
    Nothing,
}

#[derive(Serialize, Deserialize)]
enum Statement {
    Loop(Box<Block>),
    Let(String, Expr),
}

#[derive(Serialize, Deserialize)]
struct Block {
    first: Statement,
    rest: Vec<Statement>,
}

#[derive(Serialize, Deserialize)]
enum Event {
    Start,
    Moved(Point),
    Resized(u32, u32),
    Named { name: String, id: Option<u64> },
}

#[derive(Serialize, Deserialize)]
struct Log {
    last: Event,
    all: Vec<Event>,
    some: Option<Event>,
    by_name: HashMap<String, Event>,
}

#[derive(Serialize, Deserialize)]
struct Generic<T> {
    inner: T,
}

#[derive(Serialize, Deserialize)]
struct Both {
    small: Generic<u8>,
    text: Generic<String>,
    again: Generic<u8>,
}

mod left {
    #[derive(serde::Serialize, serde::Deserialize)]
    pub(super) struct Same {
        pub(super) x: u8,
    }
}

mod right {
    #[derive(serde::Serialize, serde::Deserialize)]
    pub(super) struct Same {
        pub(super) y: String,
    }
}

mod moved {
    #[derive(serde::Serialize, serde::Deserialize)]
    pub(super) struct Same {
        pub(super) x: u8,
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Wire", rename_all = "camelCase")]
struct Attributes {
    first_name: String,
    #[serde(rename = "type")]
    kind: u8,
    #[serde(skip)]
    cache: u64,
    #[serde(default)]
    later: bool,
    #[serde(default, with = "as_text")]
    number: u16,
}

mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(number: &u16, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&number.to_string())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
enum Open {
    Known(u8),
    #[serde(skip)]
    Hidden,
    #[serde(other)]
    Unknown,
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Transparent {
    name: String,
}

/// An even number other than 0.
#[derive(Serialize, Deserialize, Clone)]
#[serde(try_from = "u32", into = "u32")]
struct Even(u32);

impl TryFrom<u32> for Even {
    type Error = &'static str;
    fn try_from(number: u32) -> Result<Self, &'static str> {
        if number > 0 && number % 2 == 0 { Ok(Self(number)) } else { Err("an even number other than 0") }
    }
}

impl From<Even> for u32 {
    fn from(even: Even) -> u32 {
        even.0
    }
}

#[derive(Serialize, Deserialize)]
struct Bounds {
    low: i32,
    high: i32,
}

/// Not empty.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "Bounds")]
struct Interval {
    low: i32,
    high: i32,
}

impl TryFrom<Bounds> for Interval {
    type Error = &'static str;
    fn try_from(Bounds { low, high }: Bounds) -> Result<Self, &'static str> {
        if low < high { Ok(Self { low, high }) } else { Err("a low bound below the high one") }
    }
}

/// Three or more, without doubles.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "Vec<(Even, u8)>")]
struct Polygon(Vec<(Even, u8)>);

impl TryFrom<Vec<(Even, u8)>> for Polygon {
    type Error = &'static str;
    fn try_from(corners: Vec<(Even, u8)>) -> Result<Self, &'static str> {
        if corners.len() < 3 { Err("three corners or more") } else { Ok(Self(corners)) }
    }
}

#[derive(Serialize, Deserialize)]
struct Aliased {
    #[serde(alias = "identity", alias = "a")]
    id: u32,
    name: String,
}

#[derive(Serialize, Deserialize)]
enum AliasedEnum {
    #[serde(alias = "First")]
    One(u8),
    Two(u16),
}

#[test]
fn plain_types() {
    shapes! {
        i8 => "i8"; i16 => "i16"; i32 => "i32"; i64 => "i64"; i128 => "i128"; isize => "i64";
        u8 => "u8"; u16 => "u16"; u32 => "u32"; u64 => "u64"; u128 => "u128"; usize => "u64";
        f32 => "f32"; f64 => "f64"; bool => "bool"; char => "char"; () => "unit";
        String => "str"; Box<str> => "str"; Cow<'static, str> => "str"; PathBuf => "str";
        bytes::Bytes => "bytes"; Vec<u8> => "seq<u8>";
        (u8,) => "(u8)"; (u8, String) => "(u8,str)"; (u8, u8) => "[u8;2]"; [u8; 32] => "[u8;32]"; [u8; 0] => "()";
        [[f32; 4]; 4] => "[[f32;4];4]";
        Option<u8> => "option<u8>"; Option<Option<()>> => "option<option<unit>>";
        Vec<Vec<Option<char>>> => "seq<seq<option<char>>>";
        VecDeque<u16> => "seq<u16>"; BTreeSet<u16> => "seq<u16>"; HashSet<String> => "seq<str>";
        BTreeMap<String, Vec<u64>> => "map<str,seq<u64>>"; HashMap<String, Vec<u64>> => "map<str,seq<u64>>";
        Box<i32> => "i32"; Rc<i32> => "i32"; Arc<Frame> => full::<Frame>(); Cell<u8> => "u8";
        NonZeroU8 => "u8"; Option<NonZeroU32> => "option<u32>"; Vec<NonZeroI64> => "seq<i64>"; Wrapping<u8> => "u8";
        PhantomData<String> => "struct PhantomData";
        Duration => "struct Duration{secs:u64,nanos:u32}";
        SystemTime => "struct SystemTime{secs_since_epoch:u64,nanos_since_epoch:u32}";
        Range<u32> => "struct Range{start:u32,end:u32}";
        Result<u8, String> => "enum Result{Ok(u8),Err(str)}";
        Bound<u8> => "enum Bound{Unbounded,Included(u8),Excluded(u8)}";
        IpAddr => "enum IpAddr{V4([u8;4]),V6([u8;16])}";
        uuid::Uuid => "bytes"; Vec<uuid::Uuid> => "seq<bytes>";
    }
}

#[test]
fn structs_and_enums() {
    let point = "struct Point([f64;2])".replace(['[', ']'], "").replace("f64;2", "f64,f64");
    let event =
        format!("enum Event{{Start,Moved({point}),Resized(u32,u32),Named{{name:str,id:option<u64>}}}}");
    shapes! {
        Frame => "struct Frame{id:u32,name:str,pixels:seq<u8>}";
        Point => point;
        Meters => "struct Meters(f64)";
        Marker => "struct Marker";
        Vec<Marker> => "seq<struct Marker>";
        Event => event;
        Log => format!("struct Log{{last:{event},all:seq<Event^1>,some:option<Event^1>,by_name:map<str,Event^1>}}");
        Option<Vec<BTreeMap<u8, Event>>> => format!("option<seq<map<u8,{event}>>>");
        Attributes => "struct Wire{firstName:str,type:u8,later:bool,number:str}";
        Open => "enum Open{Known(u8),Unknown}";
        Transparent => "str";
        Even => "u32";
        Vec<Option<Even>> => "seq<option<u32>>";
        Interval => "struct Bounds{low:i32,high:i32}";
        (Interval, Even, Polygon, Interval) => "(struct Bounds{low:i32,high:i32},u32,seq<(u32,u8)>,Bounds^1)";
    }
}

#[test]
fn types_that_contain_themselves() {
    let expr =
        "enum Expr{Add(Expr^1,Expr^1),Neg(Expr^1),Call{name:str,args:seq<Expr^1>},Literal(i64),Nothing}";
    shapes! {
        List => "struct List{value:u32,next:option<List^0>}";
        Tree => "struct Tree{value:struct Point(f64,f64),children:seq<Tree^0>,names:map<str,Tree^0>}";
        Forest => "seq<^0>";
        Expr => expr.replace("^1", "^0");
        Vec<Expr> => format!("seq<{expr}>");
    }
    let block = full::<Block>();
    assert!(
        block.starts_with("struct Block{first:enum Statement{Loop(Block^0),Let(str,enum Expr{Add("),
        "{block}"
    );
    assert!(block.ends_with(",Literal(i64),Nothing})},rest:seq<Statement^1>}"), "{block}");
}

#[test]
fn types_of_one_name() {
    shapes! {
        Both => "struct Both{small:struct Generic{inner:u8},text:struct Generic{inner:str},again:Generic^1}";
        (left::Same, right::Same) => "(struct Same{x:u8},struct Same{y:str})";
    }
    // A type may move, and two types of one shape are one.
    assert_eq!(full::<left::Same>(), full::<moved::Same>());
    assert_eq!(full::<(left::Same, moved::Same)>(), full::<(left::Same, left::Same)>());
}

#[test]
fn aliases_hide_names_but_nothing_else() {
    shapes! {
        Aliased => "struct Aliased{0:u32,1:str}";
        AliasedEnum => "enum AliasedEnum{0(u8),1(u16)}";
    }
}

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
struct Job<M> {
    id: u32,
    meta: M,
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

/// The wire contract: these never change, or objects that were stored can no longer be read.
#[test]
fn golden() {
    let golden = |schema: Arc<Schema>, hex: &str| {
        assert_eq!(schema.fingerprint().to_string(), hex, "{}", schema.text())
    };
    golden(schema::<u32>(false), "");
    golden(schema::<String>(false), "");
    golden(schema::<String>(true), "");
    golden(schema::<Frame>(false), "");
    golden(schema::<Expr>(false), "");
    golden(schema::<HashMap<String, Option<[u8; 4]>>>(false), "");
    golden(schema::<hostile::Never>(false), "");
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

#[test]
fn differences_in_words() {
    let case =
        |a: &str, b: &str, words: &str| assert_eq!(first_difference(a, b).as_deref(), Some(words), "{a} {b}");
    let frame = "struct Frame{id:u32,name:str}";
    case(frame, "struct Frame{id:u64,name:str}", "field `Frame.id`: u32, stored as u64");
    case(frame, "struct Frame{id:u32,title:str}", "field `Frame.name`: stored as `Frame.title`");
    case(frame, "struct Frame{id:u32}", "field `Frame.name`: not in the stored type");
    case("struct Frame{id:u32}", frame, "field `Frame.name`: only in the stored type");
    case(
        frame,
        "struct Image{id:u32}",
        "type: struct Frame{id:u32,name:str}, stored as struct Image{id:u32}",
    );
    case("u8", "i8", "type: u8, stored as i8");
    case("seq<u8>", "bytes", "type: seq<u8>, stored as bytes");
    case("struct A{b:option<seq<u8>>}", "struct A{b:option<seq<i8>>}", "field `A.b[]`: u8, stored as i8");
    case("struct A{b:[u8;16]}", "struct A{b:[u8;32]}", "field `A.b`: [u8;16], stored as [u8;32]");
    case("struct P(f64,f64)", "struct P(f64,f32)", "field `P.1`: f64, stored as f32");
    case("struct A{b:struct B{c:u8}}", "struct A{b:struct B{c:u16}}", "field `B.c`: u8, stored as u16");
    case("enum E{A,B(u8)}", "enum E{A,C(u8)}", "field `E::B`: stored as `E::C`");
    case("enum E{A,B(u8)}", "enum E{A,B(u16)}", "field `E::B.0`: u8, stored as u16");
    case("enum E{A,B(u8)}", "enum E{A,B{x:u8}}", "field `E::B`: B(u8), stored as B{x:u8}");
    case("enum E{A}", "enum E{A,B}", "field `E::B`: only in the stored type");
    case(r#"struct A{"x:{":u8}"#, r#"struct A{"x:{":u16}"#, r#"field `A."x:{"`: u8, stored as u16"#);
    assert_eq!(first_difference(frame, frame), None);
    for broken in
        ["", "{", "struct A{", "struct A{b", "a>b", "\"", &"<".repeat(100_000), &"a(".repeat(100_000)]
    {
        assert_eq!(first_difference(frame, broken), None, "{broken:.9}");
        assert_eq!(first_difference(broken, frame), None);
    }
    assert!(first_difference(&full::<Log>(), &full::<Expr>()).is_some());
}
