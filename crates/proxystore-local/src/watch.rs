//! Wake-ups for tasks that wait for a key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream;
use proxystore_core::{Key, Watch};
use tokio::sync::watch;

use crate::space::Space;

/// Who waits for which key.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<HashMap<Key, watch::Sender<()>>>);

impl Watchers {
    fn by_key(&self) -> MutexGuard<'_, HashMap<Key, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wake(&self, key: &Key) {
        let by_key = self.by_key();
        if let Some(sender) = by_key.get(key) {
            sender.send_replace(());
        }
    }
}

/// One waiter; the last of a key takes the key's entry with it.
struct Subscription {
    space: Arc<Space>,
    key: Key,
    receiver: Option<watch::Receiver<()>>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut by_key = self.space.watchers.by_key();
        self.receiver = None;
        if by_key.get(&self.key).is_some_and(|sender| sender.receiver_count() == 0) {
            by_key.remove(&self.key);
        }
    }
}

pub(crate) fn subscribe(space: &Arc<Space>, key: &Key) -> Watch {
    let receiver =
        space.watchers.by_key().entry(key.clone()).or_insert_with(|| watch::channel(()).0).subscribe();
    let subscription = Subscription { space: space.clone(), key: key.clone(), receiver: Some(receiver) };
    Watch::new(stream::unfold(subscription, |mut subscription| async move {
        subscription.receiver.as_mut()?.changed().await.ok()?;
        Some(((), subscription))
    }))
}
