//! Objects that come from files, and files that objects are saved to. Everything here that says so blocks.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind as Io};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::{Connector, Error, ErrorKind, Id, Key, Payload, PutOptions, Result};

/// How many bytes of a file are in memory while all of it is read: 1 MiB.
const STEP: usize = 1 << 20;

/// A file that is put as an object, behind some bytes that come first.
///
/// A handle: clones are the same open file. It must not change until it is put: what is noticed of a change is an error.
///
/// ```
/// use proxystore_core::FileSource;
///
/// let path = std::env::temp_dir().join(format!("{}.txt", proxystore_core::Key::random()?));
/// # std::fs::write(&path, "world").unwrap();
/// let source = FileSource::open(&path)?.with_head("hello, ");
/// assert_eq!(source.size(), 12);
/// let mut some = [0; 4];
/// source.read(5, &mut some)?;
/// assert_eq!(&some, b", wo");
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), proxystore_core::Error>(())
/// ```
#[derive(Clone)]
pub struct FileSource {
    head: Bytes,
    opened: Arc<Opened>,
}

struct Opened {
    path: PathBuf,
    file: File,
    len: u64,
    modified: Option<SystemTime>,
}

impl FileSource {
    /// Opens the file. Blocks.
    ///
    /// Errors: `Config` if there is no such file, or it is a directory or a pipe; `Denied` if it may not be read.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let cannot = |error: io::Error| failed("cannot read the file", &path, error);
        // Opening a pipe would wait for its other end.
        if !fs::metadata(&path).map_err(cannot)?.is_file() {
            return Err(
                Error::new(ErrorKind::Config, "what is to be put is not a file").with("path", path.display())
            );
        }
        let file = File::open(&path).map_err(cannot)?;
        let metadata = file.metadata().map_err(cannot)?;
        let (len, modified) = (metadata.len(), metadata.modified().ok());
        Ok(Self { head: Bytes::new(), opened: Arc::new(Opened { path, file, len, modified }) })
    }

    /// The same file behind other bytes.
    #[must_use]
    pub fn with_head(self, head: impl Into<Bytes>) -> Self {
        Self { head: head.into(), ..self }
    }

    /// The bytes that come first.
    pub fn head(&self) -> &Bytes {
        &self.head
    }

    /// The length of the object in bytes: of what comes first, and of the file when it was opened.
    pub fn size(&self) -> u64 {
        self.opened.len.saturating_add(self.head.len() as u64)
    }

    /// Fills `buffer` with bytes of the object, of which the first is number `at`. Blocks.
    ///
    /// Errors: `Conflict` if the file has become shorter, and what the file system reports.
    pub fn read(&self, at: u64, buffer: &mut [u8]) -> Result<()> {
        let front = self.head.get(usize::try_from(at).unwrap_or(usize::MAX)..).unwrap_or_default();
        let front = &front[..front.len().min(buffer.len())];
        let (of_head, of_file) = buffer.split_at_mut(front.len());
        of_head.copy_from_slice(front);
        if of_file.is_empty() {
            Ok(())
        } else {
            self.fill(of_file, at.saturating_sub(self.head.len() as u64))
        }
    }

    /// Shows all bytes of the file to `work`, in order, some at a time, until that fails. Blocks.
    ///
    /// Errors: as [`read`](Self::read) and [`check`](Self::check), and that of `work`.
    pub fn each(&self, work: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        each(self.opened.len, |buffer, at| self.fill(buffer, at), work)?;
        self.check()
    }

    /// Whether the file is the same as when it was opened, by its length and the time of its last change: `Conflict` if
    /// it is not. Blocks. Two changes within a tick of the file system's clock look like one.
    pub fn check(&self) -> Result<()> {
        let Opened { path, file, len, modified } = &*self.opened;
        let metadata = file.metadata().map_err(|error| failed("cannot examine the file", path, error))?;
        if metadata.len() == *len && metadata.modified().ok() == *modified {
            Ok(())
        } else {
            Err(self.changed())
        }
    }

    /// All of the object, in memory. Blocks.
    ///
    /// Errors: `TooLarge` if there is no memory for it, and as [`read`](Self::read) and [`check`](Self::check).
    pub fn payload(&self) -> Result<Payload> {
        let too_large = || {
            Error::new(ErrorKind::TooLarge, "there is no memory for the file")
                .with("path", self.opened.path.display())
        };
        let size = usize::try_from(self.opened.len).map_err(|_| too_large())?;
        let mut body = Vec::new();
        body.try_reserve_exact(size).map_err(|_| too_large())?;
        body.resize(size, 0);
        self.fill(&mut body, 0)?;
        self.check()?;
        Ok(Payload::new(self.head.clone(), body))
    }

    fn fill(&self, buffer: &mut [u8], at: u64) -> Result<()> {
        let Opened { path, file, .. } = &*self.opened;
        read_exact(file, buffer, at).map_err(|error| match error.kind() {
            Io::UnexpectedEof => self.changed(),
            _ => failed("cannot read the file", path, error),
        })
    }

    fn changed(&self) -> Error {
        Error::new(ErrorKind::Conflict, "the file changed while it was put")
            .with("path", self.opened.path.display())
            .hint("put it when nobody writes to it")
    }
}

impl fmt::Debug for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileSource({}, {} bytes)", self.opened.path.display(), self.size())
    }
}

/// Where the file of an object is to be.
#[derive(Debug, Clone)]
pub struct FileTarget {
    path: PathBuf,
    head: usize,
}

impl FileTarget {
    /// A file at `path`, which may be there already, for all of an object but its first `head` bytes.
    pub fn new(path: impl Into<PathBuf>, head: usize) -> Self {
        Self { path: path.into(), head }
    }

    /// Begins the file of an object of `size` bytes, in the same directory. Blocks.
    ///
    /// Errors: `Config` if there is no such directory, `Denied`, `Full`.
    pub fn draft(&self, size: u64) -> Result<Draft> {
        let name = format!(".proxystore-{}", Id::random()?);
        let temp = self.path.with_file_name(name);
        let cannot = |error: io::Error| failed("cannot make a file beside it", &self.path, error);
        // What takes the place of a private file is as private from the beginning.
        let permissions = fs::metadata(&self.path).ok().map(|replaced| replaced.permissions());
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        if permissions.is_some() {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        let file = options.open(&temp).map_err(cannot)?;
        let head = usize::try_from(size).unwrap_or(usize::MAX).min(self.head);
        let made = Made {
            path: self.path.clone(),
            file,
            permissions,
            size,
            head: Mutex::new(vec![0; head]),
            temp: Some(Temp(temp)),
        };
        made.file.set_len(size - head as u64).map_err(cannot)?;
        Ok(Draft(Arc::new(made)))
    }

    /// The file of an object that is in memory. Blocks. Errors: those of [`draft`](Self::draft) and [`Draft::write`].
    pub fn draft_of(&self, value: &Payload) -> Result<Draft> {
        let draft = self.draft(value.len() as u64)?;
        let mut at = 0;
        for segment in value.segments() {
            draft.write(at, segment)?;
            at += segment.len() as u64;
        }
        Ok(draft)
    }
}

/// The file of an object while it is written: it has a hidden name, and goes when the last handle is dropped.
///
/// A handle: clones are the same file. A process that is killed leaves it, as `.proxystore-<id>`.
#[derive(Clone)]
pub struct Draft(Arc<Made>);

struct Made {
    path: PathBuf,
    file: File,
    /// Those of the file that it replaces.
    permissions: Option<fs::Permissions>,
    size: u64,
    head: Mutex<Vec<u8>>,
    temp: Option<Temp>,
}

impl Draft {
    /// The length of the object in bytes.
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// Writes these bytes of the object, of which the first is number `at`. Blocks.
    ///
    /// Errors: `Full`, and what else the file system reports.
    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        if at.checked_add(bytes.len() as u64).is_none_or(|end| end > self.0.size) {
            return Err(Error::new(ErrorKind::Unexpected, "the object has more bytes than it said"));
        }
        let (head, body) = {
            let mut head = self.0.head.lock().unwrap_or_else(PoisonError::into_inner);
            let from = usize::try_from(at).unwrap_or(usize::MAX).min(head.len());
            let (front, body) = bytes.split_at(bytes.len().min(head.len() - from));
            head[from..from + front.len()].copy_from_slice(front);
            (head.len(), body)
        };
        let at = at.max(head as u64) - head as u64;
        write_all(&self.0.file, body, at)
            .map_err(|error| failed("cannot write the file", &self.0.path, error))
    }

    /// What was written of the object's first bytes, which are not part of the file.
    pub fn head(&self) -> Bytes {
        let head = self.0.head.lock().unwrap_or_else(PoisonError::into_inner);
        Bytes::copy_from_slice(&head)
    }

    /// Shows all bytes of the file to `work`, in order, some at a time, until that fails. Blocks.
    ///
    /// Errors: that of `work`, and what the file system reports.
    pub fn each(&self, work: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let Made { path, file, size, .. } = &*self.0;
        let fill = |buffer: &mut [u8], at| {
            read_exact(file, buffer, at).map_err(|error| failed("cannot read the file again", path, error))
        };
        each(size - self.head().len() as u64, fill, work)
    }

    /// Gives the file its name, in one step, in the place of what has it, whose permissions it takes. Blocks. It is not synced: a loss of power soon
    /// after may lose it.
    ///
    /// Errors: `Config` if a directory has the name, and what else the file system reports.
    pub fn publish(self) -> Result<()> {
        let Made { path, file, permissions, temp, .. } = &*self.0;
        let kept = permissions.as_ref().map_or(Ok(()), |kept| file.set_permissions(kept.clone()));
        let renamed = kept.and_then(|()| temp.as_ref().map_or(Ok(()), |temp| fs::rename(&temp.0, path)));
        renamed.map_err(|error| failed("cannot give the file its name", path, error))
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Draft({}, {} bytes)", self.0.path.display(), self.0.size)
    }
}

/// A file that is removed, unless it has another name by then.
struct Temp(PathBuf);

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // To remove a large file takes a while, which no thread of a runtime is kept for.
        let temp = self.temp.take();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn_blocking(move || drop(temp));
        }
    }
}

/// Runs `work` where it may block. It runs to its end also when the future is dropped.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => {
            Err(Error::new(ErrorKind::Unexpected, "the work on a file panicked"))
        }
        Err(_) => Err(Error::new(ErrorKind::Closed, "the runtime is shutting down")),
    }
}

/// All of the object, in memory.
pub(crate) async fn load(source: &FileSource) -> Result<Payload> {
    let source = source.clone();
    beside(move || source.payload()).await
}

/// Puts it by way of memory.
pub(crate) async fn put(
    connector: &(impl Connector + ?Sized),
    key: &Key,
    source: &FileSource,
    options: &PutOptions,
) -> Result<()> {
    connector.put(key, load(source).await?, options).await
}

/// Gets it by way of memory.
pub(crate) async fn get(
    connector: &(impl Connector + ?Sized),
    key: &Key,
    target: &FileTarget,
) -> Result<Option<Draft>> {
    let Some(value) = connector.get(key).await? else { return Ok(None) };
    let target = target.clone();
    beside(move || target.draft_of(&value)).await.map(Some)
}

/// Shows `len` bytes to `work`, which `fill` gets, in order.
fn each(
    len: u64,
    fill: impl Fn(&mut [u8], u64) -> Result<()>,
    mut work: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; usize::try_from(len).unwrap_or(STEP).min(STEP)];
    let mut at = 0;
    while at < len {
        let step = usize::try_from(len - at).unwrap_or(STEP).min(STEP);
        fill(&mut buffer[..step], at)?;
        work(&buffer[..step])?;
        at += step as u64;
    }
    Ok(())
}

fn read_exact(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match read_at(file, &mut buffer[done..], at + done as u64) {
            Ok(0) => return Err(Io::UnexpectedEof.into()),
            Ok(read) => done += read,
            Err(error) if error.kind() == Io::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn write_all(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match write_at(file, &bytes[done..], at + done as u64) {
            Ok(0) => return Err(Io::WriteZero.into()),
            Ok(written) => done += written,
            Err(error) if error.kind() == Io::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_at(file, buffer, at);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_read(file, buffer, at);
}

fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_at(file, bytes, at);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_write(file, bytes, at);
}

fn failed(why: &'static str, path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        Io::NotFound | Io::NotADirectory | Io::IsADirectory | Io::InvalidFilename => ErrorKind::Config,
        Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Denied,
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::Full,
        _ => ErrorKind::Unexpected,
    };
    Error::new(kind, why).with_source(error).with("path", path.display())
}

#[cfg(test)]
mod tests;
