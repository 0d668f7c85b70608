//! `file://`: one file per object, for the processes of one host that share a directory.
//!
//! `file:///var/lib/objects` is the directory `/var/lib/objects`. The connector makes it (mode 0700) if it is missing
//! and keeps to it: whatever keys, symbolic links or foreign files are put in its way, nothing outside is read or
//! changed. It is for local file systems of Linux, not for NFS, whose locks do not cover directories.
//!
//! ```
//! use proxystore_core::{Connector, ConnectorConfig, Key, Origin};
//! use proxystore_file::FileConfig;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
//! # let directory = tempfile::tempdir().unwrap();
//! # let root = directory.path().join("objects");
//! let connector = FileConfig { root, ..FileConfig::default() }.connect(Origin::Program).await?;
//! let key = Key::parse("frames/1")?;
//! connector.put(&key, vec![1, 2, 3].into(), &Default::default()).await?;
//! assert_eq!(connector.get(&key).await?.unwrap().into_bytes(), vec![1, 2, 3]);
//! # Ok(()) }
//! ```
//!
//! | Option | Meaning | Default |
//! |--------|---------|---------|
//! | `durability` | what a put outlives: `none`, `data` or `power`, see [`Durability`] | `none` |
//! | `sweep` | how often expired objects and what dead writers left are removed | `60s` |
//!
//! # What is in the directory
//!
//! `<root>/<shard>/<name>`: the shard is two hex digits of a hash of the key, the name is the key with `,` for `/`; a
//! name beyond 240 bytes goes on in directories that end in `+`. A file is a header of 32 bytes (magic and version,
//! length, time of expiry, check) and the object. Names that begin with `=` are the connector's own;
//! in the root, its mark and its [clocks](#time).
//!
//! A put writes a file without a name, or `=<id>` beside the object's place, locked, and names it when it is complete.
//! So a reader sees an object whole or not at all, and of a killed writer there remains at most an unlocked `=<id>` for
//! the sweeper. A file that is not just what a put made (shortened, extended, altered, a link, a pipe, another key's)
//! reads as `Corrupt`.
//!
//! Objects of up to 1 MiB that the system has in memory are read on the caller's thread; whatever may wait for a disk or a
//! lock is done on one for blocking work.
//!
//! # Time
//!
//! Times to live are counted by a clock that nobody can set: that of the machine since its start, sleep included. When
//! the wall clock jumps, by an hour or a year, no object expires for that and none lives longer. An expired object is
//! absent at once; its space is free after the next sweep, by any connector that the program itself opened. A sweep
//! reads the header of every object: with millions of them, let it come less often.
//!
//! The wall clock matters once per start of the machine: who opens the store first then, by a URI or by a reference,
//! writes down what time of day it is, as the target of the symbolic link `=proxystore-clock-<boot id>`, which leads
//! nowhere. So:
//!
//! - Where it was wrong at that moment, nothing is amiss until the next start. Objects from before, and afterwards those
//!   from now, expire too early or too late by the difference.
//! - Containers have the machine's clock, whatever their time namespace. Several machines on one file system, and
//!   containers with a boot id of their own, have a clock each: they agree as far as their wall clocks did.
//! - Where the link cannot be made (a directory or file system that is read-only, a full disk, no symbolic links) or
//!   there is no `/proc`, each connector sets a clock of its own when it opens the store. It does not jump either, but
//!   differs from that of a connector that was opened before or after a jump.
//! - While a virtual machine is paused, no time passes.
//!
//! Something else in the link's place, or a link that holds no such number, is `Corrupt` when the store is opened. The
//! links of earlier starts may be removed.

#[cfg(not(target_os = "linux"))]
compile_error!("proxystore-file needs openat2 and inotify, so it is for Linux; leave the feature `file` out");

mod buffer;
mod clock;
mod config;
mod connector;
mod error;
mod janitor;
mod layout;
mod object;
mod pool;
mod root;
mod shard;
mod tree;
mod watch;

pub use config::{Durability, FileConfig};
pub use connector::FileConnector;
pub use janitor::Swept;

/// Serves `file://`.
pub const DRIVER: proxystore_core::Driver = proxystore_core::Driver::of::<FileConfig>();
