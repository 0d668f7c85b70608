//! The contract over a directory.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, ready};
use futures_util::{FutureExt, StreamExt, stream};
use proxystore_core::{
    Capabilities, Connector, ConnectorInfo, Draft, Error, ErrorKind, FileSource, FileTarget, Key, Origin,
    Payload, PutOptions, Reach, Result, Transfer, Watch, async_trait,
};
use tokio::task::AbortHandle;
use tokio::task::coop::consume_budget;

use crate::janitor::{self, Swept};
use crate::object::{self, Glance, Object};
use crate::pool::Pool;
use crate::tree::Tree;
use crate::{FileConfig, root, watch};

/// Objects in files below one directory. See the crate's documentation.
///
/// An operation that has begun runs to its end when its future is dropped: a put happens whole or not at all, a
/// take may lose its object. A process that dies within a take may lose the object, too.
pub struct FileConnector {
    info: ConnectorInfo,
    /// `None` when closed.
    tree: Mutex<Option<Arc<Tree>>>,
    pool: Pool,
    janitor: Option<AbortHandle>,
}

impl FileConnector {
    pub(crate) async fn open(config: FileConfig, origin: Origin) -> Result<Self> {
        let pool = Pool::new();
        let (durability, every) = (config.durability, config.sweep);
        let (root, clock, uri) = pool.run(ErrorKind::Timeout, move || root::open(&config, origin)).await?;
        let tree = Arc::new(Tree::new(root, clock, durability));
        let janitor = match origin {
            Origin::Program => Some(janitor::start(tree.clone(), pool.clone(), every)),
            Origin::Reference => None,
        };
        let capabilities = Capabilities {
            reach: Reach::Host,
            create: true,
            watch: true,
            ttl: true,
            take: true,
            max_value: u64::MAX >> 1,
        };
        let info = ConnectorInfo::new(uri, capabilities);
        Ok(Self { info, tree: Mutex::new(Some(tree)), pool, janitor })
    }

    /// Removes the objects that have expired and the files of dead writers, as happens on its own all the time.
    ///
    /// Errors with the first failure, after all else is swept. Dropping the future stops it at some shard.
    pub async fn sweep(&self) -> Result<Swept> {
        let tree = self.tree().map_err(|error| self.explain(error, "sweep", None))?;
        let swept = janitor::sweep(&tree, &self.pool, false).await;
        swept.map_err(|error| self.explain(error, "sweep", None))
    }

    fn guard(&self) -> MutexGuard<'_, Option<Arc<Tree>>> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tree(&self) -> Result<Arc<Tree>> {
        self.guard().clone().ok_or_else(|| Error::new(ErrorKind::Closed, "the connector is closed"))
    }

    fn explain(&self, error: Error, operation: &'static str, key: Option<&Key>) -> Error {
        let error = error.with("operation", operation);
        let error = if let Some(key) = key { error.with("key", key) } else { error };
        error.with("connector", &self.info.uri)
    }

    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: &Key,
        late: ErrorKind,
        work: impl FnOnce(&Tree, &Key) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let result = match self.tree() {
            Ok(tree) => {
                let key = key.clone();
                self.pool.run(late, move || work(&tree, &key)).await
            }
            Err(closed) => Err(closed),
        };
        result.map_err(|error| self.explain(error, operation, Some(key)))
    }

    /// Finds an object, and then gets it by `read`: at once if there is room for it, as there is for a small one.
    async fn find<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: &Key,
        late: ErrorKind,
        read: impl Fn(&Tree, &Key, Object, &Transfer) -> Result<Option<T>> + Clone + Send + 'static,
    ) -> Result<Option<T>> {
        let again = read.clone();
        let transfer = Transfer::current();
        let find = move |tree: &Tree, key: &Key| {
            let Some(object) = tree.open(key)? else { return Ok(Found::All(None)) };
            let mut room = room(&transfer, object.len());
            match (&mut room).now_or_never() {
                Some(room) => room.and_then(|()| read(tree, key, object, &transfer)).map(Found::All),
                None => Ok(Found::Large(object, room)),
            }
        };
        match self.run(operation, key, late, find).await? {
            Found::All(object) => Ok(object),
            Found::Large(object, room) => self.fetch(operation, key, late, object, room, again).await,
        }
    }

    /// Gets an object that is found, when there is room for it.
    async fn fetch<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: &Key,
        late: ErrorKind,
        object: Object,
        room: BoxFuture<'static, Result<()>>,
        read: impl Fn(&Tree, &Key, Object, &Transfer) -> Result<Option<T>> + Send + 'static,
    ) -> Result<Option<T>> {
        room.await.map_err(|error| self.explain(error, operation, Some(key)))?;
        let transfer = Transfer::current();
        self.run(operation, key, late, move |tree, key| read(tree, key, object, &transfer)).await
    }

    /// What can be told of an object here and now. `None`: ask where waiting for a disk keeps nobody.
    async fn glance(
        &self,
        operation: &'static str,
        key: &Key,
        wanted: impl FnOnce(u64) -> bool,
    ) -> Result<Option<Glance>> {
        // Who asks for much lets others have a turn.
        consume_budget().await;
        let glance = self.tree().and_then(|tree| tree.glance(key, wanted));
        glance.map_err(|error| self.explain(error, operation, Some(key)))
    }

    /// Gets an object: here, if it has at most `here` bytes and the system has them in memory.
    async fn get_one(&self, key: &Key, here: u64) -> Result<Option<Payload>> {
        let transfer = Transfer::current();
        let mut waits = None;
        let wanted = |len| {
            let mut room = room(&transfer, len);
            let admitted = if len <= here { (&mut room).now_or_never() } else { None };
            let wanted = matches!(admitted, Some(Ok(())));
            waits = match admitted {
                Some(admitted) => Some(ready(admitted).boxed()),
                None => Some(room),
            };
            wanted
        };
        let glance = self.glance("get", key, wanted).await?;
        let read = |_: &Tree, _: &Key, object: Object, transfer: &Transfer| {
            object.read(object.buffer()?, transfer).map(Some)
        };
        match (glance, waits) {
            (Some(Glance::Missing), _) => Ok(None),
            (Some(Glance::All(_, bytes)), _) => {
                transfer.moved(bytes.len() as u64);
                for _ in 0..bytes.len() as u64 / SMALL {
                    consume_budget().await;
                }
                Ok(Some(bytes.into()))
            }
            (Some(Glance::Part(object)), Some(room)) => {
                self.fetch("get", key, ErrorKind::Timeout, object, room, read).await
            }
            _ => self.find("get", key, ErrorKind::Timeout, read).await,
        }
    }
}

/// Up to this many bytes an object that the system has in memory is copied from there by who asks for it. That takes
/// less than to have a thread do it, and the bytes are at hand for who checks and decodes them.
const HERE: u64 = (1 << 20) + SMALL;
/// Up to this many bytes an object is read as soon as it is found.
const SMALL: u64 = 64 << 10;

/// How many objects of a batch are read at once.
const BATCH: usize = 16;
/// Up to this many bytes an object is put by who asks for it, where that waits for nothing.
const PUT_HERE: u64 = 128 << 10;

/// What the first look finds.
enum Found<T> {
    All(Option<T>),
    /// An object for which there is no room yet.
    Large(Object, BoxFuture<'static, Result<()>>),
}

/// Waits until an object of this size may be read.
fn room(transfer: &Transfer, len: u64) -> BoxFuture<'static, Result<()>> {
    if len <= SMALL {
        return ready(Ok(())).boxed();
    }
    let transfer = transfer.clone();
    async move {
        transfer.admit(len)?;
        transfer.expect(len).await
    }
    .boxed()
}

#[async_trait]
impl Connector for FileConnector {
    fn info(&self) -> &ConnectorInfo {
        &self.info
    }

    async fn put(&self, key: &Key, value: Payload, options: &PutOptions) -> Result<()> {
        let (len, transfer) = (value.len() as u64, Transfer::current());
        if len <= PUT_HERE {
            consume_budget().await;
            let write = |file: &OwnedFd| object::write(file, key, &value, &transfer);
            let put = self.tree().and_then(|tree| tree.put_at_once(key, len, options, write));
            if put.map_err(|error| self.explain(error, "put", Some(key)))? {
                return Ok(());
            }
        }
        let options = options.clone();
        let put = move |tree: &Tree, key: &Key| {
            tree.put(key, len, &options, |file| object::write(file, key, &value, &transfer))
        };
        self.run("put", key, ErrorKind::Ambiguous, put).await
    }

    /// The file is copied.
    async fn put_file(&self, key: &Key, source: &FileSource, options: &PutOptions) -> Result<()> {
        let (source, options, transfer) = (source.clone(), options.clone(), Transfer::current());
        let put = move |tree: &Tree, key: &Key| {
            tree.put(key, source.size(), &options, |file| object::write_file(file, key, &source, &transfer))
        };
        self.run("put", key, ErrorKind::Ambiguous, put).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Payload>> {
        self.get_one(key, HERE).await
    }

    /// Large ones are read by several threads.
    async fn get_many(&self, keys: &[Key]) -> Vec<Result<Option<Payload>>> {
        let gets: Vec<_> = keys.iter().map(|key| self.get_one(key, SMALL)).collect();
        stream::iter(gets).buffered(BATCH).collect().await
    }

    /// The file is copied.
    async fn get_file(&self, key: &Key, target: &FileTarget) -> Result<Option<Draft>> {
        let target = target.clone();
        let copy = move |_: &Tree, _: &Key, object: Object, transfer: &Transfer| {
            object.copy(&target, transfer).map(Some)
        };
        self.find("get", key, ErrorKind::Timeout, copy).await
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        match self.glance("exists", key, |_| false).await? {
            Some(found) => Ok(!matches!(found, Glance::Missing)),
            None => {
                self.run("exists", key, ErrorKind::Timeout, |tree, key| Ok(tree.open(key)?.is_some())).await
            }
        }
    }

    async fn evict(&self, key: &Key) -> Result<()> {
        self.run("evict", key, ErrorKind::Ambiguous, Tree::evict).await
    }

    async fn touch(&self, key: &Key, ttl: Duration) -> Result<bool> {
        self.run("touch", key, ErrorKind::Ambiguous, move |tree, key| tree.touch(key, ttl)).await
    }

    async fn take(&self, key: &Key) -> Result<Option<Payload>> {
        let take = |tree: &Tree, key: &Key, _: Object, transfer: &Transfer| tree.take(key, transfer);
        self.find("take", key, ErrorKind::Ambiguous, take).await
    }

    async fn watch(&self, key: &Key) -> Result<Watch> {
        self.run("watch", key, ErrorKind::Timeout, watch::subscribe).await
    }

    async fn close(&self) -> Result<()> {
        self.guard().take();
        if let Some(janitor) = &self.janitor {
            janitor.abort();
        }
        Ok(())
    }

    /// Removes all objects and what dead writers left. The directories stay, and so do foreign files and puts that
    /// are under way. Dropping the future leaves some of the objects.
    async fn clear(&self) -> Result<()> {
        let tree = self.tree().map_err(|error| self.explain(error, "clear", None))?;
        let cleared = janitor::sweep(&tree, &self.pool, true).await;
        cleared.map(drop).map_err(|error| self.explain(error, "clear", None))
    }
}

impl Drop for FileConnector {
    fn drop(&mut self) {
        if let Some(janitor) = &self.janitor {
            janitor.abort();
        }
    }
}

impl fmt::Debug for FileConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileConnector({})", self.info.uri)
    }
}
