//! The same shapes by Python ProxyStore, in a virtual environment of its own.

use crate::bench::data::{Figure, Peer, Report, Spread, Unit, Verdict};
use crate::bench::{folder, goals, shapes};
use crate::provide;
use crate::sh::{Result, command, find, root, run};

const PACKAGES: &[&str] = &["proxystore==1.1.0", "redis==6.4.0"];
const SCRIPT: &str = "xtask/src/bench/peer.py";
const NAME: &str = "Python ProxyStore";
const GOAL: &str = "P11";
/// Objects of which the library, and not the bytes, is the cost.
const SMALL: u64 = 10 << 10;

/// Measures both, one after the other, and prints them side by side.
pub(crate) fn run_all(quick: bool) -> Result {
    provide::redis()?;
    let python = environment()?;
    let output = folder().join("python.json");
    let script = root().join(SCRIPT);
    let mut args = vec![script.display().to_string(), output.display().to_string()];
    args.extend(quick.then(|| "--quick".to_owned()));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run(&mut command(&python, &args))?;
    let theirs = Report::read(&output)?;
    let mut ours = shapes(quick, &["proxy", "reference", "local", "file", "redis", "wake"])?;
    add(&mut ours, &theirs);
    println!("\n{:<40} {:>12} {:>12} {:>9}", "", "proxystore", "Python", "ratio");
    for figure in &ours.figures {
        if let Some(peer) = figure.peers.iter().find(|peer| peer.name == NAME) {
            let show = |spread: Spread| figure.unit.show(spread.median);
            let (ours, theirs) = (show(figure.ours), show(peer.took));
            let ratio = Unit::Ratio.show(peer.ratio.median);
            println!("{:<40} {ours:>12} {theirs:>12} {ratio:>9}", figure.name());
        }
    }
    let all = goals::verdicts(&ours, GOAL);
    for (figure, verdict) in all.iter().filter(|(_, verdict)| !verdict.met) {
        println!("missed: {} {}", figure.name(), goals::said(verdict));
    }
    println!("{} of {} shapes reach {GOAL}", all.iter().filter(|(_, v)| v.met).count(), all.len());
    Ok(())
}

/// An interpreter that has the packages.
fn environment() -> Result<String> {
    let venv = root().join("target/bench/python");
    let python = venv.join("bin/python").display().to_string();
    if !venv.join("bin/pip").exists() {
        let found = find(&["python3"]).ok_or("Python 3 is not on the search path")?;
        run(&mut command(&found.display().to_string(), &["-m", "venv", &venv.display().to_string()]))?;
    }
    run(&mut command(&python, &[&["-m", "pip", "install", "--quiet"], PACKAGES].concat()))?;
    Ok(python)
}

/// Puts the peer's figures beside ours, with what is wanted of them.
pub(crate) fn add(ours: &mut Report, theirs: &Report) {
    for figure in &mut ours.figures {
        let Some(other) = theirs.find(&figure.name()) else { continue };
        let ratio = |ours: f64, theirs: f64| ours / theirs;
        let measured = ratio(figure.ours.median, other.ours.median);
        let low = ratio(figure.ours.low, other.ours.high);
        let high = ratio(figure.ours.high, other.ours.low);
        let spread = Spread { low, median: measured, high };
        figure.peers.push(Peer { name: NAME.into(), took: other.ours, ratio: spread });
        let target = target(figure);
        figure.goals.push(Verdict {
            id: GOAL.into(),
            peer: Some(NAME.into()),
            unit: Unit::Ratio,
            measured,
            target,
            met: measured <= target,
        });
    }
}

/// The share of the peer's time, or bytes, that we may take.
fn target(figure: &Figure) -> f64 {
    match (figure.place.as_str(), figure.shape.as_str()) {
        ("redis", _) if figure.bytes.is_some_and(|bytes| bytes <= SMALL) => 0.5,
        ("proxy", "cache hit") => 0.2,
        ("wake", _) => 0.001,
        ("reference", shape) if shape.starts_with("size") => 0.1,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_one_name_come_together() {
        let report = |place: &str, median: f64| -> Report {
            let spread = format!(r#"{{"low": {median}, "median": {median}, "high": {median}}}"#);
            let text = format!(
                r#"{{"machine": {{}}, "figures": [{{"place": "{place}", "shape": "get", "bytes": 1024,
                "unit": "ns", "ours": {spread}}}]}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let mut ours = report("redis", 60.0);
        add(&mut ours, &report("file", 100.0));
        assert!(ours.figures[0].peers.is_empty());
        add(&mut ours, &report("redis", 100.0));
        let verdict = &ours.figures[0].goals[0];
        assert_eq!((verdict.measured, verdict.target, verdict.met), (0.6, 0.5, false));
    }
}
