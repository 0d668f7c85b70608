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

mod difference;
mod fingerprint;
mod hostile;
mod self_describing;

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
    _cache: u64,
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
    _Hidden,
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
        if number > 0 && number.is_multiple_of(2) {
            Ok(Self(number))
        } else {
            Err("an even number other than 0")
        }
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

#[derive(Serialize, Deserialize)]
struct Job<M> {
    id: u32,
    meta: M,
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
        crate::Proxy<Frame> => "bytes"; Job<crate::Proxy<u8, crate::Raw>> => "struct Job{id:u32,meta:bytes}";
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
