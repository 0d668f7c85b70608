//! Managers that are served: over TLS, to hostile peers, as a program, beside stores.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]

#[cfg(feature = "cli")]
mod cli;
mod common;
mod hostile;
mod insecure;
#[cfg(feature = "tls")]
mod relays;
#[cfg(feature = "store")]
mod store;
#[cfg(feature = "tls")]
mod tls;
