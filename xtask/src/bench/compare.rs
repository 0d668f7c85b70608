//! Two runs, side by side.

use std::path::Path;

use crate::bench::data::{Figure, Report, Spread};
use crate::sh::Result;

/// Prints each figure of both runs that has changed, and how many have not.
pub(crate) fn run_all(before: &str, after: &str) -> Result {
    let (before, after) = (Report::read(Path::new(before))?, Report::read(Path::new(after))?);
    println!("before  {}\nafter   {}\n", before.about(), after.about());
    let (mut same, mut gone) = (0, 0);
    for old in &before.figures {
        let Some(new) = after.find(&old.name()) else {
            gone += 1;
            continue;
        };
        match changed(old, new) {
            Change::Noise => same += 1,
            Change::Better(line) => println!("better  {line}"),
            Change::Worse(line) => println!("WORSE   {line}"),
        }
    }
    println!("\n{same} are the same within their noise, {gone} are in the first run only");
    Ok(())
}

enum Change {
    Better(String),
    Worse(String),
    Noise,
}

/// Where a peer did the same work, the ratios to it are compared: the machine may have changed. It is a change if the
/// middle halves do not meet.
fn changed(old: &Figure, new: &Figure) -> Change {
    let peer = |figure: &Figure| figure.peers.first().map(|peer| (peer.name.clone(), peer.ratio));
    let (what, from, to): (String, Spread, Spread) = match (peer(old), peer(new)) {
        (Some((name, from)), Some((other, to))) if name == other => (format!(" of {name}"), from, to),
        _ => (String::new(), old.ours, new.ours),
    };
    let unit = if what.is_empty() { new.unit } else { crate::bench::data::Unit::Ratio };
    let line = || {
        let percent = (to.median / from.median - 1.0) * 100.0;
        let (from, to) = (unit.show(from.median), unit.show(to.median));
        format!("{:<36} {percent:>+6.0} %   {from} -> {to}{what}", new.name())
    };
    if to.high < from.low {
        Change::Better(line())
    } else if to.low > from.high {
        Change::Worse(line())
    } else {
        Change::Noise
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(peers: &str, median: f64) -> Figure {
        let (low, high) = (median * 0.9, median * 1.1);
        let text = format!(
            r#"{{"place": "redis", "shape": "get", "bytes": 10, "unit": "ns", "peers": [{peers}],
            "ours": {{"low": {low}, "median": {median}, "high": {high}}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    const PEER: &str = r#"{"name": "crate", "took": {"low": 1, "median": 1, "high": 1},
        "ratio": {"low": 1.1, "median": 1.2, "high": 1.3}}"#;

    #[test]
    fn only_what_is_beyond_the_noise_has_changed() {
        assert!(matches!(changed(&figure("", 100.0), &figure("", 110.0)), Change::Noise));
        assert!(matches!(changed(&figure("", 100.0), &figure("", 50.0)), Change::Better(_)));
        let Change::Worse(line) = changed(&figure("", 100.0), &figure("", 200.0)) else {
            panic!("not worse")
        };
        assert!(line.contains("redis/get/10 B") && line.contains("+100 %"), "{line}");
    }

    #[test]
    fn a_slower_machine_is_no_change_of_ours() {
        assert!(matches!(changed(&figure(PEER, 100.0), &figure(PEER, 300.0)), Change::Noise));
    }
}
