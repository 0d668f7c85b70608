#![allow(clippy::unwrap_used, reason = "a failed expectation is what a test reports")]

use std::io::Read;
use std::os::fd::OwnedFd;
use std::thread;

use proxystore_core::{ErrorKind, Key, Payload, Transfer};
use rustix::fs::{OFlags, ftruncate};

use super::{HEADER, Object, PIECE, open_beneath, write};

fn key() -> Key {
    Key::parse("object").unwrap()
}

/// A file with this object, opened to be read.
fn stored(value: &Payload) -> Object {
    let directory = tempfile::tempdir().unwrap();
    let root: OwnedFd = std::fs::File::open(directory.path()).unwrap().into();
    let file = open_beneath(&root, "object", OFlags::CREATE | OFlags::EXCL | OFlags::RDWR).unwrap();
    write(&file, &key(), value, &Transfer::default()).unwrap();
    Object::open(&root, "object", &key(), OFlags::RDWR).unwrap().unwrap()
}

fn value(head: usize, body: usize) -> Payload {
    let bytes = (0..251).collect::<Vec<u8>>().repeat((head + body).div_ceil(251));
    Payload::new(bytes[..head].to_vec(), bytes[head..head + body].to_vec())
}

#[test]
fn every_size_comes_back_and_is_reported() {
    for head in [0, 1, PIECE - 1, PIECE, PIECE + 1] {
        for body in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
            let value = value(head, body);
            let object = stored(&value);
            let transfer = Transfer::new(0);
            let read = object.read(object.buffer().unwrap(), &transfer).unwrap();
            assert!(read.into_bytes() == value.into_bytes(), "{head} and {body} bytes came back as others");
            assert_eq!(transfer.progress(), (head + body) as u64);
        }
    }
}

#[test]
fn a_read_reports_each_piece() {
    let object = stored(&value(0, 3 * PIECE));
    ftruncate(object.file(), (HEADER + 2 * PIECE + 1) as u64).unwrap();
    let transfer = Transfer::new(0);
    let error = object.read(object.buffer().unwrap(), &transfer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(transfer.progress(), 2 * PIECE as u64);
}

#[test]
fn a_write_reports_each_piece() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let transfer = Transfer::new(0);
    let value = value(100, 3 * PIECE);
    let writes = {
        let (value, transfer) = (value.clone(), transfer.clone());
        thread::spawn(move || write(&writer.into(), &key(), &value, &transfer))
    };
    let mut begun = vec![0; HEADER + 100 + PIECE + 1];
    reader.read_exact(&mut begun).unwrap();
    // The second piece is being written: the first was reported.
    assert!(transfer.progress() >= PIECE as u64, "{transfer:?}");
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    writes.join().unwrap().unwrap();
    assert!([&begun[HEADER..], &rest].concat() == value.into_bytes());
}
