//! References, codecs and the fingerprint of types: work of the processor alone.

use std::hint::black_box;
use std::time::Duration;

use proxystore::{Bytes, Codec, Json, MsgPack, Postcard, Proxy, Raw, Store};
use proxystore_benches::{Goal, Race, Suite, Unit, now};

use crate::ours::{self, keep};

pub(crate) fn references(suite: &mut Suite) {
    let made = |embed: bool| {
        let store = Store::builder("images").uri("local:///images").embed_uri(embed).build();
        suite.block_on(store).expect("a store")
    };
    let (short, long) = (made(false), made(true));
    let uri = "redis://cache.example:6379/0";
    let value = ours::value(1024);
    let make = |store: &Store| -> Proxy<Bytes, Raw> {
        suite.block_on(async { store.proxy(value.clone()).codec().populate(false).await }).expect("a proxy")
    };
    let size = |proxy: &Proxy<Bytes, Raw>| postcard::to_allocvec(proxy).expect("a reference").len() as f64;
    let (short, long) = (make(&short), make(&long));
    // As it would be for a server: the place of a local store is short, and means nothing elsewhere.
    let text = serde_json::to_string(&long).expect("a reference");
    let start = text.find("local:").expect("a place");
    let end = start + text[start..].find('"').expect("the end of a text");
    let remote: Proxy<Bytes, Raw> =
        serde_json::from_str(&format!("{}{uri}{}", &text[..start], &text[end..])).expect("a reference");
    let most = |target| [Goal { id: "P8", peer: None, target }];
    suite.count("reference", "size by name", Unit::Bytes, size(&short), &most(64.0));
    suite.count("reference", "size with a spec", Unit::Bytes, size(&remote), &most(128.0));
    let remote = keep(remote);
    let bytes = keep(postcard::to_allocvec(remote).expect("a reference"));
    let both = || {
        let bytes = postcard::to_allocvec(black_box(remote)).expect("a reference");
        postcard::from_bytes::<Proxy<Bytes, Raw>>(&bytes).expect("a reference")
    };
    let race = Race::new("reference", "encode and decode", now(both));
    suite.run(race.at_most("P8", Duration::from_micros(1)));
    let encode = || postcard::to_allocvec(black_box(remote)).expect("a reference");
    suite.run(Race::new("reference", "encode", now(encode)));
    let decode = || postcard::from_bytes::<Proxy<Bytes, Raw>>(black_box(bytes)).expect("a reference");
    suite.run(Race::new("reference", "decode", now(decode)));
}

/// By each codec, beside a copy of as many bytes.
fn codec<C: Codec<Bytes>>(suite: &mut Suite, value: &'static Bytes) {
    const COPY: &str = "memcpy";
    let copy = || now(move || black_box(&value[..]).to_vec());
    let encoded = keep(C::encode(value).expect("an encoding"));
    let shape = |verb: &str| format!("{} {verb}", C::NAME);
    let encode = now(move || C::encode(black_box(value)).expect("an encoding"));
    suite.run(Race::new("codec", &shape("encode"), encode).bytes(value.len()).against(COPY, copy()));
    let decode = now(move || C::decode(black_box(encoded).clone()).expect("a decoding"));
    suite.run(Race::new("codec", &shape("decode"), decode).bytes(value.len()).against(COPY, copy()));
}

pub(crate) fn measure(suite: &mut Suite) {
    let sizes: &[usize] = if suite.is_quick() { &[1 << 20] } else { &[1 << 10, 1 << 20, 10 << 20] };
    for &size in sizes {
        let value = ours::value(size);
        codec::<Raw>(suite, value);
        codec::<Postcard>(suite, value);
        codec::<MsgPack>(suite, value);
        codec::<Json>(suite, value);
        // What the store adds to a codec on each way: the header and the digest of all bytes.
        let digest = now(move || xxhash_rust::xxh3::xxh3_128(black_box(value)));
        let copy = now(move || black_box(&value[..]).to_vec());
        suite.run(Race::new("codec", "digest", digest).bytes(size).against("memcpy", copy));
    }
    let known = now(|| proxystore::schema::schema::<Vec<Option<(String, f64)>>>(false).fingerprint());
    suite.run(Race::new("codec", "fingerprint of a known type", known));
}
