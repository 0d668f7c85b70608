//! Peers that are not what they should be.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proxystore_manager::{AuthKey, Limits, Manager, RemoteErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::common::{Counter, CounterProxy, client, limits, pair};

/// One stream into the manager.
fn dial(manager: &Manager) -> DuplexStream {
    let (near, far) = duplex(64 << 10);
    manager.serve_stream(far).unwrap();
    near
}

/// What still comes until the manager hangs up.
async fn rest(stream: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A broken stream has ended, too.
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

#[tokio::test]
async fn a_wrong_key_is_refused_by_either_side() {
    let (manager, _client) = pair().await;
    let sessions = manager.stats().await.unwrap().sessions;
    let open = {
        let manager = manager.clone();
        move || std::future::ready(Ok(dial(&manager)))
    };
    let refused = Manager::connect_over(open, AuthKey::random().unwrap()).await.unwrap_err();
    assert!(refused.to_string().contains("authentication failed"), "{refused}");
    assert_eq!(manager.stats().await.unwrap().sessions, sessions);
}

#[tokio::test]
async fn an_impostor_cannot_be_the_manager() {
    // It has another key, and says that it is the manager.
    let impostor = Manager::builder().identity("it").in_process().unwrap();
    let open = move || std::future::ready(Ok(dial(&impostor)));
    let refused = Manager::connect_over(open, AuthKey::random().unwrap()).await.unwrap_err();
    assert!(refused.to_string().contains("authentication failed"), "{refused}");
}

/// Carries a connection, and writes down what the client says.
async fn record(manager: Manager, said: Arc<Mutex<Vec<u8>>>) -> DuplexStream {
    let (near, between) = duplex(64 << 10);
    let onward = dial(&manager);
    let (mut from_client, mut to_client) = tokio::io::split(between);
    let (mut from_manager, mut to_manager) = tokio::io::split(onward);
    tokio::spawn(async move { tokio::io::copy(&mut from_manager, &mut to_client).await });
    tokio::spawn(async move {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
            said.lock().unwrap().extend(&bytes[..count]);
            to_manager.write_all(&bytes[..count]).await.unwrap();
        }
    });
    near
}

#[tokio::test]
async fn a_recorded_conversation_opens_nothing() {
    let manager = Manager::builder().register::<Counter>().limits(limits()).in_process().unwrap();
    let said: Arc<Mutex<Vec<u8>>> = Arc::default();
    let open = {
        let (manager, said) = (manager.clone(), said.clone());
        move || {
            let recorded = record(manager.clone(), said.clone());
            async move { Ok(recorded.await) }
        }
    };
    let client = Manager::connect_over(open, manager.authkey().unwrap()).await.unwrap();
    let _counter = CounterProxy::create(&client, 1).await.unwrap();
    let before = manager.stats().await.unwrap();
    let said = said.lock().unwrap().clone();
    let mut replayed = dial(&manager);
    replayed.write_all(&said).await.unwrap();
    let answer = rest(&mut replayed).await;
    assert!(answer.len() < 512, "a hello and a refusal: {} bytes", answer.len());
    assert_eq!(manager.stats().await.unwrap(), before);
}

#[tokio::test]
async fn what_a_server_says_is_no_proof_of_a_client() {
    let (manager, _client) = pair().await;
    let before = manager.stats().await.unwrap();
    // Two connections, and whatever the manager says on one is said to it on the other.
    let (a, b) = (dial(&manager), dial(&manager));
    let (mut from_a, mut to_a) = tokio::io::split(a);
    let (mut from_b, mut to_b) = tokio::io::split(b);
    let hello = hello();
    to_a.write_all(&hello).await.unwrap();
    to_b.write_all(&hello).await.unwrap();
    let there = tokio::spawn(async move { tokio::io::copy(&mut from_a, &mut to_b).await });
    // Both end, in an error or not.
    let _ = tokio::io::copy(&mut from_b, &mut to_a).await;
    let _ = there.await;
    assert_eq!(manager.stats().await.unwrap(), before);
}

/// A client's hello, as the handshake has it: length, magic, versions, features, nonce, no manager.
fn hello() -> Vec<u8> {
    let mut message = b"PSM\n\x01\x00\x00".to_vec();
    message.extend([7; 32]);
    message.push(0);
    [&(message.len() as u16).to_be_bytes()[..], &message].concat()
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_nonsense_is_hung_up_on() {
    let (manager, _client) = pair().await;
    let before = manager.stats().await.unwrap();
    let half = [&hello()[..], &[0, 40, 1, 2, 3]].concat();
    let long = 257u16.to_be_bytes();
    let cases: [&[u8]; 5] = [b"", b"GET / HTTP/1.1\r\n\r\n", &long, &half, &[0, 0]];
    for case in cases {
        let mut stream = dial(&manager);
        stream.write_all(case).await.unwrap();
        let start = tokio::time::Instant::now();
        rest(&mut stream).await;
        assert!(start.elapsed() <= Duration::from_secs(6), "{case:?}: {:?}", start.elapsed());
    }
    assert_eq!(manager.stats().await.unwrap().objects, before.objects);
}

#[tokio::test]
async fn a_frame_above_the_limit_breaks_the_connection_and_nothing_else() {
    let (manager, _other) = pair().await;
    let injected: Arc<Mutex<Option<tokio::io::WriteHalf<DuplexStream>>>> = Arc::default();
    let open = {
        let (manager, injected) = (manager.clone(), injected.clone());
        move || {
            let (near, between) = duplex(64 << 10);
            let (mut from_client, mut to_client) = tokio::io::split(between);
            let (mut from_manager, mut to_manager) = tokio::io::split(dial(&manager));
            let injected = injected.clone();
            async move {
                tokio::spawn(async move { tokio::io::copy(&mut from_manager, &mut to_client).await });
                tokio::spawn(async move {
                    let mut bytes = [0; 4096];
                    while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
                        let inject = injected.lock().unwrap().take().is_some();
                        let bytes = if inject { &[0xff; 64][..] } else { &bytes[..count] };
                        if to_manager.write_all(bytes).await.is_err() {
                            return;
                        }
                    }
                });
                Ok(near)
            }
        }
    };
    let client = Manager::connect_over(open, manager.authkey().unwrap()).await.unwrap();
    let counter = CounterProxy::create(&client, 1).await.unwrap();
    let (_, token) = tokio::io::split(duplex(1).0);
    *injected.lock().unwrap() = Some(token);
    // The call is overwritten on its way, the connection breaks, and the call goes out again.
    assert_eq!(counter.add(1).await, Ok(2));
    assert!(injected.lock().unwrap().is_none());
}

#[tokio::test]
async fn deep_values_are_refused() {
    let (_manager, client) = pair().await;
    let counter = CounterProxy::create(&client, 1).await.unwrap();
    let nested = |depth| (0..depth).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
    assert_eq!(counter.echo_json(nested(60)).await, Ok(nested(60)));
    assert_eq!(counter.echo_json(nested(500)).await.unwrap_err().kind(), RemoteErrorKind::BadArguments);
}

#[tokio::test]
async fn objects_names_and_sessions_have_limits() {
    let limits = Limits { max_objects: 3, max_names: 1, max_sessions: 2, ..limits() };
    let manager = Manager::builder().register::<Counter>().limits(limits).in_process().unwrap();
    let first = client(&manager).await;
    let _second = client(&manager).await;
    let open = {
        let manager = manager.clone();
        move || std::future::ready(Ok(dial(&manager)))
    };
    let third = Manager::connect_over(open, manager.authkey().unwrap()).await.unwrap_err();
    assert!(third.to_string().contains("overloaded"), "{third}");
    let mut held = Vec::new();
    for i in 0..3 {
        held.push(CounterProxy::create(&first, i).await.unwrap());
    }
    assert_eq!(CounterProxy::create(&first, 4).await.unwrap_err().kind(), RemoteErrorKind::Overloaded);
    first.publish("a", &held[0]).await.unwrap();
    assert_eq!(first.publish("b", &held[1]).await.unwrap_err().kind(), RemoteErrorKind::Overloaded);
    held.pop();
    crate::common::objects(&manager, 2).await;
    CounterProxy::create(&first, 5).await.unwrap();
}
