//! What a large object takes in memory beyond itself. A process of its own, as it measures all of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use proxystore_core::{Connector, Key, Payload, PutOptions};
use proxystore_s3::{S3Config, S3Connector};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use proxystore_testkit::{role, sample};

/// What may be needed beside the object.
const MARGIN: usize = 160 << 20;

/// The size of the object: 256 MiB, and with `PROXYSTORE_SOAK` a GiB.
fn size() -> usize {
    if std::env::var_os("PROXYSTORE_SOAK").is_some() { 1 << 30 } else { 256 << 20 }
}

/// The most memory that this process has had, in bytes. `None` if the system does not say.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok().map(|kib| kib << 10)
}

/// The server, in another process.
#[tokio::test(flavor = "multi_thread")]
async fn server() {
    role!("server");
    let server = S3Server::start().await;
    process::say(&server.endpoint());
    process::hear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_object_takes_little_beside_itself() {
    let mut server = Role::spawn("server", &[]);
    let endpoint = server.hear().await.unwrap();
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "tests");
    let client = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(&endpoint)
        .force_path_style(true)
        .credentials_provider(credentials);
    let config = S3Config { bucket: BUCKET.into(), endpoint: Some(endpoint), ..S3Config::default() };
    let connector = S3Connector::from_client(&Client::from_conf(client.build()), &config).await.unwrap();

    let key = Key::parse("large").unwrap();
    let value = sample::make(1, size());
    let Some(before) = peak() else { return };
    connector.put(&key, Payload::new(vec![7; 80], value), &PutOptions::default()).await.unwrap();
    let up = peak().unwrap() - before;
    assert!(up <= MARGIN, "up took {up} bytes beside the object");

    // The value is gone by now, and its memory taken again; so the peak is the measure here, too.
    let there = connector.get(&key).await.unwrap().unwrap();
    let down = peak().unwrap() - before;
    assert!(down <= MARGIN, "down took {down} bytes beside the object");
    let (head, body) = there.split_at(80).unwrap();
    assert_eq!(head[..], [7; 80]);
    assert_eq!(sample::seed(body), Ok(1));
    println!("beside {} bytes: up {up}, down {down}", size());
}
