//! `test`: all tests of the workspace. A test that was skipped counts as failed.

use std::fs;
use std::io::ErrorKind;
use std::process::Command;
use std::time::Instant;

use crate::sh::{Result, cargo, find, root, run};
use crate::{examples, moto, provide, tidy};

/// Tests that cannot run append a line to the file of this name. The testkit does it.
const SKIPS: &str = "PROXYSTORE_SKIPS";
/// For these, with commas, a test fails where it would skip.
const REQUIRE: &str = "PROXYSTORE_REQUIRE";

/// Runs all of them, whatever fails, and sums up.
pub(crate) fn run_all(allow_skips: bool, with_moto: bool) -> Result {
    let required = if allow_skips { None } else { Some(provide::all()?) };
    let folder = root().join("target");
    let file = folder.join("skips.txt");
    // What the last run recorded is forgotten; a new file appears with the first skip.
    fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    match fs::remove_file(&file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(format!("cannot remove {}: {error}", file.display()));
        }
        _ => {}
    }
    let with = |mut command: Command| {
        command.env(SKIPS, &file).env_remove(REQUIRE);
        if let Some(required) = required {
            command.env(REQUIRE, required);
        }
        run(&mut command)
    };
    let all = ["--workspace", "--all-features"];
    let mut steps = vec![
        timed("tests", || with(tests(&all))),
        timed("doc tests", || with(cargo(&[&["test", "--doc"], &all[..]].concat()))),
        timed("examples", examples::run_all),
        timed("tidy", || tidy::run_all(false)),
    ];
    if with_moto {
        steps.push(timed("moto", moto::run_all));
    }
    let skips = fs::read_to_string(&file).unwrap_or_default();
    let (summary, passed) = sum_up(&steps, &skips, allow_skips);
    println!("\n{summary}");
    if passed { Ok(()) } else { Err("not everything passed: see above".into()) }
}

/// By nextest where it is installed: it runs each test in its own process.
fn tests(all: &[&str]) -> Command {
    if find(&["cargo-nextest"]).is_some() {
        cargo(&[&["nextest", "run", "--no-fail-fast"], all].concat())
    } else {
        cargo(&[&["test", "--tests", "--no-fail-fast"], all].concat())
    }
}

/// A part of the tests that has run.
struct Step {
    name: &'static str,
    seconds: u64,
    done: Result,
}

fn timed(name: &'static str, work: impl FnOnce() -> Result) -> Step {
    let start = Instant::now();
    let done = work();
    if let Err(error) = &done {
        eprintln!("error: {error}");
    }
    Step { name, seconds: start.elapsed().as_secs(), done }
}

/// What the user reads at the end, and whether all is well.
fn sum_up(steps: &[Step], skips: &str, allow_skips: bool) -> (String, bool) {
    let line = |step: &Step| {
        let word = if step.done.is_ok() { "passed" } else { "FAILED" };
        format!("{:<10} {word} {:>5} s\n", step.name, step.seconds)
    };
    let mut lines: Vec<_> = skips.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    let mut summary: String = steps.iter().map(line).collect();
    summary += &format!("{} skipped", lines.len());
    for skipped in &lines {
        summary += &format!("\n  {skipped}");
    }
    (summary, steps.iter().all(|step| step.done.is_ok()) && (allow_skips || lines.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(done: Result) -> [Step; 2] {
        [Step { name: "tests", seconds: 7, done: Ok(()) }, Step { name: "tidy", seconds: 0, done }]
    }

    #[test]
    fn all_that_passed_is_well() {
        let (summary, passed) = sum_up(&steps(Ok(())), "", false);
        assert!(passed);
        assert_eq!(summary, "tests      passed     7 s\ntidy       passed     0 s\n0 skipped");
    }

    #[test]
    fn a_failure_fails() {
        let (summary, passed) = sum_up(&steps(Err("why".into())), "", true);
        assert!(!passed);
        assert!(summary.contains("tidy       FAILED"), "{summary}");
    }

    #[test]
    fn a_skip_fails_unless_allowed() {
        let skips = "put: redis: absent\nget: redis: absent\nput: redis: absent\n";
        let (summary, passed) = sum_up(&steps(Ok(())), skips, false);
        assert!(!passed);
        assert!(summary.ends_with("2 skipped\n  get: redis: absent\n  put: redis: absent"), "{summary}");
        assert!(sum_up(&steps(Ok(())), skips, true).1);
    }
}
