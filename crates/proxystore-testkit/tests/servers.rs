//! Real servers, second processes and skips.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use proxystore_testkit::process::{self, Role};
use proxystore_testkit::redis::RedisServer;
use proxystore_testkit::{role, skip};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

async fn ask(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, command: &str) -> String {
    stream.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
    let mut answer = vec![0; 1_000];
    let read = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

async fn tcp(server: &RedisServer) -> TcpStream {
    TcpStream::connect(server.addr()).await.unwrap()
}

fn runs(id: u32) -> bool {
    // A process that was waited for is gone from there.
    Path::new(&format!("/proc/{id}")).exists()
}

#[tokio::test]
async fn redis_answers_and_dies_with_the_test() {
    let Some(server) = RedisServer::start().await else { return };
    let (id, socket) = (server.id(), server.socket());
    assert_eq!(server.uri(), format!("redis://127.0.0.1:{}", server.port()));
    assert_eq!(ask(tcp(&server).await, "SET a b").await, "+OK\r\n");
    assert_eq!(ask(UnixStream::connect(&socket).await.unwrap(), "GET a").await, "$1\r\nb\r\n");
    assert!(runs(id));
    drop(server);
    assert!(!runs(id), "redis outlives its guard");
    assert!(!socket.exists(), "its directory is left behind");
}

#[tokio::test]
async fn redis_dies_when_the_test_panics() {
    let Some(server) = RedisServer::start().await else { return };
    let id = server.id();
    let panicked = tokio::spawn(async move {
        let _server = server;
        panic!("as a failing test does");
    });
    assert!(panicked.await.unwrap_err().is_panic());
    assert!(!runs(id), "redis outlives a panic");
}

#[tokio::test]
async fn redis_restarts_empty_on_its_port() {
    let Some(mut server) = RedisServer::start().await else { return };
    let (port, first) = (server.port(), server.id());
    ask(tcp(&server).await, "SET a b").await;
    server.kill();
    assert!(TcpStream::connect(server.addr()).await.is_err(), "nobody listens");
    server.restart().await;
    assert_eq!(server.port(), port);
    assert_ne!(server.id(), first);
    assert_eq!(ask(tcp(&server).await, "GET a").await, "$-1\r\n");
}

#[tokio::test]
async fn redis_pauses() {
    let Some(server) = RedisServer::start().await else { return };
    server.pause();
    let stream = tcp(&server).await;
    let mut asked = Box::pin(ask(stream, "PING"));
    assert!(timeout(Duration::from_millis(200), &mut asked).await.is_err(), "a paused server answers");
    server.resume();
    assert_eq!(timeout(Duration::from_secs(10), asked).await.unwrap(), "+PONG\r\n");
}

#[tokio::test]
async fn redis_takes_arguments() {
    let Some(server) = RedisServer::with(&["--requirepass", "secret", "--port", "{port}"]).await else {
        return;
    };
    assert!(ask(tcp(&server).await, "GET a").await.starts_with("-NOAUTH"));
    assert_eq!(ask(tcp(&server).await, "AUTH secret").await, "+OK\r\n");
}

#[tokio::test]
async fn many_servers_at_once() {
    let servers = futures_util::future::join_all((0..6).map(|_| RedisServer::start())).await;
    let ports: std::collections::HashSet<_> = servers.iter().flatten().map(RedisServer::port).collect();
    assert_eq!(ports.len(), servers.iter().flatten().count());
}

#[tokio::test]
async fn greeter() {
    role!("greeter");
    println!("noise of the test harness");
    while let Some(name) = process::hear().await {
        process::say(&format!("{}, {name}", std::env::var("GREETING").unwrap()));
    }
    process::say("goodbye");
}

#[tokio::test]
async fn failer() {
    role!("failer");
    panic!("as a failing role does");
}

mod nested {
    use proxystore_testkit::{process, role};

    #[test]
    fn inner() {
        role!("nested::inner");
        process::say("inside");
    }
}

#[tokio::test]
async fn roles_talk() {
    let mut child = Role::spawn("greeter", &[("GREETING", "hello")]);
    for name in ["world", "", "two words"] {
        child.say(name).await;
        assert_eq!(child.hear().await, Some(format!("hello, {name}")));
    }
    assert!(child.wait().await.success());
    let mut inner = Role::spawn("nested::inner", &[]);
    assert_eq!(inner.hear().await.as_deref(), Some("inside"));
    assert_eq!(inner.hear().await, None);
}

#[tokio::test]
async fn roles_are_killed() {
    let mut child = Role::spawn("greeter", &[("GREETING", "hello")]);
    child.say("world").await;
    child.hear().await;
    let id = child.id().unwrap();
    child.kill().await;
    assert!(!runs(id));
    assert_eq!(child.hear().await, None);
}

#[tokio::test]
async fn a_failing_role_is_seen() {
    assert!(!Role::spawn("failer", &[]).wait().await.success());
}

#[test]
fn skipper() {
    role!("skipper");
    proxystore_testkit::skip!("unobtainium", "there is none");
}

/// Runs the test `skipper` of this binary, as the suite would on a machine that lacks something.
fn skip_in_child(environment: &[(&str, &Path)]) -> std::process::Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["skipper", "--exact", "--nocapture"])
        .env("PROXYSTORE_ROLE", "skipper")
        .env_remove("PROXYSTORE_REQUIRE")
        .env_remove("PROXYSTORE_SKIPS")
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn skips_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("skips");
    for _ in 0..2 {
        let output = skip_in_child(&[("PROXYSTORE_SKIPS", &file)]);
        assert!(output.status.success());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("SKIPPED skipper: there is none"), "{stderr}");
    }
    let lines = "skipper: unobtainium: there is none\n".repeat(2);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), lines);
}

#[test]
fn required_things_are_not_skipped() {
    let output = skip_in_child(&[("PROXYSTORE_REQUIRE", Path::new("redis, unobtainium"))]);
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("skipper needs unobtainium, and PROXYSTORE_REQUIRE demands it"), "{stderr}");
    assert!(skip_in_child(&[("PROXYSTORE_REQUIRE", Path::new("redis"))]).status.success());
}

#[test]
fn programs_are_found() {
    assert!(skip::find("sh").is_some());
    assert!(skip::find("no-such-program-anywhere").is_none());
}
