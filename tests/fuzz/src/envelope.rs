//! Stored objects, as a store finds them.

use bytes::Bytes;
use proxystore_core::{ErrorKind, Key, Payload};
use proxystore_local::LocalConnector;
use proxystore_store::{Raw, Store};
use xxhash_rust::xxh3::Xxh3;

use crate::{check, rt};

const HEADER: usize = 80;

/// An object opens only if it is what was sealed, byte by byte and under its key; whatever else lies there is an
/// error of the right kind.
pub fn envelope(data: &[u8]) {
    rt::run(true, async {
        let bench = Bench::open().await;
        bench.finds(Bytes::copy_from_slice(data), opened(data, "a/key")).await;

        let Some((&[how, at, with], body)) = data.split_first_chunk() else { return };
        let whole = seal(body, "a/key");
        bench.finds(whole.clone().into(), Some(body)).await;
        let mut altered = whole.clone();
        let at = usize::from(at) * if how & 4 == 0 { 1 } else { whole.len().div_ceil(256) } % whole.len();
        match how & 3 {
            0 => altered[at] ^= with,
            1 => altered.truncate(at),
            2 => altered.insert(at, with),
            _ => altered = seal(body, "b/key"),
        }
        bench.finds(altered.clone().into(), (altered == whole).then_some(body)).await;
    });
}

/// A store without a cache, and a key in it.
struct Bench {
    store: Store,
    key: Key,
}

impl Bench {
    async fn open() -> Self {
        let connector = LocalConnector::new().unwrap();
        let store = Store::builder("x").connector(connector).cache_objects(0).build().await.unwrap();
        Self { store, key: Key::parse("a/key").unwrap() }
    }

    /// The store finds `expected` where `stored` lies.
    async fn finds(&self, stored: Bytes, expected: Option<&[u8]>) {
        let Self { store, key } = self;
        store.connector().put(key, Payload::from(stored), &Default::default()).await.unwrap();
        match (store.get::<Bytes>(key).codec::<Raw>().await, expected) {
            (Ok(Some(found)), Some(body)) => assert_eq!(found[..], *body),
            (Ok(found), expected) => panic!("found {found:?} instead of {expected:?}"),
            (Err(error), None) => {
                let known = matches!(
                    error.kind(),
                    ErrorKind::Corrupt
                        | ErrorKind::Failed
                        | ErrorKind::Unsupported
                        | ErrorKind::Codec
                        | ErrorKind::TypeMismatch
                );
                assert!(known, "{error}");
                check::teaches(&error);
            }
            (Err(error), Some(_)) => panic!("what was sealed does not open: {error}"),
        }
        // Raw bytes are never taken for a value of another codec.
        assert!(store.get::<Vec<u32>>(key).await.is_err());
    }
}

/// A valid object, by the documentation of the format.
pub(crate) fn seal(body: &[u8], key: &str) -> Vec<u8> {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(b"PxSt\x01\x00\x00\x01");
    bytes[8..16].copy_from_slice(&(body.len() as u64).to_le_bytes());
    bytes[32..48].copy_from_slice(b"a writer's nonce");
    let digest = digest(&bytes[..48], key, body);
    bytes[48..64].copy_from_slice(&digest);
    [&bytes, body].concat()
}

/// The body of a valid object of raw bytes.
fn opened<'a>(bytes: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let (header, body) = bytes.split_at_checked(HEADER)?;
    let valid = header[..8] == *b"PxSt\x01\x00\x00\x01"
        && header[8..16] == (body.len() as u64).to_le_bytes()
        && header[16..32] == [0; 16]
        && header[48..64] == digest(&header[..48], key, body)
        && header[64..] == [0; 16];
    valid.then_some(body)
}

pub(crate) fn digest(header: &[u8], key: &str, body: &[u8]) -> [u8; 16] {
    let mut hasher = Xxh3::new();
    hasher.update(header);
    hasher.update(key.as_bytes());
    hasher.update(body);
    hasher.digest128().to_le_bytes()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = (0..4).map(|how| [&[how, 50, 1], &b"a body"[..]].concat()).collect();
    seeds.extend([seal(b"", "a/key"), seal(b"a body", "a/key"), seal(b"a body", "b/key")]);
    seeds
}
