//! Close, which deletes nothing, and clear, which deletes only what is the connector's own.

use std::time::Duration;

use proxystore_core::{ErrorKind, Payload, PutOptions, Result};
use tokio::time::timeout;

use super::{Harness, NotApplicable, Outcome, get, put};
use crate::sample;

fn closed<T>(result: Result<T>, operation: &str) {
    match result {
        Ok(_) => panic!("{operation} after close succeeds"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{operation} after close: {error}"),
    }
}

fn all_closed<T>(results: Vec<Result<T>>, operation: &str) {
    assert_eq!(results.len(), 2, "{operation} after close gives one result per item");
    results.into_iter().for_each(|result| closed(result, operation));
}

/// Closing twice is fine, and then every operation is `Closed`.
pub async fn then_everything_is_closed(h: &Harness) -> Outcome {
    let (connector, key, can) = (h.connector(), h.key(), h.capabilities());
    let options = PutOptions::default();
    h.put(&key, sample::make(1, 100)).await;
    connector.close().await.expect("close");
    connector.close().await.expect("a second close");
    closed(connector.put(&key, sample::make(2, 100).into(), &options).await, "put");
    closed(connector.get(&key).await, "get");
    closed(connector.exists(&key).await, "exists");
    closed(connector.evict(&key).await, "evict");
    let keys = [key.clone(), key.clone()];
    let items = keys.iter().map(|key| (key.clone(), Payload::default())).collect();
    all_closed(connector.put_many(items, &options).await, "put_many");
    all_closed(connector.get_many(&keys).await, "get_many");
    all_closed(connector.evict_many(&keys).await, "evict_many");
    if can.ttl {
        closed(connector.touch(&key, Duration::from_secs(60)).await, "touch");
    }
    if can.take {
        closed(connector.take(&key).await, "take");
    }
    if can.watch {
        closed(connector.watch(&key).await, "watch");
    }
    let clear = connector.clear().await.expect_err("clear after close").kind();
    assert!([ErrorKind::Closed, ErrorKind::Unsupported].contains(&clear), "clear after close is {clear:?}");
    let _ = (connector.info(), format!("{connector:?}"));
    Ok(())
}

/// Closing deletes nothing and closes no other connector.
pub async fn deletes_nothing(h: &Harness) -> Outcome {
    let second = h.second()?;
    let key = h.key();
    h.put(&key, sample::make(3, 100)).await;
    h.connector().close().await.expect("close");
    assert!(get(second, &key).await == Some(sample::make(3, 100)), "close deleted an object");
    put(second, &key, sample::make(4, 100)).await;
    assert!(get(second, &key).await == Some(sample::make(4, 100)), "close closed another connector");
    Ok(())
}

/// Operations under way when the connector is closed end, one way or another, and leave whole objects.
pub async fn with_operations_under_way(h: &Harness) -> Outcome {
    let keys = h.keys(50);
    let tasks = keys.iter().enumerate().map(|(i, key)| {
        let (connector, key) = (h.connector().clone(), key.clone());
        tokio::spawn(async move {
            let value = sample::make(i as u64, 50_000.min(connector.info().capabilities.max_value as usize));
            let put = connector.put(&key, value.into(), &PutOptions::default()).await;
            (put, connector.get(&key).await)
        })
    });
    let tasks: Vec<_> = tasks.collect();
    h.connector().close().await.expect("close");
    for (i, task) in tasks.into_iter().enumerate() {
        let ended = timeout(Duration::from_secs(60), task).await;
        let (put, got) = ended.expect("an operation ends after close").expect("no panic");
        match (put, got) {
            (Ok(()), Ok(None)) => panic!("an object that was put before close is missing, which is not so"),
            (_, Ok(Some(object))) if object.len() >= 16 => {
                assert_eq!(
                    sample::seed(object),
                    Ok(i as u64),
                    "an object put while the connector was closed"
                );
            }
            _ => {}
        }
    }
    Ok(())
}

/// Clearing removes all objects, and the connector goes on.
pub async fn clear_removes_all(h: &Harness) -> Outcome {
    let keys = h.keys(100);
    let items = keys.iter().map(|key| (key.clone(), sample::make(5, 100).into())).collect();
    for result in h.connector().put_many(items, &PutOptions::default()).await {
        result.expect("put_many");
    }
    for _ in 0..2 {
        clear(h).await?;
        for got in h.other().get_many(&keys).await {
            assert!(got.expect("get after clear").is_none(), "clear left an object");
        }
    }
    h.put(&keys[0], sample::make(6, 100)).await;
    assert!(h.get(&keys[0]).await.is_some(), "after clear, an object that was put is not got");
    Ok(())
}

/// Clearing spares the objects of a neighbour on the same backend, also under the same keys.
pub async fn clear_spares_neighbours(h: &Harness) -> Outcome {
    let neighbour = h.neighbour()?;
    let (shared, theirs) = (h.key(), neighbour.new_key(Default::default()).expect("new_key"));
    put(neighbour, &theirs, sample::make(7, 100)).await;
    put(neighbour, &shared, sample::make(8, 100)).await;
    assert!(h.get(&shared).await.is_none(), "a neighbour's object is seen");
    h.put(&shared, sample::make(9, 100)).await;
    assert!(
        get(neighbour, &shared).await == Some(sample::make(8, 100)),
        "a neighbour's object is overwritten"
    );
    clear(h).await?;
    assert!(h.get(&shared).await.is_none(), "clear left an object");
    assert!(get(neighbour, &theirs).await.is_some(), "clear removed a neighbour's object");
    assert!(
        get(neighbour, &shared).await == Some(sample::make(8, 100)),
        "clear removed a neighbour's object"
    );
    Ok(())
}

async fn clear(h: &Harness) -> Outcome {
    match h.connector().clear().await {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            Err(NotApplicable("the connector has no clear".into()))
        }
        Err(error) => panic!("clear: {error}"),
    }
}
