//! Files with one secret in hexadecimal digits.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use proxystore_core::{Error, ErrorKind, Result};
use zeroize::Zeroizing;

use crate::{hex, mac};

/// The longest file, in bytes.
const MAX: u64 = 4096;

/// What is in the file, for the command line. `Denied` if everybody may read it, `Config` if it is no text of at most 4 KiB.
#[cfg(feature = "cli")]
pub(crate) async fn read(path: PathBuf) -> Result<Zeroizing<String>> {
    blocking(path, read_now).await
}

/// What is in the file, which is made with `fresh` in it, for its owner alone, if there is none. Several who make it at
/// once get the same.
pub(crate) async fn read_or_make(path: PathBuf, fresh: Zeroizing<String>) -> Result<Zeroizing<String>> {
    blocking(path, move |path| match read_now(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(path, &fresh)?;
            read_now(path)
        }
        found => found,
    })
    .await
}

async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let file = path.clone();
    let worked = tokio::task::spawn_blocking(move || work(&file)).await;
    let failed = |error: io::Error| {
        let (kind, hint) = match error.kind() {
            io::ErrorKind::PermissionDenied => (ErrorKind::Denied, "make it yours alone: `chmod 600`"),
            io::ErrorKind::InvalidData => (ErrorKind::Config, "name a file with hexadecimal digits"),
            _ => (ErrorKind::Unavailable, "name a file that can be read"),
        };
        Error::new(kind, format!("a file with a secret: {error}")).with("path", path.display()).hint(hint)
    };
    worked.map_err(io::Error::other).and_then(|worked| worked).map_err(failed)
}

fn read_now(path: &Path) -> io::Result<Zeroizing<String>> {
    let file = fs::File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o004 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "everybody may read it"));
    }
    let mut text = Zeroizing::new(String::new());
    if file.take(MAX + 1).read_to_string(&mut text)? as u64 > MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is longer than 4 KiB"));
    }
    Ok(text)
}

/// Makes the file at once with what is in it, unless somebody else was faster.
fn make(path: &Path, text: &str) -> io::Result<()> {
    let fresh = mac::random::<8>().map_err(io::Error::other)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", hex::write(&fresh)));
    let beside = PathBuf::from(beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let made = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&beside, path));
    let removed = fs::remove_file(&beside);
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => removed,
        made => made.and(removed),
    }
}
