//! Managers beside stores.

use std::time::Duration;

use proxystore_core::ErrorKind;
use proxystore_manager::{
    AuthKey, Context, LazyProxy, Limits, Manager, ObjectProxy, RemoteError, RemoteErrorKind, object,
};
use proxystore_store::{MsgPack, Proxy, Registry, Store};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;
use serde::Serialize;

use crate::common::{KEY, address, client, key, limits};

/// Frames that lie in a store; here is only which there are.
#[derive(Default, Serialize)]
struct Album {
    title: String,
    frames: Vec<Proxy<Vec<u32>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<AlbumProxy>,
}

#[object(typeid = "test.Album", value)]
impl Album {
    #[ctor]
    fn new(title: String) -> Self {
        Self { title, ..Self::default() }
    }

    fn add(&mut self, frame: Proxy<Vec<u32>>) {
        self.frames.push(frame);
    }

    fn frame(&self, number: usize) -> Option<Proxy<Vec<u32>>> {
        self.frames.get(number).cloned()
    }

    async fn sum(&self, frame: Proxy<Vec<u32>>) -> Result<u32, String> {
        let frame = frame.resolve_async().await.map_err(|error| error.to_string())?;
        Ok(frame.iter().sum())
    }

    fn title(&self, times: usize) -> String {
        self.title.repeat(times)
    }

    fn follow(&mut self, context: &Context) -> Result<(), RemoteError> {
        self.next = Some(context.host(Self::default())?);
        Ok(())
    }
}

/// What a copy of an album is.
#[derive(Debug, PartialEq, serde::Deserialize, Serialize)]
struct Copy {
    title: String,
}

fn registry() {
    Registry::global().install(proxystore_file::DRIVER);
}

fn builder() -> proxystore_manager::Builder {
    Manager::builder().register::<Album>().authkey(key()).limits(limits())
}

/// Serves albums, and opens the store of this URI if there is one.
#[tokio::test]
async fn server() {
    role!("store::server");
    registry();
    let uri = process::hear().await.unwrap();
    let store = if uri.is_empty() { None } else { Some(Store::open(&uri).await.unwrap()) };
    let limits = Limits { max_frame: 64 << 10, ..limits() };
    let builder = builder().limits(limits);
    let builder = match &store {
        Some(store) => builder.offload_above(1000, store),
        None => builder,
    };
    let manager = builder.serve_anywhere().await.unwrap();
    process::say(&address(&manager));
    process::hear().await;
    manager.shutdown().await.unwrap();
}

async fn serve(uri: &str) -> (Role, Manager) {
    let mut server = Role::spawn("store::server", &[]);
    server.say(uri).await;
    let address = server.hear().await.unwrap();
    let manager = Manager::connect(&address, AuthKey::new(KEY).unwrap()).await.unwrap();
    (server, manager)
}

/// A store in a directory.
async fn store() -> (tempfile::TempDir, String, Store) {
    registry();
    let directory = tempfile::tempdir().unwrap();
    let uri = format!("file://{}", directory.path().canonicalize().unwrap().join("objects").display());
    let store = Store::open(&uri).await.unwrap();
    (directory, uri, store)
}

#[tokio::test]
async fn methods_take_and_return_proxies_of_a_store() {
    let (_directory, uri, store) = store().await;
    let (mut server, manager) = serve(&uri).await;
    let album = AlbumProxy::create(&manager, "a".to_string()).await.unwrap();
    // Above what a message may hold: the bytes go past the manager.
    let frame = store.proxy(vec![1; 100_000]).await.unwrap();
    album.add(frame.clone()).await.unwrap();
    let found = album.frame(0).await.unwrap().unwrap();
    assert!(!found.is_resolved());
    assert_eq!(found.resolve_async().await.unwrap(), frame.resolve_async().await.unwrap());
    assert_eq!(album.frame(1).await.unwrap().map(|_| ()), None);
    // The manager resolves one, too.
    assert_eq!(album.sum(frame).await, Ok(100_000));
    server.wait().await;
}

#[tokio::test]
async fn a_snapshot_outlives_its_manager() {
    let (_directory, uri, store) = store().await;
    let (mut server, manager) = serve(&uri).await;
    let album = AlbumProxy::create(&manager, "summer ".repeat(50_000)).await.unwrap_err();
    assert_eq!(album.kind(), RemoteErrorKind::TooLarge);
    let album = AlbumProxy::create(&manager, "summer".to_string()).await.unwrap();
    let snapshot: Proxy<Copy, MsgPack> = album.base().snapshot_into(&store).await.unwrap();
    server.wait().await;
    assert!(album.title(1).await.is_err());
    let letter = serde_json::to_string(&snapshot).unwrap();
    let received: Proxy<Copy, MsgPack> = serde_json::from_str(&letter).unwrap();
    assert_eq!(received.resolve_async().await.unwrap().title, "summer");
}

#[tokio::test]
async fn a_snapshot_at_home_is_the_same() {
    let (_directory, _, store) = store().await;
    let manager = builder().in_process().unwrap();
    let album = manager.host(Album::new("autumn".into())).unwrap();
    let snapshot: Proxy<Copy, MsgPack> = album.base().snapshot_into(&store).await.unwrap();
    album.base().call_method::<_, (), ()>("follow", &()).await.unwrap();
    assert_eq!(snapshot.resolve_async().await.unwrap().title, "autumn");
    // Now there is a live object in it, which a store cannot keep alive; from afar that is the same.
    let error = album.base().snapshot_into::<Copy>(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Codec, "{error}");
    manager.publish("album", &album).await.unwrap();
    let away: AlbumProxy = client(&manager).await.lookup("album").await.unwrap();
    let error = away.base().snapshot_into::<Copy>(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Codec, "{error}");
}

#[tokio::test]
async fn a_manager_writes_to_no_store_that_it_does_not_trust() {
    let (_directory, _, store) = store().await;
    let (mut server, manager) = serve("").await;
    let album = AlbumProxy::create(&manager, "a".to_string()).await.unwrap();
    let error = album.base().snapshot_into::<Copy>(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    server.wait().await;
}

/// The files in a store's directory.
fn files(directory: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries.map(|entry| if entry.file_type().unwrap().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

/// Waits until there are as few files as before.
async fn none_left(directory: &std::path::Path, before: usize) {
    let gone = async {
        while files(directory) > before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(10), gone).await;
    assert!(in_time.is_ok(), "{} files are left, and {before} were there before", files(directory));
}

#[tokio::test]
async fn a_large_result_goes_through_the_store_and_nobody_sees_a_difference() {
    let (directory, uri, _store) = store().await;
    let before = files(directory.path());
    let (mut server, manager) = serve(&uri).await;
    let album = AlbumProxy::create(&manager, "x".to_string()).await.unwrap();
    // A message may hold 64 KiB.
    for length in [10, 1000, 200_000] {
        assert_eq!(album.title(length).await.unwrap().len(), length);
    }
    none_left(directory.path(), before).await;
    server.wait().await;

    let (mut server, manager) = serve("").await;
    let album = AlbumProxy::create(&manager, "x".to_string()).await.unwrap();
    assert_eq!(album.title(200_000).await.unwrap_err().kind(), RemoteErrorKind::TooLarge);
    server.wait().await;
}

#[tokio::test]
async fn a_large_result_that_nobody_waits_for_is_taken_out_of_the_store() {
    let (directory, _, store) = store().await;
    let before = files(directory.path());
    let manager = builder().offload_above(10, &store).in_process().unwrap();
    let away = client(&manager).await;
    let album = AlbumProxy::create(&away, "x".to_string()).await.unwrap();
    for i in 0..200 {
        // Begun, and dropped at any point of its way.
        let _ = tokio::time::timeout(Duration::from_micros(20 * i), album.title(1000)).await;
    }
    assert_eq!(album.title(1000).await.unwrap().len(), 1000);
    none_left(directory.path(), before).await;
}

#[tokio::test]
async fn a_lazy_proxy_is_a_copy_when_it_is_asked_for() {
    let manager = builder().in_process().unwrap();
    let album = manager.host(Album::new("spring".into())).unwrap();
    let lazy: LazyProxy<Copy> = album.base().lazy();
    assert!(!lazy.is_resolved());
    let letter = serde_json::to_string(&lazy).unwrap();
    drop((lazy, album));
    let received: LazyProxy<Copy> = serde_json::from_str(&letter).unwrap();
    assert_eq!(received.resolve_async().await.unwrap().title, "spring");
    // The copy stays, the object does not.
    manager.shutdown().await.unwrap();
    assert_eq!(received.get().unwrap().title, "spring");
    let late: LazyProxy<Copy> = serde_json::from_str(&letter).unwrap();
    assert!(late.resolve_async().await.is_err());
}
