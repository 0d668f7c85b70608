//! What Python's managers do, row by row, and what ours do instead.
//!
//! Each file is about one side of Python's managers. Its first lines say which of that other suites show already; the
//! tests are about the rest. The guide "Coming from Python's managers" has the same rows for readers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]

mod common;
mod connections;
mod defects;
mod pinned;
mod surface;
mod types;
