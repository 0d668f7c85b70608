#![allow(clippy::unwrap_used, reason = "a failed expectation is what a test reports")]

use std::io::Write;

use super::*;

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn read(home: &'static Spare, file: &File, len: usize) -> Result<Bytes> {
    Buffer::Pages(Pages::new(len, home).unwrap()).read(len as u64, file, 0, &Transfer::default())
}

fn home() -> &'static Spare {
    Box::leak(Box::new(Spare(Mutex::default())))
}

#[test]
fn what_is_kept_is_bounded() {
    let home = home();
    for len in [PIECE + 1, 5 << 20, 10 << 20, 31 << 20, KEPT, KEPT + 1] {
        let all = vec![len as u8 | 1; len];
        assert!(read(home, &file(&all), len).unwrap() == all, "{len} bytes came back as others");
        let kept: Vec<_> = home.maps().iter().map(|map| map.len()).collect();
        assert!(kept.iter().sum::<usize>() <= KEPT, "{kept:?}");
    }
}

#[test]
fn pages_are_used_again_and_show_nothing_old() {
    let home = home();
    let first = read(home, &file(&vec![1; 8 << 20]), 8 << 20).unwrap();
    let (at, clone) = (first.as_ptr(), first.slice(7..));
    drop(first);
    assert!(home.maps().is_empty(), "what somebody holds is nobody else's");
    drop(clone);
    let second = read(home, &file(&vec![2; 5 << 20]), 5 << 20).unwrap();
    assert_eq!(second.as_ptr(), at);
    assert!(second == vec![2; 5 << 20]);
    drop(second);
    // What was read in part is not seen, and its pages go back all the same.
    let error = read(home, &file(&vec![3; PIECE + 1]), 5 << 20).unwrap_err();
    assert_eq!((error.kind(), home.maps().len()), (ErrorKind::Corrupt, 1));
    assert!(home.take(3 << 20).is_none(), "8 MiB are kept from an object of 3");
    assert!(home.take(4 << 20).is_some());
}

#[test]
fn what_does_not_fit_is_too_large() {
    for len in [u64::MAX, u64::MAX >> 1, 1 << 60] {
        assert_eq!(Buffer::new(len).err().map(|error| error.kind()), Some(ErrorKind::TooLarge));
    }
}
