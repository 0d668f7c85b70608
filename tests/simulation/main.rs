//! A server, producers and consumers on a simulated network, with faults that follow from a seed; what they did and saw
//! is checked against a model.
//!
//! `PROXYSTORE_SEEDS` is the number of seeds (200), `PROXYSTORE_SEED` runs one of them again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]

mod connector;
mod dice;
mod faults;
mod history;
mod hosts;
mod model;
mod wire;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proxystore::ErrorKind;

use faults::{CLIENTS, END, Kind, LATENCY, schedule};
use history::{Log, Outcome};
use hosts::{Town, client};
use wire::{Objects, SERVER, serve};

/// One simulation: what its seed makes of it.
fn simulate(seed: u64) -> Log {
    let town = Town::new(seed);
    let objects = Objects::default();
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(Duration::from_millis(10))
        .simulation_duration(2 * END)
        .min_message_latency(Duration::from_millis(LATENCY.start))
        .max_message_latency(Duration::from_millis(LATENCY.end))
        .repair_rate(0.3)
        .enable_random_order()
        .build();
    sim.host(SERVER, || serve(objects.clone()));
    for (number, host) in (0..).zip(CLIENTS) {
        let town = town.clone();
        sim.host(host, move || client(town.clone(), host, number));
    }
    faults::run(&mut sim, &schedule(seed), &town.history, &objects, town.forgetful());
    drop(sim);
    town.history.take()
}

/// What many simulations have seen.
#[derive(Debug, Default)]
struct Report {
    seeds: usize,
    events: usize,
    revived: usize,
    outcomes: BTreeMap<String, usize>,
    injected: BTreeMap<Kind, usize>,
    observed: BTreeMap<Kind, usize>,
    failures: Vec<String>,
}

impl Report {
    fn add(&mut self, seed: u64, log: &Log) {
        let verdict = model::check(log);
        self.seeds += 1;
        self.events += log.events.len();
        self.revived += verdict.revived;
        for event in &log.events {
            let outcome = match &event.end {
                None => "cut off".into(),
                Some((_, Outcome::Value(_) | Outcome::Damaged(_))) => "value".into(),
                Some((_, outcome)) => format!("{outcome:?}"),
            };
            *self.outcomes.entry(outcome).or_default() += 1;
        }
        for fault in schedule(seed) {
            *self.injected.entry(fault.kind).or_default() += 1;
            if log.events.iter().any(|event| fault.touched(event)) {
                *self.observed.entry(fault.kind).or_default() += 1;
            }
        }
        if !verdict.violations.is_empty() {
            let (count, first) = (verdict.violations.len(), &verdict.violations[0]);
            self.failures.push(format!("PROXYSTORE_SEED={seed}: {count} violations; the first: {first}"));
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn no_seed_violates_the_model() {
    let start = Instant::now();
    let alone = number("PROXYSTORE_SEED");
    let seeds = alone.map_or(0..number("PROXYSTORE_SEEDS").unwrap_or(200), |seed| seed..seed + 1);
    let (next, report) = (AtomicU64::new(seeds.start), Mutex::new(Report::default()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let seed = next.fetch_add(1, Ordering::Relaxed)
                    && seeds.contains(&seed)
                {
                    let log = catch_unwind(AssertUnwindSafe(|| simulate(seed)));
                    let mut report = report.lock().unwrap();
                    match log {
                        Ok(log) => report.add(seed, &log),
                        Err(_) => report.failures.push(format!("PROXYSTORE_SEED={seed}: a panic, see above")),
                    }
                }
            });
        }
    });
    let report = report.into_inner().unwrap();
    println!("{:.0?}: {report:#?}", start.elapsed());
    assert!(
        report.failures.is_empty(),
        "{} seeds failed\n{}",
        report.failures.len(),
        report.failures.join("\n")
    );
    if alone.is_some() {
        return;
    }
    for kind in Kind::ALL {
        let (injected, observed) = (report.injected.get(&kind), report.observed.get(&kind));
        assert!(observed > Some(&0), "{kind:?}: injected {injected:?}, and nobody noticed");
    }
    let failed = |kind| format!("{:?}", Outcome::Failed(kind));
    let expected = ["Done", "value", "Absent", "Present", "Taken", "Dropped", "cut off"].map(String::from);
    let kinds = [ErrorKind::Unavailable, ErrorKind::Ambiguous, ErrorKind::Timeout].map(failed);
    for outcome in expected.iter().chain(&kinds) {
        assert!(report.outcomes.contains_key(outcome), "no operation ended in {outcome}");
    }
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    for seed in [0, 7] {
        let (first, second) = (simulate(seed), simulate(seed));
        let difference = first.events.iter().zip(&second.events).find(|(a, b)| a != b);
        assert_eq!(difference, None, "seed {seed}");
        assert_eq!(first, second);
    }
}
