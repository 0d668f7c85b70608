//! Objects that are files: put from one and saved to one, in bounded memory.

use std::fmt;
use std::future::IntoFuture;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proxystore_core::{Error, ErrorKind, FileSource, FileTarget, Id, Key, KeyHint, Operation, Result};

use crate::envelope::{self, Header};
use crate::future::wait;
use crate::grant::Rights;
use crate::metrics::{Attribute, Timer};
use crate::request::{Answer, Fate, How};
use crate::{Format, Proxy, Raw, Store, Stored, load, rt, trace};

impl Store {
    /// Puts what is in a file, and gives a proxy of it: `store.proxy_file("model.bin").await?`. It is never in memory as
    /// a whole where the connector moves objects in pieces and the store has no transforms; see
    /// [`Connector::put_file`](proxystore_core::Connector::put_file). The file is read twice: for its digest, and to be
    /// put.
    ///
    /// Whoever resolves the proxy gets the bytes, as of `store.proxy(bytes).codec::<Raw>()`; [`Stored::save`] saves them
    /// to a file.
    ///
    /// ```
    /// use proxystore_store::Store;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let connector = proxystore_local::LocalConnector::named("files");
    /// # let folder = std::env::temp_dir().join(proxystore_core::Id::random()?.to_string());
    /// # std::fs::create_dir(&folder)?;
    /// let store = Store::builder("files").connector(connector).build().await?;
    /// std::fs::write(folder.join("model"), "weights")?;
    ///
    /// let proxy = store.proxy_file(folder.join("model")).await?;
    /// proxy.factory().save(folder.join("copy")).await?;
    /// assert_eq!(std::fs::read(folder.join("copy"))?, b"weights");
    /// assert_eq!(proxy.resolve_async().await?, "weights");
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok(()) }
    /// ```
    ///
    /// Errors: `Config` or `Denied` if the file cannot be read, `Conflict` if it changes meanwhile, and those of
    /// [`put`](Self::put). Dropping: as [`put`](Self::put).
    pub fn proxy_file(&self, path: impl Into<PathBuf>) -> ProxyFile<'_> {
        ProxyFile { store: self, path: path.into(), how: How::default() }
    }

    async fn put_file(&self, path: PathBuf, how: &How) -> Result<(Key, u64)> {
        let source = self.on_files(0, move || FileSource::open(path)).await?;
        let length = source.size();
        self.check_length(length)?;
        let hint = KeyHint { size: Some(length), tags: Some(&how.options.tags) };
        let key = self.connector_open()?.new_key(hint)?;
        let header = Header { codec: Raw::ID, fingerprint: None, nonce: Id::random()? };
        let place = key.clone();
        let seal = move || {
            let head = envelope::seal_file(&header, &place, &source)?;
            Ok(source.with_head(head))
        };
        let sealed = self.on_files(length, seal).await?;
        let (sends, options) = (sealed.size(), how.options(self));
        let put = self.call(Operation::Put, sends, |connector| connector.put_file(&key, &sealed, &options));
        self.attached(&key, length, how, put).await?;
        Ok((key, length))
    }

    /// Runs work on `length` bytes of files, where it may block, within the time that it may take.
    async fn on_files<T: Send + 'static>(
        &self,
        length: u64,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.limited(Operation::Get, length, &self.transfer(), rt::apart(work)).await
    }
}

/// See [`Store::proxy_file`].
#[must_use = "a request does nothing until it is awaited"]
pub struct ProxyFile<'a> {
    store: &'a Store,
    path: PathBuf,
    how: How,
}

impl ProxyFile<'_> {
    put_setters!();
    lifetime_setter!();
}

impl<'a> IntoFuture for ProxyFile<'a> {
    type Output = Result<Proxy<Bytes, Raw>>;
    type IntoFuture = Answer<'a, Proxy<Bytes, Raw>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { store, path, how } = self;
        let proxy = async move {
            let start = Instant::now();
            let (key, length) =
                store.done(Timer::Proxy, start, "proxy_file", None, store.put_file(path, &how).await)?;
            store.make_proxy(key, length, Fate::Unresolved)
        };
        Box::pin(spanned!("proxystore.proxy_file", store.name(), None, proxy))
    }
}

impl fmt::Debug for ProxyFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyFile({}, {:?})", self.path.display(), self.store)
    }
}

impl Stored<Raw> {
    /// Saves the target to a file, which others see when it is whole and its digest is right: what has the name until
    /// then stays. It is never in memory as a whole where the connector moves objects in pieces and the store has no
    /// transforms. The target of a future is waited for. See [`Store::proxy_file`].
    ///
    /// Errors: those of resolving, `Unsupported` for an ephemeral target, `Config`, `Denied` or `Full` if there can be
    /// no such file. If the future is dropped the file is as it was, or whole; a process that is killed may leave a
    /// hidden `.proxystore-<id>` beside it.
    pub async fn save(&self, path: impl Into<PathBuf>) -> Result<()> {
        let save = self.save_to(FileTarget::new(path, envelope::HEADER_LEN));
        trace::resolving(self.reference(), save).await.map_err(|error| self.place(error, "save"))
    }

    async fn save_to(&self, target: FileTarget) -> Result<()> {
        let start = Instant::now();
        self.check::<Bytes>()?;
        if self.is_ephemeral() {
            return Err(Error::new(ErrorKind::Unsupported, "an ephemeral target is not saved to a file")
                .hint("resolve the proxy, and write its target yourself"));
        }
        let store = self.allowed(Rights::READ).await?;
        if let Some(polling) = &self.reference().future {
            let backoff = polling.backoff();
            store.wait_until_set(self.key(), &backoff, wait::deadline(backoff.timeout)).await?;
        }
        let found =
            store.call(Operation::Get, 0, |connector| connector.get_file(self.key(), &target)).await?;
        let draft = found.ok_or_else(Self::missing)?;
        store.recorder().time(Timer::GetConnector, start);
        let length = draft.size().saturating_sub(envelope::HEADER_LEN as u64);
        store.check_length(length)?;
        let key = self.key().clone();
        let check = move || {
            load::check::<Bytes, Raw>(&envelope::open_file(&key, &draft)?)?;
            Ok(draft)
        };
        let draft = store.on_files(length, check).await?;
        // Without a deadline: what is told to have failed has not happened.
        rt::apart(move || draft.publish()).await?;
        store.recorder().time(Timer::Resolve, start);
        store.recorder().set(Attribute::GetSize, length);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
