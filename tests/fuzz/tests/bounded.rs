//! Each target on altered seeds, the same in every run, and on what once broke it.

#![allow(clippy::unwrap_used, reason = "a failed expectation is what a test reports")]

use std::alloc::System;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use proxystore_fuzz::{TARGETS, Target};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations are counted for the whole process, so one test runs at a time.
static TURN: Mutex<()> = Mutex::new(());

/// A small generator of pseudo-random numbers: the mutations are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

/// What numbers and texts often break on.
const WORDS: &[&[u8]] = &[
    b"\0",
    b"\x01",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"9223372036854775807",
    b"-1",
    b"\"",
    b"/",
    b"/../",
    b"%2F",
    b"${A}",
    b"@",
    b":",
    b"[]",
    b"{}",
    b"\r\n",
    b"$",
    b"*",
    b"c4n4ry",
];

/// Alters once to four times.
fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    for _ in 0..=random.next(4) {
        let at = random.next(bytes.len());
        match random.next(9) {
            _ if bytes.is_empty() => bytes.push(random.next(256) as u8),
            0 => bytes[at] ^= 1 << random.next(8),
            1 => bytes[at] = random.next(256) as u8,
            2 => bytes.insert(at, random.next(256) as u8),
            3 => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            5 => {
                let end = at + random.next(bytes.len() - at);
                bytes.extend_from_within(at..end);
            }
            6 => bytes[at] = bytes[at].wrapping_add(1),
            7 => drop(bytes.splice(at..at, WORDS[random.next(WORDS.len())].iter().copied())),
            _ => {
                let other = &others[random.next(others.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.next(other.len())..]);
            }
        }
    }
}

/// The target of this name, on its seeds and `runs` altered ones. None allocates more than `most` bytes in all, so
/// none allocates as much at once.
fn bounded(name: &str, runs: u64, most: usize) {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = (target.seeds)();
    for seed in &seeds {
        run(target, seed, usize::MAX); // what is made once for all runs is made here
    }
    for seed in seeds.iter().chain(&regressions(name)) {
        run(target, seed, most);
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for i in 0..runs {
        let mut bytes = match i % 16 {
            0 => (0..random.next(64)).map(|_| random.next(256) as u8).collect(),
            _ => seeds[random.next(seeds.len())].clone(),
        };
        mutate(&mut bytes, &seeds, &mut random);
        run(target, &bytes, most);
    }
}

/// One run, which must keep all promises.
fn run(target: &Target, bytes: &[u8], most: usize) {
    let (region, start) = (Region::new(ALLOCATOR), Instant::now());
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)));
    let (spent, took) = (region.change(), start.elapsed());
    let shown = bytes.escape_ascii();
    assert!(outcome.is_ok(), "{} breaks on {} bytes: {shown}", target.name, bytes.len());
    assert!(spent.bytes_allocated <= most, "{} bytes are allocated for {shown}", spent.bytes_allocated);
    assert!(took < Duration::from_secs(20), "{took:?} for {shown}");
}

/// What once broke the target.
fn regressions(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(name);
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
}

macro_rules! bounded {
    ($($name:ident $runs:literal runs, $most:expr;)*) => {
        $(
            #[test]
            fn $name() {
                bounded(stringify!($name), $runs, $most);
            }
        )*

        #[test]
        fn every_target_has_a_test() {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

bounded! {
    calls 10_000 runs, 4 << 20;
    codecs 20_000 runs, 4 << 20;
    config 20_000 runs, 1 << 20;
    decompress 10_000 runs, 16 << 20;
    envelope 20_000 runs, 1 << 20;
    frames 5_000 runs, 4 << 20;
    key 20_000 runs, 1 << 20;
    letters 10_000 runs, 1 << 20;
    operations 5_000 runs, 4 << 20;
    records 5_000 runs, 4 << 20;
    redis_replies 600 runs, 4 << 20;
    reference 20_000 runs, 1 << 20;
    signature 10_000 runs, 1 << 20;
    unseal 10_000 runs, 1 << 20;
    uri 20_000 runs, 4 << 20;
}
