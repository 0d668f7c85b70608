//! `check`: what must hold before anyone reads a change. `docs`: its last part alone.

use crate::sh::{Result, cargo, run};

/// Format, clippy and docs, each without a warning.
pub(crate) fn run_all() -> Result {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]))?;
    docs()
}

/// The documentation of every crate.
pub(crate) fn docs() -> Result {
    run(cargo(&["doc", "--workspace", "--no-deps", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings"))
}
