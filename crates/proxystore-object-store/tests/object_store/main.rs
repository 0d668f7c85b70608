//! The connector over stores in memory and in files, over servers of the web, and by the environment's credentials.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]

#[cfg(feature = "aws")]
mod access;
mod conformance;
mod opened;
#[cfg(feature = "http")]
mod web;
