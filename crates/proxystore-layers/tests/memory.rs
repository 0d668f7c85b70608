//! What opening an object takes in memory, whatever its bytes say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]
#![cfg(all(feature = "zstd", feature = "lz4", feature = "encrypt"))]

use std::alloc::System;
use std::sync::Arc;

use proxystore_core::{
    Connector, ErrorKind, Key, KeyRing, Payload, Place, PutOptions, Result, SecretKey, Transfer, Transform,
    WithTransform,
};
use proxystore_layers::{Compress, Encrypt};
use proxystore_local::LocalConnector;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CAP: usize = 64 << 20;
const MARGIN: usize = 16 << 20;
const GIB: usize = 1 << 30;

/// A zstd frame of a GiB of zeros, the smallest there is: 4 bytes for every 128 KiB.
fn bomb() -> Vec<u8> {
    let blocks = GIB / (128 << 10);
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x58]; // magic, no content size, a window of 2 MiB
    for block in 1..=blocks {
        let header = (128u32 << 10) << 3 | 1 << 1 | u32::from(block == blocks); // one byte, repeated
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

fn frame(algorithm: u8, declared: usize, body: &[u8]) -> Payload {
    let mut bytes = vec![b'P', b'x', b'C', b'm', 1, algorithm, 0, 0];
    bytes.extend_from_slice(&(declared as u64).to_le_bytes());
    bytes.extend_from_slice(&xxhash_rust::xxh3::xxh3_64(&bytes).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes.into()
}

/// The most memory that this process has had, in bytes: also what C has allocated. `None` if the system does not say.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok().map(|kib| kib << 10)
}

/// Gets, with this cap, what someone else has put into the backend.
async fn get(stored: Payload, transforms: Vec<Arc<dyn Transform>>) -> Result<Option<Payload>> {
    let inner = Arc::new(LocalConnector::new().unwrap());
    let key = Key::parse("bomb").unwrap();
    inner.put(&key, stored, &PutOptions::default()).await.unwrap();
    let connector = WithTransform::new(inner, transforms).unwrap();
    Transfer::new(CAP as u64).scope(async { connector.get(&key).await }).await
}

/// The tests are one, since they share the allocator.
#[tokio::test]
async fn bombs_and_large_objects_stay_within_their_bounds() {
    let start = peak();
    let bomb = bomb();
    let mut decoder = zstd::stream::read::Decoder::new(bomb.as_slice()).unwrap();
    assert_eq!(std::io::copy(&mut decoder, &mut std::io::sink()).unwrap(), GIB as u64);
    assert!(bomb.len() < 33_000);
    let lz4_bomb = lz4_flex::block::compress(&vec![0; CAP + 1]);

    for (what, stored, kind) in [
        ("an honest bomb", frame(1, GIB, &bomb), ErrorKind::TooLarge),
        ("an honest one, just above", frame(1, CAP + 1, &bomb), ErrorKind::TooLarge),
        ("a lying bomb", frame(1, CAP, &bomb), ErrorKind::Corrupt),
        ("a lying bomb, small", frame(1, 100, &bomb), ErrorKind::Corrupt),
        ("an honest lz4 bomb", frame(2, CAP + 1, &lz4_bomb), ErrorKind::TooLarge),
        ("a lying lz4 bomb", frame(2, CAP, &lz4_bomb), ErrorKind::Corrupt),
        ("an impossible length", frame(2, usize::MAX, &lz4_bomb), ErrorKind::TooLarge),
    ] {
        let region = Region::new(ALLOCATOR);
        let error = get(stored, vec![Arc::new(Compress::zstd())]).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error}");
        let allocated = region.change().bytes_allocated;
        assert!(allocated <= CAP + MARGIN, "{what}: {allocated} bytes were allocated");
        if kind == ErrorKind::TooLarge {
            assert!(allocated < 1 << 20, "{what}: {allocated} bytes were allocated");
        }
        if let (Some(start), Some(now)) = (start, peak()) {
            assert!(now - start <= CAP + MARGIN, "{what}: {} bytes were resident", now - start);
        }
    }

    encryption_takes_one_buffer();
}

fn encryption_takes_one_buffer() {
    let encrypt = Encrypt::new(KeyRing::new(SecretKey::random("k").unwrap()));
    let (store, key) = ("local://here".parse().unwrap(), Key::parse("large").unwrap());
    let at = Place { store: &store, key: &key, max: u64::MAX };
    let value = Payload::new(vec![1; 80], vec![2; 10 << 20]);
    let most = (10 << 20) + (10 << 20) / 4096 + 4096;

    let region = Region::new(ALLOCATOR);
    let sealed = encrypt.seal(&at, value.clone()).unwrap();
    let taken = region.change().bytes_allocated;
    assert!(taken <= most, "sealing took {taken} bytes");

    let region = Region::new(ALLOCATOR);
    let opened = encrypt.open(&at, sealed).unwrap();
    let taken = region.change().bytes_allocated;
    assert!(taken <= most, "opening took {taken} bytes");
    assert_eq!(opened.into_bytes(), value.into_bytes());
}
