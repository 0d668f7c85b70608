//! Tests that cannot run here say so, and are counted.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// Programs that serve as `what`, the preferred one first.
fn programs(what: &str) -> Vec<&str> {
    match what {
        "redis" => vec!["redis-server", "valkey-server"],
        program => vec![program],
    }
}

/// The program on the search path that serves as `what` (`redis`, or a program's own name).
pub fn find(what: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let all = programs(what);
    all.iter().find_map(|program| {
        env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
    })
}

/// Whether the program `what` is here. If it is not, the current test is recorded as skipped: see [`record`].
///
/// ```no_run
/// if !proxystore_testkit::skip::require("redis") {
///     return;
/// }
/// ```
pub fn require(what: &str) -> bool {
    let found = find(what).is_some();
    if !found {
        record(what, &format!("there is no {} on the search path", programs(what).join(" or ")));
    }
    found
}

/// Records that the current test is skipped because `what` is missing.
///
/// Prints `SKIPPED <test>: <why>` to standard error, and appends the line `<test>: <what>: <why>` to the file that
/// the environment variable `PROXYSTORE_SKIPS` names. Panics instead if `PROXYSTORE_REQUIRE`, a list with commas,
/// contains `what`: there, a skip is a failure.
#[allow(clippy::print_stderr, reason = "the test's report")]
pub fn record(what: &str, why: &str) {
    let test = test_name();
    let required = env::var("PROXYSTORE_REQUIRE").unwrap_or_default();
    if required.split(',').any(|name| name.trim() == what) {
        panic!("{test} needs {what}, and PROXYSTORE_REQUIRE demands it: {why}");
    }
    eprintln!("SKIPPED {test}: {why}");
    if let Some(file) = env::var_os("PROXYSTORE_SKIPS") {
        let line = format!("{test}: {what}: {why}\n");
        // One write per line: tests of other processes append to the same file.
        let written = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&file)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = written {
            panic!("cannot record the skip of {test} in {}: {error}", file.display());
        }
    }
}

/// Records a skip and returns from the test: `skip!("fuse", "there is no /dev/fuse")`. See [`record`](crate::skip::record).
#[macro_export]
macro_rules! skip {
    ($what:expr, $why:expr $(,)?) => {{
        $crate::skip::record($what, &$why);
        return;
    }};
}

/// The name of the running test, as far as the test harness tells.
pub fn test_name() -> String {
    match std::thread::current().name() {
        Some(name) if name != "main" && !name.starts_with("tokio") => name.into(),
        _ => env::var("NEXTEST_TEST_NAME").unwrap_or_else(|_| "a test".into()),
    }
}
