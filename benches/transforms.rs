//! What transforms cost: an object of 1 MiB on its way in and back.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use proxystore::layers::{Compress, Encrypt};
use proxystore::{Bytes, Key, KeyRing, Payload, SecretKey, Transform, Uri};
use proxystore_core::Place;
use proxystore_testkit::sample;

const SIZE: usize = 1 << 20;

fn transform(criterion: &mut Criterion, name: &str, transform: &dyn Transform, object: &Bytes) {
    let (store, key) = (Uri::new("local"), Key::random().expect("randomness"));
    let place = Place { store: &store, key: &key, max: u64::MAX };
    let seal = || transform.seal(&place, Payload::from(object.clone())).expect("seal");
    let sealed = seal().into_bytes();
    let mut group =
        criterion.benchmark_group(format!("1 MiB {name}, {} % of its size", sealed.len() * 100 / SIZE));
    group.throughput(Throughput::Bytes(SIZE as u64));
    group.bench_function("seal", |bencher| bencher.iter(seal));
    let open = || transform.open(&place, Payload::from(sealed.clone())).expect("open");
    group.bench_function("open", |bencher| bencher.iter(open));
}

fn transforms(criterion: &mut Criterion) {
    let lines = |n: usize| format!("{n},{},sensor-{}\n", n * 7_919 % 1_000, n % 13).into_bytes();
    let text: Bytes = (0..).flat_map(lines).take(SIZE).collect();
    let noise = sample::make(1, SIZE);
    let encrypt = Encrypt::new(KeyRing::new(SecretKey::random("bench").expect("randomness")));
    for (what, object) in [("text", &text), ("noise", &noise)] {
        transform(criterion, &format!("{what} by zstd"), &Compress::zstd(), object);
        transform(criterion, &format!("{what} by lz4"), &Compress::lz4(), object);
    }
    transform(criterion, "encrypted", &encrypt, &noise);
}

criterion_group!(benches, transforms);
criterion_main!(benches);
