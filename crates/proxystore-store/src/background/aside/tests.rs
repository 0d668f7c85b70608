use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join;
use proxystore_core::{
    Capabilities, ConnectorConfig, ConnectorInfo, Driver, Key, Payload, PutOptions, async_trait,
};
use serde::{Deserialize, Serialize};

use super::*;

static OPENED: AtomicUsize = AtomicUsize::new(0);
static CLOSED: AtomicUsize = AtomicUsize::new(0);

/// Reaches over a network, and takes a while to open.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Far;

#[derive(Debug)]
struct FarConnector(ConnectorInfo);

impl ConnectorConfig for Far {
    const SCHEMES: &'static [&'static str] = &["far"];
    type Connector = FarConnector;

    fn from_uri(_: &Uri) -> Result<Self> {
        Ok(Self)
    }

    fn identity(&self) -> Uri {
        Uri::new("far")
    }

    async fn connect(self, _: Origin) -> Result<FarConnector> {
        tokio::task::yield_now().await;
        OPENED.fetch_add(1, Ordering::Relaxed);
        let capabilities = Capabilities {
            reach: Reach::Network,
            create: true,
            watch: false,
            ttl: true,
            take: false,
            max_value: u64::MAX,
        };
        Ok(FarConnector(ConnectorInfo::new(self.identity(), capabilities)))
    }
}

#[async_trait]
impl Connector for FarConnector {
    fn info(&self) -> &ConnectorInfo {
        &self.0
    }

    async fn put(&self, _: &Key, _: Payload, _: &PutOptions) -> Result<()> {
        Ok(())
    }

    async fn get(&self, _: &Key) -> Result<Option<Payload>> {
        Ok(None)
    }

    async fn exists(&self, _: &Key) -> Result<bool> {
        Ok(false)
    }

    async fn evict(&self, _: &Key) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        CLOSED.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::test]
async fn what_is_being_opened_as_it_closes_is_closed_too() {
    let registry = Registry::new();
    registry.install(Driver::of::<Far>());
    let shared: Arc<dyn Connector> = Arc::new(Far.connect(Origin::Program).await.unwrap());
    let again = || {
        Some(Again {
            registry: registry.clone(),
            uri: Uri::new("far"),
            transforms: Vec::new(),
            origin: Origin::Program,
        })
    };
    let counts = || (OPENED.load(Ordering::Relaxed), CLOSED.load(Ordering::Relaxed));
    assert_eq!(counts(), (1, 0));

    let aside = Aside::new(&shared, again());
    let (opened, closed) = join(aside.connector(), aside.close()).await;
    assert!(opened.unwrap().is_some() && closed.is_ok());
    assert_eq!(counts(), (2, 1), "it stays open for ever");

    let unused = Aside::new(&shared, again());
    unused.close().await.unwrap();
    assert!(unused.connector().await.unwrap().is_none());
    assert_eq!(counts(), (2, 1), "it was opened after the close");
}
