//! `bench`: how fast it is, beside what does the same work without us. `docs/performance.md` says what it means.

use std::fs;
use std::path::PathBuf;

use crate::provide;
use crate::sh::{Result, cargo, root, run};

mod compare;
mod counts;
mod data;
mod goals;
mod peer;
mod plot;
mod report;

use data::Report;

/// Runs what the arguments say.
pub(crate) fn run_all(args: &[&str]) -> Result {
    match args {
        ["--compare", before, after] => compare::run_all(before, after),
        ["--counts"] => counts::run_all(false),
        ["--counts", "--bless"] => counts::run_all(true),
        ["--peer", "python"] => peer::run_all(false),
        ["--peer", "python", "--quick"] | ["--quick", "--peer", "python"] => peer::run_all(true),
        ["--quick", names @ ..] if no_flags(names) => measure(true, names),
        names if no_flags(names) => measure(false, names),
        _ => Err(format!("there is no `cargo xtask bench {}`: see `cargo xtask help`", args.join(" "))),
    }
}

fn no_flags(names: &[&str]) -> bool {
    names.iter().all(|name| !name.starts_with('-'))
}

/// Where the results are.
fn folder() -> PathBuf {
    root().join("target/bench")
}

/// Measures, and reports.
fn measure(quick: bool, names: &[&str]) -> Result {
    let mut report = shapes(quick, names)?;
    if names.is_empty() {
        report.figures.extend(counts::measure()?.figures);
        // Of an earlier run, if there is one.
        let python = folder().join("python.json");
        if python.is_file() {
            peer::add(&mut report, &Report::read(&python)?);
        }
    }
    let path = folder().join("report.html");
    fs::write(&path, report::html(&report)).map_err(|error| format!("cannot write the report: {error}"))?;
    println!("\n{}\nthe report: {}", goals::table(&report), path.display());
    Ok(())
}

/// Measures the speed of the shapes whose names begin so; all if there is no name.
fn shapes(quick: bool, names: &[&str]) -> Result<Report> {
    provide::redis()?;
    let mut args = vec!["bench", "--package", "proxystore-benches", "--bench", "shapes"];
    // Its SDK takes minutes to build: not for a first look.
    let s3 = if names.is_empty() { !quick } else { names.iter().any(|name| name.starts_with("s3")) };
    if s3 {
        args.extend(["--features", "s3"]);
    }
    args.push("--");
    args.extend(quick.then_some("--quick"));
    args.extend(names);
    run(&mut cargo(&args))?;
    Report::read(&folder().join(if names.is_empty() { "shapes.json" } else { "part.json" }))
}
