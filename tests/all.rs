//! Tests across crates: what users rely on, over every connector.

mod compile_fail;
mod operations;
mod redaction;
mod single_flight;
mod stores;
mod trust;
mod types;
