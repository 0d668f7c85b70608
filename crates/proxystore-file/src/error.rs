//! What the operating system reports, in the words of this project.

use proxystore_core::{Error, ErrorKind};
use rustix::io::Errno;

/// Makes an error of a system call's: `.map_err(failed("cannot write the object"))`.
pub(crate) fn failed(what: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| {
        let error = Error::new(kind(errno), what).with_source(errno);
        match errno {
            Errno::NOSPC | Errno::DQUOT => error.hint("free space or raise the quota, then try again"),
            Errno::MFILE | Errno::NFILE => {
                error.transient().hint("raise the limit of open files (ulimit -n)")
            }
            Errno::NOMEM | Errno::INTR | Errno::AGAIN | Errno::BUSY => error.transient(),
            Errno::LOOP | Errno::XDEV => error.hint("no symbolic link may stand in a store's directory"),
            Errno::NOENT => error.hint("a directory of the store was removed; do not remove those in use"),
            Errno::NOSYS => error.hint("Linux 5.6 or later is needed"),
            _ => error,
        }
    }
}

fn kind(errno: Errno) -> ErrorKind {
    match errno {
        Errno::NOSPC | Errno::DQUOT => ErrorKind::Full,
        Errno::FBIG => ErrorKind::TooLarge,
        Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::LOOP | Errno::XDEV => ErrorKind::Denied,
        Errno::NOTDIR | Errno::ISDIR | Errno::NXIO | Errno::NODEV => ErrorKind::Corrupt,
        Errno::NOSYS => ErrorKind::Unsupported,
        Errno::INVAL | Errno::BADF | Errno::FAULT | Errno::NAMETOOLONG => ErrorKind::Unexpected,
        _ => ErrorKind::Unavailable,
    }
}

/// The file at an object's place is not an object.
pub(crate) fn corrupt(why: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, why).hint("evict it, and look who else writes to this directory")
}
