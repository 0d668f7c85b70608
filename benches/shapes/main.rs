//! The shapes of work that users have, by connector and size, each beside what does the same work without us.
//! Standard policies and integrity checks are on. `cargo xtask bench` runs it and reports; by itself:
//! `cargo bench -p proxystore-benches --bench shapes -- [--quick] [redis/get …]`.
#![allow(clippy::print_stdout, reason = "it reports")]

use std::process::ExitCode;

use proxystore::Trust;
use proxystore_benches::{Suite, write};
use proxystore_testkit::process;

mod bare;
mod codecs;
mod file;
mod growth;
mod layers;
mod local;
mod manager;
mod multi;
#[cfg(feature = "s3")]
mod object_store;
mod ours;
mod process_resolve;
mod proxies;
mod redis;
#[cfg(feature = "s3")]
mod s3;
mod wake;

/// Measures whatever is wanted of one place.
type Measure = fn(&mut Suite);

const ALL: &[(&str, Measure)] = &[
    ("proxy", proxies::measure),
    ("reference", codecs::references),
    ("codec", codecs::measure),
    ("policies", layers::policies),
    ("transforms", layers::transforms),
    ("local", local::measure),
    ("file", file::measure),
    ("redis", redis::measure),
    #[cfg(feature = "s3")]
    ("s3", s3::measure),
    #[cfg(feature = "s3")]
    ("object-store", object_store::measure),
    ("multi", multi::measure),
    ("manager", manager::measure),
    ("wake", wake::measure),
    ("growth", growth::measure),
];

fn main() -> ExitCode {
    manager::play();
    if let Some(done) = roles() {
        return done;
    }
    proxystore::install(Trust::Any);
    let (flags, names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|arg| arg.starts_with('-'));
    let quick = flags.iter().any(|flag| flag == "--quick");
    // A part does not replace the whole.
    let result = if names.is_empty() { "shapes" } else { "part" };
    let measured = Suite::new(quick, names).and_then(|mut suite| {
        for (place, measure) in ALL {
            if suite.wants(place) {
                measure(&mut suite);
            }
        }
        write(result, quick, suite.figures())
    });
    match measured {
        Ok(path) => println!("written: {}", path.display()),
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// What this program does as another process of a measurement.
fn roles() -> Option<ExitCode> {
    let role: fn() = if process::is_role(process_resolve::ROLE) {
        process_resolve::play
    } else if process::is_role(wake::ROLE) {
        wake::play
    } else {
        #[cfg(feature = "s3")]
        if process::is_role(s3::ROLE) {
            s3::serve();
            return Some(ExitCode::SUCCESS);
        }
        return None;
    };
    role();
    Some(ExitCode::SUCCESS)
}
