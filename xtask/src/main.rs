//! The automation of this workspace: `cargo xtask <verb>`. One file per verb.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program talks to its terminal")]

use std::process::ExitCode;

mod bench;
mod check;
mod ci;
mod deps;
mod examples;
mod features;
mod metadata;
mod moto;
mod provide;
mod sh;
mod soak;
mod test;
mod tidy;

const HELP: &str = "\
cargo xtask <verb>

  test       all tests, the doc tests, the examples and tidy; fails if a test was skipped
             finds redis-server or valkey-server, and faketime; on Debian as root it installs what is missing
             --allow-skips   install nothing, and skip tests whose program is missing
             --with moto     S3 on moto's server, too, which is installed below target from PyPI
  check      format, clippy and docs
  docs       the API documentation, without warnings
  features   each feature of each crate builds alone, none does, and all together do
  deps       how many crates a user gets, and which ones nobody may get
  tidy       the house rules: see xtask/src/tidy.rs
             --bless         the golden bytes hold: record the wire types as they are now
  bench      how fast it is, beside the bare clients; see docs/performance.md
             [--quick] [name …]      all shapes, or those whose names begin so
             --compare A.json B.json what has changed between two runs
             --counts [--bless]      allocations and instructions, against benches/counts.json
             --peer python [--quick] beside Python ProxyStore
  soak       the tests under faults, ten times as long: about an hour
  ci         check, features, deps, test, and cargo-deny if it is installed";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["test"] => test::run_all(false, false),
        ["test", "--allow-skips"] => test::run_all(true, false),
        ["test", "--with", "moto"] => test::run_all(false, true),
        ["check"] => check::run_all(),
        ["docs"] => check::docs(),
        ["features"] => features::run_all(),
        ["deps"] => deps::run_all(),
        ["tidy"] => tidy::run_all(false),
        ["tidy", "--bless"] => tidy::run_all(true),
        ["bench", ref args @ ..] => bench::run_all(args),
        ["soak"] => soak::run_all(),
        ["ci"] => ci::run_all(),
        [] | ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        _ => Err(format!("there is no `cargo xtask {}`\n\n{HELP}", args.join(" "))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
