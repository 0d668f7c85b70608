#![allow(clippy::unwrap_used, reason = "a failed expectation is what a test reports")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use proxystore_core::{ErrorKind, Key, Mode, Payload, PutOptions, Result, Transfer};
use rustix::fs::{CWD, Mode as Permissions, OFlags, openat};
use tempfile::TempDir;

use super::sweep_shard;
use crate::Durability;
use crate::clock::Clock;
use crate::layout::Place;
use crate::object;
use crate::tree::Tree;

fn tree(directory: &TempDir) -> Tree {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, directory.path(), flags, Permissions::empty()).unwrap();
    let clock = Clock::open(&root).unwrap();
    Tree::new(root, clock, Durability::None)
}

fn create(tree: &Tree, key: &Key, value: &str, ttl: Option<Duration>) -> Result<()> {
    let options = PutOptions { mode: Mode::Create, ttl, ..PutOptions::default() };
    let value = Payload::from(value.to_owned().into_bytes());
    tree.put(key, value.len() as u64, &options, |file| object::write(file, key, &value, &Transfer::default()))
}

/// Expired objects are put, swept and replaced all the time, so that names are free and taken in turns.
#[test]
fn a_created_object_is_that_of_one_and_lost_to_no_sweep() {
    let directory = tempfile::tempdir().unwrap();
    let (tree, key) = (tree(&directory), Key::parse("k").unwrap());
    let done = AtomicBool::new(false);
    let until_done = |work: &dyn Fn() -> bool| {
        let mut times = 0u64;
        while !done.load(Ordering::Relaxed) {
            times += u64::from(work());
        }
        times
    };
    let creator = |name: &str| {
        for round in 0..2_000 {
            let value = format!("{name} {round}");
            loop {
                match create(&tree, &key, &value, None) {
                    Ok(()) => break,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Exists, "{error}"),
                }
            }
            let there = tree.take(&key, &Transfer::default()).unwrap();
            assert!(there.is_some_and(|there| there.into_bytes() == value), "{value} is not there");
        }
    };
    let (expired, swept) = thread::scope(|scope| {
        let expires =
            scope.spawn(|| until_done(&|| create(&tree, &key, "expired", Some(Duration::ZERO)).is_ok()));
        let sweeps = scope.spawn(|| {
            until_done(&|| sweep_shard(&tree, Place::of(&key).shard, false).unwrap().0.objects > 0)
        });
        let creators = ["first", "second"].map(|name| scope.spawn(move || creator(name)));
        let ended = creators.map(|creator| creator.join());
        done.store(true, Ordering::Relaxed);
        ended.into_iter().for_each(|ended| ended.unwrap());
        (expires.join().unwrap(), sweeps.join().unwrap())
    });
    assert!(expired > 20 && swept > 0, "too little happened to show anything: {expired}, {swept}");
}
