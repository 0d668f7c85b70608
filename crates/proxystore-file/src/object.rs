//! One file: a header of 32 bytes, then the object.
//!
//! | bytes | content |
//! |-------|---------|
//! | 0..8 | magic, of which the last byte is the version |
//! | 8..16 | length of the object, little-endian |
//! | 16..24 | milliseconds since 1970 at which it expires, by the store's clock, little-endian; 0: never |
//! | 24..32 | FNV-1a of bytes 0..16 and the key, little-endian |

use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use proxystore_core::{Draft, FileSource, FileTarget, Key, Payload, Result, Transfer};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2, pwrite, writev};

use crate::buffer::Buffer;
use crate::clock::Clock;
use crate::error::{corrupt, failed};
use crate::layout::fnv1a;

const MAGIC: [u8; 8] = *b"PXSTORE\x01";
const HEADER: usize = 32;
const EXPIRY_AT: u64 = 16;
/// An object of more bytes than this is written in pieces of about this size, and each is reported.
const PIECE: usize = 4 << 20;
/// How much of an object is in memory while it is copied into another file.
const COPIED: usize = 1 << 20;

/// When an object expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expiry(u64);

impl Expiry {
    pub(crate) const NEVER: Self = Self(0);

    /// `ttl` from now, rounded up; at once if it is zero.
    pub(crate) fn after(ttl: Duration, clock: Clock) -> Self {
        if ttl.is_zero() {
            return Self(1);
        }
        let millis = clock.now().saturating_add(ttl).as_nanos().div_ceil(1_000_000);
        Self(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    pub(crate) fn is_over(self, clock: Clock) -> bool {
        self != Self::NEVER && clock.now().as_millis() >= u128::from(self.0)
    }
}

/// Opens `path` below `dir`, over no symbolic link and without waiting for anyone.
pub(crate) fn open_beneath(dir: impl AsFd, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    open_as(dir, path, flags, ResolveFlags::empty())
}

fn open_as(dir: impl AsFd, path: &str, flags: OFlags, how: ResolveFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = how | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let makes = flags.contains(OFlags::CREATE) || flags.contains(OFlags::TMPFILE);
    let mode = if makes { Mode::RUSR | Mode::WUSR } else { Mode::empty() };
    openat2(dir, path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK, mode, resolve)
}

/// What is known of an object without waiting for a disk.
#[derive(Debug)]
pub(crate) enum Glance {
    Missing,
    All(Expiry, Vec<u8>),
    /// Its bytes are not wanted, or not all in memory.
    Part(Object),
}

/// An object's open file, of which the header is checked.
#[derive(Debug)]
pub(crate) struct Object {
    file: File,
    len: u64,
    pub(crate) expiry: Expiry,
}

impl Object {
    /// Opens the object of `key` at `path` below `dir`, `None` if there is no file. `Corrupt` if it is not an object.
    pub(crate) fn open(dir: impl AsFd, path: &str, key: &Key, access: OFlags) -> Result<Option<Self>> {
        let file = match open_beneath(dir, path, access) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(corrupt("a symbolic link stands in the object's place")),
            Err(errno) => return Err(failed("cannot open the object")(errno)),
        };
        let size = size(&file)?;
        let mut header = [0; HEADER];
        if pread(&file, &mut header, 0).map_err(failed("cannot read the object"))? < HEADER {
            return Err(corrupt(FOREIGN));
        }
        Self::checked(file, size, &header, key).map(Some)
    }

    /// The same without waiting for a disk: what the system has in memory, and all of the object if it is `wanted`, by
    /// its length, and there. `AGAIN` if too little is, and also if something is wrong: `open` tells what.
    pub(crate) fn glance(
        dir: impl AsFd,
        path: &str,
        key: &Key,
        in_memory: bool,
        wanted: impl FnOnce(u64) -> bool,
    ) -> rustix::io::Result<Glance> {
        // Where there is no disk, there is nothing to wait for, and no way to say so.
        let (names, reading) = match in_memory {
            true => (ResolveFlags::empty(), ReadWriteFlags::empty()),
            false => (ResolveFlags::CACHED, ReadWriteFlags::NOWAIT),
        };
        let file = match open_as(dir, path, OFlags::RDONLY, names | ResolveFlags::NO_XDEV) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(Glance::Missing),
            Err(errno) => return Err(errno),
        };
        let wrong = |_| Errno::AGAIN;
        let size = size(&file).map_err(wrong)?;
        let len = size.checked_sub(HEADER as u64).ok_or(Errno::AGAIN)?;
        let mut bytes = vec![0; if wanted(len) { len as usize } else { 0 }];
        let mut header = [0; HEADER];
        let mut slices = [IoSliceMut::new(&mut header), IoSliceMut::new(&mut bytes)];
        let read = preadv2(&file, &mut slices, 0, reading)?;
        if read < HEADER {
            return Err(Errno::AGAIN);
        }
        let object = Self::checked(file, size, &header, key).map_err(wrong)?;
        let all = read as u64 == size;
        Ok(if all { Glance::All(object.expiry, bytes) } else { Glance::Part(object) })
    }

    fn checked(file: OwnedFd, size: u64, header: &[u8; HEADER], key: &Key) -> Result<Self> {
        let [magic, len, expiry, check] = words(header);
        if magic != MAGIC {
            return Err(corrupt(FOREIGN));
        }
        if check != checksum(len, key) {
            return Err(corrupt("the file's header is altered, or that of another key"));
        }
        let len = u64::from_le_bytes(len);
        if Some(size) != len.checked_add(HEADER as u64) {
            return Err(corrupt("the file is shorter or longer than its object"));
        }
        Ok(Self { file: file.into(), len, expiry: Expiry(u64::from_le_bytes(expiry)) })
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Memory to read it into. `TooLarge` if there is not enough.
    pub(crate) fn buffer(&self) -> Result<Buffer> {
        Buffer::new(self.len)
    }

    /// Reads it into its [`buffer`](Self::buffer).
    pub(crate) fn read(&self, buffer: Buffer, transfer: &Transfer) -> Result<Payload> {
        buffer.read(self.len, &self.file, HEADER as u64, transfer).map(Payload::from)
    }

    /// Copies it into a file beside `target`.
    pub(crate) fn copy(&self, target: &FileTarget, transfer: &Transfer) -> Result<Draft> {
        let draft = target.draft(self.len)?;
        let mut buffer = vec![0; COPIED];
        let mut at = 0;
        while at < self.len {
            let read = pread(&self.file, &mut buffer, at + HEADER as u64);
            match read.map_err(failed("cannot read the object"))? {
                0 => return Err(corrupt("the file became shorter while it was read")),
                read => {
                    draft.write(at, &buffer[..read])?;
                    transfer.moved(read as u64);
                    at += read as u64;
                }
            }
        }
        Ok(draft)
    }

    /// Replaces the time of expiry, in place.
    pub(crate) fn expire(&self, expiry: Expiry) -> Result<()> {
        expire(&self.file, expiry)
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

const FOREIGN: &str = "the file does not begin like an object";

/// The size of a file that could be an object.
fn size(file: &OwnedFd) -> Result<u64> {
    let stat = fstat(file).map_err(failed("cannot examine the object"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(corrupt("what stands in the object's place is not a file"));
    }
    if stat.st_nlink > 1 {
        return Err(corrupt("the object's file has a second name (a hard link)"));
    }
    Ok(u64::try_from(stat.st_size).unwrap_or_default())
}

/// Writes header and object into an empty file.
pub(crate) fn write(file: &OwnedFd, key: &Key, value: &Payload, transfer: &Transfer) -> Result<()> {
    let header = header(key, value.len() as u64);
    let segments = value.segments().flat_map(|segment| segment.chunks(PIECE));
    let mut slices: Vec<_> = std::iter::once(&header[..]).chain(segments).map(IoSlice::new).collect();
    write_all(file, &mut slices, transfer)
}

/// The same for an object that is in a file.
pub(crate) fn write_file(file: &OwnedFd, key: &Key, source: &FileSource, transfer: &Transfer) -> Result<()> {
    let header = header(key, source.size());
    write_all(file, &mut [IoSlice::new(&header), IoSlice::new(source.head())], transfer)?;
    source.each(|bytes| write_all(file, &mut [IoSlice::new(bytes)], transfer))
}

fn header(key: &Key, len: u64) -> Vec<u8> {
    let len = len.to_le_bytes();
    [MAGIC, len, Expiry::NEVER.0.to_le_bytes(), checksum(len, key)].concat()
}

fn write_all(file: &OwnedFd, mut rest: &mut [IoSlice<'_>], transfer: &Transfer) -> Result<()> {
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        let mut end = 0;
        let begin_within_a_piece = |slice: &&IoSlice<'_>| {
            let begin = end;
            end += slice.len();
            begin < HEADER + PIECE
        };
        let count = rest.iter().take_while(begin_within_a_piece).count();
        let written = match writev(file, &rest[..count]) {
            Ok(0) => Err(Errno::NOSPC),
            written => written,
        };
        let written = written.map_err(failed("cannot write the object"))?;
        transfer.moved(written as u64);
        IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}

/// Sets the time of expiry in a file that has its header.
pub(crate) fn expire(file: impl AsFd, expiry: Expiry) -> Result<()> {
    // Eight aligned bytes within one page: a reader sees the old time or the new one.
    pwrite(file, &expiry.0.to_le_bytes(), EXPIRY_AT).map_err(failed("cannot set the time of expiry"))?;
    Ok(())
}

fn checksum(len: [u8; 8], key: &Key) -> [u8; 8] {
    fnv1a(&[&MAGIC, &len, key.as_str().as_bytes()]).to_le_bytes()
}

fn words(header: &[u8; HEADER]) -> [[u8; 8]; 4] {
    let mut words = [[0; 8]; 4];
    for (word, bytes) in words.iter_mut().zip(header.chunks_exact(8)) {
        word.copy_from_slice(bytes);
    }
    words
}

#[cfg(test)]
mod tests;
