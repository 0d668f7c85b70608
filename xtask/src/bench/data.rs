//! What the measurements write.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::sh::Result;

/// A run.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    pub(crate) machine: BTreeMap<String, String>,
    pub(crate) figures: Vec<Figure>,
}

/// One shape of work.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Figure {
    pub(crate) place: String,
    pub(crate) shape: String,
    pub(crate) bytes: Option<u64>,
    pub(crate) unit: Unit,
    pub(crate) ours: Spread,
    #[serde(default)]
    pub(crate) peers: Vec<Peer>,
    #[serde(default)]
    pub(crate) goals: Vec<Verdict>,
}

/// What does the same work without us.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) took: Spread,
    pub(crate) ratio: Spread,
}

/// Quartiles.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

/// Whether a goal is met.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) id: String,
    pub(crate) peer: Option<String>,
    pub(crate) unit: Unit,
    pub(crate) measured: f64,
    pub(crate) target: f64,
    pub(crate) met: bool,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unit {
    Ns,
    Bytes,
    Count,
    Ratio,
}

impl Report {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        serde_json::from_slice(&text).map_err(|error| format!("{} is no result: {error}", path.display()))
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name() == name)
    }

    /// The machine and the run, in one line.
    pub(crate) fn about(&self) -> String {
        let fact = |(name, value): (&String, &String)| format!("{name}: {value}");
        self.machine.iter().map(fact).collect::<Vec<_>>().join(" · ")
    }
}

impl Figure {
    /// `redis/get/1 KiB`.
    pub(crate) fn name(&self) -> String {
        let size = self.bytes.map(|bytes| format!("/{}", size(bytes as f64))).unwrap_or_default();
        format!("{}/{}{size}", self.place, self.shape)
    }
}

impl Unit {
    /// An amount for people.
    pub(crate) fn show(self, amount: f64) -> String {
        match self {
            Self::Ratio if amount < 0.1 => format!("{amount:.4}x"),
            Self::Ratio => format!("{amount:.2}x"),
            Self::Count if amount < 10.0 => format!("{}", (amount * 100.0).round() / 100.0),
            Self::Count => format!("{amount:.0}"),
            Self::Bytes => size(amount),
            Self::Ns if amount < 1e3 => format!("{amount:.1} ns"),
            Self::Ns if amount < 1e6 => format!("{:.2} µs", amount / 1e3),
            Self::Ns => format!("{:.2} ms", amount / 1e6),
        }
    }
}

/// A size for people.
pub(crate) fn size(bytes: f64) -> String {
    match bytes {
        ..1024.0 => format!("{bytes:.0} B"),
        ..1_048_576.0 => format!("{:.0} KiB", bytes / 1024.0),
        _ => format!("{:.0} MiB", bytes / 1_048_576.0),
    }
}
