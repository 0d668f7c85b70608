//! The wrong type is refused, and types that may evolve do.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use proxystore::{ErrorKind, Json, Key, MsgPack, Proxy, Store};
use serde::{Deserialize, Serialize};

use crate::stores;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Frame {
    id: u32,
    pixels: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Header {
    id: u32,
    pixels: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum State {
    Ready,
    Busy(u32),
    Failed { reason: String },
}

/// What an attempt to read an object as some type ended with.
type Attempt = (&'static str, Result<(), ErrorKind>);

/// Puts one value of each type, and reads each as every type: by its key (the header is checked) and by its
/// reference (which is checked before).
macro_rules! all_pairs {
    ($store:expr, $($Type:ty = $value:expr),* $(,)?) => {{
        let store: &Store = $store;
        let mut put: Vec<(&'static str, Key, Vec<u8>)> = Vec::new();
        $(
            let value: $Type = $value;
            let proxy = store.proxy(value).await.unwrap();
            put.push((stringify!($Type), proxy.factory().key().clone(), postcard::to_allocvec(&proxy).unwrap()));
        )*
        let mut attempts: Vec<(&'static str, Attempt, Attempt)> = Vec::new();
        for (stored, key, reference) in &put {
            $({
                let by_key = store.get::<$Type>(key).await.map(|found| assert!(found.is_some()));
                let proxy: Proxy<$Type> = postcard::from_bytes(reference).unwrap();
                let by_reference = proxy.resolve_async().await.map(drop);
                let name = stringify!($Type);
                attempts.push((
                    stored,
                    (name, by_key.map_err(|error| error.kind())),
                    (name, by_reference.map_err(|error| error.kind())),
                ));
            })*
        }
        attempts
    }};
}

#[tokio::test]
async fn no_pair_of_twenty_types_is_confused() {
    let backend = stores::local().await;
    let store = backend.store("pairs").await;
    proxystore::Registry::global().register(&store).unwrap();
    let attempts = all_pairs!(
        &store,
        u8 = 1,
        u16 = 1,
        u32 = 1,
        u64 = 1,
        i32 = 1,
        i64 = 1,
        f32 = 1.0,
        f64 = 1.0,
        bool = true,
        char = 'a',
        String = "a".into(),
        Vec<u8> = vec![1],
        Vec<u32> = vec![1],
        Option<u32> = Some(1),
        (u32, u32) = (1, 1),
        [u8; 4] = [1; 4],
        HashMap<String, u32> = HashMap::from([("a".into(), 1)]),
        Frame = Frame { id: 1, pixels: vec![1] },
        Header = Header { id: 1, pixels: vec![1] },
        State = State::Busy(1),
    );
    assert_eq!(attempts.len(), 400);
    let mut refused = 0;
    for (stored, by_key, by_reference) in attempts {
        for (wanted, result) in [by_key, by_reference] {
            if stored == wanted {
                assert_eq!(result, Ok(()), "{stored} is not read back");
            } else {
                assert_eq!(result, Err(ErrorKind::TypeMismatch), "{stored} read as {wanted}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 2 * 380);
}

#[tokio::test]
async fn types_that_mean_the_same_are_interchangeable() {
    let store = stores::local().await.store("same").await;
    let key = store.put(&BTreeMap::from([(String::from("a"), 1u32)])).await.unwrap();
    assert_eq!(store.get::<HashMap<String, u32>>(&key).await.unwrap().unwrap()["a"], 1);
    let key = store.put(&Box::new(Duration::from_secs(3))).await.unwrap();
    assert_eq!(*store.get::<Duration>(&key).await.unwrap().unwrap(), Duration::from_secs(3));
}

#[tokio::test]
async fn a_mismatch_names_the_first_difference() {
    mod newer {
        #[derive(serde::Serialize, serde::Deserialize)]
        pub(crate) struct Frame {
            pub(crate) id: u64,
            pub(crate) pixels: Vec<u8>,
        }
    }
    let store = stores::local().await.store("difference").await;
    let key = store.put(&Frame { id: 1, pixels: vec![] }).await.unwrap();
    let error = store.get::<newer::Frame>(&key).await.map(drop).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::TypeMismatch);
    assert!(text.contains("Frame.id") && text.contains("u32") && text.contains("u64"), "{text}");
}

#[tokio::test]
async fn self_describing_codecs_let_types_evolve() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Newer {
        pixels: Vec<u8>,
        id: u64,
        #[serde(default)]
        label: Option<String>,
    }
    let store = stores::local().await.store("evolution").await;
    let frame = Frame { id: 7, pixels: vec![1, 2] };
    let newer = Newer { pixels: vec![1, 2], id: 7, label: None };
    let json = store.put(&frame).codec::<Json>().await.unwrap();
    assert_eq!(*store.get::<Newer>(&json).codec::<Json>().await.unwrap().unwrap(), newer);
    let msgpack = store.put(&frame).codec::<MsgPack>().await.unwrap();
    assert_eq!(*store.get::<Newer>(&msgpack).codec::<MsgPack>().await.unwrap().unwrap(), newer);

    // Another codec than the object's is said to be so.
    let error = store.get::<Frame>(&json).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Codec);
    assert!(error.to_string().contains("encoded as json"), "{error}");
}

#[tokio::test]
async fn what_postcard_could_not_read_back_is_refused_at_the_first_put() {
    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Loose {
        Number(u32),
        Text(String),
    }
    #[derive(Serialize, Deserialize)]
    struct Job {
        meta: Loose,
    }
    let backend = stores::local().await;
    let (store, spy) = backend.spied("loose").await;
    let job = Job { meta: Loose::Text("a".into()) };
    let error = store.put(&job).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Codec);
    assert!(text.contains("meta") && text.contains("MsgPack"), "{text}");
    assert_eq!(spy.total(), 0);
    let key = store.put(&job).codec::<MsgPack>().await.unwrap();
    assert!(store.get::<Job>(&key).codec::<MsgPack>().await.unwrap().is_some());
    let number = store.put(&Job { meta: Loose::Number(1) }).codec::<Json>().await.unwrap();
    assert!(store.get::<Job>(&number).codec::<Json>().await.unwrap().is_some());
}
