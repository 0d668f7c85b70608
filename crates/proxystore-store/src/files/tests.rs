use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use proxystore_local::LocalConnector;
use proxystore_testkit::cancel::{eventually, poll_and_drop};
use proxystore_testkit::fault::{Fault, FaultConnector, Op};
use proxystore_testkit::sample;
use tempfile::TempDir;

use super::*;
use crate::{Lifetime, Scope};

/// A store whose connector misbehaves on demand, and a directory for files.
struct Place {
    store: Store,
    connector: Arc<FaultConnector>,
    folder: TempDir,
}

impl Place {
    async fn new() -> Self {
        let connector = FaultConnector::new(Arc::new(LocalConnector::new().unwrap()));
        let store = Store::builder("files").shared_connector(connector.clone()).cache_objects(0);
        let store = store.max_object(10 << 20).build().await.unwrap();
        Self { store, connector, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, content: &[u8]) -> PathBuf {
        fs::write(self.path("file"), content).unwrap();
        self.path("file")
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }
}

#[tokio::test]
async fn a_file_goes_and_comes() {
    let place = Place::new().await;
    for size in [0, 1, 79, 80, 81, 1_000, 3 << 20] {
        let content = sample::make(1, size);
        let proxy = place.store.proxy_file(place.file(&content)).await.unwrap();
        assert_eq!(proxy.factory().length(), size as u64);
        proxy.factory().save(place.path("copy")).await.unwrap();
        assert!(fs::read(place.path("copy")).unwrap() == content, "{size} bytes");
        assert_eq!(place.names(), ["copy", "file"]);
        // To all others it is an object like any other.
        assert!(*proxy.resolve_async().await.unwrap() == content, "{size} bytes");
        let got = place.store.get::<Vec<u8>>(proxy.factory().key()).codec::<Raw>().await.unwrap();
        assert!(*got.unwrap() == content, "{size} bytes");
    }
}

#[tokio::test]
async fn what_was_put_as_bytes_is_saved() {
    let place = Place::new().await;
    let proxy = place.store.proxy(Bytes::from("some bytes")).codec::<Raw>().await.unwrap();
    proxy.factory().save(place.path("copy")).await.unwrap();
    assert_eq!(fs::read(place.path("copy")).unwrap(), b"some bytes");
}

/// What is damaged or missing is an error, and what had the name stays.
#[tokio::test]
async fn only_what_is_whole_gets_the_name() {
    let place = Place::new().await;
    let proxy = place.store.proxy_file(place.file(&sample::make(1, 5_000))).await.unwrap();
    fs::write(place.path("copy"), "what was there").unwrap();
    let flips = (0..80).chain([80, 3_000, 5_079]).map(Fault::Flip);
    for fault in flips.chain([0, 1, 79, 80, 5_079].map(Fault::Truncate)) {
        place.connector.next(Op::Get, fault.clone());
        let error = proxy.factory().save(place.path("copy")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{fault:?}: {error}");
    }
    assert_eq!(place.connector.injected().values().sum::<u64>(), 88);
    let lost = Error::new(ErrorKind::Unavailable, "the cable is cut");
    place.connector.next(Op::Get, Fault::FailAfter(lost));
    let error = proxy.factory().save(place.path("copy")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    proxy.factory().evict().await.unwrap();
    let error = proxy.factory().save(place.path("copy")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing, "{error}");
    assert_eq!(error.context("operation"), Some("save"));

    assert_eq!(fs::read(place.path("copy")).unwrap(), b"what was there");
    eventually(Duration::from_secs(10), || async { place.names() == ["copy", "file"] }).await;
}

#[tokio::test]
async fn a_save_that_is_dropped_leaves_nothing() {
    let place = Place::new().await;
    let proxy = place.store.proxy_file(place.file(&sample::make(1, 3 << 20))).await.unwrap();
    let mut polls = 0;
    while poll_and_drop(proxy.factory().save(place.path("copy")), polls).await.is_none() {
        polls += 1;
        // It may be whole by now, as the work that has begun goes on.
        let whole = || fs::read(place.path("copy")).is_ok_and(|copy| sample::seed(copy) == Ok(1));
        eventually(Duration::from_secs(10), || async { place.names() == ["file"] || whole() }).await;
        eventually(Duration::from_secs(10), || async { place.names().len() <= 2 }).await;
    }
    assert!(polls > 2, "it was dropped only {polls} times");
    eventually(Duration::from_secs(10), || async { place.names() == ["copy", "file"] }).await;
}

/// A file that changes while it is put is not put, or at least never read as if it were whole.
#[tokio::test]
async fn a_file_that_changes_is_noticed() {
    let place = Place::new().await;
    let path = place.file(b"before");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let put_while = async |change: &dyn Fn(&Path)| {
        fs::write(&path, "before").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        let calls = place.connector.calls(Op::Put);
        place.connector.next(Op::Put, Fault::Hang);
        let changes = async {
            place.connector.reached(Op::Put, calls + 1).await;
            change(&path);
            place.connector.release();
        };
        futures_util::future::join(place.store.proxy_file(&path).into_future(), changes).await.0
    };
    let error = put_while(&|path| fs::write(path, "longer than before").unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    let error = put_while(&|path| fs::write(path, "").unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");

    // A change that nothing shows.
    let proxy = put_while(&|path| {
        fs::write(path, "change").unwrap();
        File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
    })
    .await;
    let error = proxy.unwrap().factory().save(place.path("copy")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(!place.path("copy").exists());
}

#[tokio::test]
async fn what_cannot_be_is_said() {
    let place = Place::new().await;
    let error = place.store.proxy_file(place.path("nothing")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert_eq!(error.context("operation"), Some("proxy_file"));
    let large = place.file(&vec![0; (10 << 20) + 1]);
    assert_eq!(place.store.proxy_file(large).await.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(place.connector.total(), 0);

    let ephemeral = place.store.proxy(Bytes::from("once")).codec::<Raw>().ephemeral().await.unwrap();
    let error = ephemeral.factory().save(place.path("copy")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert_eq!(ephemeral.resolve_async().await.unwrap(), "once");

    // Of another codec: as the reference says, and as the object does.
    let other = place.store.proxy(String::from("text")).await.unwrap();
    let text = serde_json::to_string(&other).unwrap();
    let lies: Proxy<Bytes, Raw> = serde_json::from_str(&text).unwrap();
    assert_eq!(lies.factory().save(place.path("copy")).await.unwrap_err().kind(), ErrorKind::Codec);
    let lies: Proxy<Bytes, Raw> = place.store.proxy_from_key(other.factory().key().clone());
    assert_eq!(lies.factory().save(place.path("copy")).await.unwrap_err().kind(), ErrorKind::Codec);

    let proxy = place.store.proxy(Bytes::from("bytes")).codec::<Raw>().await.unwrap();
    let error = proxy.factory().save(place.path("nowhere/copy")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(!place.path("copy").exists());
}

#[tokio::test]
async fn the_target_of_a_future_is_waited_for() {
    let place = Place::new().await;
    let future = place.store.future::<Bytes>().codec::<Raw>().await.unwrap();
    let proxy = future.proxy();
    let (saved, set) =
        futures_util::future::join(async { proxy.factory().save(place.path("copy")).await }, async {
            future.set(&Bytes::from("at last")).await
        })
        .await;
    saved.unwrap();
    set.unwrap();
    assert_eq!(fs::read(place.path("copy")).unwrap(), b"at last");
}

#[tokio::test]
async fn files_have_times_and_lifetimes() {
    let place = Place::new().await;
    let path = place.file(b"short-lived");
    let proxy = place.store.proxy_file(&path).ttl(Duration::ZERO).tags(["hot"]).await.unwrap();
    assert!(!place.store.exists(proxy.factory().key()).await.unwrap());

    let scope = Scope::new();
    let proxy = place.store.proxy_file(&path).lifetime(&scope).await.unwrap();
    assert!(place.store.exists(proxy.factory().key()).await.unwrap());
    assert!(scope.end().await.is_complete());
    assert!(!place.store.exists(proxy.factory().key()).await.unwrap());
    let late = place.store.proxy_file(&path).lifetime(&scope).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Closed, "{late}");
}

#[cfg(feature = "sign")]
#[tokio::test]
async fn only_who_may_read_saves() {
    use proxystore_core::{KeyRing, SecretKey};

    let place = Place::new().await;
    let keys = KeyRing::new(SecretKey::random("a").unwrap());
    let store = Store::builder("signed").connector(LocalConnector::new().unwrap()).sign(keys);
    let store = store.build().await.unwrap();
    let proxy = store.proxy_file(place.file(b"secret")).await.unwrap();
    let reader = proxy.factory().limited(Rights::READ, None).unwrap();
    reader.save(place.path("copy")).await.unwrap();
    let evicter = proxy.factory().limited(Rights::EVICT, None).unwrap();
    assert_eq!(evicter.save(place.path("other")).await.unwrap_err().kind(), ErrorKind::Denied);
    assert!(!place.path("other").exists());
}
