//! URIs, and who may make what.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use proxystore_core::{Connector, ConnectorConfig, Driver, ErrorKind, Origin, PutOptions, Result, Uri};
use proxystore_file::{DRIVER, Durability, FileConfig};

use super::{Place, files, key};

async fn open(uri: &str, origin: Origin) -> Result<std::sync::Arc<dyn Connector>> {
    const DRIVER_OF_FILE: Driver = DRIVER;
    DRIVER_OF_FILE.open(&uri.parse::<Uri>()?, origin).await
}

#[tokio::test]
async fn a_uri_that_is_no_directory_is_refused() {
    for uri in [
        "file://",
        "file:///",
        "file://host/a",
        "file://u:p@/a",
        "file:///a?durability=most",
        "file:///a?sweep=0s",
        "file:///a?sweep=often",
        "file:///a?swep=1s",
    ] {
        let error = open(uri, Origin::Program).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{uri}: {error}");
    }
    assert!(open("file:///a?swep=1s", Origin::Program).await.unwrap_err().to_string().contains("`sweep`"));
    for root in ["", "relative", "/", "/tmp/../tmp/x"] {
        let config = FileConfig { root: root.into(), ..FileConfig::default() };
        assert_eq!(config.connect(Origin::Program).await.unwrap_err().kind(), ErrorKind::Config, "{root}");
    }
}

#[test]
fn the_identity_is_the_directory_alone() {
    let config = FileConfig::from_uri(&"file:///a%20b/c?durability=data&sweep=5s".parse().unwrap()).unwrap();
    assert_eq!((config.durability, config.sweep.as_secs()), (Durability::Data, 5));
    assert_eq!(config.identity().to_string(), "file:///a%20b/c");
    assert_eq!(DRIVER.identity(&"file:///a/?sweep=1s".parse().unwrap()).unwrap().to_string(), "file:///a");
}

#[tokio::test]
async fn a_program_makes_the_directory_for_itself_alone() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("a/b");
    for durability in ["none", "data", "power"] {
        let uri = format!("file://{}?durability={durability}", root.display());
        let connector = open(&uri, Origin::Program).await.unwrap();
        assert_eq!(connector.info().uri.to_string(), format!("file://{}", root.display()));
        connector.put(&key(durability), vec![1].into(), &PutOptions::default()).await.unwrap();
        assert_eq!(connector.get(&key(durability)).await.unwrap().unwrap().len(), 1);
    }
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(root.clone()), 0o700);
    for file in files(&root).into_iter().filter(|file| !file.is_symlink()) {
        assert_eq!(mode(file.parent().unwrap().into()) & 0o077, 0);
        assert_eq!(mode(file) & 0o077, 0);
    }
}

#[tokio::test]
async fn a_program_may_come_through_a_link_and_references_get_the_real_path() {
    let place = Place::new().await;
    let link = place.directory.path().join("link");
    symlink(place.root(), &link).unwrap();
    let connector = open(&format!("file://{}", link.display()), Origin::Program).await.unwrap();
    assert_eq!(connector.info().uri, place.connector.info().uri);
    let error = open(&format!("file://{}", link.display()), Origin::Reference).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let below = place.directory.path().join("way");
    symlink(place.directory.path(), &below).unwrap();
    let error = open(&format!("file://{}/objects", below.display()), Origin::Reference).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    open(&connector.info().uri.to_string(), Origin::Reference).await.unwrap();
}

#[tokio::test]
async fn a_reference_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("empty")).unwrap();
    fs::write(directory.path().join("file"), "text").unwrap();
    for name in ["missing", "missing/too", "empty", "file"] {
        let uri = format!("file://{}", directory.path().join(name).display());
        let error = open(&uri, Origin::Reference).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    assert_eq!(fs::read_dir(directory.path().join("empty")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_directory_that_no_uri_can_name_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let config = FileConfig { root: directory.path().join("line\nbreak"), ..FileConfig::default() };
    assert_eq!(config.connect(Origin::Program).await.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_removed_directory_is_an_outage() {
    let place = Place::new().await;
    place.connector.put(&key("k"), vec![1].into(), &PutOptions::default()).await.unwrap();
    fs::remove_dir_all(place.root()).unwrap();
    let kind = |error: proxystore_core::Error| error.kind();
    let connector = &place.connector;
    let put = connector.put(&key("k"), vec![2].into(), &PutOptions::default()).await;
    assert_eq!(put.map_err(kind), Err(ErrorKind::Unavailable));
    assert_eq!(connector.get(&key("k")).await.map_err(kind), Err(ErrorKind::Unavailable));
    assert_eq!(connector.exists(&key("k")).await.map_err(kind), Err(ErrorKind::Unavailable));
    assert_eq!(connector.evict(&key("k")).await.map_err(kind), Err(ErrorKind::Unavailable));
    assert_eq!(connector.take(&key("k")).await.map_err(kind), Err(ErrorKind::Unavailable));
    assert!(!place.root().exists());
}
