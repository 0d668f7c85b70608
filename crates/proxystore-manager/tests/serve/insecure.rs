//! TCP without TLS: by explicit request, and on this machine alone.

use proxystore_manager::{AuthKey, Manager};

use crate::common::{CounterProxy, address, builder, key, refused};

#[tokio::test]
async fn plain_tcp_serves_this_machine() {
    let manager = builder().serve("tcp+insecure://127.0.0.1:0").await.unwrap();
    let address = address(&manager);
    assert!(!address.ends_with(":0"), "{address}");
    let client = Manager::connect(&address, key()).await.unwrap();
    let counter = CounterProxy::create(&client, 40).await.unwrap();
    assert_eq!(counter.add(2).await, Ok(42));
    let text = refused(&address, AuthKey::random().unwrap()).await;
    assert!(text.contains("authentication failed"), "{text}");
    manager.shutdown().await.unwrap();
    assert!(Manager::connect(&address, key()).await.is_err());
}

#[tokio::test]
async fn plain_tcp_neither_listens_nor_dials_beyond_this_machine() {
    for place in ["0.0.0.0:0", "[::]:0"] {
        assert!(builder().serve(&format!("tcp+insecure://{place}")).await.is_err(), "{place}");
    }
    // An address for documentation, which nobody has: it is not even dialed.
    let text = refused("tcp+insecure://192.0.2.1:7", key()).await;
    assert!(text.contains("would leave this machine"), "{text}");
}
