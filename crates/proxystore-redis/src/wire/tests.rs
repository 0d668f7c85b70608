use proxystore_core::{ErrorKind, Transfer};
use redis::{ConnectionInfo, IntoConnectionInfo, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Wire;
use crate::error::{self, Effect};
use crate::request::Request;

/// What leads to a server that listens here.
async fn listen(user: &str) -> (TcpListener, ConnectionInfo) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("redis://{user}{}", listener.local_addr().unwrap());
    (listener, uri.into_connection_info().unwrap())
}

/// Waits for a command that has this word, and answers.
async fn answer(stream: &mut TcpStream, word: &str, reply: &str) {
    let mut bytes = vec![0; 1024];
    let len = stream.read(&mut bytes).await.unwrap();
    let command = String::from_utf8_lossy(&bytes[..len]);
    assert!(command.contains(word), "{command}");
    stream.write_all(reply.as_bytes()).await.unwrap();
}

fn set(bytes: usize) -> Request {
    Request::Sets(vec![("app:k".into(), vec![1; bytes].into())], Default::default())
}

#[tokio::test]
async fn a_server_without_users_gets_the_password_alone() {
    let (listener, info) = listen("app:secret@").await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        answer(&mut stream, "app", "-ERR wrong number of arguments for 'auth' command\r\n").await;
        answer(&mut stream, "*2\r\n$4\r\nAUTH\r\n$6\r\nsecret", "+OK\r\n").await;
        answer(&mut stream, "PING", "+PONG\r\n").await;
    });
    assert!(Wire::connect(&info).await.unwrap().is_some());
    server.await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_persist_is_connected_to() {
    for (reply, connects) in [("-MISCONF no disk\r\n", true), ("-NOPERM no\r\n", false)] {
        let (listener, info) = listen("").await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream, "PING", reply).await;
        });
        assert_eq!(Wire::connect(&info).await.is_ok(), connects, "{reply}");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_password_is_denied_by_a_server_without_users() {
    let (listener, info) = listen(":secret@").await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        answer(&mut stream, "secret", "-ERR invalid password\r\n").await;
    });
    let error = error::unreachable(&Wire::connect(&info).await.err().unwrap());
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    server.await.unwrap();
}

/// What became larger than the caller takes is not read, unless that would lose it.
#[tokio::test]
async fn what_has_grown_is_too_large_but_not_lost() {
    for effect in [Effect::Read, Effect::Once] {
        let (listener, info) = listen("").await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream, "PING", "+PONG\r\n").await;
            answer(&mut stream, "app:k", &format!("$100000\r\n{}\r\n", "x".repeat(100_000))).await;
            stream
        });
        let mut wire = Wire::connect(&info).await.unwrap().unwrap();
        let request = Request::of(if effect == Effect::Read { "GET" } else { "GETDEL" }, "app:k");
        match Transfer::new(1000).scope(wire.send(&request, effect)).await {
            Ok(answers) => assert!(effect == Effect::Once && answers.len() == 1),
            Err(error) => {
                let error = error::unreachable(&error);
                assert_eq!((error.kind(), error.is_transient()), (ErrorKind::TooLarge, false), "{error}");
                assert_eq!(effect, Effect::Read);
            }
        }
        drop(server.await.unwrap());
    }
}

/// The server has its say though it does not read to the end.
#[tokio::test]
async fn a_refusal_midway_is_heard() {
    let (listener, info) = listen("").await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        answer(&mut stream, "PING", "+PONG\r\n").await;
        answer(&mut stream, "SET", "-OOM no memory left\r\n").await;
        stream
    });
    let mut wire = Wire::connect(&info).await.unwrap().unwrap();
    let answers = wire.send(&set(64 << 20), Effect::Idempotent).await.unwrap();
    assert!(matches!(&answers[..], [Value::ServerError(error)] if error.code() == "OOM"));
    assert!(!wire.is_idle(), "the rest of the value is still owed");
    drop(server.await.unwrap());
}

#[tokio::test]
async fn a_connection_is_idle_until_it_breaks_or_something_comes_unasked() {
    for last in ["", "+OK\r\n"] {
        let (listener, info) = listen("").await;
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream, "PING", "+PONG\r\n").await;
            answer(&mut stream, "SET", "+OK\r\n").await;
            gone.await.unwrap();
            stream.write_all(last.as_bytes()).await.unwrap();
        });
        let mut wire = Wire::connect(&info).await.unwrap().unwrap();
        assert_eq!(wire.send(&set(10), Effect::Idempotent).await.unwrap(), [Value::Okay]);
        assert!(wire.is_idle());
        go.send(()).unwrap();
        server.await.unwrap();
        while wire.is_idle() {
            tokio::task::yield_now().await;
        }
    }
}

/// A request that was given up leaves its answer behind, which is nobody else's.
#[tokio::test]
async fn a_dropped_request_spoils_the_connection() {
    let (listener, info) = listen("").await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        answer(&mut stream, "PING", "+PONG\r\n").await;
        stream
    });
    let mut wire = Wire::connect(&info).await.unwrap().unwrap();
    let stream = server.await.unwrap();
    proxystore_testkit::cancel::poll_and_drop(wire.send(&set(10), Effect::Idempotent), 1).await;
    assert!(!wire.is_idle());
    drop(stream);
}
