//! The operations on the files of a store. Everything here blocks.
//!
//! Locks: a shard's directory is locked shared by who makes or publishes a file there and exclusively by who removes
//! one because of what it found in it. So no put and no touch is lost to a sweep, and a temp that nobody has locked
//! is of a dead writer. Readers and evicts take no lock.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use proxystore_core::{Error, ErrorKind, Key, Mode, Payload, PutOptions, Result, Transfer};
use rustix::fs::{
    AtFlags, FlockOperation, Mode as Permissions, OFlags, RenameFlags, fdatasync, flock, fstat, fsync,
    mkdirat, renameat, renameat_with, unlinkat,
};
use rustix::io::Errno;

use crate::Durability;
use crate::buffer::Buffer;
use crate::clock::Clock;
use crate::error::{corrupt, failed};
use crate::layout::{Place, SHARDS, shard_name, temp_name};
use crate::object::{self, Expiry, Object, open_beneath};

/// How long to wait for a lock that is held for microseconds, unless its holder is stopped.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const DIRECTORY: OFlags = OFlags::DIRECTORY;

/// An open store.
pub(crate) struct Tree {
    root: OwnedFd,
    pub(crate) clock: Clock,
    durability: Durability,
    /// The shards whose directories are known to be on the disk.
    on_disk: [AtomicBool; SHARDS],
}

/// A shard's directory, opened for one operation: its lock goes when it is dropped.
pub(crate) struct Shard(pub(crate) OwnedFd);

impl Tree {
    pub(crate) fn new(root: OwnedFd, clock: Clock, durability: Durability) -> Self {
        Self { root, clock, durability, on_disk: [const { AtomicBool::new(false) }; SHARDS] }
    }

    /// Puts what `write` writes into an empty file.
    pub(crate) fn put(
        &self,
        key: &Key,
        options: &PutOptions,
        write: impl FnOnce(&OwnedFd) -> Result<()>,
    ) -> Result<()> {
        let place = Place::of(key);
        let shard = self.make_shard(place.shard)?;
        let (temp, file) = shard.make_temp()?;
        let put = (|| {
            write(&file)?;
            if let Some(ttl) = options.ttl {
                object::expire(&file, Expiry::after(ttl, self.clock))?;
            }
            if self.durability != Durability::None {
                fdatasync(&file).map_err(failed("cannot sync the object"))?;
            }
            self.publish(&shard, &temp, &place, key, options.mode)
        })();
        let dirs = put.inspect_err(|_| shard.discard(&temp))?;
        if self.durability == Durability::Power {
            // Not to be repeated: what the system once failed to write, it says the next time that it has written.
            self.sync_names(place.shard, &shard, &dirs).map_err(|errno| {
                Error::new(ErrorKind::Unexpected, "cannot sync the object's directories")
                    .with_source(errno)
                    .hint("the object is there, but may not outlive a loss of power")
            })?;
        }
        Ok(())
    }

    /// Gives the temp its name, in [`Mode::Create`] if no object has it, and gives the directories of a long key.
    fn publish(
        &self,
        shard: &Shard,
        temp: &str,
        place: &Place,
        key: &Key,
        mode: Mode,
    ) -> Result<Vec<OwnedFd>> {
        let cannot = |errno| match errno {
            Errno::ISDIR => corrupt("a directory stands in the object's place"),
            errno => failed("cannot give the object its name")(errno),
        };
        shard.lock(FlockOperation::NonBlockingLockShared)?;
        let dirs = make_dirs(shard, place)?;
        let dir = dirs.last().unwrap_or(&shard.0);
        if mode == Mode::Overwrite {
            return renameat(&shard.0, temp, dir, &place.leaf).map(|()| dirs).map_err(cannot);
        }
        match renameat_with(&shard.0, temp, dir, &place.leaf, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(dirs),
            // Taken, or a file system that cannot do this: it is done below.
            Err(Errno::EXIST) if self.is_taken(place, key)? => {}
            Err(Errno::EXIST | Errno::INVAL | Errno::NOSYS) => {
                // Nobody else gives or checks a name while we hold this lock.
                shard.lock(FlockOperation::NonBlockingLockExclusive)?;
                let dirs = make_dirs(shard, place)?;
                let dir = dirs.last().unwrap_or(&shard.0);
                if !self.is_taken(place, key)? {
                    return renameat(&shard.0, temp, dir, &place.leaf).map(|()| dirs).map_err(cannot);
                }
            }
            Err(errno) => return Err(cannot(errno)),
        }
        Err(Error::new(ErrorKind::Exists, "the key is taken"))
    }

    /// Whether something stands in the place of an object that has not expired.
    fn is_taken(&self, place: &Place, key: &Key) -> Result<bool> {
        match self.find(place, key, OFlags::RDONLY) {
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(true),
            found => Ok(found?.is_some()),
        }
    }

    /// Puts a new name, and those of the directories above it, on the disk.
    fn sync_names(&self, number: u8, shard: &Shard, dirs: &[OwnedFd]) -> rustix::io::Result<()> {
        flock(&shard.0, FlockOperation::Unlock)?;
        for dir in dirs.iter().rev().chain([&shard.0]) {
            fsync(dir)?;
        }
        let on_disk = &self.on_disk[usize::from(number)];
        if !on_disk.load(Ordering::Relaxed) {
            fsync(&self.root)?;
            on_disk.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The object under `key`, opened.
    pub(crate) fn open(&self, key: &Key) -> Result<Option<Object>> {
        self.find(&Place::of(key), key, OFlags::RDONLY)
    }

    /// The object, if it has not expired.
    fn find(&self, place: &Place, key: &Key, access: OFlags) -> Result<Option<Object>> {
        match Object::open(&self.root, &place.path(), key, access)? {
            None => self.check_root().map(|()| None),
            Some(object) => Ok(Some(object).filter(|object| !object.expiry.is_over(self.clock))),
        }
    }

    /// A directory that was removed holds nothing, which is not for us to report as absence.
    fn check_root(&self) -> Result<()> {
        if fstat(&self.root).map_err(failed("cannot examine the store's directory"))?.st_nlink == 0 {
            return Err(Error::new(ErrorKind::Unavailable, "the store's directory was removed")
                .hint("open the store again to make a new one"));
        }
        Ok(())
    }

    pub(crate) fn evict(&self, key: &Key) -> Result<()> {
        let place = Place::of(key);
        match open_beneath(&self.root, &place.dir(), DIRECTORY) {
            Ok(dir) => remove(&dir, &place.leaf).map(drop),
            Err(Errno::NOENT) => self.check_root(),
            Err(errno) => Err(failed("cannot open the shard's directory")(errno)),
        }
    }

    pub(crate) fn touch(&self, key: &Key, ttl: Duration) -> Result<bool> {
        let place = Place::of(key);
        let Some(shard) = self.shard(place.shard)? else { return Ok(false) };
        shard.lock(FlockOperation::NonBlockingLockShared)?;
        let Some(object) = self.find(&place, key, OFlags::RDWR)? else { return Ok(false) };
        object.expire(Expiry::after(ttl, self.clock))?;
        shard.unlock()?;
        if self.durability != Durability::None {
            fdatasync(object.file()).map_err(failed("cannot sync the time of expiry"))?;
        }
        Ok(true)
    }

    pub(crate) fn take(&self, key: &Key, transfer: &Transfer) -> Result<Option<Payload>> {
        let place = Place::of(key);
        let Some(shard) = self.shard(place.shard)? else { return Ok(None) };
        shard.lock(FlockOperation::NonBlockingLockExclusive)?;
        let Some(object) = self.find(&place, key, OFlags::RDONLY)? else { return Ok(None) };
        let buffer = object.buffer()?;
        let dirs = open_dirs(&shard, &place)?;
        if !remove(dirs.last().unwrap_or(&shard.0), &place.leaf)? {
            return Ok(None);
        }
        read_removed(&shard, &object, buffer, transfer).map(Some)
    }

    /// The shard's directory, `None` if there is none yet.
    pub(crate) fn shard(&self, shard: u8) -> Result<Option<Shard>> {
        match open_beneath(&self.root, &shard_name(shard), DIRECTORY) {
            Ok(dir) => Ok(Some(Shard(dir))),
            Err(Errno::NOENT) => self.check_root().map(|()| None),
            Err(errno) => Err(failed("cannot open the shard's directory")(errno)),
        }
    }

    pub(crate) fn make_shard(&self, shard: u8) -> Result<Shard> {
        open_or_make(&self.root, &shard_name(shard)).map(Shard)
    }
}

impl Shard {
    /// Waits for the lock, which every other holder keeps for a moment only. An operation that fails here has
    /// changed nothing.
    pub(crate) fn lock(&self, how: FlockOperation) -> Result<()> {
        let start = Instant::now();
        let mut pause = Duration::from_micros(20);
        loop {
            match flock(&self.0, how) {
                Err(Errno::WOULDBLOCK | Errno::INTR) if start.elapsed() < LOCK_WAIT => {
                    sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(2));
                }
                Err(Errno::WOULDBLOCK) => {
                    let why = "another process keeps a shard's directory locked; nothing was changed";
                    return Err(Error::new(ErrorKind::Timeout, why)
                        .transient()
                        .hint("look for a stopped process that uses this store"));
                }
                locked => return locked.map_err(failed("cannot lock the shard's directory")),
            }
        }
    }

    pub(crate) fn unlock(&self) -> Result<()> {
        flock(&self.0, FlockOperation::Unlock).map_err(failed("cannot unlock the shard's directory"))
    }

    /// A new file, locked as long as it is open.
    fn make_temp(&self) -> Result<(String, OwnedFd)> {
        let name = temp_name()?;
        self.lock(FlockOperation::NonBlockingLockShared)?;
        let file = open_beneath(&self.0, &name, OFlags::CREATE | OFlags::EXCL | OFlags::RDWR)
            .map_err(failed("cannot make a file"))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(failed("cannot lock a new file"))
            .and_then(|()| self.unlock())
            .inspect_err(|_| self.discard(&name))?;
        Ok((name, file))
    }

    /// Removes a temp. If that fails, it is the sweeper's.
    fn discard(&self, temp: &str) {
        let _ = unlinkat(&self.0, temp, AtFlags::empty());
    }
}

/// Removes a file; `false` if it is not there.
pub(crate) fn remove(dir: &OwnedFd, name: &str) -> Result<bool> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(Errno::ISDIR) => Err(corrupt("a directory stands in the object's place")),
        Err(errno) => Err(failed("cannot remove the object")(errno)),
    }
}

/// Reads an object that nobody else can find any more, so that a failure is not to be repeated.
fn read_removed(shard: &Shard, object: &Object, buffer: Buffer, transfer: &Transfer) -> Result<Payload> {
    shard.unlock().and_then(|()| object.read(buffer, transfer)).map_err(|error| {
        Error::new(ErrorKind::Ambiguous, "the object was removed, and then could not be read")
            .with_source(error)
    })
}

/// The directories of a long key, the innermost last. Under the shard's lock, so that no sweep removes them again.
fn make_dirs(shard: &Shard, place: &Place) -> Result<Vec<OwnedFd>> {
    dirs(shard, place, open_or_make)
}

fn open_dirs(shard: &Shard, place: &Place) -> Result<Vec<OwnedFd>> {
    dirs(shard, place, |dir, name| {
        open_beneath(dir, name, DIRECTORY).map_err(failed("cannot open a directory of long keys"))
    })
}

fn dirs(
    shard: &Shard,
    place: &Place,
    open: impl Fn(&OwnedFd, &str) -> Result<OwnedFd>,
) -> Result<Vec<OwnedFd>> {
    let mut dirs = Vec::new();
    for name in &place.dirs {
        let dir = open(dirs.last().unwrap_or(&shard.0), name)?;
        dirs.push(dir);
    }
    Ok(dirs)
}

fn open_or_make(parent: &OwnedFd, name: &str) -> Result<OwnedFd> {
    let open = || open_beneath(parent, name, DIRECTORY);
    let opened = open().or_else(|errno| match errno {
        Errno::NOENT => match mkdirat(parent, name, Permissions::RWXU) {
            Ok(()) | Err(Errno::EXIST) => open(),
            Err(errno) => Err(errno),
        },
        errno => Err(errno),
    });
    opened.map_err(failed("cannot open or make a directory of the store"))
}

#[cfg(test)]
mod tests;
