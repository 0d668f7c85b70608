//! Opening the directory of a store.

use std::fs::{DirBuilder, canonicalize};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path};

use proxystore_core::{ConnectorConfig, Error, ErrorKind, Origin, Result, Uri};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, fsync, openat2, statat};
use rustix::io::Errno;

use crate::clock::Clock;
use crate::error::failed;
use crate::object::open_beneath;
use crate::{Durability, FileConfig};

/// The empty file that tells a store's directory from any other; the number is the layout's version.
const MARK: &str = "=proxystore-file-1";

/// The directory, its clock, and the identity that its real path gives. See [`FileConfig::connect`].
pub(crate) fn open(config: &FileConfig, origin: Origin) -> Result<(OwnedFd, Clock, Uri)> {
    let root: &Path = &config.root;
    check(config).map_err(|why| {
        Error::new(ErrorKind::Config, why)
            .with("root", root.display())
            .hint("give an absolute path, such as /var/lib/objects")
    })?;
    let opened = match origin {
        Origin::Program => make(root, config.durability),
        Origin::Reference => existing(root).map(|directory| (directory, config.identity())),
    };
    opened
        .and_then(|(directory, uri)| {
            let clock = Clock::open(&directory)?;
            Ok((directory, clock, uri))
        })
        .map_err(|error| error.with("root", root.display()))
}

fn check(config: &FileConfig) -> Result<(), &'static str> {
    let mut components = config.root.components();
    if components.next() != Some(Component::RootDir) {
        return Err("the directory of a file store is not an absolute path");
    }
    let mut segments = components.peekable();
    if segments.peek().is_none() || !segments.all(|part| matches!(part, Component::Normal(_))) {
        return Err("the directory of a file store is / or has `..` in its path");
    }
    if config.sweep.is_zero() {
        return Err("the interval of sweeps is zero");
    }
    Ok(())
}

fn make(root: &Path, durability: Durability) -> Result<(OwnedFd, Uri)> {
    let path = make_directory(root, durability)
        .and_then(|()| canonicalize(root))
        .map_err(|error| failed("cannot make or find the directory")(errno(&error)))?;
    let uri = FileConfig { root: path.clone(), ..FileConfig::default() }.identity();
    if path.to_str() != Some(uri.path()) || uri.to_string().parse::<Uri>().ok().as_ref() != Some(&uri) {
        return Err(Error::new(ErrorKind::Config, "no URI can name this directory")
            .hint("choose a path of UTF-8 without control characters, below 2 KiB"));
    }
    let directory = open_directory(&path).map_err(failed("cannot open the directory"))?;
    if !has_mark(&directory)? {
        open_beneath(&directory, MARK, OFlags::CREATE | OFlags::WRONLY)
            .map_err(failed("cannot mark the directory as a store's"))?;
    }
    if durability == Durability::Power {
        fsync(&directory).map_err(failed("cannot sync the directory"))?;
    }
    Ok((directory, uri))
}

/// Makes what is missing of `root`; for [`Durability::Power`] it is on the disk then.
fn make_directory(root: &Path, durability: Durability) -> io::Result<()> {
    let missing: Vec<_> = root.ancestors().take_while(|path| !path.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(root)?;
    if durability == Durability::Power {
        for parent in missing.iter().filter_map(|path| path.parent()) {
            std::fs::File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

fn existing(root: &Path) -> Result<OwnedFd> {
    let directory = match open_directory(root) {
        Ok(directory) => directory,
        Err(Errno::LOOP) => {
            return Err(Error::new(
                ErrorKind::Denied,
                "a reference may not lead through a symbolic link to its store's directory",
            )
            .hint("give the real path"));
        }
        Err(errno) => {
            let error = failed("cannot open the store's directory")(errno).with_kind(match errno {
                Errno::ACCESS | Errno::PERM => ErrorKind::Denied,
                _ => ErrorKind::Unavailable,
            });
            return Err(error.hint("the program that owns the store makes it; is it mounted here?"));
        }
    };
    if has_mark(&directory)? {
        return Ok(directory);
    }
    Err(Error::new(ErrorKind::Unavailable, "the directory is not that of a store, or one of another version")
        .hint("open it with the program that owns the store first; is it mounted here?"))
}

/// Opens it by its real path alone: a symbolic link anywhere is `LOOP`.
fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS)
}

fn has_mark(directory: impl AsFd) -> Result<bool> {
    match statat(directory, MARK, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(failed("cannot look for the store's mark")(errno)),
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
