use std::time::Duration;

use super::*;

/// A directory of its own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("proxystore-core-{}", Id::random().unwrap()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, content: &[u8]) -> PathBuf {
        let path = self.0.join("file");
        fs::write(&path, content).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn gathered(each: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>) -> Vec<u8> {
    let mut all = Vec::new();
    each(&mut |bytes| {
        all.extend_from_slice(bytes);
        Ok(())
    })
    .unwrap();
    all
}

#[test]
fn any_range_of_head_and_file_is_read() {
    let folder = Folder::new();
    let source = FileSource::open(folder.file(b"file")).unwrap().with_head("head");
    assert_eq!(source.size(), 8);
    for start in 0..=8 {
        for end in start..=8 {
            let mut some = vec![0; end - start];
            source.read(start as u64, &mut some).unwrap();
            assert_eq!(some, b"headfile"[start..end]);
        }
    }
    assert_eq!(source.read(3, &mut [0; 6]).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(source.payload().unwrap().into_bytes(), "headfile");
}

#[test]
fn large_files_are_shown_in_order() {
    let folder = Folder::new();
    let content: Vec<u8> = (0..3 * STEP as u64 + 5).map(|i| (i % 251) as u8).collect();
    let source = FileSource::open(folder.file(&content)).unwrap().with_head("head");
    assert!(gathered(|work| source.each(work)) == content);
    let target = FileTarget::new(folder.0.join("copy"), 4);
    let draft = target.draft_of(&source.payload().unwrap()).unwrap();
    assert!(gathered(|work| draft.each(work)) == content);
    assert_eq!(draft.head(), "head");
}

#[test]
fn changes_are_noticed() {
    let folder = Folder::new();
    let path = folder.file(b"before");
    let changes: [fn(&Path); 3] = [
        |path| fs::write(path, "longer than before").unwrap(),
        |path| fs::write(path, "b").unwrap(),
        |path| {
            let later = SystemTime::now() + Duration::from_secs(5);
            fs::write(path, "before").unwrap();
            File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
        },
    ];
    for change in changes {
        fs::write(&path, "before").unwrap();
        let source = FileSource::open(&path).unwrap();
        source.check().unwrap();
        change(&path);
        assert_eq!(source.check().unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(source.payload().unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(source.each(|_| Ok(())).unwrap_err().kind(), ErrorKind::Conflict);
    }
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = Folder::new();
    let kind = |path: PathBuf| FileSource::open(path).unwrap_err().kind();
    assert_eq!(kind(folder.0.clone()), ErrorKind::Config);
    assert_eq!(kind(folder.0.join("nothing")), ErrorKind::Config);
    assert_eq!(kind("/dev/null".into()), ErrorKind::Config);
    let nowhere = FileTarget::new(folder.0.join("nothing/file"), 0);
    assert_eq!(nowhere.draft(1).unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn pieces_come_in_any_order() {
    let folder = Folder::new();
    let target = FileTarget::new(folder.0.join("file"), 3);
    let draft = target.draft(10).unwrap();
    draft.write(7, b"789").unwrap();
    draft.write(2, b"23456").unwrap();
    draft.write(0, b"01").unwrap();
    assert_eq!(draft.head(), "012");
    assert_eq!(draft.write(9, b"90").unwrap_err().kind(), ErrorKind::Unexpected);
    draft.publish().unwrap();
    assert_eq!(fs::read(folder.0.join("file")).unwrap(), b"3456789");
    assert_eq!(folder.names(), ["file"]);
}

#[test]
fn an_object_may_be_shorter_than_its_head() {
    let folder = Folder::new();
    let draft = FileTarget::new(folder.0.join("file"), 80).draft_of(&b"short".as_slice().into()).unwrap();
    assert_eq!((draft.head(), draft.size()), ("short".into(), 5));
    assert!(gathered(|work| draft.each(work)).is_empty());
}

/// Until it is published, what was there is there; what is not published leaves nothing, wherever it is dropped.
#[test]
fn a_draft_is_seen_when_it_is_published() {
    let folder = Folder::new();
    let path = folder.file(b"old");
    let draft = |text: &'static str| FileTarget::new(&path, 0).draft_of(&text.as_bytes().into()).unwrap();
    drop(draft("dropped"));
    assert_eq!(folder.names(), ["file"]);

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { drop(draft("dropped in a runtime")) });
    // Ends when the work that has begun does.
    drop(runtime);
    assert_eq!(folder.names(), ["file"]);

    let new = draft("new");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(folder.names().len(), 2);
    new.publish().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(folder.names(), ["file"]);

    let onto_a_directory = FileTarget::new(&folder.0, 0).draft(0).unwrap();
    assert_eq!(onto_a_directory.publish().unwrap_err().kind(), ErrorKind::Config);
}
