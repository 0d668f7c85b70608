//! The contract over a map.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proxystore_core::{
    Capabilities, Connector, ConnectorConfig, ConnectorInfo, Error, ErrorKind, Key, Payload, PutOptions,
    Reach, Result, Watch, async_trait,
};

use crate::LocalConfig;
use crate::space::{self, Space};
use crate::watch::subscribe;

/// Objects in the memory of this process. See the crate's documentation.
#[derive(Debug)]
pub struct LocalConnector {
    info: ConnectorInfo,
    space: Arc<Space>,
    closed: AtomicBool,
}

impl LocalConnector {
    /// A connector with a map of its own, which goes when the last connector to it goes.
    /// `Unexpected` where the operating system has no randomness.
    pub fn new() -> Result<Self> {
        space::anonymous().map(Self::of)
    }

    /// A connector to the map of this name, shared by all of the process and kept to its end.
    pub fn named(name: &str) -> Self {
        Self::of(space::named(name))
    }

    pub(crate) fn of(space: Arc<Space>) -> Self {
        let uri = LocalConfig { name: space.name.clone(), process: None }.identity();
        let capabilities = Capabilities {
            reach: Reach::Process,
            create: true,
            watch: true,
            ttl: true,
            take: true,
            max_value: usize::MAX as u64,
        };
        Self { info: ConnectorInfo::new(uri, capabilities), space, closed: AtomicBool::new(false) }
    }

    fn space(&self) -> Result<&Space> {
        if self.closed.load(Ordering::Acquire) {
            return Err(
                Error::new(ErrorKind::Closed, "the connector is closed").with("connector", &self.info.uri)
            );
        }
        Ok(&self.space)
    }
}

#[async_trait]
impl Connector for LocalConnector {
    fn info(&self) -> &ConnectorInfo {
        &self.info
    }

    async fn put(&self, key: &Key, value: Payload, options: &PutOptions) -> Result<()> {
        self.space()?.put(key, value, options.mode, options.ttl)
    }

    async fn get(&self, key: &Key) -> Result<Option<Payload>> {
        Ok(self.space()?.get(key))
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        Ok(self.space()?.exists(key))
    }

    async fn evict(&self, key: &Key) -> Result<()> {
        self.space()?.remove(key);
        Ok(())
    }

    async fn touch(&self, key: &Key, ttl: Duration) -> Result<bool> {
        Ok(self.space()?.touch(key, ttl))
    }

    async fn take(&self, key: &Key) -> Result<Option<Payload>> {
        Ok(self.space()?.remove(key))
    }

    async fn watch(&self, key: &Key) -> Result<Watch> {
        self.space()?;
        Ok(subscribe(&self.space, key))
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }

    async fn clear(&self) -> Result<()> {
        self.space()?.clear();
        Ok(())
    }
}
