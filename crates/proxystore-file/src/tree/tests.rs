#![allow(clippy::unwrap_used, reason = "a failed expectation is what a test reports")]

use proxystore_core::{ErrorKind, Key, Payload, PutOptions, Result, Transfer};
use rustix::fs::{CWD, Mode, OFlags, ftruncate, openat};
use tempfile::TempDir;

use super::{Tree, object, read_removed};
use crate::Durability;
use crate::clock::Clock;
use crate::layout::Place;

fn tree(directory: &TempDir, flags: OFlags, durability: Durability) -> Tree {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | flags;
    let root = openat(CWD, directory.path(), flags, Mode::empty()).unwrap();
    let clock = Clock::open(&root).unwrap();
    Tree::new(root, clock, durability)
}

fn put(tree: &Tree, key: &Key) -> Result<()> {
    let value = vec![1, 2, 3].into();
    tree.put(key, &PutOptions::default(), |file| object::write(file, key, &value, &Transfer::default()))
}

#[test]
fn a_put_whose_name_is_not_synced_is_not_to_be_repeated() {
    let directory = tempfile::tempdir().unwrap();
    // Of such a handle everything works but to sync it.
    let tree = tree(&directory, OFlags::PATH, Durability::Power);
    let key = Key::parse("object").unwrap();
    let error = put(&tree, &key).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unexpected, "{error}");
    assert!(!error.is_transient() && error.to_string().contains("may not outlive"), "{error}");
    assert!(tree.open(&key).unwrap().is_some(), "the object is there");
}

#[test]
fn a_removed_object_that_cannot_be_read_is_not_reported_as_there() {
    let directory = tempfile::tempdir().unwrap();
    let tree = tree(&directory, OFlags::empty(), Durability::None);
    let key = Key::parse("object").unwrap();
    put(&tree, &key).unwrap();
    let shard = tree.shard(Place::of(&key).shard).unwrap().unwrap();
    let object = tree.find(&Place::of(&key), &key, OFlags::RDWR).unwrap().unwrap();
    let read = || read_removed(&shard, &object, object.buffer().unwrap(), &Transfer::default());
    assert_eq!(read().map(Payload::into_bytes).unwrap(), vec![1, 2, 3]);
    ftruncate(object.file(), 33).unwrap();
    let error = read().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Ambiguous);
    assert!(!error.is_transient() && error.to_string().contains("removed"), "{error}");
}
