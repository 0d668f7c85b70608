//! The built-in containers, at home and from a client.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]

mod common;
mod dicts;
mod lists;
mod nested;
mod processes;
mod queues;
mod values;
