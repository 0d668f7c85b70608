//! What an operation says that it moves.

use proxystore_core::{Connector, PutOptions, Transfer};

use super::{Place, key};

/// What `operation` reports, in bytes.
async fn moved(operation: impl Future) -> u64 {
    let transfer = Transfer::new(0);
    transfer.clone().scope(operation).await;
    transfer.progress()
}

#[tokio::test]
async fn puts_gets_and_takes_report_what_they_move() {
    let place = Place::new().await;
    let (connector, key) = (&place.connector, key("object"));
    for size in [10, 100 << 10, 9 << 20] {
        let put = moved(connector.put(&key, vec![7; size].into(), &PutOptions::default())).await;
        assert!((size as u64..size as u64 + 100).contains(&put), "{put} of {size}");
        assert_eq!(moved(connector.get(&key)).await, size as u64);
        assert_eq!(moved(connector.take(&key)).await, size as u64);
        assert_eq!(moved(connector.get(&key)).await, 0);
    }
}
