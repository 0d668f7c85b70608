//! Memory for an object that is read.
//!
//! Of a read into fresh memory, most of the time goes into its pages: the system maps and clears them one by one as they
//! are touched. So large objects get huge pages, of which there are 512 times fewer; and those that come often find pages
//! that an earlier object has left. Smaller ones get memory of the allocator, which does the same.

use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};

use memmap2::{Advice, MmapMut};
use proxystore_core::{Bytes, Error, ErrorKind, Result, Transfer};
use rustix::buffer::spare_capacity;
use rustix::io::pread;

use crate::error::{corrupt, failed};

/// An object of more bytes than this has pages of its own, is read in pieces of this size, and each is reported.
const PIECE: usize = 4 << 20;
/// How many bytes of pages the process keeps for objects to come.
const KEPT: usize = 32 << 20;

/// Pages that no object has now; those that were left last stand last.
struct Spare(Mutex<Vec<MmapMut>>);

static SPARE: Spare = Spare(Mutex::new(Vec::new()));

impl Spare {
    fn maps(&self) -> MutexGuard<'_, Vec<MmapMut>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pages for `len` bytes. Not much larger ones: the rest of them would lie idle.
    fn take(&self, len: usize) -> Option<MmapMut> {
        let mut maps = self.maps();
        let fits = maps.iter().rposition(|map| (len..=len.saturating_mul(2)).contains(&map.len()));
        fits.map(|at| maps.remove(at))
    }

    fn give(&self, map: MmapMut) {
        if map.len() > KEPT {
            return;
        }
        // Unmapped after the lock.
        let mut gone = Vec::new();
        let mut maps = self.maps();
        while maps.iter().map(|map| map.len()).sum::<usize>() + map.len() > KEPT {
            gone.push(maps.remove(0));
        }
        maps.push(map);
    }
}

/// Room for an object.
pub(crate) enum Buffer {
    /// Of the allocator, still empty.
    Heap(Vec<u8>),
    Pages(Pages),
}

impl Buffer {
    /// Room for `len` bytes. `TooLarge` if there is not enough.
    pub(crate) fn new(len: u64) -> Result<Self> {
        let too_large =
            || Error::new(ErrorKind::TooLarge, "the object does not fit into memory").with("bytes", len);
        let len = usize::try_from(len).map_err(|_| too_large())?;
        if len > PIECE {
            return Pages::new(len, &SPARE).map(Self::Pages).map_err(|_| too_large());
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| too_large())?;
        Ok(Self::Heap(bytes))
    }

    /// The `len` bytes of `file` from `start` on, for which it is.
    pub(crate) fn read(self, len: u64, file: &File, start: u64, transfer: &Transfer) -> Result<Bytes> {
        let cannot = failed("cannot read the object");
        let shorter = || corrupt("the file became shorter while it was read");
        match self {
            Self::Heap(mut bytes) => {
                while (bytes.len() as u64) < len {
                    let at = start + bytes.len() as u64;
                    if pread(file, spare_capacity(&mut bytes), at).map_err(&cannot)? == 0 {
                        return Err(shorter());
                    }
                }
                bytes.truncate(len as usize);
                transfer.moved(len);
                Ok(bytes.into())
            }
            Self::Pages(mut pages) => {
                let mut at = start;
                for mut piece in pages.as_mut().chunks_mut(PIECE) {
                    let size = piece.len() as u64;
                    while !piece.is_empty() {
                        match pread(file, &mut *piece, at).map_err(&cannot)? {
                            0 => return Err(shorter()),
                            read => {
                                piece = &mut piece[read..];
                                at += read as u64;
                            }
                        }
                    }
                    transfer.moved(size);
                }
                Ok(Bytes::from_owner(pages))
            }
        }
    }
}

/// Memory that is no other object's. It may hold what an earlier one has left, and is shown when all of it is replaced.
pub(crate) struct Pages {
    /// `None` only while it is dropped.
    map: Option<MmapMut>,
    len: usize,
    home: &'static Spare,
}

impl Pages {
    fn new(len: usize, home: &'static Spare) -> std::io::Result<Self> {
        let map = match home.take(len) {
            Some(map) => map,
            None => {
                let map = MmapMut::map_anon(len)?;
                // Where there are no huge pages, it is only slower.
                let _ = map.advise(Advice::HugePage);
                map
            }
        };
        Ok(Self { map: Some(map), len, home })
    }
}

impl AsRef<[u8]> for Pages {
    fn as_ref(&self) -> &[u8] {
        self.map.as_ref().map_or(&[], |map| &map[..self.len])
    }
}

impl AsMut<[u8]> for Pages {
    fn as_mut(&mut self) -> &mut [u8] {
        self.map.as_mut().map_or(&mut [], |map| &mut map[..self.len])
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if let Some(map) = self.map.take() {
            self.home.give(map);
        }
    }
}

#[cfg(test)]
mod tests;
