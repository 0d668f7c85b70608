//! Managers, proxies and what happens to both.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]

mod breaks;
mod calls;
mod common;
mod edges;
mod hostile;
mod interfaces;
mod lifetimes;
mod processes;
mod streams;
