//! Managers with clients, some of whose connections break.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proxystore_manager::{Builder, Limits, Manager};
use tokio_util::sync::CancellationToken;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn limits() -> Limits {
    Limits { lease: Duration::from_millis(400), grace: Duration::from_millis(200), ..Limits::default() }
}

pub(crate) fn builder() -> Builder {
    Manager::builder().limits(limits())
}

/// A manager, and a client of it.
pub(crate) async fn pair() -> (Manager, Manager) {
    let manager = builder().in_process().unwrap();
    let client = Fragile::new(&manager).await.client;
    (manager, client)
}

/// A client whose connection breaks when it is told to.
pub(crate) struct Fragile {
    pub(crate) client: Manager,
    current: Arc<Mutex<CancellationToken>>,
    is_cut: Arc<AtomicBool>,
}

impl Fragile {
    pub(crate) async fn new(manager: &Manager) -> Self {
        let (current, is_cut) = (Arc::<Mutex<CancellationToken>>::default(), Arc::<AtomicBool>::default());
        let open = {
            let (manager, current, is_cut) = (manager.clone(), current.clone(), is_cut.clone());
            move || {
                let opened = if is_cut.load(Ordering::SeqCst) {
                    Err(std::io::ErrorKind::ConnectionRefused.into())
                } else {
                    open(&manager, &current)
                };
                async move { opened }
            }
        };
        let client = Manager::connect_over(open, manager.authkey().unwrap()).await.unwrap();
        Self { client, current, is_cut }
    }

    pub(crate) fn break_now(&self) {
        self.current.lock().unwrap().cancel();
    }

    /// There is no way to the manager any more.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        self.break_now();
    }
}

fn open(manager: &Manager, current: &Mutex<CancellationToken>) -> std::io::Result<tokio::io::DuplexStream> {
    let (near, mut between) = tokio::io::duplex(1 << 10);
    let (mut onward, far) = tokio::io::duplex(1 << 10);
    manager.serve_stream(far).map_err(std::io::Error::other)?;
    let broken = CancellationToken::new();
    *current.lock().unwrap() = broken.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = broken.cancelled() => {}
            _ = tokio::io::copy_bidirectional(&mut between, &mut onward) => {}
        }
    });
    Ok(near)
}

/// With paused time: until nothing moves.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Waits until the manager has so many objects.
pub(crate) async fn objects(manager: &Manager, count: usize) {
    let same = async {
        while manager.stats().await.unwrap().objects != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(5 * SECOND, same).await;
    assert!(in_time.is_ok(), "{count} expected: {:?}", manager.objects());
}
