//! Removes expired objects and what dead writers left; removes everything for `clear`.

use std::ops::AddAssign;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use proxystore_core::{Error, ErrorKind, Key, Result};
use rustix::fs::{AtFlags, Dir, FlockOperation, OFlags, flock, unlinkat};
use rustix::io::Errno;
use tokio::task::AbortHandle;

use crate::clock::Clock;
use crate::error::failed;
use crate::layout::{Entry, SHARDS, classify, shard_name};
use crate::object::{Object, open_beneath};
use crate::pool::Pool;
use crate::shard::Shard;
use crate::tree::{Tree, remove};

/// How many files are removed under one lock.
const BATCH: usize = 128;

/// What a sweep has removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
    /// Expired objects.
    pub objects: u64,
    /// Unfinished files of writers that died.
    pub temps: u64,
}

impl AddAssign for Swept {
    fn add_assign(&mut self, other: Self) {
        self.objects += other.objects;
        self.temps += other.temps;
    }
}

/// Sweeps at once and then `every` so often, until aborted.
pub(crate) fn start(tree: Arc<Tree>, pool: Pool, every: Duration) -> AbortHandle {
    let sweeps = async move {
        loop {
            // Nobody waits for the result; what failed fails again in the next round or in the user's own operation.
            let _ = sweep(&tree, &pool, false).await;
            tokio::time::sleep(every).await;
        }
    };
    tokio::spawn(sweeps).abort_handle()
}

/// Removes what is over, or `all` objects, shard by shard. Gives the first error, at the end.
pub(crate) async fn sweep(tree: &Arc<Tree>, pool: &Pool, all: bool) -> Result<Swept> {
    let (mut swept, mut first_error) = (Swept::default(), None);
    for number in 0..SHARDS {
        let tree = tree.clone();
        let work = move || sweep_shard(&tree, number as u8, all);
        let (of_shard, error) = match pool.run(ErrorKind::Timeout, work).await {
            Ok(of_shard) => of_shard,
            Err(error) => (Swept::default(), Some(error)),
        };
        swept += of_shard;
        first_error = first_error.or(error);
    }
    first_error.map_or(Ok(swept), Err)
}

/// Sweeps one shard, and gives the first error beside what was removed all the same. Blocks.
fn sweep_shard(tree: &Tree, number: u8, all: bool) -> Result<(Swept, Option<Error>)> {
    let Some(shard) = tree.shard(number)? else { return Ok((Swept::default(), None)) };
    let mut sweep = Sweep { shard: &shard, clock: tree.clock, all, swept: Swept::default(), failed: None };
    let ended = sweep.directory(&shard.dir, &shard_name(number));
    Ok((sweep.swept, ended.err().or(sweep.failed)))
}

/// A sweep of one shard.
struct Sweep<'a> {
    shard: &'a Shard,
    clock: Clock,
    all: bool,
    swept: Swept,
    /// The first file that should go and would not; the sweep goes on.
    failed: Option<Error>,
}

impl Sweep<'_> {
    /// Sweeps `dir`, the directory at `path`, and those of long keys below it.
    fn directory(&mut self, dir: &OwnedFd, path: &str) -> Result<()> {
        let mut due = Vec::new();
        for entry in Dir::read_from(dir).map_err(failed("cannot list a shard's directory"))? {
            let entry = entry.map_err(failed("cannot list a shard's directory"))?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let entry = classify(path, name);
            match &entry {
                Entry::Foreign => continue,
                Entry::Temp => {}
                Entry::Object(key) if self.is_over(dir, name, key) => {}
                Entry::Object(_) => continue,
                Entry::Directory => match open_beneath(dir, name, OFlags::DIRECTORY) {
                    Ok(below) => self.directory(&below, &format!("{path}/{name}"))?,
                    Err(_) => continue,
                },
            }
            due.push((entry, name.to_owned()));
            if due.len() == BATCH {
                self.remove(dir, std::mem::take(&mut due))?;
            }
        }
        self.remove(dir, due)
    }

    /// Whether the object is to go. What is not an object is not, unless everything is.
    fn is_over(&self, dir: &OwnedFd, name: &str, key: &Key) -> bool {
        let object = || Object::open(dir, name, key, OFlags::RDONLY);
        self.all || matches!(object(), Ok(Some(object)) if object.expiry.is_over(self.clock))
    }

    /// Removes those of `due` that still are to go, now that nobody can touch or replace them.
    fn remove(&mut self, dir: &OwnedFd, due: Vec<(Entry, String)>) -> Result<()> {
        if due.is_empty() {
            return Ok(());
        }
        self.shard.lock(FlockOperation::NonBlockingLockExclusive)?;
        for (entry, name) in due {
            let removed = match entry {
                Entry::Temp if is_dead(dir, &name) => {
                    remove(dir, &name).map(|removed| self.swept.temps += u64::from(removed))
                }
                Entry::Object(key) if self.is_over(dir, &name, &key) => match remove(dir, &name) {
                    // A directory in an object's place is foreign.
                    Err(error) if error.kind() == ErrorKind::Corrupt => Ok(()),
                    removed => removed.map(|removed| self.swept.objects += u64::from(removed)),
                },
                Entry::Directory => match unlinkat(dir, &name, AtFlags::REMOVEDIR) {
                    Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => Ok(()),
                    removed => removed.map_err(failed("cannot remove an empty directory")),
                },
                _ => Ok(()),
            };
            self.failed = self.failed.take().or(removed.err());
        }
        self.shard.unlock()
    }
}

/// Whether nobody writes this file any more: its writer holds a lock as long as it lives.
fn is_dead(dir: &OwnedFd, temp: &str) -> bool {
    open_beneath(dir, temp, OFlags::RDONLY)
        .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

#[cfg(test)]
mod tests;
