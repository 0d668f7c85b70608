//! How many instructions the hot paths have, counted by callgrind: this program once more for each of them, in
//! valgrind. What a path does on other threads is not counted.

use std::fs;
use std::io::{Error, Result};
use std::process::{Command, Stdio};

use proxystore_benches::{Suite, Unit};
use proxystore_testkit::redis::RedisServer;
use tokio::runtime::{Builder, Runtime};

use crate::paths;

/// Begins the arguments of such a child.
pub(crate) const ROLE: &str = "instructions";
const TIMES: u64 = 100;
/// What is counted: see there.
const MEASURED: &str = "*instructions*measured*";

/// The counting begins with this function, and ends with it.
#[inline(never)]
fn measured(work: &dyn Fn(u64)) {
    work(TIMES);
    // A tail call would be outside.
    std::hint::black_box(());
}

fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Walks the path of this name. Those of Redis are for profiles: how often a task wakes is another figure each time.
pub(crate) fn play(name: &str) -> Result<()> {
    let runtime = runtime()?;
    let mut paths = paths::pure(&runtime);
    let server = if name.starts_with("redis") { runtime.block_on(RedisServer::start()) } else { None };
    if let Some(server) = &server {
        paths.extend(paths::of_a_store(&runtime, "redis", &server.uri()));
    }
    for path in paths.iter().filter(|path| path.name == name) {
        (path.work)(TIMES);
        measured(&*path.work);
    }
    Ok(())
}

pub(crate) fn measure(suite: &mut Suite) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let out = dir.path().join("out");
    let names: Vec<String> = paths::pure(&runtime()?).into_iter().map(|path| path.name).collect();
    for name in names {
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args(["--tool=callgrind", "--quiet", "--collect-atstart=no"])
            .arg(format!("--toggle-collect={MEASURED}"))
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(std::env::current_exe()?)
            .args([ROLE, &name])
            .stdin(Stdio::null());
        let status = match valgrind.status() {
            Ok(status) => status,
            Err(error) => {
                println!("instructions: left out, valgrind does not run: {error}");
                return Ok(());
            }
        };
        let counted = fs::read_to_string(&out).unwrap_or_default();
        let total =
            counted.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse::<u64>().ok());
        match total.filter(|total| status.success() && *total > 0) {
            Some(total) => {
                suite.count("instructions", &name, Unit::Count, total as f64 / TIMES as f64, &[]);
            }
            None => return Err(Error::other(format!("callgrind counted nothing of `{name}`: {status}"))),
        }
    }
    Ok(())
}
