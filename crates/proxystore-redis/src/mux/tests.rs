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
