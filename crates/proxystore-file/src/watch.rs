//! Wake-ups by inotify: one instance and one thread for the process, from the first watch on.
//!
//! A thread of its own, because a process may have several runtimes, and none may end the watches of another.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream;
use proxystore_core::{ErrorKind, Key, Result, Watch};
use rustix::fs::inotify::{CreateFlags, Event, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use rustix::io::Errno;
use tokio::sync::watch;

use crate::layout::Place;
use crate::tree::Tree;

/// Bytes of events that are read at once.
const BUFFER: usize = 16 << 10;

/// File names in one directory, and who waits for them. The empty name stands for all long keys of a shard: their
/// files are further below, but each comes from a file in the shard's own directory.
type Names = HashMap<Box<[u8]>, watch::Sender<()>>;

/// The process's inotify instance.
struct Hub {
    inotify: OwnedFd,
    by_directory: Mutex<HashMap<i32, Names>>,
}

static HUB: Mutex<Option<Arc<Hub>>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A watch of the key; one that never wakes where the system gives no inotify or the directory is not to be had.
pub(crate) fn subscribe(tree: &Tree, key: &Key) -> Result<Watch> {
    let place = Place::of(key);
    let shard = match tree.make_shard(place.shard) {
        Ok(shard) => shard,
        Err(error) if error.kind() == ErrorKind::Denied => return Ok(Watch::never()),
        Err(error) => return Err(error),
    };
    let name = if place.dirs.is_empty() { place.leaf.as_bytes() } else { b"" };
    let subscription = hub().and_then(|hub| hub.subscribe(&shard.dir, name));
    Ok(subscription.map_or_else(|_| Watch::never(), |subscription| Watch::new(wakes(subscription))))
}

fn wakes(subscription: Subscription) -> impl futures_util::Stream<Item = ()> + Send {
    stream::unfold(subscription, |mut subscription| async move {
        subscription.receiver.as_mut()?.changed().await.ok()?;
        Some(((), subscription))
    })
}

/// The running instance, or a new one.
fn hub() -> Result<Arc<Hub>, Errno> {
    let mut running = lock(&HUB);
    if let Some(hub) = &*running {
        return Ok(hub.clone());
    }
    let hub = Arc::new(Hub { inotify: init(CreateFlags::CLOEXEC)?, by_directory: Mutex::default() });
    let listener = hub.clone();
    std::thread::Builder::new()
        .name("proxystore-watch".into())
        .spawn(move || listener.listen())
        .map_err(|_| Errno::AGAIN)?;
    *running = Some(hub.clone());
    Ok(hub)
}

impl Hub {
    fn subscribe(self: Arc<Self>, directory: &OwnedFd, name: &[u8]) -> Result<Subscription, Errno> {
        // The path leads to the open directory and to no other.
        let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let mut by_directory = lock(&self.by_directory);
        // A file comes by its first name or by a new one, and in both cases whole.
        let comes = WatchFlags::CREATE | WatchFlags::MOVED_TO;
        let events = comes | WatchFlags::MOVED_FROM | WatchFlags::DELETE | WatchFlags::ONLYDIR;
        let directory = add_watch(&self.inotify, path, events)?;
        let names = by_directory.entry(directory).or_default();
        let receiver = names.entry(name.into()).or_insert_with(|| watch::channel(()).0).subscribe();
        drop(by_directory);
        Ok(Subscription { hub: self, directory, name: name.into(), receiver: Some(receiver) })
    }

    /// Hands out events for ever; an instance that broke ends its watches and makes room for a new one.
    fn listen(&self) {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => self.dispatch(&event),
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        lock(&HUB).take();
        lock(&self.by_directory).clear();
    }

    fn dispatch(&self, event: &Event<'_>) {
        let mut by_directory = lock(&self.by_directory);
        if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
            by_directory.values().flat_map(HashMap::values).for_each(|sender| {
                sender.send_replace(());
            });
        } else if event.events().contains(ReadFlags::IGNORED) {
            // The directory is gone, and with it its watch: whoever waits looks again.
            by_directory.remove(&event.wd());
        } else if by_directory.get(&event.wd()).is_none_or(HashMap::is_empty) {
            // Nobody has waited for this directory since its last event.
            by_directory.remove(&event.wd());
            let _ = remove_watch(&self.inotify, event.wd());
        } else if let Some(names) = by_directory.get(&event.wd()) {
            let moved_away = event.events().contains(ReadFlags::MOVED_FROM);
            let name = event.file_name().filter(|_| !moved_away).map_or(&b""[..], |name| name.to_bytes());
            if let Some(sender) = names.get(name) {
                sender.send_replace(());
            }
        }
    }
}

/// One waiter; the last of a name takes the name's entry with it.
struct Subscription {
    hub: Arc<Hub>,
    directory: i32,
    name: Box<[u8]>,
    receiver: Option<watch::Receiver<()>>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut by_directory = lock(&self.hub.by_directory);
        self.receiver = None;
        if let Some(names) = by_directory.get_mut(&self.directory)
            && names.get(&self.name).is_some_and(|sender| sender.receiver_count() == 0)
        {
            names.remove(&self.name);
        }
    }
}
