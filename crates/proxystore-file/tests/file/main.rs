//! The contract, and what is special to files: hostile directories, killed writers, full disks, several processes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]

mod config;
mod crash;
mod hostile;
mod jumps;
mod moves;
mod places;
mod races;
mod swap;
mod times;
mod wakes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proxystore_core::{Bytes, Connector, ConnectorConfig, Key, Mode, Origin, Payload, PutOptions};
use proxystore_file::{Durability, FileConfig, FileConnector};
use proxystore_testkit::conformance::Harness;
use tempfile::TempDir;

async fn two_handles(durability: Durability) -> Harness {
    let directory = tempfile::tempdir().unwrap();
    let open = async |name: &str| {
        let config = FileConfig { root: directory.path().join(name), durability, ..FileConfig::default() };
        Arc::new(config.connect(Origin::Program).await.unwrap())
    };
    let (first, second, neighbour) = (open("objects").await, open("objects").await, open("others").await);
    Harness::new(first).with_second(second).with_neighbour(neighbour).keeping(directory)
}

proxystore_testkit::conformance!(connector = two_handles(Durability::None).await);

mod power {
    use super::{Durability, two_handles};

    proxystore_testkit::conformance!(connector = two_handles(Durability::Power).await);
}

/// A store in a directory of its own, with room for things beside it.
struct Place {
    directory: TempDir,
    connector: FileConnector,
}

impl Place {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let connector = open(&directory.path().join("objects")).await;
        Self { directory, connector }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("objects")
    }

    async fn again(&self) -> FileConnector {
        open(&self.root()).await
    }

    /// The file of an object that was put.
    fn file(&self, key: &Key) -> PathBuf {
        let name = key.as_str().replace('/', ",");
        let found = files(&self.root()).into_iter().find(|path| path.file_name().unwrap() == name.as_str());
        found.unwrap_or_else(|| panic!("there is no file of {key}"))
    }

    async fn get(&self, key: &Key) -> Option<Bytes> {
        self.connector.get(key).await.unwrap().map(Payload::into_bytes)
    }
}

async fn open(root: &Path) -> FileConnector {
    FileConfig { root: root.into(), ..FileConfig::default() }.connect(Origin::Program).await.unwrap()
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn creating() -> PutOptions {
    PutOptions { mode: Mode::Create, ..PutOptions::default() }
}

/// Everything below `directory` that is not a directory, symbolic links not followed.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

/// Files that a put has begun and not ended.
fn temps(root: &Path) -> usize {
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    files(root).iter().map(name).filter(|name| name.starts_with('=') && name.len() == 27).count()
}
