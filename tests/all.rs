//! Tests across crates: what users rely on, over every connector.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]

mod compile_fail;
mod faults;
mod metrics;
mod operations;
mod redaction;
mod signed;
mod single_flight;
mod stores;
mod trust;
mod types;
