//! Each fault of the proxy, between a client and an echo server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use proxystore_testkit::cancel::eventually;
use proxystore_testkit::sample;
use proxystore_testkit::tcp_proxy::{Direction, Faults, Scope, TcpProxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

/// Long enough for what passes, short enough to wait for what does not.
const SILENCE: Duration = Duration::from_millis(150);
const SOON: Duration = Duration::from_secs(10);

async fn echo() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    addr
}

async fn proxy() -> TcpProxy {
    TcpProxy::start(echo().await).await
}

async fn client(proxy: &TcpProxy) -> TcpStream {
    TcpStream::connect(proxy.addr()).await.unwrap()
}

async fn echoes(stream: &mut TcpStream, word: &[u8]) -> bool {
    stream.write_all(word).await.unwrap();
    let mut back = vec![0; word.len()];
    timeout(SILENCE, stream.read_exact(&mut back)).await.is_ok_and(|read| read.is_ok() && back == word)
}

#[tokio::test]
async fn passes_and_counts() {
    let proxy = proxy().await;
    assert_eq!((proxy.connections(), proxy.open()), (0, 0));
    let mut stream = client(&proxy).await;
    let data = sample::make(1, 3_000_000);
    let (mut read, mut write) = stream.split();
    let mut back = Vec::new();
    let send = async {
        write.write_all(&data).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let (_, read) = tokio::join!(send, read.read_to_end(&mut back));
    read.unwrap();
    assert!(back == data, "everything passes, and the end of one direction leaves the other open");
    assert_eq!((proxy.bytes(Direction::Up), proxy.bytes(Direction::Down)), (3_000_000, 3_000_000));
    assert_eq!(proxy.connections(), 1);
    eventually(SOON, || async { proxy.open() == 0 }).await;
}

#[tokio::test]
async fn black_holes_follow_their_scope() {
    let proxy = proxy().await;
    let mut old = client(&proxy).await;
    assert!(echoes(&mut old, b"before").await);

    proxy.set(Faults { black_hole: Some((Scope::Existing, None)), ..Faults::default() }).await;
    let mut new = client(&proxy).await;
    assert!(!echoes(&mut old, b"existing").await);
    assert!(echoes(&mut new, b"new").await, "a new connection passes");

    proxy.set(Faults { black_hole: Some((Scope::New, None)), ..Faults::default() }).await;
    let mut newest = client(&proxy).await;
    assert!(echoes(&mut new, b"existing").await);
    assert!(!echoes(&mut newest, b"newest").await);

    proxy.set(Faults { black_hole: Some((Scope::All, None)), ..Faults::default() }).await;
    assert!(!echoes(&mut new, b"all").await);
    proxy.pass().await;
    let mut late = [0; 3];
    timeout(SOON, new.read_exact(&mut late)).await.unwrap().unwrap();
    assert_eq!(&late, b"all", "what was under way arrives in the end");
}

#[tokio::test]
async fn one_direction_is_dropped() {
    let proxy = proxy().await;
    let mut stream = client(&proxy).await;
    assert!(echoes(&mut stream, b"before").await);
    let deaf = Some((Scope::All, Some(Direction::Down)));
    proxy.set(Faults { black_hole: deaf, ..Faults::default() }).await;
    let (up, down) = (proxy.bytes(Direction::Up), proxy.bytes(Direction::Down));
    assert!(!echoes(&mut stream, b"asked").await);
    assert_eq!(proxy.bytes(Direction::Up), up + 5, "the question went through");
    assert_eq!(proxy.bytes(Direction::Down), down, "the answer did not");
}

#[tokio::test]
async fn black_hole_swallows_the_end() {
    let proxy = proxy().await;
    let mut stream = client(&proxy).await;
    assert!(echoes(&mut stream, b"before").await);
    proxy.set(Faults { black_hole: Some((Scope::All, None)), ..Faults::default() }).await;
    stream.shutdown().await.unwrap();
    let mut byte = [0];
    assert!(timeout(SILENCE, stream.read(&mut byte)).await.is_err(), "the server's end does not arrive");
    proxy.pass().await;
    assert_eq!(timeout(SOON, stream.read(&mut byte)).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn delays_slices_and_throttles() {
    let proxy = proxy().await;
    let mut stream = client(&proxy).await;
    proxy.set(Faults { delay: Duration::from_millis(60), ..Faults::default() }).await;
    let start = Instant::now();
    assert!(echoes(&mut stream, b"slow").await);
    assert!(start.elapsed() >= Duration::from_millis(120), "60 ms each way");

    proxy.set(Faults { slice: Some(7), delay: Duration::from_millis(2), ..Faults::default() }).await;
    stream.write_all(&[1; 21]).await.unwrap();
    let mut buffer = [0; 100];
    assert_eq!(stream.read(&mut buffer).await.unwrap(), 7, "data comes in slices");
    stream.read_exact(&mut buffer[..14]).await.unwrap();

    proxy.set(Faults { rate: Some(100_000), ..Faults::default() }).await;
    let start = Instant::now();
    stream.write_all(&[2; 20_000]).await.unwrap();
    let mut back = vec![0; 20_000];
    stream.read_exact(&mut back).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(150), "20 kB at 100 kB/s came in {:?}", start.elapsed());
}

#[tokio::test]
async fn resets_after_bytes() {
    let proxy = proxy().await;
    let mut stream = client(&proxy).await;
    assert!(echoes(&mut stream, b"these count not").await);
    proxy.set(Faults { reset_after: Some((Direction::Down, 10)), ..Faults::default() }).await;
    stream.write_all(&[3; 100]).await.unwrap();
    let mut back = Vec::new();
    let end = timeout(SOON, stream.read_to_end(&mut back)).await.unwrap();
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(back, [3; 10], "ten bytes come through");
}

#[tokio::test]
async fn closes_and_resets_what_is_open() {
    let proxy = proxy().await;
    for (reset, expected) in [(false, Ok(0)), (true, Err(ErrorKind::ConnectionReset))] {
        let mut stream = client(&proxy).await;
        assert!(echoes(&mut stream, b"before").await);
        if reset {
            proxy.reset()
        } else {
            proxy.close()
        }
        let mut byte = [0];
        let end = timeout(SOON, stream.read(&mut byte)).await.unwrap();
        assert_eq!(end.map_err(|error| error.kind()), expected);
        assert!(echoes(&mut client(&proxy).await, b"after").await, "new connections pass");
    }
}

#[tokio::test]
async fn refuses_and_listens_again() {
    let proxy = proxy().await;
    let mut stream = client(&proxy).await;
    assert!(echoes(&mut stream, b"before").await);
    proxy.set(Faults { refuse: true, ..Faults::default() }).await;
    let refused = TcpStream::connect(proxy.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert!(echoes(&mut stream, b"still").await, "those that are there stay");
    proxy.pass().await;
    assert!(echoes(&mut client(&proxy).await, b"again").await);
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test]
async fn flips_one_byte() {
    let proxy = proxy().await;
    let mut stream = client(&proxy).await;
    proxy.set(Faults { flip: Some((Direction::Up, 2)), ..Faults::default() }).await;
    stream.write_all(b"abcdef").await.unwrap();
    let mut back = [0; 6];
    timeout(SOON, stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(&back, b"abbdef");
    assert!(echoes(&mut stream, b"only once").await);
}

#[tokio::test]
async fn resets_clients_when_the_server_is_down() {
    let free = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let proxy = TcpProxy::start(free).await;
    let mut byte = [0];
    let end = timeout(SOON, client(&proxy).await.read(&mut byte)).await.unwrap();
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn dropping_ends_everything() {
    let proxy = proxy().await;
    let mut stream = client(&proxy).await;
    assert!(echoes(&mut stream, b"before").await);
    let addr = proxy.addr();
    drop(proxy);
    let mut byte = [0];
    assert!(matches!(timeout(SOON, stream.read(&mut byte)).await.unwrap(), Ok(0) | Err(_)));
    eventually(SOON, || async { TcpStream::connect(addr).await.is_err() }).await;
}
