//! What expires goes, also from the server, and nothing else does.

use std::time::Duration;

use proxystore_core::{Connector, PutOptions};
use proxystore_testkit::cancel::eventually;
use proxystore_testkit::s3::{On, S3Server};
use proxystore_testkit::sample;
use tokio::time::sleep;

use proxystore_s3::S3Config;

use crate::{client, config, connect, connect_with, get, key, put};

fn for_(ttl: Duration) -> PutOptions {
    PutOptions { ttl: Some(ttl), ..PutOptions::default() }
}

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn expired_objects_are_removed_and_others_stay() {
    let server = S3Server::start().await;
    let connector = connect(&server, "app").await;
    put(&*connector, &key("stays"), sample::make(1, 10)).await.unwrap();
    connector.put(&key("long"), sample::make(2, 10).into(), &for_(Duration::from_secs(600))).await.unwrap();
    connector.put(&key("short"), sample::make(3, 10).into(), &for_(SHORT)).await.unwrap();
    connector.put(&key("large"), sample::make(4, 17 << 20).into(), &for_(SHORT)).await.unwrap();
    // Foreign things beside them, and what only looks like an object of another prefix.
    let raw = client(&server.endpoint());
    for name in ["app2/a", "app/not a key", "app"] {
        raw.put_object().bucket("objects").key(name).send().await.unwrap();
    }
    sleep(SHORT).await;
    assert_eq!(get(&*connector, &key("large")).await.unwrap(), None);
    let swept = connector.sweep().await.unwrap();
    assert_eq!(swept.objects, 2);
    assert_eq!(server.objects(), ["app", "app/long", "app/not a key", "app/stays", "app2/a"]);
    // What stays is looked at once.
    let heads = server.count(On::Head);
    assert_eq!(connector.sweep().await.unwrap().objects, 0);
    assert_eq!(server.count(On::Head), heads);
    // Clearing spares the same.
    connector.clear().await.unwrap();
    assert_eq!(server.objects(), ["app", "app/not a key", "app2/a"]);
}

#[tokio::test]
async fn it_happens_on_its_own() {
    let server = S3Server::start().await;
    let sweep = Some(Duration::from_millis(100));
    let connector = connect_with(&server, S3Config { sweep, ..config(&server.endpoint(), "app") }).await;
    connector.put(&key("short"), sample::make(3, 10).into(), &for_(SHORT)).await.unwrap();
    eventually(Duration::from_secs(10), || async { server.objects().is_empty() }).await;
    connector.close().await.unwrap();
}

/// What was taken leaves nothing, and an object that expires later than another was put in its place stays.
#[tokio::test]
async fn what_is_put_again_is_not_swept() {
    let server = S3Server::start().await;
    let connector = connect(&server, "app").await;
    for round in 0..20 {
        connector.put(&key("a"), sample::make(round, 10).into(), &for_(Duration::ZERO)).await.unwrap();
        let again = async {
            put(&*connector, &key("a"), sample::make(100 + round, 10)).await.unwrap();
        };
        futures_util::future::join(again, async { connector.sweep().await.unwrap() }).await;
        let there =
            get(&*connector, &key("a")).await.unwrap().expect("a sweep removed an object that was put");
        assert_eq!(sample::seed(there[..].to_vec()).ok(), sample::seed(sample::make(100 + round, 10)).ok());
        assert!(connector.take(&key("a")).await.unwrap().is_some());
        assert_eq!(server.objects(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn young_uploads_are_somebodys() {
    let server = S3Server::start().await;
    let connector = connect(&server, "app").await;
    let raw = client(&server.endpoint());
    for name in ["app/a", "app2/a"] {
        raw.create_multipart_upload().bucket("objects").key(name).send().await.unwrap();
    }
    assert_eq!(connector.sweep().await.unwrap().uploads, 0);
    server.age_uploads(Duration::from_secs(25 * 3600));
    assert_eq!(connector.sweep().await.unwrap().uploads, 1);
    assert_eq!(server.uploads(), 1);
}
