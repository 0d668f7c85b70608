//! What a history may look like: each key by itself, against values that never change.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use proxystore::{ErrorKind, Key};

use crate::history::{Event, Log, Op, Outcome};

#[cfg(test)]
mod tests;

/// What is wrong with a history.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) violations: Vec<String>,
    /// Removed objects that came back because a write of theirs was lost on its way and arrived late.
    pub(crate) revived: usize,
}

pub(crate) fn check(log: &Log) -> Verdict {
    let mut verdict = Verdict::default();
    for event in &log.events {
        if let Some(wrong) = alone(event, log) {
            verdict.violations.push(format!("{wrong}\n{}", line(event)));
        }
    }
    let mut keys: BTreeMap<&Key, Vec<&Event>> = BTreeMap::new();
    for event in &log.events {
        if let Some(key) = &event.key {
            keys.entry(key).or_default().push(event);
        }
    }
    for (key, events) in keys {
        let story = Story { events, losses: &log.losses };
        let (wrong, revived) = story.check();
        verdict.revived += revived;
        if !wrong.is_empty() {
            let told: String = story.events.iter().map(|event| line(event)).collect();
            verdict.violations.push(format!("{key}: {}\n{told}", wrong.join("; ")));
        }
    }
    verdict
}

fn line(event: &Event) -> String {
    let Event { who, op, start, end, .. } = event;
    let mut line = format!("    {start:>8.3?} {}#{} {op:?}: ", who.host, who.store);
    match end {
        Some((end, outcome)) => writeln!(line, "{outcome:?} at {end:.3?}"),
        None => writeln!(line, "never ended"),
    }
    .expect("a string takes all");
    line
}

/// What is wrong with an event whatever the others are.
fn alone(event: &Event, log: &Log) -> Option<String> {
    let cut = || {
        let crash =
            |(host, at): &(&str, Duration)| (*host == event.who.host && *at >= event.start).then_some(*at);
        log.crashes.iter().filter_map(crash).min().unwrap_or(log.end)
    };
    let took = event.end.as_ref().map_or_else(cut, |(end, _)| *end).saturating_sub(event.start);
    if took > event.limit {
        return Some(format!("took {took:?} of at most {:?}", event.limit));
    }
    match event.outcome()? {
        Outcome::Damaged(why) => Some(format!("a value that nobody put: {why}")),
        Outcome::Failed(ErrorKind::Ambiguous) if !event.writes() => Some("a read cannot be ambiguous".into()),
        Outcome::Failed(ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Ambiguous) => {
            // One attempt may still find a connection that a fault has broken; the call that makes it must not.
            let is_call = event.op != Op::Send;
            (is_call && event.start >= log.calm).then(|| "failed although all faults are over".into())
        }
        Outcome::Failed(kind) => Some(format!("no fault explains an error of the kind {kind:?}")),
        _ => None,
    }
}

impl Event {
    fn outcome(&self) -> Option<&Outcome> {
        self.end.as_ref().map(|(_, outcome)| outcome)
    }

    fn ended(&self) -> Duration {
        self.end.as_ref().map_or(Duration::MAX, |(end, _)| *end)
    }

    /// The clock has milliseconds: within the same one, nobody was first.
    fn before(&self, other: &Self) -> bool {
        self.ended() < other.start
    }

    fn writes(&self) -> bool {
        !matches!(self.op, Op::Get | Op::Exists)
    }

    /// Whether it may have changed what the server has: it did, or nobody knows.
    fn may_count(&self) -> bool {
        self.writes()
            && matches!(
                self.outcome(),
                None | Some(Outcome::Done | Outcome::Value(_) | Outcome::Dropped)
                    | Some(Outcome::Failed(ErrorKind::Ambiguous | ErrorKind::Timeout))
            )
    }

    fn brings(&self) -> Option<u64> {
        match self.op {
            Op::Put(value) | Op::Create(value) => self.may_count().then_some(value),
            _ => None,
        }
    }

    fn removes(&self) -> bool {
        matches!(self.op, Op::Evict | Op::Take) && self.may_count()
    }

    /// Whether the object has been there at some time until this ended.
    fn proves_presence(&self) -> bool {
        match self.op {
            Op::Put(_) | Op::Create(_) => self.outcome() == Some(&Outcome::Done),
            _ => matches!(self.outcome(), Some(Outcome::Value(_) | Outcome::Present)),
        }
    }

    /// The value that the key certainly had.
    fn value(&self) -> Option<u64> {
        match (self.op, self.outcome()?) {
            (Op::Put(value) | Op::Create(value), Outcome::Done) => Some(value),
            (_, Outcome::Value(value)) => Some(*value),
            _ => None,
        }
    }
}

/// What happened to one key.
struct Story<'a> {
    events: Vec<&'a Event>,
    losses: &'a [Duration],
}

impl Story<'_> {
    fn check(&self) -> (Vec<String>, usize) {
        let mut wrong = Vec::new();
        let mut revived = 0;
        wrong.extend(self.two_values());
        wrong.extend(self.two_takers(&mut revived));
        for event in &self.events {
            wrong.extend(match event.outcome() {
                Some(Outcome::Value(value)) => {
                    self.out_of_thin_air(event, *value).or_else(|| self.after_removal(event, &mut revived))
                }
                Some(Outcome::Present) => self.after_removal(event, &mut revived),
                Some(Outcome::Absent) => self.lost(event),
                Some(Outcome::Taken) if matches!(event.op, Op::Create(_)) => self.nobody_won(event),
                _ => None,
            });
        }
        (wrong, revived)
    }

    fn lost_within(&self, from: Duration, to: Duration) -> bool {
        self.losses.iter().any(|loss| (from..=to).contains(loss))
    }

    /// The value that an event may have put here. Who creates an object may find, after the server forgot it, that
    /// somebody else created another one meanwhile.
    fn brings(&self, event: &Event) -> Option<u64> {
        match (event.op, event.outcome()) {
            (Op::Create(value), Some(Outcome::Taken)) => {
                self.lost_within(event.start, event.ended()).then_some(value)
            }
            _ => event.brings(),
        }
    }

    /// A value has been put, and that began before it was read.
    fn out_of_thin_air(&self, read: &Event, value: u64) -> Option<String> {
        let put = |event: &&&Event| self.brings(event) == Some(value) && event.start <= read.ended();
        self.events.iter().find(put).is_none().then(|| format!("{value} was read and not put here"))
    }

    /// A key has one value: at most one of its creators wins.
    fn two_values(&self) -> Option<String> {
        let known: Vec<_> = self.events.iter().filter_map(|event| Some((event, event.value()?))).collect();
        for (i, (a, first)) in known.iter().enumerate() {
            for (b, second) in &known[i + 1..] {
                let (from, to) = (a.start.min(b.start), a.ended().max(b.ended()));
                if first != second && !self.lost_within(from, to) {
                    return Some(format!("it was {first} and {second}"));
                }
            }
        }
        None
    }

    /// Who is told that a key is taken can point at somebody else who may have taken it.
    fn nobody_won(&self, loser: &Event) -> Option<String> {
        let rival = |event: &&&Event| {
            self.brings(event).is_some() && !std::ptr::eq(**event, loser) && event.start <= loser.ended()
        };
        self.events.iter().find(rival).is_none().then(|| "taken, but by nobody".into())
    }

    /// A write whose end nobody knows may arrive at any time later.
    fn adrift(&self, until: Duration) -> bool {
        let drifts = |event: &&Event| {
            event.op == Op::Send
                && event.may_count()
                && event.outcome() != Some(&Outcome::Done)
                && event.start <= until
        };
        self.events.iter().any(drifts)
    }

    /// At most one taker gets an object.
    fn two_takers(&self, revived: &mut usize) -> Option<String> {
        let takers = self.events.iter().filter(|event| event.op == Op::Take && event.value().is_some());
        match takers.count() {
            0 | 1 => None,
            count if self.adrift(Duration::MAX) => {
                *revived += count - 1;
                None
            }
            count => Some(format!("{count} takers got it")),
        }
    }

    /// What was removed stays away, except from those who may have it in their cache.
    fn after_removal(&self, read: &Event, revived: &mut usize) -> Option<String> {
        let acknowledged = |event: &&&Event| {
            event.removes() && matches!(event.outcome(), Some(Outcome::Done | Outcome::Value(_)))
        };
        let removal = self.events.iter().filter(acknowledged).find(|removal| {
            let cached = self
                .events
                .iter()
                .any(|other| other.op == Op::Get && other.who == read.who && other.start <= removal.ended());
            removal.before(read) && (read.op != Op::Get || removal.who == read.who || !cached)
        })?;
        if self.adrift(read.ended()) {
            *revived += 1;
            return None;
        }
        Some(format!("there at {:.3?}, although it was removed at {:.3?}", read.start, removal.ended()))
    }

    /// What was there is there until somebody removes it, or the server loses it.
    fn lost(&self, read: &Event) -> Option<String> {
        let known = self.events.iter().find(|event| event.proves_presence() && event.before(read))?;
        let removed = self
            .events
            .iter()
            .any(|event| event.removes() && event.start <= read.ended() && !std::ptr::eq(*event, read));
        let put =
            self.events.iter().filter(|event| self.brings(event).is_some()).map(|event| event.start).min();
        if removed || self.lost_within(put.unwrap_or_default(), read.ended()) {
            return None;
        }
        Some(format!("absent at {:.3?}, although it was there by {:.3?}", read.start, known.ended()))
    }
}
