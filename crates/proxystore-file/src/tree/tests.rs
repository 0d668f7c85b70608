#![allow(clippy::unwrap_used, reason = "a failed expectation is what a test reports")]

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proxystore_core::{Error, ErrorKind, Key, Mode, Payload, PutOptions, Result, Transfer};
use rustix::fs::{CWD, Dir, Mode as Permissions, OFlags, ftruncate, openat};
use tempfile::TempDir;

use super::{Glance, Tree, object, read_removed};
use crate::Durability;
use crate::clock::Clock;
use crate::layout::Place;

fn tree(directory: &TempDir, flags: OFlags, durability: Durability) -> Tree {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | flags;
    let root = openat(CWD, directory.path(), flags, Permissions::empty()).unwrap();
    let clock = Clock::open(&root).unwrap();
    Tree::new(root, clock, durability)
}

fn put(tree: &Tree, key: &Key) -> Result<()> {
    let value = vec![1, 2, 3].into();
    tree.put(key, 3, &PutOptions::default(), |file| object::write(file, key, &value, &Transfer::default()))
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
fn puts_work_where_files_need_a_name() {
    let directory = tempfile::tempdir().unwrap();
    let key = Key::parse("object").unwrap();
    let create = PutOptions { mode: Mode::Create, ..PutOptions::default() };
    for nameless in [true, false] {
        let tree = tree(&directory, OFlags::empty(), Durability::None);
        tree.nameless.store(nameless, Ordering::Relaxed);
        let write = |file: &OwnedFd| object::write(file, &key, &vec![1; 9].into(), &Transfer::default());
        for overwrites in 0..2 {
            tree.put(&key, 9, &create, write).unwrap();
            (0..overwrites).for_each(|_| tree.put(&key, 9, &PutOptions::default(), write).unwrap());
            assert_eq!(tree.put(&key, 9, &create, write).unwrap_err().kind(), ErrorKind::Exists);
            assert!(tree.touch(&key, Duration::ZERO).unwrap());
            tree.put(&key, 9, &create, write).unwrap();
            assert_eq!(tree.open(&key).unwrap().unwrap().len(), 9);
            tree.evict(&key).unwrap();
        }
        let failing = |_: &OwnedFd| Err(Error::new(ErrorKind::Unexpected, "no"));
        assert!(tree.put(&key, 9, &create, failing).is_err());
        let shard = tree.shard(Place::of(&key).shard).unwrap().unwrap();
        let left = Dir::read_from(&shard.dir).unwrap().map(|entry| entry.unwrap().file_name().to_owned());
        assert_eq!(left.filter(|name| !name.as_bytes().starts_with(b".")).count(), 0);
    }
}

#[test]
fn a_glance_tells_what_a_look_tells() {
    let directory = tempfile::tempdir().unwrap();
    let tree = tree(&directory, OFlags::empty(), Durability::None);
    let key = Key::parse("object").unwrap();
    let glance = |most| tree.glance(&key, |len| len <= most).unwrap();
    let unless_unable = |what: bool| assert!(what || !tree.glances.load(Ordering::Relaxed));
    unless_unable(matches!(glance(3), None | Some(Glance::Missing)));
    put(&tree, &key).unwrap();
    // What was just written is in memory.
    unless_unable(matches!(glance(3), Some(Glance::All(_, bytes)) if bytes == [1, 2, 3]));
    unless_unable(matches!(glance(2), Some(Glance::Part(object)) if object.len() == 3));
    assert!(tree.touch(&key, Duration::ZERO).unwrap());
    unless_unable(matches!(glance(3), Some(Glance::Missing)));
    put(&tree, &key).unwrap();
    let object = tree.find(&Place::of(&key), &key, OFlags::RDWR).unwrap().unwrap();
    for len in [34, 36, 31, 0] {
        ftruncate(object.file(), len).unwrap();
        assert!(glance(3).is_none() && glance(2).is_none(), "{len} bytes: a look is to say what is wrong");
        assert_eq!(tree.open(&key).unwrap_err().kind(), ErrorKind::Corrupt);
    }
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
