//! A manager, and clients of it.

use std::time::Duration;

use proxystore_manager::{CallError, Limits, Manager};

pub(crate) fn limits() -> Limits {
    Limits { lease: Duration::from_millis(400), grace: Duration::from_millis(200), ..Limits::default() }
}

/// A manager, and a client of it that goes through a session and the codec.
pub(crate) async fn both() -> [Manager; 2] {
    let manager = Manager::builder().limits(limits()).in_process().unwrap();
    let client = client(&manager).await;
    [manager, client]
}

pub(crate) async fn client(manager: &Manager) -> Manager {
    let key = manager.authkey().unwrap();
    let manager = manager.clone();
    let open = move || {
        let (near, far) = tokio::io::duplex(64 << 10);
        let served = manager.serve_stream(far).map_err(std::io::Error::other);
        async move { served.map(|()| near) }
    };
    Manager::connect_over(open, key).await.unwrap()
}

/// Waits until the manager has so many objects.
pub(crate) async fn objects(manager: &Manager, count: usize) {
    let same = async {
        while manager.stats().await.unwrap().objects != count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(5), same).await;
    assert!(in_time.is_ok(), "{count} expected: {:?}", manager.objects());
}

/// The error of the method itself.
pub(crate) fn app<T: std::fmt::Debug, E: std::fmt::Debug>(result: Result<T, CallError<E>>) -> E {
    match result {
        Err(CallError::App(error)) => error,
        other => panic!("{other:?}"),
    }
}
