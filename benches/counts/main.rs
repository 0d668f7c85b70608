//! What no clock tells: how often an operation allocates, how many instructions its hot path has, and how much memory
//! the largest objects need at most. The same on an idle and on a busy machine, so that it can be a test.
//! `cargo xtask bench --counts` runs it and compares with `benches/counts.json`.
#![allow(clippy::print_stdout, reason = "it reports")]

use std::alloc::System;
use std::process::ExitCode;

use proxystore::Trust;
use proxystore_benches::{Suite, write};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

mod allocations;
mod instructions;
mod memory;
mod paths;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    proxystore::install(Trust::Any);
    let args: Vec<String> = std::env::args().skip(1).collect();
    let measured = match &args[..] {
        [role, path] if role == instructions::ROLE => instructions::play(path),
        _ => measure(),
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> std::io::Result<()> {
    let mut suite = Suite::new(false, Vec::new())?;
    allocations::measure(&mut suite)?;
    instructions::measure(&mut suite)?;
    memory::measure(&mut suite)?;
    println!("written: {}", write("counts", false, suite.figures())?.display());
    Ok(())
}
