//! The operations on the files of a store. Everything here blocks.
//!
//! Locks: a shard's directory is locked shared by who publishes a file there and exclusively by who removes one because
//! of what it found in it. So no put and no touch is lost to a sweep. Readers and evicts take no lock.
//!
//! A small object is written into a file that has no name, which no sweep can see. Where there are none, and for large
//! objects, the file is a temp: it has a name, and its writer's lock from the beginning on; so one that nobody has
//! locked is of a dead writer.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proxystore_core::{Error, ErrorKind, Key, Mode, Payload, PutOptions, Result, Transfer};
use rustix::fs::{AtFlags, FlockOperation, OFlags, fdatasync, flock, fstat, fstatfs, fsync, unlinkat};
use rustix::io::Errno;

use crate::Durability;
use crate::buffer::Buffer;
use crate::clock::Clock;
use crate::error::{corrupt, failed};
use crate::layout::{Place, SHARDS, shard_name};
use crate::object::{self, Expiry, Glance, Object, open_beneath};
use crate::shard::{Fresh, Shard, open_or_make};

/// Up to this many bytes an object is written into a file without a name: that is cheaper than a lock.
const SMALL: u64 = 64 << 10;
/// The type of file systems in memory: tmpfs.
const IN_MEMORY: u32 = 0x0102_1994;
/// The types of those whose files are opened without asking anyone, once their names are in memory: ext2 to ext4, xfs,
/// btrfs, f2fs.
const LOCAL: [u32; 4] = [0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010];
const DIRECTORY: OFlags = OFlags::DIRECTORY;

/// An open store.
pub(crate) struct Tree {
    root: OwnedFd,
    pub(crate) clock: Clock,
    durability: Durability,
    /// Whether there is no disk to wait for.
    in_memory: bool,
    /// Whether the system can look without waiting for the disk.
    glances: AtomicBool,
    /// Whether files without a name can be made, and be given one.
    nameless: AtomicBool,
    /// The shards whose directories are known to be on the disk.
    on_disk: [AtomicBool; SHARDS],
}

impl Tree {
    pub(crate) fn new(root: OwnedFd, clock: Clock, durability: Durability) -> Self {
        let on_disk = [const { AtomicBool::new(false) }; SHARDS];
        let kind = fstatfs(&root).map_or(0, |system| system.f_type as u32);
        let in_memory = kind == IN_MEMORY;
        let glances = AtomicBool::new(in_memory || LOCAL.contains(&kind));
        let nameless = AtomicBool::new(true);
        Self { root, clock, durability, in_memory, glances, nameless, on_disk }
    }

    /// Puts the object of `len` bytes that `write` writes into an empty file.
    pub(crate) fn put(
        &self,
        key: &Key,
        len: u64,
        options: &PutOptions,
        write: impl Fn(&OwnedFd) -> Result<()>,
    ) -> Result<()> {
        let shard = self.make_shard(Place::of(key).shard)?;
        self.put_in(&shard, key, len, options, write)
    }

    /// The same if it waits for nothing, neither a disk nor a lock; `false`: it would have to.
    pub(crate) fn put_at_once(
        &self,
        key: &Key,
        len: u64,
        options: &PutOptions,
        write: impl Fn(&OwnedFd) -> Result<()>,
    ) -> Result<bool> {
        if !self.in_memory {
            return Ok(false);
        }
        let mut shard = self.make_shard(Place::of(key).shard)?;
        shard.patience = Duration::ZERO;
        match self.put_in(&shard, key, len, options, write) {
            Err(error) if error.kind() == ErrorKind::Timeout => Ok(false),
            put => put.map(|()| true),
        }
    }

    fn put_in(
        &self,
        shard: &Shard,
        key: &Key,
        len: u64,
        options: &PutOptions,
        write: impl Fn(&OwnedFd) -> Result<()>,
    ) -> Result<()> {
        let place = Place::of(key);
        let put = |mut fresh: Fresh| {
            let put = (|| {
                write(&fresh.file)?;
                if let Some(ttl) = options.ttl {
                    object::expire(&fresh.file, Expiry::after(ttl, self.clock))?;
                }
                if self.durability != Durability::None {
                    fdatasync(&fresh.file).map_err(failed("cannot sync the object"))?;
                }
                self.publish(shard, &mut fresh, &place, key, options.mode)
            })();
            put.inspect_err(|_| shard.discard(&fresh))
        };
        let small = len <= SMALL && place.dirs.is_empty() && self.nameless.load(Ordering::Relaxed);
        let mut dirs = match small.then(|| shard.make_nameless()).transpose()?.flatten() {
            Some(nameless) => put(nameless)?,
            None => None,
        };
        if dirs.is_none() {
            if small {
                self.nameless.store(false, Ordering::Relaxed);
            }
            dirs = put(shard.make_temp()?)?;
        }
        if self.durability == Durability::Power {
            // Not to be repeated: what the system once failed to write, it says the next time that it has written.
            self.sync_names(place.shard, shard, &dirs.unwrap_or_default()).map_err(|errno| {
                Error::new(ErrorKind::Unexpected, "cannot sync the object's directories")
                    .with_source(errno)
                    .hint("the object is there, but may not outlive a loss of power")
            })?;
        }
        Ok(())
    }

    /// Gives the file its name, in [`Mode::Create`] if no object has it, and gives the directories of a long key.
    /// `None` if a file without a name cannot be given one here.
    fn publish(
        &self,
        shard: &Shard,
        fresh: &mut Fresh,
        place: &Place,
        key: &Key,
        mode: Mode,
    ) -> Result<Option<Vec<OwnedFd>>> {
        let cannot = |errno| match errno {
            Errno::ISDIR => corrupt("a directory stands in the object's place"),
            errno => failed("cannot give the object its name")(errno),
        };
        shard.lock(FlockOperation::NonBlockingLockShared)?;
        let dirs = make_dirs(shard, place)?;
        let dir = dirs.last().unwrap_or(&shard.dir);
        // A temp takes the name from whoever has it in one step, a file without a name in two.
        let at_once = mode == Mode::Overwrite && fresh.temp.is_some();
        let named = if at_once { Err(Errno::EXIST) } else { shard.name(fresh, dir, &place.leaf) };
        match named {
            Ok(()) => return Ok(Some(dirs)),
            Err(Errno::EXIST) if mode == Mode::Overwrite => {
                return shard.replace(fresh, dir, &place.leaf).map(|()| Some(dirs)).map_err(cannot);
            }
            // Taken, or a file system that cannot do this: it is done below.
            Err(Errno::EXIST) if self.is_taken(place, key)? => {}
            Err(Errno::EXIST | Errno::INVAL | Errno::NOSYS) => {
                // Nobody else gives or checks a name while we hold this lock.
                shard.lock(FlockOperation::NonBlockingLockExclusive)?;
                let dirs = make_dirs(shard, place)?;
                let dir = dirs.last().unwrap_or(&shard.dir);
                if !self.is_taken(place, key)? {
                    return shard.replace(fresh, dir, &place.leaf).map(|()| Some(dirs)).map_err(cannot);
                }
            }
            Err(Errno::NOENT | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) if fresh.temp.is_none() => {
                return Ok(None);
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
        flock(&shard.dir, FlockOperation::Unlock)?;
        for dir in dirs.iter().rev().chain([&shard.dir]) {
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

    /// What the system has in memory of the object under `key`, all of it if `wanted` says so of its length; `None` if
    /// that is not enough. Waits for no disk.
    pub(crate) fn glance(&self, key: &Key, wanted: impl FnOnce(u64) -> bool) -> Result<Option<Glance>> {
        if !self.glances.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match Object::glance(&self.root, &Place::of(key).path(), key, self.in_memory, wanted) {
            Ok(Glance::Missing) => self.check_root().map(|()| Some(Glance::Missing)),
            Ok(Glance::All(expiry, _) | Glance::Part(Object { expiry, .. }))
                if expiry.is_over(self.clock) =>
            {
                Ok(Some(Glance::Missing))
            }
            Ok(found) => Ok(Some(found)),
            Err(errno) => {
                // The system, or the file system, cannot do this.
                if matches!(errno, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) {
                    self.glances.store(false, Ordering::Relaxed);
                }
                Ok(None)
            }
        }
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
        if !remove(dirs.last().unwrap_or(&shard.dir), &place.leaf)? {
            return Ok(None);
        }
        read_removed(&shard, &object, buffer, transfer).map(Some)
    }

    /// The shard's directory, `None` if there is none yet.
    pub(crate) fn shard(&self, shard: u8) -> Result<Option<Shard>> {
        match open_beneath(&self.root, &shard_name(shard), DIRECTORY) {
            Ok(dir) => Ok(Some(Shard::new(dir))),
            Err(Errno::NOENT) => self.check_root().map(|()| None),
            Err(errno) => Err(failed("cannot open the shard's directory")(errno)),
        }
    }

    pub(crate) fn make_shard(&self, shard: u8) -> Result<Shard> {
        open_or_make(&self.root, &shard_name(shard)).map(Shard::new)
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
        let dir = open(dirs.last().unwrap_or(&shard.dir), name)?;
        dirs.push(dir);
    }
    Ok(dirs)
}

#[cfg(test)]
mod tests;
