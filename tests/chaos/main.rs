//! The whole stack, policies and transforms included, over real backends and under faults.
//!
//! The numbers grow by the environment: `cargo xtask soak` runs ten times as much.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]
#![allow(clippy::print_stdout, reason = "what was injected and seen is part of the result")]

mod cancellations;
mod conformance;
mod pressure;
mod resolves;
mod stack;

/// How often to do what is done `usual` times by default.
fn times(usual: u64) -> u64 {
    let factor = std::env::var("PROXYSTORE_SOAK").ok().map(|text| text.parse::<u64>().unwrap());
    usual * factor.unwrap_or(1)
}
