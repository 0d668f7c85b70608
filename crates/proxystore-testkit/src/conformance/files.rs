//! Objects that come from files and go into files.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use proxystore_core::{Bytes, ErrorKind, FileSource, FileTarget, Mode, Payload, PutOptions};
use tempfile::TempDir;

use super::{Harness, Outcome, creating};
use crate::cancel::{eventually, poll_and_drop};
use crate::sample;

/// What comes first, and is not part of the file.
const HEAD: usize = 80;
/// From empty to what goes in pieces.
const SIZES: [usize; 6] = [0, 1, 1_000, 100_000, 5 << 20, 20 << 20];
const HOUR: Duration = Duration::from_secs(3600);

/// A directory for the files of a case.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file of these bytes, behind a head.
    fn source(&self, bytes: &[u8]) -> FileSource {
        let path = self.path("source");
        fs::write(&path, bytes).expect("a file");
        FileSource::open(path).expect("the file").with_head(vec![7; HEAD])
    }

    fn target(&self) -> FileTarget {
        FileTarget::new(self.path("target"), HEAD)
    }

    fn files(&self) -> usize {
        fs::read_dir(self.0.path()).expect("the directory").count()
    }
}

fn sizes(h: &Harness) -> impl Iterator<Item = usize> + use<> {
    let max = h.capabilities().max_value;
    SIZES.into_iter().filter(move |size| (*size + HEAD) as u64 <= max)
}

/// A file comes back as it was, beside its head, and is not there before it is published.
pub async fn come_and_go(h: &Harness) -> Outcome {
    for size in sizes(h) {
        let (folder, key, content) = (Folder::new(), h.key(), sample::make(1, size));
        let source = folder.source(&content);
        h.connector().put_file(&key, &source, &PutOptions::default()).await.expect("put_file");
        let draft =
            h.other().get_file(&key, &folder.target()).await.expect("get_file").expect("what was put");
        assert_eq!(draft.size(), (size + HEAD) as u64);
        assert_eq!(draft.head(), vec![7; HEAD]);
        assert!(!folder.path("target").exists(), "the file has its name before it is published");
        draft.publish().expect("publish");
        let there = fs::read(folder.path("target")).expect("the published file");
        assert!(there == content, "a file of {size} bytes comes back as {} bytes, or altered", there.len());
        assert_eq!(folder.files(), 2, "something else is left in the directory");
        h.connector().evict(&key).await.expect("evict");
    }
    Ok(())
}

/// What is put as a file is got as bytes, and the other way round.
pub async fn bytes_and_files_are_alike(h: &Harness) -> Outcome {
    for size in sizes(h) {
        let (folder, content) = (Folder::new(), sample::make(2, size));
        let payload = Payload::new(vec![7; HEAD], content.clone());
        let [file, bytes] = [h.key(), h.key()];
        let source = folder.source(&content);
        h.connector().put_file(&file, &source, &PutOptions::default()).await.expect("put_file");
        assert!(h.get(&file).await == Some(payload.clone().into_bytes()), "{size} bytes are others as bytes");
        h.put(&bytes, payload.clone()).await;
        let draft =
            h.connector().get_file(&bytes, &folder.target()).await.expect("get_file").expect("an object");
        draft.publish().expect("publish");
        let there = fs::read(folder.path("target")).expect("the published file");
        assert!(there == content, "{size} bytes are others as a file");
        for key in [file, bytes] {
            h.connector().evict(&key).await.expect("evict");
        }
    }
    Ok(())
}

/// A file that has changed since it was opened is not put.
pub async fn changed_is_refused(h: &Harness) -> Outcome {
    for size in sizes(h).filter(|size| *size > 0) {
        for changed in [size / 2, size + 1] {
            let (folder, key) = (Folder::new(), h.key());
            let source = folder.source(&sample::make(3, size));
            fs::write(folder.path("source"), sample::make(3, changed)).expect("another file");
            let put = h.connector().put_file(&key, &source, &PutOptions::default()).await;
            let error = put.expect_err("the file has changed");
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
            assert!(h.get(&key).await.is_none(), "a file that changed was put");
        }
    }
    Ok(())
}

/// An object that is not there is no file, and no error.
pub async fn missing_is_none(h: &Harness) -> Outcome {
    let folder = Folder::new();
    let missing = h.connector().get_file(&h.key(), &folder.target()).await.expect("get_file");
    assert!(missing.is_none(), "an object that was never put comes as a file");
    assert_eq!(folder.files(), 0);
    Ok(())
}

/// Neither a future that is dropped, wherever it is, nor a draft that is not published leaves a file; and a put that
/// is dropped leaves the object whole or absent.
pub async fn drafts_leave_nothing(h: &Harness) -> Outcome {
    for size in sizes(h).filter(|size| [1_000, 20 << 20].contains(size)) {
        let (folder, key, content) = (Folder::new(), h.key(), sample::make(4, size));
        let source = folder.source(&content);
        let whole: Bytes = Payload::new(vec![7; HEAD], content).into_bytes();
        for polls in [0, 1, 2, 3, 5, 8, 13, 40] {
            let options = PutOptions::default();
            poll_and_drop(h.connector().put_file(&key, &source, &options), polls).await;
            let there = h.get(&key).await;
            assert!(there.is_none_or(|there| there == whole), "a dropped put left half an object");
        }
        let options = PutOptions::default();
        h.connector().put_file(&key, &source, &options).await.expect("put_file");
        for polls in [0, 1, 2, 3, 5, 8, 13, 40] {
            poll_and_drop(h.connector().get_file(&key, &folder.target()), polls).await;
        }
        drop(h.connector().get_file(&key, &folder.target()).await.expect("get_file").expect("an object"));
        eventually(Duration::from_secs(10), || async { folder.files() == 1 }).await;
        h.connector().evict(&key).await.expect("evict");
    }
    Ok(())
}

/// The options of a put hold for a file.
pub async fn creates_and_expiry(h: &Harness) -> Outcome {
    let folder = Folder::new();
    let can = h.capabilities();
    for size in sizes(h).filter(|size| [1_000, 20 << 20].contains(size)) {
        let source = folder.source(&sample::make(5, size));
        if can.create {
            let key = h.key();
            let create = || async { h.connector().put_file(&key, &source, &creating()).await };
            create().await.expect("the first create");
            assert_eq!(create().await.expect_err("a second create").kind(), ErrorKind::Exists);
            h.connector().evict(&key).await.expect("evict");
        }
        if can.ttl {
            for (ttl, stays) in [(Duration::ZERO, false), (HOUR, true)] {
                let (key, options) = (h.key(), PutOptions { ttl: Some(ttl), ..PutOptions::default() });
                h.connector().put_file(&key, &source, &options).await.expect("put_file with a ttl");
                let there = h.connector().get_file(&key, &folder.target()).await.expect("get_file");
                assert_eq!(there.is_some(), stays, "after a put for {ttl:?}");
                h.connector().evict(&key).await.expect("evict");
            }
        }
    }
    let key = h.key();
    let over = PutOptions { mode: Mode::Overwrite, ..PutOptions::default() };
    for seed in 6..8 {
        let source = folder.source(&sample::make(seed, 1_000));
        h.connector().put_file(&key, &source, &over).await.expect("put_file");
        let there = h.get(&key).await.expect("what was put");
        assert_eq!(sample::seed(there.slice(HEAD..)), Ok(seed));
    }
    Ok(())
}
