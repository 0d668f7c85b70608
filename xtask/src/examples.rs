//! The examples, which run to their end as users would run them.

use crate::metadata;
use crate::sh::{Result, command, run};

/// Runs all of them, as the tests have built them.
pub(crate) fn run_all() -> Result {
    let built = metadata::target()?.join("debug/examples");
    let examples = metadata::crates()?.remove("proxystore-examples").ok_or("there are no examples")?.examples;
    let mut failed = Vec::new();
    for name in examples {
        if run(&mut command(&built.join(&name).to_string_lossy(), &[])).is_err() {
            failed.push(name);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("these failed: {}", failed.join(", "))) }
}
