//! `ci`: everything, in order.

use crate::sh::{Result, cargo, find, run};
use crate::{bench, check, deps, features, test};

/// Stops at the first verb that fails.
pub(crate) fn run_all() -> Result {
    check::run_all()?;
    features::run_all()?;
    deps::run_all()?;
    test::run_all(false, true)?;
    bench::run_all(&["--counts"])?;
    if find(&["cargo-deny"]).is_some() {
        run(&mut cargo(&["deny", "check", "bans", "licenses", "sources"]))?;
    } else {
        println!(
            "cargo-deny is not installed: licences and sources were not checked (`cargo install cargo-deny`)"
        );
    }
    Ok(())
}
