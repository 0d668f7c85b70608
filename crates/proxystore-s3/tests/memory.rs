//! What large objects take in memory. Each measure is taken in a process of its own, of all that it has.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]

use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use proxystore_core::{Connector, Key, Payload, PutOptions};
use proxystore_layers::Policies;
use proxystore_s3::{S3Config, S3Connector};
use proxystore_store::Store;
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use proxystore_testkit::{role, sample};

/// The size of the object: a GiB.
const SIZE: usize = 1 << 30;
/// What a process may need beside the object that it holds; in all, if it holds none.
const MARGIN: usize = 160 << 20;
/// It is made and compared by so many bytes.
const STEP: usize = 1 << 20;

/// The most memory that this process has had, in bytes. Zero if the system does not say.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().strip_suffix("kB").unwrap().trim().parse::<usize>().unwrap() << 10
}

async fn connect(endpoint: String) -> S3Connector {
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "tests");
    let client = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(&endpoint)
        .force_path_style(true)
        .credentials_provider(credentials);
    let config = S3Config { bucket: BUCKET.into(), endpoint: Some(endpoint), ..S3Config::default() };
    S3Connector::from_client(&Client::from_conf(client.build()), &config).await.unwrap()
}

/// Plays a role against a server in a third process. Gives the figures that it says.
async fn figures(name: &str) -> [usize; 2] {
    let mut server = Role::spawn("server", &[]);
    let endpoint = server.hear().await.unwrap();
    let mut role = Role::spawn(name, &[("ENDPOINT", &endpoint)]);
    let mut figures = [0; 2];
    for figure in &mut figures {
        *figure = role.hear().await.unwrap_or_else(|| panic!("{name} failed")).parse().unwrap();
    }
    assert!(role.wait().await.success());
    figures
}

/// What the object is made of: no two are alike.
fn steps() -> impl Iterator<Item = Vec<u8>> {
    let some = sample::make(1, STEP);
    (0..SIZE / STEP).map(move |step| {
        let mut bytes = some.to_vec();
        bytes[..8].copy_from_slice(&step.to_le_bytes());
        bytes
    })
}

fn endpoint() -> String {
    std::env::var("ENDPOINT").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn server() {
    role!("server");
    let server = S3Server::start().await;
    process::say(&server.endpoint());
    process::hear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holder() {
    role!("holder");
    let connector = connect(endpoint()).await;
    let key = Key::parse("large").unwrap();
    let mut value = Vec::with_capacity(SIZE);
    steps().for_each(|step| value.extend_from_slice(&step));
    let before = peak();
    connector.put(&key, Payload::new(vec![7; 80], value), &PutOptions::default()).await.unwrap();
    process::say(&(peak() - before).to_string());

    // The value is gone by now, and its memory taken again; so the peak is the measure here, too.
    let there = connector.get(&key).await.unwrap().unwrap();
    process::say(&(peak() - before).to_string());
    let (head, body) = there.split_at(80).unwrap();
    assert_eq!(head[..], [7; 80]);
    assert_eq!(body.len(), SIZE);
    assert!(body.chunks(STEP).eq(steps()), "the object is another");
}

#[tokio::test(flavor = "multi_thread")]
async fn streamer() {
    role!("streamer");
    let connector = Arc::new(connect(endpoint()).await);
    let store = Store::builder("streams").shared_connector(connector).policies(Policies::standard());
    let store = store.build().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [file, copy] = ["file", "copy"].map(|name| folder.path().join(name));
    let mut written = File::create(&file).unwrap();
    steps().for_each(|step| written.write_all(&step).unwrap());
    let proxy = store.proxy_file(&file).await.unwrap();
    process::say(&peak().to_string());

    proxy.factory().save(&copy).await.unwrap();
    process::say(&peak().to_string());
    let mut copied = File::open(&copy).unwrap();
    assert_eq!(copied.metadata().unwrap().len(), SIZE as u64);
    for step in steps() {
        let mut there = vec![0; STEP];
        copied.read_exact(&mut there).unwrap();
        assert!(there == step, "the copy is another");
    }
}

/// One after the other, at most one GiB is in memory, and one and a copy of it with the server.
#[tokio::test]
async fn large_objects_take_little_beside_themselves() {
    let [up, down] = figures("holder").await;
    println!("beside {SIZE} bytes in memory: up {up}, down {down}");
    assert!(up <= MARGIN, "up took {up} bytes beside the object");
    assert!(down <= MARGIN, "down took {down} bytes beside the object");

    let [up, down] = figures("streamer").await;
    println!("of {SIZE} bytes in files: up {up}, down {down}");
    assert!(up <= MARGIN, "up took {up} bytes in all");
    assert!(down <= MARGIN, "down took {down} bytes in all");
}
