//! Fuzz targets: what happens to bytes that anyone may have written.
//!
//! Each target is a function of bytes that panics when a property does not hold. It is run in three ways:
//!
//! - `cargo test -p proxystore-fuzz`: thousands of altered seeds for each, the same in every run, with a bound on memory;
//! - `cargo fuzz run --fuzz-dir tests/fuzz/cargo-fuzz <target>`: libFuzzer, for as long as one likes, on a nightly
//!   compiler or with `RUSTC_BOOTSTRAP=1`; `examples/corpus.rs` writes the seeds for it;
//! - on the files below `regressions/<target>/`, once found by one of these: with the tests, too.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a target reports")]

mod calls;
mod check;
mod codecs;
mod config;
mod decompress;
mod envelope;
mod frames;
mod key;
mod letters;
mod operations;
mod records;
mod redis_replies;
mod reference;
mod rt;
mod signature;
mod unseal;
mod uri;

pub use calls::calls;
pub use codecs::codecs;
pub use config::config;
pub use decompress::decompress;
pub use envelope::envelope;
pub use frames::frames;
pub use key::key;
pub use letters::letters;
pub use operations::operations;
pub use records::records;
pub use redis_replies::redis_replies;
pub use reference::reference;
pub use signature::signature;
pub use unseal::unseal;
pub use uri::uri;

/// One of the functions of this crate.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Runs it once.
    pub run: fn(&[u8]),
    /// Inputs that reach far into it.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "calls", run: calls, seeds: calls::seeds },
    Target { name: "codecs", run: codecs, seeds: codecs::seeds },
    Target { name: "config", run: config, seeds: config::seeds },
    Target { name: "decompress", run: decompress, seeds: decompress::seeds },
    Target { name: "envelope", run: envelope, seeds: envelope::seeds },
    Target { name: "frames", run: frames, seeds: frames::seeds },
    Target { name: "key", run: key, seeds: key::seeds },
    Target { name: "letters", run: letters, seeds: letters::seeds },
    Target { name: "operations", run: operations, seeds: operations::seeds },
    Target { name: "records", run: records, seeds: records::seeds },
    Target { name: "redis_replies", run: redis_replies, seeds: redis_replies::seeds },
    Target { name: "reference", run: reference, seeds: reference::seeds },
    Target { name: "signature", run: signature, seeds: signature::seeds },
    Target { name: "unseal", run: unseal, seeds: unseal::seeds },
    Target { name: "uri", run: uri, seeds: uri::seeds },
];
