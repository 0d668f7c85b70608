//! Where objects are below the root, and which names are the connector's.

use proxystore_core::{Id, Key, Result};

/// The number of shard directories.
pub(crate) const SHARDS: usize = 256;
/// The longest part of a name, so that with a suffix it fits every file system.
const PIECE: usize = 240;
/// The length of the longest name, in pieces, without the last.
const DEEPEST: usize = (Key::MAX_LEN - 1) / PIECE;

/// Where the object of a key is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) shard: u8,
    /// The directories below that of the shard: none but for long keys.
    pub(crate) dirs: Vec<String>,
    /// The name of the file.
    pub(crate) leaf: String,
}

impl Place {
    pub(crate) fn of(key: &Key) -> Self {
        // `,` is not in the alphabet of keys, and neither are `+` and `=`.
        let mut leaf = key.as_str().replace('/', ",");
        let mut dirs = Vec::new();
        while leaf.len() > PIECE {
            let rest = leaf.split_off(PIECE);
            leaf.push('+');
            dirs.push(std::mem::replace(&mut leaf, rest));
        }
        if !dirs.is_empty() {
            // The rest alone might be `.` or `..`.
            leaf.insert(0, '+');
        }
        Self { shard: fnv1a(&[key.as_str().as_bytes()]) as u8, dirs, leaf }
    }

    /// The directory that the file is in.
    pub(crate) fn dir(&self) -> String {
        self.dirs.iter().fold(shard_name(self.shard), |path, dir| path + "/" + dir)
    }

    pub(crate) fn path(&self) -> String {
        self.dir() + "/" + &self.leaf
    }
}

pub(crate) fn shard_name(shard: u8) -> String {
    format!("{shard:02x}")
}

/// A name for a file that is being written.
pub(crate) fn temp_name() -> Result<String> {
    Ok(format!("={}", Id::random()?))
}

/// What an entry of a directory is, by its name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The place of this key's object.
    Object(Key),
    /// A file that is or was being written.
    Temp,
    /// A directory of long keys.
    Directory,
    /// None of ours.
    Foreign,
}

/// What the entry `name` of `dir` (the path of a shard's directory, or one below it) is.
pub(crate) fn classify(dir: &str, name: &str) -> Entry {
    let mut pieces = dir.split('/');
    let _shard = pieces.next();
    let mut key = pieces.map(|piece| piece.trim_end_matches('+')).collect::<String>();
    let nested = !key.is_empty();
    match (name.strip_prefix('='), name.strip_suffix('+')) {
        (Some(id), _) if !nested && Id::parse(id).is_some() => Entry::Temp,
        (_, Some(piece)) if piece.len() == PIECE && key.len() < DEEPEST * PIECE => Entry::Directory,
        _ => {
            key.push_str(if nested { name.strip_prefix('+').unwrap_or(name) } else { name });
            match Key::parse(&key.replace(',', "/")) {
                // Only the one place that the key has counts.
                Ok(key) if Place::of(&key).path() == format!("{dir}/{name}") => Entry::Object(key),
                _ => Entry::Foreign,
            }
        }
    }
}

/// The hash FNV-1a, 64 bits.
pub(crate) fn fnv1a(parts: &[&[u8]]) -> u64 {
    parts
        .iter()
        .copied()
        .flatten()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
