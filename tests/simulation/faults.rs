//! When what goes wrong.

use std::time::Duration;

use turmoil::Sim;

use crate::dice::Dice;
use crate::history::{Event, History, Outcome};
use crate::wire::{Objects, SERVER};

pub(crate) const CLIENTS: [&str; 4] = ["producer-1", "producer-2", "consumer-1", "consumer-2"];
/// Faults begin and end within this time.
pub(crate) const STORMY: Duration = Duration::from_secs(50);
/// From then on, the last connection that a fault left half-open is gone.
pub(crate) const CALM: Duration = Duration::from_secs(55);
/// A simulation lasts this long.
pub(crate) const END: Duration = Duration::from_secs(60);
/// How long a message takes on a good day, in milliseconds. Not less than a tick: else a message could be received
/// before it was sent.
pub(crate) const LATENCY: std::ops::Range<u64> = 10..40;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Nothing passes between a client and the server.
    Partition,
    /// Requests are dropped.
    DeafServer,
    /// Replies are dropped.
    MuteServer,
    /// Everything waits, and arrives later.
    Hold,
    /// Every message takes long.
    Slow,
    /// Connections break at random.
    Loss,
    ClientCrash,
    ServerCrash,
}

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Partition,
        Self::DeafServer,
        Self::MuteServer,
        Self::Hold,
        Self::Slow,
        Self::Loss,
        Self::ClientCrash,
        Self::ServerCrash,
    ];
}

/// A fault from its beginning to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    host: &'static str,
    from: Duration,
    to: Duration,
}

impl Fault {
    /// Whether the event went otherwise than it would have gone without the fault, as far as one can see.
    pub(crate) fn touched(&self, event: &Event) -> bool {
        let there = self.kind == Kind::ServerCrash || self.host == event.who.host;
        let harmed = match &event.end {
            None | Some((_, Outcome::Failed(_) | Outcome::Dropped)) => true,
            Some((end, _)) => *end - event.start > Duration::from_millis(8 * LATENCY.end),
        };
        let ended = event.end.as_ref().map_or(END, |(end, _)| *end);
        there && harmed && event.start < self.to && ended >= self.from
    }
}

/// All faults of one seed: on each host one after the other.
pub(crate) fn schedule(seed: u64) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, host) in CLIENTS.into_iter().chain([SERVER]).enumerate() {
        let mut dice = Dice::new(seed, 100 + number as u64);
        let mut from = dice.millis(500..5_000);
        loop {
            let kind = if host == SERVER { Kind::ServerCrash } else { Kind::ALL[dice.below(7)] };
            let to = from + dice.millis(100..4_000);
            if to > STORMY {
                break;
            }
            faults.push(Fault { kind, host, from, to });
            from = to + if host == SERVER { dice.millis(4_000..15_000) } else { dice.millis(500..6_000) };
        }
    }
    faults
}

/// Runs a simulation to its end, with these faults.
pub(crate) fn run(
    sim: &mut Sim<'_>,
    faults: &[Fault],
    history: &History,
    objects: &Objects,
    forgetful: bool,
) {
    let mut dues: Vec<_> = faults.iter().flat_map(|fault| [(fault.from, fault), (fault.to, fault)]).collect();
    dues.sort_by_key(|(due, fault)| (*due, fault.host, fault.kind));
    let mut dues = dues.into_iter().peekable();
    while sim.elapsed() < END {
        while let Some((due, fault)) = dues.next_if(|(due, _)| *due <= sim.elapsed()) {
            if due == fault.to {
                end(sim, fault);
                continue;
            }
            begin(sim, fault);
            let mut log = history.log();
            match fault.kind {
                Kind::ServerCrash if forgetful => {
                    objects.lose();
                    log.losses.push(sim.elapsed());
                }
                Kind::ClientCrash => log.crashes.push((fault.host, sim.elapsed())),
                _ => {}
            }
        }
        sim.step().expect("hosts that never fail by themselves");
    }
    let mut log = history.log();
    (log.calm, log.end) = (CALM, END);
}

fn begin(sim: &mut Sim<'_>, fault: &Fault) {
    let host = fault.host;
    match fault.kind {
        Kind::Partition => sim.partition(host, SERVER),
        Kind::DeafServer => sim.partition_oneway(host, SERVER),
        Kind::MuteServer => sim.partition_oneway(SERVER, host),
        Kind::Hold => sim.hold(host, SERVER),
        Kind::Slow => sim.set_link_latency(host, SERVER, Duration::from_millis(20 * LATENCY.end)),
        Kind::Loss => sim.set_link_fail_rate(host, SERVER, 0.1),
        Kind::ServerCrash => sim.crash(host),
        Kind::ClientCrash => {
            // The tasks of a client end in no certain order: what they send must not depend on it.
            sim.hold(host, SERVER);
            sim.crash(host);
            sim.release(host, SERVER);
        }
    }
}

fn end(sim: &mut Sim<'_>, fault: &Fault) {
    let host = fault.host;
    match fault.kind {
        Kind::Partition => sim.repair(host, SERVER),
        Kind::DeafServer => sim.repair_oneway(host, SERVER),
        Kind::MuteServer => sim.repair_oneway(SERVER, host),
        Kind::Hold => sim.release(host, SERVER),
        Kind::Slow => {
            sim.set_link_latency(host, SERVER, Duration::from_millis(LATENCY.start));
            sim.set_link_max_message_latency(host, SERVER, Duration::from_millis(LATENCY.end));
        }
        Kind::Loss => {
            sim.set_link_fail_rate(host, SERVER, 0.0);
            sim.repair(host, SERVER);
        }
        Kind::ClientCrash | Kind::ServerCrash => sim.bounce(host),
    }
}
