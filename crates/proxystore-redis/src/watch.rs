//! Watches by `CLIENT TRACKING`.
//!
//! A connection that tracks hears of the next change of every key that it has read, whether the key was there or not.
//! So to subscribe is to ask for the key, and to go on is to ask again after each change. A change is reported at once,
//! before asking again: most who wait look and are done. Who goes on asks first, and then looks once more, at what may
//! have happened unheard. However many watches a key has in this process, the server is asked once for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::stream;
use proxystore_core::{Backoff, Delays, ErrorKind, Key, Result, Watch};
use redis::{Pipeline, PushInfo, PushKind, Value};
use tokio::sync::watch;

use crate::error::{self, Effect};
use crate::lanes::Lanes;
use crate::link::{Listener, lock};
use crate::slot::Slot;

/// The watched keys of a connector.
pub(crate) struct Watches {
    lanes: Arc<Lanes>,
    slot: Slot,
    prefix: Arc<str>,
    keys: Arc<Keys>,
}

/// By the name on the server.
#[derive(Default)]
struct Keys(Mutex<HashMap<String, Arc<Entry>>>);

struct Entry {
    /// How many changes were heard of.
    changes: watch::Sender<u64>,
    /// At which count the server was last asked to tell of the next one. Held while asking, so that one asks for all.
    asked: tokio::sync::Mutex<Option<u64>>,
}

impl Keys {
    fn wake(&self, name: &[u8]) {
        let keys = lock(&self.0);
        if let Some(entry) = std::str::from_utf8(name).ok().and_then(|name| keys.get(name)) {
            entry.changes.send_modify(|count| *count += 1);
        }
    }

    fn wake_all(&self) {
        lock(&self.0).values().for_each(|entry| entry.changes.send_modify(|count| *count += 1));
    }

    fn join(&self, name: &str) -> (Arc<Entry>, watch::Receiver<u64>) {
        let mut keys = lock(&self.0);
        let entry = keys.entry(name.into()).or_insert_with(|| {
            Arc::new(Entry { changes: watch::Sender::new(0), asked: tokio::sync::Mutex::new(None) })
        });
        (entry.clone(), entry.changes.subscribe())
    }

    /// Forgets the key with its last watch.
    fn leave(&self, name: &str, changes: Option<watch::Receiver<u64>>) {
        let mut keys = lock(&self.0);
        // Not before: of two that leave at once, one has to be the last.
        drop(changes);
        if keys.get(name).is_some_and(|entry| entry.changes.receiver_count() == 0) {
            keys.remove(name);
        }
    }
}

/// The subscribe connection's ear. Its end is a wake for all: nobody knows what was missed.
struct Ear(Arc<Keys>);

impl Listener for Ear {
    fn hear(&self, push: PushInfo) {
        if push.kind != PushKind::Invalidate {
            return;
        }
        match push.data.first() {
            Some(Value::Array(names)) => {
                for name in names {
                    if let Value::BulkString(name) = name {
                        self.0.wake(name);
                    }
                }
            }
            // The database was flushed.
            _ => self.0.wake_all(),
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.0.wake_all();
    }
}

impl Watches {
    pub(crate) fn new(lanes: Arc<Lanes>, prefix: Arc<str>) -> Self {
        let keys = Arc::new(Keys::default());
        let ears = keys.clone();
        let slot = lanes.slot(move || Arc::new(Ear(ears.clone())));
        Self { slot, lanes, prefix, keys }
    }

    /// Subscribes. Dropping the future leaves no subscription.
    pub(crate) async fn watch(self: Arc<Self>, key: &Key) -> Result<Watch> {
        let name = format!("{}:{key}", self.prefix);
        let (entry, changes) = self.keys.join(&name);
        let delays = Backoff::default().delays();
        let mut watching = Watching {
            all: self,
            name,
            entry,
            changes: Some(changes),
            delays,
            subscribed: false,
            polls: false,
        };
        match watching.ask().await {
            Err(error) if error.kind() == ErrorKind::Unsupported => watching.polls = true,
            asked => watching.subscribed = asked.map(|()| true)?,
        }
        Ok(Watch::new(stream::unfold(watching, async |mut watching| {
            watching.wake().await.map(|()| ((), watching))
        })))
    }

    /// Lets the connection go, which wakes all; they find it closed.
    pub(crate) fn close(&self) {
        self.slot.close();
    }

    /// Asks the server to tell of the next change of the key.
    async fn ask(&self, name: &str) -> Result<()> {
        let mut commands = Pipeline::with_capacity(2);
        // Every time: it costs nothing on a connection that tracks already.
        commands.cmd("CLIENT").arg("TRACKING").arg("ON").cmd("EXISTS").arg(name);
        self.slot.check_open()?;
        if self.lanes.endpoint().is_cluster() || !self.slot.link().await?.hears() {
            return Err(refused_to_track());
        }
        match &self.lanes.call_on(&self.slot, &commands.into(), Effect::Read).await?[..] {
            [Value::Okay, Value::Int(_)] => Ok(()),
            [Value::Okay, Value::ServerError(error)] => Err(error::refused(error)),
            [Value::ServerError(_), _] => Err(refused_to_track()),
            _ => Err(error::strange()),
        }
    }
}

fn refused_to_track() -> proxystore_core::Error {
    proxystore_core::Error::new(ErrorKind::Unsupported, "the server refuses CLIENT TRACKING")
}

/// One watch.
struct Watching {
    all: Arc<Watches>,
    name: String,
    entry: Arc<Entry>,
    /// There until the drop.
    changes: Option<watch::Receiver<u64>>,
    delays: Delays,
    /// The server will tell of the next change.
    subscribed: bool,
    /// The server does not track: look time and again.
    polls: bool,
}

impl Watching {
    /// Sees to it that the server will tell of the next change.
    async fn ask(&self) -> Result<()> {
        let mut asked = self.entry.asked.lock().await;
        let count = *self.entry.changes.borrow();
        if *asked != Some(count) {
            self.all.ask(&self.name).await?;
            *asked = Some(count);
        }
        Ok(())
    }

    /// Waits for a change, or for the time to look because one may have been missed. `None` when there is nothing to
    /// wait for any more.
    async fn wake(&mut self) -> Option<()> {
        if self.subscribed {
            self.changes.as_mut()?.changed().await.ok()?;
            self.subscribed = false;
            return self.all.slot.check_open().ok();
        }
        if !self.polls {
            match self.ask().await {
                Ok(()) => {
                    self.subscribed = true;
                    self.delays = Backoff::default().delays();
                    return Some(());
                }
                Err(error) if error.kind() == ErrorKind::Closed => return None,
                Err(error) if error.kind() == ErrorKind::Unsupported => self.polls = true,
                // Report, and try again at the next wake.
                Err(_) => {}
            }
        }
        let delay = self.delays.next()?;
        tokio::time::sleep(delay).await;
        Some(())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.all.keys.leave(&self.name, self.changes.take());
    }
}
