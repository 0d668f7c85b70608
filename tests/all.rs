//! Tests across crates: what users rely on, over every connector.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]

mod compile_fail;
mod executor;
mod faults;
mod futures;
mod lifetimes;
mod metrics;
mod multi;
mod operations;
mod ownership;
mod redaction;
mod shutdown;
mod signed;
mod single_flight;
mod stores;
mod trust;
mod types;
