//! Compressed objects.

use proxystore_core::{Bytes, ErrorKind, Key, Payload, Place, Transform, Uri};
use proxystore_layers::Compress;
use xxhash_rust::xxh3::xxh3_64;

use crate::check;

/// The length of a frame's header.
const HEADER: usize = 24;
/// The largest object that is taken, in bytes.
const MAX: usize = 64 << 10;

/// Whatever is opened has the length that it declares and no more than the caller takes; what was sealed opens as it
/// was; and what is refused is refused for a reason.
pub fn decompress(data: &[u8]) {
    for transform in [Compress::zstd(), Compress::lz4()] {
        opens(&transform, data.to_vec());
        let Some((&[algorithm, a, b], body)) = data.split_first_chunk() else { continue };
        let length = usize::from(u16::from_le_bytes([a, b])) << (algorithm >> 4);
        opens(&transform, frame(algorithm % 4, length, body));
        round(&transform, a, usize::from(b), body);
    }
}

/// Seals an object with and without a header in front, opens it, and opens it altered.
fn round(transform: &Compress, at: u8, times: usize, body: &[u8]) {
    let body = Bytes::from(body.repeat(times.min(MAX / body.len().max(1))));
    for head in [&b""[..], b"a header"] {
        let sealed = at_place(|place| transform.seal(place, Payload::new(head, body.clone()))).unwrap();
        assert!(sealed.len() <= head.len() + body.len() + HEADER, "it has grown");
        let opened = at_place(|place| transform.open(place, sealed.clone()));
        if head.len() + body.len() > MAX {
            assert_eq!(opened.unwrap_err().kind(), ErrorKind::TooLarge);
            return;
        }
        assert_eq!(opened.unwrap().into_bytes(), [head, &body].concat());
        let mut altered = Vec::from(sealed.into_bytes());
        let at = usize::from(at) % altered.len();
        altered[at] ^= 1 << (times % 8);
        opens(transform, altered.clone());
        altered.truncate(at);
        opens(transform, altered);
    }
}

fn opens(transform: &Compress, stored: Vec<u8>) {
    let declared = stored.get(8..16).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
    match at_place(|place| transform.open(place, stored.into())) {
        Ok(opened) => {
            let (head, body) = opened.into_parts();
            assert!(head.len() + body.len() <= MAX, "{} bytes come out", head.len() + body.len());
            assert_eq!(declared, Some(body.len() as u64));
        }
        Err(error) => {
            let known =
                matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::TooLarge | ErrorKind::Unsupported);
            assert!(known, "{error}");
            check::teaches(&error);
        }
    }
}

fn at_place<T>(call: impl FnOnce(&Place<'_>) -> T) -> T {
    let (store, key) = (Uri::new("local"), Key::parse("a/key").unwrap());
    call(&Place { store: &store, key: &key, max: MAX as u64 })
}

/// A header by the documentation of the format.
fn frame(algorithm: u8, length: usize, body: &[u8]) -> Vec<u8> {
    let front = [b"PxCm\x01", &[algorithm, 0, 0][..], &(length as u64).to_le_bytes()].concat();
    [&front[..], &xxh3_64(&front).to_le_bytes(), body].concat()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let body = Bytes::from(b"a body that repeats itself; ".repeat(100));
    let mut seeds = vec![frame(0, 3, b"abc"), [&[0, 7, 90], &b"repeat "[..]].concat()];
    for transform in [Compress::zstd(), Compress::lz4()] {
        for payload in [Payload::from(body.clone()), Payload::new(&b"head"[..], body.clone())] {
            let sealed = at_place(|place| transform.seal(place, payload)).unwrap().into_bytes();
            let [low, high] = (body.len() as u16).to_le_bytes();
            seeds.push([&[sealed[5], low, high], &sealed[HEADER..]].concat());
            seeds.push(sealed.into());
        }
        // A frame that would inflate beyond the limit.
        let bomb = at_place(|place| transform.seal(place, vec![0; 4 << 20].into())).unwrap();
        seeds.push(bomb.clone().into_bytes().into());
        seeds.push(
            [
                &[if transform.name() == "zstd" { 0x41 } else { 0x42 }, 0xff, 0x0f],
                &bomb.into_bytes()[HEADER..],
            ]
            .concat(),
        );
    }
    seeds
}
