//! What an operation says that it moves.

use std::fs::File;

use proxystore_core::{Connector, PutOptions, Transfer};
use rustix::fs::{Advice, fadvise};

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

#[tokio::test]
async fn what_the_system_has_forgotten_is_read_from_the_disk() {
    let place = Place::new().await;
    let (connector, key) = (&place.connector, key("object"));
    for size in [10, 10 << 10, 100 << 10, 1 << 20, 9 << 20] {
        let value: Vec<u8> = (0..size).map(|i| (i / 7) as u8).collect();
        connector.put(&key, value.clone().into(), &PutOptions::default()).await.unwrap();
        // Of nothing, of the beginning, of the rest.
        for from in [u64::MAX, 0, 8 << 10] {
            if from < u64::MAX {
                let file = File::open(place.file(&key)).unwrap();
                file.sync_all().unwrap();
                fadvise(&file, from, None, Advice::DontNeed).unwrap();
            }
            assert_eq!(moved(connector.get(&key)).await, size as u64);
            assert!(place.get(&key).await.unwrap() == value, "{size} bytes, forgotten from {from} on");
            let many = connector.get_many(&[key.clone(), super::key("other")]).await;
            let mut many = many.into_iter().map(|got| got.unwrap());
            assert!(many.next().flatten().unwrap().into_bytes() == value);
            assert!(many.next().unwrap().is_none());
        }
    }
}
