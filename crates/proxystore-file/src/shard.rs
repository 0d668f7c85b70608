//! A shard's directory: its lock, and files that get their names there. Everything here blocks.

use std::os::fd::OwnedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use proxystore_core::{Error, ErrorKind, Result};
use rustix::fs::{
    AtFlags, FlockOperation, Mode as Permissions, OFlags, RenameFlags, flock, linkat, mkdirat, renameat,
    renameat_with, unlinkat,
};
use rustix::io::Errno;

use crate::error::failed;
use crate::layout::temp_name;
use crate::object::open_beneath;

/// How long to wait for a lock that is held for microseconds, unless its holder is stopped.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// A file that has not got its name yet.
pub(crate) struct Fresh {
    pub(crate) file: OwnedFd,
    pub(crate) temp: Option<String>,
}

/// A shard's directory, opened for one operation: its lock goes when it is dropped.
pub(crate) struct Shard {
    pub(crate) dir: OwnedFd,
    /// How long to wait for the lock.
    pub(crate) patience: Duration,
}

impl Shard {
    pub(crate) fn new(dir: OwnedFd) -> Self {
        Self { dir, patience: LOCK_WAIT }
    }

    /// Waits for the lock, which every other holder keeps for a moment only. An operation that fails here has
    /// changed nothing.
    pub(crate) fn lock(&self, how: FlockOperation) -> Result<()> {
        let start = Instant::now();
        let mut pause = Duration::from_micros(20);
        loop {
            match flock(&self.dir, how) {
                Err(Errno::WOULDBLOCK | Errno::INTR) if start.elapsed() < self.patience => {
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
        flock(&self.dir, FlockOperation::Unlock).map_err(failed("cannot unlock the shard's directory"))
    }

    /// A new file without a name; `None` where there are none.
    pub(crate) fn make_nameless(&self) -> Result<Option<Fresh>> {
        match open_beneath(&self.dir, ".", OFlags::TMPFILE | OFlags::RDWR) {
            Ok(file) => Ok(Some(Fresh { file, temp: None })),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => Ok(None),
            Err(errno) => Err(failed("cannot make a file")(errno)),
        }
    }

    /// A new file with a temp's name, locked as long as it is open.
    pub(crate) fn make_temp(&self) -> Result<Fresh> {
        let name = temp_name()?;
        self.lock(FlockOperation::NonBlockingLockShared)?;
        let file = open_beneath(&self.dir, &name, OFlags::CREATE | OFlags::EXCL | OFlags::RDWR)
            .map_err(failed("cannot make a file"))?;
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
        let fresh = Fresh { file, temp: Some(name) };
        locked
            .map_err(failed("cannot lock a new file"))
            .and_then(|()| self.unlock())
            .inspect_err(|_| self.discard(&fresh))?;
        Ok(fresh)
    }

    /// Gives a file its name, if that is free.
    pub(crate) fn name(&self, fresh: &Fresh, dir: &OwnedFd, leaf: &str) -> rustix::io::Result<()> {
        match &fresh.temp {
            Some(temp) => renameat_with(&self.dir, temp, dir, leaf, RenameFlags::NOREPLACE),
            None => linkat(&fresh.file, "", dir, leaf, AtFlags::EMPTY_PATH),
        }
    }

    /// Gives a file its name, whoever has it. Under a lock, so that no sweep takes the file for a dead writer's.
    pub(crate) fn replace(&self, fresh: &mut Fresh, dir: &OwnedFd, leaf: &str) -> rustix::io::Result<()> {
        let temp = match &fresh.temp {
            Some(temp) => temp,
            None => {
                let temp = temp_name().map_err(|_| Errno::AGAIN)?;
                linkat(&fresh.file, "", &self.dir, &temp, AtFlags::EMPTY_PATH)?;
                fresh.temp.insert(temp)
            }
        };
        renameat(&self.dir, temp, dir, leaf)
    }

    /// Removes a file that could not be published. If that fails, it is the sweeper's.
    pub(crate) fn discard(&self, fresh: &Fresh) {
        if let Some(temp) = &fresh.temp {
            let _ = unlinkat(&self.dir, temp, AtFlags::empty());
        }
    }
}

/// The directory `name` in `parent`.
pub(crate) fn open_or_make(parent: &OwnedFd, name: &str) -> Result<OwnedFd> {
    let open = || open_beneath(parent, name, OFlags::DIRECTORY);
    let opened = open().or_else(|errno| match errno {
        Errno::NOENT => match mkdirat(parent, name, Permissions::RWXU) {
            Ok(()) | Err(Errno::EXIST) => open(),
            Err(errno) => Err(errno),
        },
        errno => Err(errno),
    });
    opened.map_err(failed("cannot open or make a directory of the store"))
}
