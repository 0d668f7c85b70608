//! Users, passwords, databases, prefixes, and what is said when they are wrong.

use proxystore_core::{Connector, ConnectorConfig, ErrorKind, Uri};
use proxystore_redis::{DRIVER, RedisConfig, RedisConnector};
use proxystore_testkit::redis::RedisServer;

use crate::{connect, get, key, put, raw};

const CANARY: &str = "canary-4711";

#[tokio::test]
async fn a_password_opens() {
    let Some(server) = RedisServer::with(&["--requirepass", CANARY]).await else { return };
    let connector = connect(&format!("redis://:{CANARY}@{}", server.addr())).await.unwrap();
    put(&*connector, "a", b"1".to_vec()).await.unwrap();
    assert_eq!(get(&*connector, "a").await.unwrap().unwrap(), "1");
    assert!(!format!("{connector:?} {:?}", connector.info()).contains(CANARY));
}

#[tokio::test]
async fn a_wrong_password_is_denied_and_not_shown() {
    for args in
        [&["--requirepass", "right"][..], &["--requirepass", "right", "--rename-command", "HELLO", ""], &[]]
    {
        let Some(server) = RedisServer::with(args).await else { return };
        for user in [format!(":{CANARY}@"), format!("someone:{CANARY}@"), String::new()] {
            if args.is_empty() && !user.contains("someone") {
                continue;
            }
            let uri = format!("redis://{user}{}/0", server.addr());
            let error = connect(&uri).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{args:?} {user}: {error}");
            let text =
                format!("{error} {error:?} {}", serde_json::to_string(&uri.parse::<Uri>().unwrap()).unwrap());
            assert!(!text.contains(CANARY), "{text}");
            assert!(text.contains("${NAME}"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_server_that_repeats_arguments_in_errors_is_not_quoted() {
    let Some(server) =
        RedisServer::with(&["--rename-command", "SET", "", "--rename-command", "HELLO", ""]).await
    else {
        return;
    };
    let connector = connect(&server.uri()).await.unwrap();
    let error = put(&*connector, "a", CANARY.as_bytes().to_vec()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(!format!("{error:?}").contains(CANARY), "{error}");
}

#[tokio::test]
async fn an_acl_user_needs_the_listed_commands_alone() {
    let Some(server) = RedisServer::start().await else { return };
    let rule = "on >secret ~jobs:* resetchannels -@all +get +getrange +strlen +set +unlink +exists +pexpire +ping \
                +hello +client|tracking +scan +getdel";
    let rule: Vec<_> = ["acl", "setuser", "worker"].into_iter().chain(rule.split_whitespace()).collect();
    raw(server.port(), &rule).await;
    let uri = format!("redis://worker:secret@{}", server.addr());
    let connector = connect(&format!("{uri}?prefix=jobs")).await.unwrap();
    put(&*connector, "a", vec![1; 100_000]).await.unwrap();
    let _watch = connector.watch(&key("a")).await.unwrap();
    assert_eq!(get(&*connector, "a").await.unwrap().unwrap().len(), 100_000);
    assert!(connector.take(&key("a")).await.unwrap().is_some());
    put(&*connector, "b", vec![1]).await.unwrap();
    connector.clear().await.unwrap();
    assert!(connector.warnings().is_empty());

    let error = connect(&format!("{uri}?prefix=other")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "a prefix out of reach is found at connecting: {error}");
}

#[tokio::test]
async fn databases_and_prefixes_are_apart() {
    let Some(server) = RedisServer::start().await else { return };
    let uri = server.uri();
    let places = ["/0", "/1", "/0?prefix=app", "/0?prefix=app/x", "/0?prefix=app2"];
    let mut connectors = Vec::new();
    for place in places {
        connectors.push(connect(&format!("{uri}{place}")).await.unwrap());
    }
    for (i, connector) in connectors.iter().enumerate() {
        put(&**connector, "same", vec![i as u8]).await.unwrap();
    }
    connectors[2].clear().await.unwrap();
    for (i, connector) in connectors.iter().enumerate() {
        let wanted = (i != 2).then(|| vec![i as u8]);
        assert_eq!(get(&**connector, "same").await.unwrap().map(|b| b.to_vec()), wanted, "{}", places[i]);
    }
    let error = connect(&format!("{uri}/99")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

#[tokio::test]
async fn a_client_of_the_redis_crate_serves() {
    let Some(server) = RedisServer::start().await else { return };
    let client = redis::Client::open(format!("{}/2", server.uri())).unwrap();
    let connector = RedisConnector::from_client(&client, "jobs").await.unwrap();
    put(&connector, "a", b"1".to_vec()).await.unwrap();
    let twin = connect(&connector.info().uri.to_string()).await.unwrap();
    assert_eq!(get(&*twin, "a").await.unwrap().unwrap(), "1");
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let Some(mut server) = RedisServer::start().await else { return };
    server.kill();
    for uri in [server.uri(), format!("redis+unix://{}", server.socket().display())] {
        let error = connect(&uri).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.is_transient());
    }
}

#[test]
fn the_driver_serves_all_schemes() {
    assert_eq!(DRIVER.schemes(), RedisConfig::SCHEMES);
    let uri = "redis://app:secret@h?timeout=1s".parse().unwrap();
    assert_eq!(DRIVER.identity(&uri).unwrap().to_string(), "redis://h:6379/0");
}
