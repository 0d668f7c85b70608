//! Decoding of values.

use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::Bytes;
use proxystore_core::ErrorKind;
use proxystore_store::{Codec, Json, MsgPack, Postcard, Raw};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::check;

/// How many levels may nest, and how many elements may take no bytes.
const DEPTH: usize = 128;
const FREE: usize = 65_536;

/// Nests in every way that serde knows.
#[derive(Debug, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Text(String),
    Pair(u8, i64),
    Boxed(Box<Tree>),
    Maybe(Option<Box<Tree>>),
    Many(Vec<Tree>),
    Named { id: u32, children: BTreeMap<String, Tree> },
    Tuple((Box<Tree>, bool)),
}

#[derive(Debug, Serialize, Deserialize)]
struct Frame {
    id: u64,
    label: Option<String>,
    shape: (u16, u16, f64),
    rows: Vec<Vec<u32>>,
    tags: BTreeMap<String, Vec<Option<char>>>,
    wrapped: Wrapped,
}

#[derive(Debug, Serialize, Deserialize)]
struct Wrapped(Vec<i128>);

/// What decodes encodes, and that decodes to the same; limits on depth and count hold; an error is of kind `Codec`
/// and shows no value.
pub fn codecs(data: &[u8]) {
    all::<Frame>(data, |_| ());
    all::<Tree>(data, |tree| assert!(depth(tree) <= DEPTH, "nests deeper than {DEPTH} levels"));
    // These take time and few bytes.
    if data.len() <= 16 {
        all::<Vec<()>>(data, |units| {
            assert!(units.len() <= FREE + data.len(), "{} elements of nothing", units.len());
        });
    }
    all::<BTreeMap<String, Vec<Vec<u64>>>>(data, |_| ());
    all::<Option<(String, u32)>>(data, |_| ());
    all::<[Option<bool>; 3]>(data, |_| ());
    one::<String, Raw>(data, &|text| assert_eq!(text.as_bytes(), data));
    one::<Vec<u8>, Raw>(data, &|bytes| assert_eq!(bytes, data));
}

fn all<T: Serialize + DeserializeOwned + 'static>(data: &[u8], holds: impl Fn(&T)) {
    one::<T, Postcard>(data, &holds);
    one::<T, Json>(data, &holds);
    one::<T, MsgPack>(data, &holds);
}

fn one<T, C: Codec<T>>(data: &[u8], holds: &impl Fn(&T)) {
    let value = match C::decode(Bytes::copy_from_slice(data)) {
        Ok(value) => value,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Codec, "{error}");
            return check::teaches(&error);
        }
    };
    holds(&value);
    let encoded = C::encode(&value).unwrap();
    let again = C::decode(encoded.clone()).unwrap_or_else(|error| panic!("what was encoded: {error}"));
    holds(&again);
    assert_eq!(C::encode(&again).unwrap(), encoded, "{} of a {}", C::NAME, std::any::type_name::<T>());
}

fn depth(tree: &Tree) -> usize {
    match tree {
        Tree::Leaf | Tree::Text(_) | Tree::Pair(..) | Tree::Maybe(None) => 1,
        Tree::Boxed(child) | Tree::Maybe(Some(child)) | Tree::Tuple((child, _)) => 1 + depth(child),
        Tree::Many(children) => 1 + children.iter().map(depth).max().unwrap_or(0),
        Tree::Named { children, .. } => 1 + children.values().map(depth).max().unwrap_or(0),
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let text = || Tree::Text(check::CANARY.into());
    let tree = Tree::Many(vec![
        Tree::Leaf,
        text(),
        Tree::Pair(1, -2),
        Tree::Boxed(Box::new(Tree::Maybe(None))),
        Tree::Named { id: 7, children: BTreeMap::from([("a".into(), text())]) },
        Tree::Tuple((Box::new(Tree::Maybe(Some(Box::new(Tree::Leaf)))), true)),
    ]);
    let deep = (0..60).fold(Tree::Leaf, |inner, _| Tree::Many(vec![inner]));
    let frame = Frame {
        id: 300,
        label: Some(check::CANARY.into()),
        shape: (640, 480, 0.5),
        rows: vec![vec![1, 2, 3], vec![], vec![70_000]],
        tags: BTreeMap::from([("tag".into(), vec![Some('é'), None])]),
        wrapped: Wrapped(vec![-1, i128::from(i64::MAX)]),
    };
    let mut seeds = Vec::new();
    for value in [&tree, &deep] {
        seeds.extend(encoded(value));
    }
    seeds.extend(encoded(&frame));
    seeds.extend(encoded(&Some((check::CANARY.to_owned(), 9u32))));
    seeds.extend(encoded(&vec![(); 300]));
    // Elements that take nothing, without end; and lists in lists that promise more than they hold.
    seeds.push(vec![0xff, 0xff, 0xff, 0x7f]);
    seeds.push([0x81, 0xa4, b'M', b'a', b'n', b'y', 0xdd, 0xff, 0xff, 0xff, 0xff].repeat(60));
    seeds
}

fn encoded<T: Debug + Serialize + DeserializeOwned + 'static>(value: &T) -> [Vec<u8>; 3] {
    [Postcard::encode(value), Json::encode(value), MsgPack::encode(value)].map(|bytes| bytes.unwrap().into())
}
