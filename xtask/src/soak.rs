//! `soak`: the tests under faults, ten times as long as `test` runs them.

use crate::provide;
use crate::sh::{Result, cargo, run};

/// What is multiplied: two million resolves, half a million dropped futures, two thousand simulated minutes.
const FACTOR: &str = "10";
const SEEDS: &str = "2000";

/// Shows what was injected and what was seen.
pub(crate) fn run_all() -> Result {
    provide::redis()?;
    let tests = |test: &str, names: &[&str]| {
        let args = ["test", "--release", "--package", "proxystore-tests", "--test", test, "--"];
        let mut command = cargo(&[&args, names, &["--nocapture", "--test-threads=1"]].concat());
        run(command.env("PROXYSTORE_SOAK", FACTOR).env("PROXYSTORE_SEEDS", SEEDS))
    };
    tests("chaos", &["resolves", "cancellations", "pressure"])?;
    tests("simulation", &[])
}
