//! A connector that takes its time, and says how far it is.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proxystore_core::{
    Capabilities, Connector, ConnectorInfo, Error, ErrorKind, Key, Payload, PutOptions, Reach, Result,
    Transfer, Uri, async_trait,
};
use tokio::time::sleep;

/// Every object has `size` bytes and arrives in `pieces`, each after `pause`.
#[derive(Debug)]
pub(crate) struct Slow {
    pub(crate) info: ConnectorInfo,
    pub(crate) size: u64,
    pub(crate) pieces: u32,
    pub(crate) pause: Duration,
    /// How long it takes until the size is known.
    pub(crate) search: Duration,
    /// Whether the pieces are reported.
    pub(crate) reports: bool,
    /// Batches begun so far.
    pub(crate) batches: AtomicU32,
}

impl Slow {
    pub(crate) fn new(size: u64, pieces: u32, pause: Duration) -> Self {
        let capabilities = Capabilities {
            reach: Reach::Process,
            create: false,
            watch: false,
            ttl: false,
            take: false,
            max_value: u64::MAX,
        };
        let info = ConnectorInfo::new(Uri::new("slow"), capabilities);
        Self { info, size, pieces, pause, search: Duration::ZERO, reports: true, batches: AtomicU32::new(0) }
    }
}

#[async_trait]
impl Connector for Slow {
    fn info(&self) -> &ConnectorInfo {
        &self.info
    }

    async fn put(&self, _: &Key, _: Payload, _: &PutOptions) -> Result<()> {
        sleep(self.pause).await;
        Ok(())
    }

    async fn get(&self, _: &Key) -> Result<Option<Payload>> {
        sleep(self.search).await;
        let transfer = Transfer::current();
        transfer.admit(self.size)?;
        transfer.expect(self.size).await?;
        for _ in 0..self.pieces {
            sleep(self.pause).await;
            if self.reports {
                transfer.moved(self.size / u64::from(self.pieces));
            }
        }
        Ok(Some(Payload::from(vec![7; 10])))
    }

    /// The first batch fails in passing with every second item, and for good with the first.
    async fn get_many(&self, keys: &[Key]) -> Vec<Result<Option<Payload>>> {
        let first = self.batches.fetch_add(1, Ordering::SeqCst) == 0;
        let answer = |i: usize| match i {
            0 => Err(Error::new(ErrorKind::Corrupt, "torn")),
            i if first && i % 2 == 1 => Err(Error::new(ErrorKind::Unavailable, "busy").transient()),
            i => Ok(Some(Payload::from(vec![i as u8]))),
        };
        if first {
            (0..keys.len()).map(answer).collect()
        } else {
            // What is asked for again is known by what it lacks.
            keys.iter().map(|_| Ok(Some(Payload::from(vec![99])))).collect()
        }
    }

    async fn exists(&self, _: &Key) -> Result<bool> {
        Ok(true)
    }

    async fn evict(&self, _: &Key) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
