//! The goals, and how far they are reached.

use std::fmt::Write;

use crate::bench::data::{Figure, Report, Verdict};

/// Each with what it is about.
const GOALS: &[(&str, &str)] = &[
    ("P1", "a resolved proxy and a cache hit cost next to nothing, and no allocation"),
    ("P2", "local get and put: within a microsecond, three times a map, no copy"),
    ("P3", "file get and put: 1.15 times the system calls, never behind object_store"),
    ("P4", "redis get: 1.10 times the crate; large puts 0.7 times the crate, 1.2 times the socket"),
    ("P5", "batches on redis: 1.15 times the pipeline; 1,024 gets at once 1.3 times"),
    ("P6", "s3: 1.1 times the SDK when small, 1.05 times its best when large"),
    ("P7", "wake-up: 10 µs local, 200 µs file, 300 µs redis; many waiters are as one"),
    ("P8", "a reference: 64 bytes by name, 128 with a spec, a microsecond there and back"),
    ("P9", "10,000 tasks on one cold proxy: one load, 3 µs each beyond it"),
    ("P10", "100 MiB on a file system in memory: a millisecond to the first byte"),
    ("P11", "ahead of Python ProxyStore everywhere"),
    ("P12", "peak memory: the object and 32 MiB"),
    ("P13", "a million objects cost no more each than a thousand"),
    ("M1", "a small call of a manager's object: 0.9 times CPython's"),
    ("M2", "64 calls at once: twice as many a second as eight processes of CPython"),
    ("M3", "ten objects made and dropped in the time of CPython's one"),
    ("M4", "fifty items of a stream in the time of CPython's one"),
    ("M5", "results of 1 MiB: three times as fast as CPython's"),
];

/// One line for each goal, and one for each of its figures that misses it.
pub(crate) fn table(report: &Report) -> String {
    let mut table = String::from("goal          met  what\n");
    for (id, what) in GOALS {
        let verdicts = verdicts(report, id);
        let met = verdicts.iter().filter(|(_, verdict)| verdict.met).count();
        let word = match verdicts.len() {
            0 => "not measured".into(),
            all => format!("{met} of {all}"),
        };
        let _ = writeln!(table, "{id:<4} {word:>12}  {what}");
        for (figure, verdict) in verdicts.iter().filter(|(_, verdict)| !verdict.met) {
            let _ = writeln!(table, "{:>17}  missed: {} {}", "", figure.name(), said(verdict));
        }
    }
    table
}

/// The figures of this goal.
pub(crate) fn verdicts<'a>(report: &'a Report, id: &str) -> Vec<(&'a Figure, &'a Verdict)> {
    let of = |figure: &'a Figure| figure.goals.iter().map(move |verdict| (figure, verdict));
    report.figures.iter().flat_map(of).filter(|(_, verdict)| verdict.id == id).collect()
}

/// All goals, with what they are about.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    GOALS.iter().copied()
}

/// What was measured and what was wanted.
pub(crate) fn said(verdict: &Verdict) -> String {
    let show = |amount| verdict.unit.show(amount);
    let peer = verdict.peer.as_ref().map(|peer| format!(" {peer}")).unwrap_or_default();
    format!("{}{peer}, wanted {}", show(verdict.measured), show(verdict.target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_misses_is_named_and_what_nobody_measured_is_not_met() {
        let figure = r#"{"place": "redis", "shape": "get", "bytes": 1024, "unit": "ns",
            "ours": {"low": 1, "median": 2, "high": 3}, "goals": [
            {"id": "P4", "peer": "redis crate", "unit": "ratio", "measured": 1.2, "target": 1.1, "met": false},
            {"id": "P4", "peer": null, "unit": "ns", "measured": 2, "target": 5, "met": true}]}"#;
        let report = format!(r#"{{"machine": {{}}, "figures": [{figure}]}}"#);
        let table = table(&serde_json::from_str(&report).unwrap());
        assert!(table.contains("P4         1 of 2"), "{table}");
        assert!(table.contains("missed: redis/get/1 KiB 1.20x redis crate, wanted 1.10x"), "{table}");
        assert!(table.contains("P13  not measured"), "{table}");
    }
}
