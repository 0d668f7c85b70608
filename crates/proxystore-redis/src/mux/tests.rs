use std::sync::Arc;
use std::time::Duration;

use redis::IntoConnectionInfo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::{Mux, WAITING};
use crate::link::{Deaf, lock};
use crate::request::Request;
use crate::wire::Wire;

/// Who waits for room hears of the driver's end when its runtime goes, too.
#[tokio::test]
async fn a_driver_whose_runtime_goes_leaves_nobody_waiting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let info = format!("redis://{}", listener.local_addr().unwrap()).into_connection_info().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 100]).await.unwrap() > 0);
        stream.write_all(b"+PONG\r\n").await.unwrap();
        stream
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let connect = async move { Mux::spawn(Wire::connect(&info).await.unwrap().unwrap(), Arc::new(Deaf)) };
    let mux = runtime.spawn(connect).await.unwrap();
    // Somebody writes, and there is no room for more.
    let _writer = lock(&mux.0.line).writer.take();
    mux.0.room.acquire_many(WAITING as u32).await.unwrap().forget();
    let request = Request::of("GET", "app:k");
    let waiting = mux.send(&request);
    runtime.shutdown_background();
    assert!(timeout(Duration::from_secs(5), waiting).await.unwrap().is_err());
    drop(server.await.unwrap());
}

/// A request that the socket takes only a part of is ended by the driver, before those that were asked for meanwhile.
#[tokio::test]
async fn what_does_not_go_at_once_is_written_in_order() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let info = format!("redis://{}", listener.local_addr().unwrap()).into_connection_info().unwrap();
    let value = proxystore_core::Payload::from(vec![7; 32 << 20]);
    let large = Request::Sets(vec![("app:k".into(), value)], Default::default());
    let small = Request::of("EXISTS", "app:k");
    let wanted = [large.packed(), small.packed()].concat();
    let (go, gone) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 100]).await.unwrap() > 0);
        stream.write_all(b"+PONG\r\n").await.unwrap();
        gone.await.unwrap();
        let mut came = vec![0; wanted.len()];
        stream.read_exact(&mut came).await.unwrap();
        assert!(came == wanted);
        stream.write_all(b"+OK\r\n:1\r\n").await.unwrap();
        stream
    });
    let mux = Mux::spawn(Wire::connect(&info).await.unwrap().unwrap(), Arc::new(Deaf));
    let begun = async { go.send(()).unwrap() };
    let (stored, there, ()) = tokio::join!(mux.send(&large), mux.send(&small), begun);
    assert_eq!(stored.unwrap(), [redis::Value::Okay]);
    assert_eq!(there.unwrap(), [redis::Value::Int(1)]);
    drop(server.await.unwrap());
}
