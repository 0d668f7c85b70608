//! What no clock tells, compared with what is committed: a test of speed that a busy machine does not disturb.

use std::collections::BTreeMap;
use std::fs;

use crate::bench::data::Report;
use crate::bench::{folder, goals};
use crate::provide;
use crate::sh::{Result, cargo, read, root, run};

/// What the counts have been, by name.
const COMMITTED: &str = "benches/counts.json";
/// Those that are the same in every run.
const FIRM: &[&str] = &["allocations", "instructions"];
/// More than this factor is worse: compilers and dependencies change them a little.
const FACTOR: f64 = 1.05;
/// And more than this amount: once in a hundred calls something grows.
const AMOUNT: f64 = 0.1;

type Counts = BTreeMap<String, f64>;

/// Counts anew.
pub(crate) fn measure() -> Result<Report> {
    provide::redis()?;
    run(&mut cargo(&["bench", "--package", "proxystore-benches", "--bench", "counts"]))?;
    Report::read(&folder().join("counts.json"))
}

/// Counts, and compares; or records the counts as they are now.
pub(crate) fn run_all(bless: bool) -> Result {
    provide::valgrind()?;
    let report = measure()?;
    let firm = report.figures.iter().filter(|figure| FIRM.contains(&figure.place.as_str()));
    let now: Counts = firm.map(|figure| (figure.name(), rounded(figure.ours.median))).collect();
    if bless {
        let text = serde_json::to_string_pretty(&now).map_err(|error| error.to_string())? + "\n";
        return fs::write(root().join(COMMITTED), text)
            .map_err(|error| format!("cannot write {COMMITTED}: {error}"));
    }
    let before: Counts =
        serde_json::from_str(&read(COMMITTED)?).map_err(|error| format!("{COMMITTED}: {error}"))?;
    for (figure, verdict) in goals::all().flat_map(|(id, _)| goals::verdicts(&report, id)) {
        let word = if verdict.met { "met   " } else { "missed" };
        println!("{} {word} {} {}", verdict.id, figure.name(), goals::said(verdict));
    }
    let (worse, better) = compare(&before, &now);
    better.iter().for_each(|line| println!("better: {line}"));
    if !better.is_empty() {
        println!("record that by `cargo xtask bench --counts --bless`");
    }
    if worse.is_empty() {
        println!("{} counts are no worse than in {COMMITTED}", now.len());
        return Ok(());
    }
    Err(format!(
        "worse than in {COMMITTED}:\n  {}\nif that is meant: `cargo xtask bench --counts --bless`",
        worse.join("\n  ")
    ))
}

/// As it stands in the file.
fn rounded(count: f64) -> f64 {
    (count * 100.0).round() / 100.0
}

/// Which have become worse, and which better. What is missing on one side only is neither: not every machine has
/// valgrind.
fn compare(before: &Counts, now: &Counts) -> (Vec<String>, Vec<String>) {
    let more = |a: f64, b: f64| a > b * FACTOR && a > b + AMOUNT;
    let both = |(name, now): (&String, &f64)| Some((name.clone(), *before.get(name)?, *now));
    let (mut worse, mut better) = (Vec::new(), Vec::new());
    for (name, before, now) in now.iter().filter_map(both) {
        let line = format!("{name}: {now}, was {before}");
        if more(now, before) {
            worse.push(line);
        } else if more(before, now) {
            better.push(line);
        }
    }
    (worse, better)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&str, f64)]) -> Counts {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn one_allocation_more_is_worse_and_a_few_instructions_are_not() {
        let before = counts(&[("get", 7.0), ("hit", 0.0), ("encode", 1_000.0), ("gone", 1.0)]);
        let same = counts(&[("get", 7.05), ("hit", 0.01), ("encode", 1_040.0), ("new", 5.0)]);
        assert_eq!(compare(&before, &same), (vec![], vec![]));
        let other = counts(&[("get", 6.0), ("hit", 1.0), ("encode", 1_100.0)]);
        let (worse, better) = compare(&before, &other);
        assert_eq!(worse, ["encode: 1100, was 1000", "hit: 1, was 0"]);
        assert_eq!(better, ["get: 6, was 7"]);
    }
}
