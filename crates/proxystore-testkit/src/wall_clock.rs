//! The wall clock of a child process, set while it runs; that of the machine and of other processes stays as it is.

use std::process::Command;

use tempfile::TempDir;

use crate::skip;

/// A wall clock for processes that are started with its [`environment`](Self::environment). Their monotonic clocks are
/// the machine's, as where an operator or a time server sets the time. Works by libfaketime, on Linux.
///
/// ```no_run
/// use proxystore_testkit::{process::Role, wall_clock::WallClock};
///
/// # async fn test() {
/// let Some(clock) = WallClock::new() else { return }; // recorded as skipped
/// let mut child = Role::spawn("holder", &clock.environment());
/// clock.set(3_600); // the child lives an hour in the future now
/// # }
/// ```
#[derive(Debug)]
pub struct WallClock {
    folder: TempDir,
    file: String,
    library: String,
}

impl WallClock {
    /// A clock that is right. `None`, after a [recorded](skip::record) skip, where `faketime` is not installed.
    pub fn new() -> Option<Self> {
        if !skip::require("faketime") {
            return None;
        }
        // The program knows where its library is; `-m` is the one for threads.
        let output = Command::new(skip::find("faketime")?)
            .args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"])
            .output()
            .unwrap_or_else(|error| panic!("cannot run faketime: {error}"));
        let library = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(output.status.success() && !library.is_empty(), "faketime tells no library: {output:?}");
        let folder = tempfile::Builder::new().prefix("clock-").tempdir().expect("a temporary directory");
        let file = folder.path().join("offset").display().to_string();
        let clock = Self { folder, file, library };
        clock.set(0);
        Some(clock)
    }

    /// What a process needs in its environment. The clock is to outlive it.
    pub fn environment(&self) -> [(&str, &str); 5] {
        [
            ("LD_PRELOAD", &self.library),
            ("FAKETIME_TIMESTAMP_FILE", &self.file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_DISABLE_SHM", "1"),
        ]
    }

    /// Sets it to so many seconds before or after the machine's.
    pub fn set(&self, offset: i64) {
        // Renamed, for the library reads the file whenever it is asked for the time.
        let new = self.folder.path().join("new");
        std::fs::write(&new, format!("{offset:+}"))
            .and_then(|()| std::fs::rename(&new, &self.file))
            .unwrap_or_else(|error| panic!("cannot set the clock: {error}"));
    }
}
