//! A manager as a process of its own.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use proxystore_core::{Error, ErrorKind, Result};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::preload::{Preload, preload};
use super::{Key, duration, print};
use crate::builder::Builder;
use crate::tls::Identity;

#[derive(Args)]
pub(super) struct Serve {
    /// Where: unix:/path, tls://host:port, or tcp+insecure://127.0.0.1:port. Port 0 is any that is free. May be given
    /// several times. By default a socket in a fresh directory.
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    #[command(flatten)]
    key: Key,
    /// A file with the key that proves who the manager is, for tls://; made if there is none. Without one, the
    /// manager is another after each start.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// A client that is not heard of for so long is gone.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    lease: Option<Duration>,
    /// How long calls may go on at the end.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    grace: Option<Duration>,
    /// Objects that are there from the beginning, by their types and names: queue:jobs:100,dict:state. The number is
    /// the bound of a queue, the start of a counter, the permits of a semaphore, the parties of a barrier.
    #[arg(long, value_name = "OBJECTS", value_parser = preload, value_delimiter = ',')]
    preload: Vec<Preload>,
    /// The most objects.
    #[arg(long, value_name = "COUNT")]
    max_objects: Option<usize>,
}

impl Serve {
    pub(super) async fn run(self, mut builder: Builder) -> Result<()> {
        builder = builder.authkey(self.key.read().await?);
        if let Some(path) = self.identity {
            builder = builder.tls_identity(Identity::open(path).await?);
        }
        let mut limits = builder.limits.clone();
        limits.lease = self.lease.unwrap_or(limits.lease);
        limits.grace = self.grace.unwrap_or(limits.grace);
        limits.max_objects = self.max_objects.unwrap_or(limits.max_objects);
        builder = builder.limits(limits);
        // From here on, a signal ends it in order.
        let listen = |kind| {
            signal(kind).map_err(|error| Error::new(ErrorKind::Unexpected, format!("no signals: {error}")))
        };
        let (mut terminated, mut interrupted) =
            (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        let addresses: Vec<_> = self.listen.iter().map(String::as_str).collect();
        let manager = match &*addresses {
            [] => builder.serve_anywhere().await?,
            addresses => builder.serve_all(addresses).await?,
        };
        for object in &self.preload {
            object.make(&manager).await?;
        }
        let addresses: Vec<_> = manager.addresses()?.iter().map(ToString::to_string).collect();
        let id = manager.id().await?.to_string();
        let (address, pid) = (addresses.first(), std::process::id());
        print(
            &json!({ "ready": true, "address": address, "addresses": addresses, "manager": id, "pid": pid }),
        )?;
        tokio::select! {
            ended = manager.wait() => return ended,
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        Ok(manager.shutdown().await?)
    }
}
