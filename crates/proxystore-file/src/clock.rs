//! The clock by which objects expire: milliseconds since 1970 that nobody can set.
//!
//! It is `CLOCK_BOOTTIME`, which counts evenly from the start of the machine, sleep included, plus its *epoch*: the
//! time of day at that start, as the first to open the store since then reckoned it. The epoch is written down in the
//! root, as the target of the symbolic link `=proxystore-clock-<boot id>`: a link comes whole or not at all and to one
//! of several racing processes only, without a lock or a block on the disk. It is read as text and never followed.
//!
//! No other file of this crate asks for the time of day.

use std::fs::read_to_string;
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

use proxystore_core::{Error, ErrorKind, Result};
use rustix::fs::{readlinkat, symlinkat};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use crate::error::failed;

/// An epoch, in milliseconds, is below this: the year 2500.
const LATEST: u64 = 16_725_225_600_000;
const NANOS_PER_MILLI: i128 = 1_000_000;

/// The clock of a root, the same for all who share their machine's boot id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// What it says when this process's `CLOCK_BOOTTIME` is zero, in nanoseconds since 1970.
    zero: i128,
}

impl Clock {
    /// The clock of the store in `root`, made if this is the first to look since the machine started. Where that cannot
    /// be told or nothing can be written, a clock of the caller's own: right as far as the time of day is now.
    pub(crate) fn open(root: impl AsFd) -> Result<Self> {
        let ahead =
            read_to_string("/proc/self/timens_offsets").map_or(0, |offsets| ahead_of_machine(&offsets));
        let today = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let start = (today.as_nanos() as i128 - boottime() + ahead) / NANOS_PER_MILLI;
        let reckoned = start.clamp(0, i128::from(LATEST - 1)) as u64;
        let boot = read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let epoch = match boot.trim_end() {
            boot if is_boot_id(boot) => agree(root, boot, reckoned)?,
            _ => reckoned,
        };
        Ok(Self { zero: i128::from(epoch) * NANOS_PER_MILLI - ahead })
    }

    /// The time since 1970, never less than before.
    pub(crate) fn now(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.zero + boottime()).unwrap_or_default())
    }
}

/// In nanoseconds.
fn boottime() -> i128 {
    let time = clock_gettime(ClockId::Boottime);
    nanos(time.tv_sec, time.tv_nsec)
}

/// By how many nanoseconds a container's `CLOCK_BOOTTIME` is ahead of its machine's. The line is `boottime`, seconds,
/// nanoseconds.
fn ahead_of_machine(offsets: &str) -> i128 {
    let boottime = offsets.lines().find_map(|line| line.strip_prefix("boottime")).unwrap_or_default();
    let mut numbers = boottime.split_whitespace().map(|number| number.parse().unwrap_or_default());
    nanos(numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

fn nanos(seconds: i64, nanos: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanos)
}

fn is_boot_id(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// The epoch that is written down for this boot; `reckoned`, if nobody has yet.
fn agree(root: impl AsFd, boot: &str, reckoned: u64) -> Result<u64> {
    let name = format!("=proxystore-clock-{boot}");
    if let Some(epoch) = read(&root, &name)? {
        return Ok(epoch);
    }
    match symlinkat(reckoned.to_string(), &root, &name) {
        Ok(()) => Ok(reckoned),
        Err(Errno::EXIST) => Ok(read(&root, &name)?.unwrap_or(reckoned)),
        // To read and to evict is possible here still.
        Err(
            Errno::ACCESS
            | Errno::PERM
            | Errno::ROFS
            | Errno::NOSPC
            | Errno::DQUOT
            | Errno::NOSYS
            | Errno::OPNOTSUPP,
        ) => Ok(reckoned),
        Err(errno) => Err(failed("cannot make the store's clock")(errno)),
    }
}

fn read(root: impl AsFd, name: &str) -> Result<Option<u64>> {
    let damaged = || {
        Error::new(ErrorKind::Corrupt, "the store's clock is not what the connector has written")
            .with("file", name)
            .hint("close the store everywhere, remove this file, and look who else writes to the directory")
    };
    let target = match readlinkat(root, name, Vec::new()) {
        Ok(target) => target,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::INVAL) => return Err(damaged()),
        Err(errno) => return Err(failed("cannot read the store's clock")(errno)),
    };
    let text = target.to_str().unwrap_or_default();
    match text.parse::<u64>() {
        Ok(epoch) if epoch < LATEST && epoch.to_string() == text => Ok(Some(epoch)),
        _ => Err(damaged()),
    }
}

#[cfg(test)]
mod tests;
