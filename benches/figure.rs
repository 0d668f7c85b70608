//! What was measured, and what was wanted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Bytes.
    Bytes,
    /// Allocations, requests, instructions: whatever the shape says.
    Count,
    /// Ours, divided by a peer's.
    Ratio,
}

/// The median of a series, and the middle half of it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    /// A quarter is below.
    pub low: f64,
    /// Half is below.
    pub median: f64,
    /// A quarter is above.
    pub high: f64,
    /// How long the series is.
    pub count: usize,
}

impl Spread {
    /// Of a series, which is not empty.
    pub fn of(mut series: Vec<f64>) -> Self {
        series.sort_by(f64::total_cmp);
        let at = |quarter: usize| series.get((series.len() * quarter / 4).min(series.len() - 1)).copied();
        let quantile = |quarter| at(quarter).unwrap_or(f64::NAN);
        Self { low: quantile(1), median: quantile(2), high: quantile(3), count: series.len() }
    }
}

/// What is wanted of a figure.
#[derive(Debug, Clone)]
pub struct Goal {
    /// Its line in the table of goals.
    pub id: &'static str,
    /// The peer whose multiple it is; none: an amount of the figure's own unit.
    pub peer: Option<&'static str>,
    /// The most that meets it.
    pub target: f64,
}

/// Whether a goal is met.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Its line in the table of goals.
    pub id: &'static str,
    /// The peer that was compared with.
    pub peer: Option<&'static str>,
    /// Of `measured` and `target`.
    pub unit: Unit,
    /// The median.
    pub measured: f64,
    /// The most that meets it.
    pub target: f64,
    /// Whether it is.
    pub met: bool,
}

/// What does the same work without us.
#[derive(Debug, Clone, Serialize)]
pub struct Peer {
    /// Its name.
    pub name: &'static str,
    /// What it took.
    pub took: Spread,
    /// Ours divided by it, turn by turn.
    pub ratio: Spread,
}

/// One shape of work, measured.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// The connector, or the part of the library.
    pub place: String,
    /// What is done there.
    pub shape: String,
    /// The size of each object.
    pub bytes: Option<u64>,
    /// Of `ours` and the peers.
    pub unit: Unit,
    /// What we took.
    pub ours: Spread,
    /// What the others took, in the same run.
    pub peers: Vec<Peer>,
    /// What is wanted of it.
    pub goals: Vec<Verdict>,
}

impl Figure {
    /// From the laps of each contender, ours first.
    pub fn new(
        (place, shape, bytes): (&str, &str, Option<u64>),
        unit: Unit,
        ours: &[f64],
        peers: &[(&'static str, Vec<f64>)],
        goals: &[Goal],
    ) -> Self {
        let peer = |(name, laps): &(&'static str, Vec<f64>)| {
            let ratios = ours.iter().zip(laps).map(|(ours, lap)| ours / lap).collect();
            Peer { name, took: Spread::of(laps.clone()), ratio: Spread::of(ratios) }
        };
        let peers: Vec<Peer> = peers.iter().map(peer).collect();
        let ours = Spread::of(ours.to_vec());
        let judge = |goal: &Goal| {
            let (measured, unit) = match goal.peer {
                None => (ours.median, unit),
                Some(name) => {
                    let peer = peers.iter().find(|peer| peer.name == name);
                    (peer.map_or(f64::NAN, |peer| peer.ratio.median), Unit::Ratio)
                }
            };
            let &Goal { id, peer, target } = goal;
            Verdict { id, peer, unit, measured, target, met: measured <= target }
        };
        let goals = goals.iter().map(judge).collect();
        Self { place: place.into(), shape: shape.into(), bytes, unit, ours, peers, goals }
    }

    /// `redis/get/1 KiB`.
    pub fn name(&self) -> String {
        let size = self.bytes.map(|bytes| format!("/{}", size(bytes))).unwrap_or_default();
        format!("{}/{}{size}", self.place, self.shape)
    }

    /// One line for a terminal.
    pub fn line(&self) -> String {
        let mut line = format!("{:<34} {:>10}", self.name(), self.unit.show(self.ours.median));
        for peer in &self.peers {
            line +=
                &format!("   {:.2}x {} {}", peer.ratio.median, peer.name, self.unit.show(peer.took.median));
        }
        for goal in self.goals.iter().filter(|goal| !goal.met) {
            line += &format!("   MISSES {} {}", goal.id, goal.unit.show(goal.target));
        }
        line
    }
}

impl Unit {
    /// An amount for people.
    pub fn show(self, amount: f64) -> String {
        match self {
            Self::Ratio if amount < 0.1 => format!("{amount:.4}x"),
            Self::Ratio => format!("{amount:.2}x"),
            Self::Count => format!("{amount:.0}"),
            Self::Bytes => size(amount as u64),
            Self::Ns if amount < 1e3 => format!("{amount:.1} ns"),
            Self::Ns if amount < 1e6 => format!("{:.2} µs", amount / 1e3),
            Self::Ns => format!("{:.2} ms", amount / 1e6),
        }
    }
}

/// A size for people: `10 B`, `1 KiB`, `100 MiB`.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// What a run was made on, and what it found.
#[derive(Debug, Serialize)]
struct Report<'a> {
    machine: BTreeMap<&'static str, String>,
    figures: &'a [Figure],
}

/// Where results and what is measured on a disk are: `target/bench`, which is made.
pub fn folder() -> std::io::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let folder = root.join("target/bench");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Writes `target/bench/<name>.json`, and says where that is.
pub fn write(name: &str, quick: bool, figures: &[Figure]) -> std::io::Result<PathBuf> {
    let report = Report { machine: machine(quick), figures };
    let path = folder()?.join(format!("{name}.json"));
    fs::write(&path, serde_json::to_vec_pretty(&report)?)?;
    Ok(path)
}

/// What the figures depend on. Names of hosts and people are not among it.
fn machine(quick: bool) -> BTreeMap<&'static str, String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let said = |program: &str, args: &[&str]| {
        let here = env!("CARGO_MANIFEST_DIR");
        let output = Command::new(program).args(args).current_dir(here).output();
        let output = output.map(|output| output.stdout);
        String::from_utf8_lossy(&output.unwrap_or_default()).trim().to_owned()
    };
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let threads = std::thread::available_parallelism().map_or(0, usize::from);
    BTreeMap::from([
        ("cpu", model.map(|(_, model)| model.to_owned()).unwrap_or_default()),
        ("threads", threads.to_string()),
        ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("load", read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()),
        ("rustc", said("rustc", &["--version"])),
        ("commit", said("git", &["describe", "--always", "--dirty"])),
        ("mode", if quick { "quick" } else { "full" }.to_owned()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_of_laps_of_the_same_turn() {
        // The machine became ten times slower after the first turn; the ratio did not change.
        let (ours, bare) = ([10.0, 100.0, 100.0], vec![5.0, 50.0, 50.0]);
        let goal = Goal { id: "P4", peer: Some("bare"), target: 1.9 };
        let figure = Figure::new(("redis", "get", Some(1024)), Unit::Ns, &ours, &[("bare", bare)], &[goal]);
        assert_eq!(figure.name(), "redis/get/1 KiB");
        let peer = &figure.peers[0];
        assert_eq!((peer.ratio.low, peer.ratio.median, peer.ratio.high), (2.0, 2.0, 2.0));
        assert!(!figure.goals[0].met);
        assert!(figure.line().ends_with("MISSES P4 1.90x"), "{}", figure.line());
    }

    #[test]
    fn a_goal_without_its_peer_is_not_met() {
        let goal = Goal { id: "P4", peer: Some("absent"), target: 1.0 };
        assert!(!Figure::new(("redis", "get", None), Unit::Ns, &[1.0], &[], &[goal]).goals[0].met);
    }
}
