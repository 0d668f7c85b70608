//! Writers that are killed and disks that are full: objects are whole, and nothing stays behind.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use proxystore_core::{Connector, ErrorKind, Id, Key, Payload, PutOptions};
use proxystore_testkit::cancel::{eventually, poll_and_drop};
use proxystore_testkit::fault::{Fault, FaultConnector, Op};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::{role, sample, skip};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::{Place, creating, key, open, temps};

const KEYS: u64 = 8;

fn victim(number: u64) -> Key {
    // Long and short keys.
    let tail = if number.is_multiple_of(2) {
        String::new()
    } else {
        format!("/{}/{}", "x".repeat(200), "y".repeat(60))
    };
    key(&format!("object-{number}{tail}"))
}

/// Puts objects as fast as it can until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer() {
    role!("crash::writer");
    let connector = open(Path::new(&std::env::var("STORE").unwrap())).await;
    let first = std::env::var("FIRST").unwrap().parse::<u64>().unwrap();
    process::say("ready");
    let loops = (0..4u64).map(|task| {
        let connector = &connector;
        async move {
            for round in 0u64.. {
                let seed = first + round * 4 + task;
                // Small ones have no file that a killed writer could leave.
                let size = if seed % 3 > 0 { 700_000 } else { 16 + (seed as usize * 7919) % 9_000 };
                let value = sample::make(seed, size).into();
                let options = if seed % 5 == 0 { creating() } else { PutOptions::default() };
                match connector.put(&victim(seed % KEYS), value, &options).await {
                    Err(error) if error.kind() != ErrorKind::Exists => panic!("{error}"),
                    _ => {}
                }
            }
        }
    });
    futures_util::future::join_all(loops).await;
}

#[tokio::test]
async fn objects_are_whole_after_a_writer_was_killed_at_200_points() {
    let place = Place::new().await;
    let root = place.root().display().to_string();
    let (mut whole, mut stale) = (0, 0);
    for kill in 0..200u64 {
        let first = (kill * 1_000_000).to_string();
        let mut writer = Role::spawn("crash::writer", &[("STORE", &root), ("FIRST", &first)]);
        assert_eq!(writer.hear().await.as_deref(), Some("ready"));
        let random =
            Id::random().unwrap().as_bytes()[..2].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        tokio::time::sleep(Duration::from_micros(random % 8_000)).await;
        writer.kill().await;
        for number in 0..KEYS {
            let Some(object) = place.connector.get(&victim(number)).await.unwrap() else { continue };
            let seed = sample::seed(object).unwrap_or_else(|why| panic!("after kill {kill}: {why}"));
            assert_eq!(seed % KEYS, number);
            whole += 1;
        }
        let left = temps(&place.root());
        stale += left;
        if kill % 10 == 9 {
            place.connector.sweep().await.unwrap();
            assert_eq!(temps(&place.root()), 0, "a sweep left files of dead writers");
        }
    }
    assert!(whole > 1_000, "the writers wrote too little to show anything: {whole}");
    assert!(stale > 20, "the writers were killed too seldom within a put: {stale}");
}

#[tokio::test]
async fn a_sweep_spares_living_writers_of_other_processes() {
    let place = Place::new().await;
    let root = place.root().display().to_string();
    let mut writer = Role::spawn("crash::writer", &[("STORE", &root), ("FIRST", "0")]);
    assert_eq!(writer.hear().await.as_deref(), Some("ready"));
    // The writer panics, and so ends, when a sweep takes a file from under it.
    for _ in 0..200 {
        place.connector.sweep().await.unwrap();
    }
    writer.say("are you alive?").await;
    eventually(Duration::from_secs(20), || async { temps(&place.root()) > 0 }).await;
    writer.kill().await;
}

/// Puts one object over a connector with points around the put.
#[tokio::test]
async fn pointed() {
    role!("crash::pointed");
    let connector = FaultConnector::new(Arc::new(open(Path::new(&std::env::var("STORE").unwrap())).await));
    connector.every(Op::Put, Fault::Point("before-put"));
    let value = sample::make(7, 500_000);
    connector.put(&key("k"), value.clone().into(), &creating()).await.unwrap();
    connector.evict(&key("k")).await.unwrap();
    connector.every(Op::Put, Fault::PointAfter("after-put"));
    connector.put(&key("k"), value.into(), &creating()).await.unwrap();
    process::say("answered");
}

#[tokio::test]
async fn a_put_is_absent_before_and_whole_after_although_the_writer_never_knew() {
    for (point, there) in [("before-put", None), ("after-put", Some(7))] {
        let place = Place::new().await;
        let root = place.root().display().to_string();
        let mut writer = Role::spawn_until("crash::pointed", point, &[("STORE", &root)]);
        writer.kill_at_point().await;
        assert_eq!(writer.hear().await, None, "the put was answered");
        let object = place.connector.get(&key("k")).await.unwrap();
        assert_eq!(object.map(|object| sample::seed(object).unwrap()), there, "killed {point}");
        // A second writer, which retries, finds that out.
        let again = place.connector.put(&key("k"), sample::make(7, 500_000).into(), &creating()).await;
        assert_eq!(again.err().map(|error| error.kind()), there.map(|_| ErrorKind::Exists));
    }
}

#[tokio::test]
async fn dropped_puts_leave_nothing() {
    let place = Place::new().await;
    let k = key("k");
    for polls in 0..20 {
        for options in [PutOptions::default(), creating()] {
            let value = sample::make(polls as u64, 3_000_000).into();
            let _ = poll_and_drop(place.connector.put(&k, value, &options), polls).await;
            if let Some(object) = place.connector.get(&k).await.unwrap() {
                sample::seed(object).unwrap();
            }
        }
    }
    eventually(Duration::from_secs(20), || async { temps(&place.root()) == 0 }).await;
}

/// Puts more at once than it may have files open.
#[tokio::test]
async fn poor() {
    role!("crash::poor");
    let connector = open(Path::new(&std::env::var("STORE").unwrap())).await;
    connector.sweep().await.unwrap();
    let limit = Rlimit { current: Some(30), maximum: Some(30) };
    setrlimit(Resource::Nofile, limit).unwrap();
    let keys: Vec<_> = (0..300).map(|i| key(&format!("k{i}"))).collect();
    let mut refused = 0;
    while refused == 0 {
        let options = PutOptions::default();
        // Small ones would be put one after the other where the directory is in memory.
        let puts = keys.iter().map(|k| connector.put(k, sample::make(1, 200_000).into(), &options));
        for error in futures_util::future::join_all(puts).await.into_iter().filter_map(Result::err) {
            assert!(error.kind() == ErrorKind::Unavailable && error.is_transient(), "{error}");
            refused += 1;
        }
    }
    for k in &keys {
        connector.put(k, sample::make(2, 50_000).into(), &PutOptions::default()).await.unwrap();
    }
    process::say(&refused.to_string());
}

#[tokio::test]
async fn a_process_without_files_to_spare_recovers() {
    let place = Place::new().await;
    let mut poor = Role::spawn("crash::poor", &[("STORE", &place.root().display().to_string())]);
    let refused = poor.hear().await.expect("the role to get to its end");
    assert!(refused.parse::<u64>().unwrap() > 0);
    assert!(poor.wait().await.success());
    assert_eq!(temps(&place.root()), 0);
    for i in 0..300 {
        let object = place.connector.get(&key(&format!("k{i}"))).await.unwrap().unwrap();
        assert_eq!(sample::seed(object), Ok(2));
    }
}

/// A file system of one MiB, mounted as long as this lives.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(directory.path());
        match mount.output() {
            Ok(output) if output.status.success() => return Some(Self(directory)),
            Ok(output) => skip::record("mount", &String::from_utf8_lossy(&output.stderr)),
            Err(error) => skip::record("mount", &error.to_string()),
        }
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_full_and_nothing_more() {
    let Some(disk) = SmallDisk::mount() else { return };
    let root = disk.0.path().join("objects");
    let connector = open(&root).await;
    let small = sample::make(1, 10_000);
    connector.put(&key("small"), small.clone().into(), &PutOptions::default()).await.unwrap();
    for options in [PutOptions::default(), creating()] {
        for target in ["small", "large"] {
            let large = sample::make(2, 2 << 20).into();
            let error = connector.put(&key(target), large, &options).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Full, "{error}");
            assert_eq!(temps(&root), 0);
        }
    }
    assert!(!connector.exists(&key("large")).await.unwrap());
    let got = connector.get(&key("small")).await.unwrap().map(Payload::into_bytes);
    assert_eq!(got, Some(small.clone()));
    // Filled to the last block, objects can be read, evicted and replaced by what fits.
    let mut count = 0;
    let full = loop {
        let put =
            connector.put(&key(&format!("n{count}")), small.clone().into(), &PutOptions::default()).await;
        let Err(error) = put else {
            count += 1;
            continue;
        };
        break error;
    };
    assert_eq!(full.kind(), ErrorKind::Full, "{full}");
    assert!(count > 10 && temps(&root) == 0);
    connector.evict(&key("n0")).await.unwrap();
    connector.put(&key("n1"), small.into(), &PutOptions::default()).await.unwrap();
    connector.clear().await.unwrap();
    connector.put(&key("half"), sample::make(3, 1 << 19).into(), &PutOptions::default()).await.unwrap();
    assert_eq!(fs::read_dir(&root).unwrap().filter(|entry| entry.is_err()).count(), 0);
}
