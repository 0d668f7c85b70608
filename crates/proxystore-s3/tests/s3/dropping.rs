//! Large puts that are dropped, wherever they are, and a connector that is closed meanwhile.

use proxystore_core::{Connector, ErrorKind};
use proxystore_testkit::cancel::poll_and_drop;
use proxystore_testkit::s3::S3Server;
use proxystore_testkit::sample;

use crate::{connect, create, get, key, put, rounds};

const LARGE: usize = 20 << 20;

/// Dropped at each of its await points, a large put leaves the object whole or absent; after close there is no upload.
#[tokio::test(flavor = "multi_thread")]
async fn dropped_puts_leave_no_uploads() {
    for _ in 0..rounds(1) {
        let server = S3Server::start().await;
        let connector = connect(&server, "app").await;
        let value = sample::make(1, LARGE);
        let mut polls = 0;
        let mut dropped = 0;
        loop {
            let name = key(polls);
            if poll_and_drop(put(&*connector, &name, value.clone()), polls).await.is_some() {
                break;
            }
            dropped += 1;
            if let Some(object) = get(&*connector, &name).await.unwrap() {
                assert_eq!(sample::seed(object), Ok(1));
            }
            connector.evict(&name).await.unwrap();
            // The first ones singly, then further and further.
            polls += 1 + polls / 8;
        }
        assert!(dropped > 5, "it was dropped only {dropped} times");
        connector.close().await.unwrap();
        assert_eq!(server.uploads(), 0, "an upload is left after close");
    }
}

/// Large puts under way when the connector is closed fail, and are removed; none is reported as stored that is not.
#[tokio::test(flavor = "multi_thread")]
async fn close_removes_what_is_under_way() {
    for round in 0..rounds(3) {
        let server = S3Server::start().await;
        let connector = connect(&server, "app").await;
        let puts: Vec<_> = (0..4)
            .map(|i| {
                let connector = connector.clone();
                tokio::spawn(async move { put(&*connector, &key(i), sample::make(i, LARGE)).await })
            })
            .collect();
        // Somewhere among the parts.
        let begun = 1 + round as usize % 3;
        while server.count(proxystore_testkit::s3::On::Part) < begun {
            tokio::task::yield_now().await;
        }
        connector.close().await.unwrap();
        let ended = futures_util::future::join_all(puts).await;
        assert_eq!(server.uploads(), 0, "an upload is left after close");
        let second = connect(&server, "app").await;
        for (i, put) in (0..).zip(ended) {
            let there = get(&*second, &key(i)).await.unwrap();
            match put.unwrap() {
                Ok(()) => assert_eq!(sample::seed(there.unwrap()), Ok(i)),
                Err(error) => {
                    assert!(
                        matches!(
                            error.kind(),
                            ErrorKind::Closed | ErrorKind::Unavailable | ErrorKind::Ambiguous
                        ),
                        "{error}"
                    );
                }
            }
        }
    }
}

/// Of large creates at once, one wins; the others say so, and leave nothing.
#[tokio::test(flavor = "multi_thread")]
async fn large_creates_have_one_winner() {
    let server = S3Server::start().await;
    let connector = connect(&server, "app").await;
    let creates = (0..4).map(|i| {
        let connector = connector.clone();
        tokio::spawn(async move { create(&*connector, &key("a"), sample::make(i, LARGE)).await.map(|()| i) })
    });
    let ended = futures_util::future::join_all(creates).await;
    let mut winners = Vec::new();
    for create in ended {
        match create.unwrap() {
            Ok(winner) => winners.push(winner),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Exists, "{error}"),
        }
    }
    let there = sample::seed(get(&*connector, &key("a")).await.unwrap().unwrap()).unwrap();
    assert_eq!(winners, [there]);
    connector.close().await.unwrap();
    assert_eq!(server.uploads(), 0);
}
