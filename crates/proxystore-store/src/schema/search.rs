//! The search for a shape: run `Deserialize` until every place of the type has been seen.

use std::cell::{RefCell, RefMut};
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::de::{self, DeserializeOwned, DeserializeSeed};

use super::graph::{Graph, Key, Kind, NodeId, Place, ROOT};
use super::tracer::Tracer;
use super::{Outcome, short_name};

const MAX_STEPS: u32 = 20_000;
const MAX_NESTING: usize = 64;

/// Why a type did not go on.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) class: Class,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// It wanted a value of another kind.
    Kind,
    /// It wanted another value.
    Value,
    Other,
}

impl Refusal {
    fn stop() -> Self {
        Self { class: Class::Other, message: String::new() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { class: Class::Other, message: message.to_string() }
    }

    fn invalid_type(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self { class: Class::Kind, message: format!("{unexpected} is not {expected}") }
    }

    fn invalid_value(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self { class: Class::Value, message: format!("{unexpected} is not {expected}") }
    }
}

/// What ends a run at once.
enum Stop {
    End(Outcome),
    /// Something was learnt that the next run makes use of.
    Again,
}

/// A sample that was handed out.
struct Choice {
    place: Place,
    attempt: usize,
    attempts: usize,
}

/// The first refusal of a run: these of its choices are to blame.
struct Blame {
    choices: Range<usize>,
    path: String,
    why: String,
}

impl Blame {
    fn outcome(&self) -> Outcome {
        let reason = format!("it refuses the sample values ({})", self.why);
        Outcome::Partial { path: self.path.clone(), reason }
    }
}

pub(super) struct State {
    pub(super) graph: Graph,
    root: String,
    steps: u32,
    /// The name of the first type that has one.
    name: &'static str,
    /// The attempt that a place is at, and the one that a visitor starts at.
    attempts: HashMap<Place, usize>,
    starts: HashMap<&'static str, usize>,
    /// The latest refusal, while the search goes on with other samples.
    refused: Option<Blame>,
    // Of the current run:
    places: Vec<Place>,
    /// How many nodes on the way here occur on it more than once.
    repeated: usize,
    choices: Vec<Choice>,
    blame: Option<Blame>,
    stop: Option<Stop>,
}

impl State {
    fn path(&self) -> String {
        self.graph.path(&self.places, &self.root)
    }

    /// Whether there is room for values inside values: not inside a type that contains itself.
    pub(super) fn has_room(&self) -> bool {
        self.repeated == 0
    }

    /// The attempt to make at the current place with a visitor of this type name, out of `attempts`.
    pub(super) fn attempt(&self, visitor: &'static str, attempts: usize) -> usize {
        let place = self.places.last().unwrap_or(&ROOT);
        let next = self.attempts.get(place).max(self.starts.get(visitor)).copied();
        next.unwrap_or(0).min(attempts - 1)
    }

    /// Notes that an attempt was made at the current place.
    pub(super) fn choose(&mut self, attempt: usize, attempts: usize) {
        let place = *self.places.last().unwrap_or(&ROOT);
        self.choices.push(Choice { place, attempt, attempts });
    }

    /// Notes that a visitor refuses this attempt whatever else happens, so that none of its kind makes it again.
    pub(super) fn skip(&mut self, visitor: &'static str, attempt: usize) {
        let start = self.starts.entry(visitor).or_insert(0);
        *start = (*start).max(attempt + 1);
    }

    /// Whether a refusal came from further inside.
    pub(super) fn is_blamed(&self) -> bool {
        self.blame.is_some() || self.stop.is_some()
    }

    /// Moves to the next combination of the samples that are to blame. `false` if all were tried.
    fn advance(&mut self) -> bool {
        let Some(blame) = self.blame.take() else { return false };
        let Range { start, end } = blame.choices;
        self.refused = Some(blame);
        self.choices.truncate(end);
        while self.choices.len() > start {
            let Some(choice) = self.choices.pop() else { break };
            if choice.attempt + 1 < choice.attempts {
                self.attempts.insert(choice.place, choice.attempt + 1);
                return true;
            }
            self.attempts.remove(&choice.place);
        }
        false
    }

    fn enter(&mut self, place: Place, key: Key) -> Result<NodeId, Refusal> {
        if self.stop.is_some() {
            return Err(Refusal::stop());
        }
        self.places.push(place);
        self.steps += 1;
        if self.steps > MAX_STEPS {
            let outcome = self.give_up();
            return Err(self.stop(Stop::End(outcome)));
        }
        if self.places.len() > MAX_NESTING {
            return Err(self.too_deep());
        }
        let Ok(id) = self.graph.attach(place, key) else {
            return Err(self.partial("its shape depends on its content".into()));
        };
        if self.name.is_empty() {
            self.name = key.name;
        }
        let node = &mut self.graph.nodes[id];
        self.repeated += usize::from(node.active > 0);
        node.active += 1;
        Ok(id)
    }

    fn give_up(&self) -> Outcome {
        match &self.refused {
            Some(blame) => blame.outcome(),
            None => Outcome::Partial {
                path: self.path(),
                reason: format!("it takes more than {MAX_STEPS} steps to follow"),
            },
        }
    }

    fn leave(&mut self, id: NodeId, read: bool) {
        self.places.pop();
        let node = &mut self.graph.nodes[id];
        node.active -= 1;
        self.repeated -= usize::from(node.active > 0);
        if read && !node.read {
            node.read = true;
            self.graph.progress += 1;
        }
    }

    fn stop(&mut self, stop: Stop) -> Refusal {
        self.stop.get_or_insert(stop);
        Refusal::stop()
    }

    /// Ends the search: the format would have to describe itself.
    pub(super) fn self_describing(&mut self, reason: &str) -> Refusal {
        let path = self.path();
        self.stop(Stop::End(Outcome::SelfDescribing { path, reason: reason.into() }))
    }

    /// Ends the search at something that cannot be followed.
    pub(super) fn partial(&mut self, reason: String) -> Refusal {
        let path = self.path();
        self.stop(Stop::End(Outcome::Partial { path, reason }))
    }

    /// Ends this run: something was learnt that lets the next one go further.
    pub(super) fn again(&mut self) -> Refusal {
        self.stop(Stop::Again)
    }

    /// Ends this run, and steers the next one away from the variants that led here.
    fn too_deep(&mut self) -> Refusal {
        let mut fresh = false;
        for node in &mut self.graph.nodes {
            for variant in &node.entered {
                fresh |= node.deep.insert(*variant);
            }
        }
        if fresh { self.again() } else { self.partial(format!("it nests deeper than {MAX_NESTING} levels")) }
    }

    fn begin(&mut self) {
        // A panic or a stop may have left them as they were.
        for node in &mut self.graph.nodes {
            node.active = 0;
            node.entered.clear();
        }
        self.steps += 1;
        self.places.clear();
        self.repeated = 0;
        self.choices.clear();
        self.blame = None;
        self.stop = None;
    }
}

pub(super) struct Trace {
    state: RefCell<State>,
    pub(super) human_readable: bool,
}

impl Trace {
    /// Never held while the type's own code runs.
    pub(super) fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    /// Reads a value of `key` at `place` by `visit`.
    pub(super) fn inside<R>(
        &self,
        place: Place,
        key: Key,
        visit: impl FnOnce(NodeId) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let id = self.state().enter(place, key)?;
        let result = visit(id);
        let mut state = self.state();
        // After a stop, the way here stays as it was, for the message.
        if state.stop.is_none() {
            state.leave(id, result.is_ok());
        }
        result
    }

    /// Reads whatever stands at `place`.
    pub(super) fn at<'de, S: DeserializeSeed<'de>>(
        &self,
        place: Place,
        seed: S,
    ) -> Result<S::Value, Refusal> {
        self.watch(place, |tracer| seed.deserialize(tracer))
    }

    /// Reads what stands at `place` by `read`, and notes who is to blame if that does not work.
    pub(super) fn watch<'a, R>(
        &'a self,
        place: Place,
        read: impl FnOnce(Tracer<'a>) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let from = {
            let mut state = self.state();
            state.graph.touch(place);
            state.choices.len()
        };
        let result = read(Tracer { trace: self, place });
        let mut state = self.state();
        match &result {
            // Earlier refusals were forgiven.
            Ok(_) => state.blame = None,
            Err(refusal) if !state.is_blamed() => {
                state.places.push(place);
                let path = state.path();
                state.places.pop();
                let choices = from..state.choices.len();
                state.blame = Some(Blame { choices, path, why: refusal.to_string() });
            }
            Err(_) => {}
        }
        result
    }

    fn search<T: DeserializeOwned>(&self) -> Outcome {
        loop {
            let before = {
                let mut state = self.state();
                state.begin();
                state.graph.progress
            };
            let run = catch_unwind(AssertUnwindSafe(|| self.at(ROOT, PhantomData::<T>).map(drop)));
            let mut state = self.state();
            let state = &mut *state;
            let end = |path, reason| Outcome::Partial { path, reason };
            match (run, state.stop.take()) {
                (Err(_), _) => return end(state.path(), "its Deserialize panics".into()),
                (_, Some(Stop::End(outcome))) => return outcome,
                (_, Some(Stop::Again)) => {}
                (Ok(Ok(())), None) if !state.graph.is_open(ROOT.0) => return Outcome::Full,
                (Ok(Ok(())), None) if state.graph.progress == before => {
                    return end(state.root.clone(), "not all of it can be reached".into());
                }
                (Ok(Ok(())), None) => state.refused = None,
                (Ok(Err(_)), None) if state.advance() => {}
                (Ok(Err(_)), None) => return state.give_up(),
            }
        }
    }
}

/// The text of `T`, how much of the type is in it, and where bytes are handled one by one.
pub(super) fn learn<T: DeserializeOwned>(human_readable: bool) -> (String, Outcome, Vec<String>) {
    let state = RefCell::new(State {
        graph: Graph::new(),
        root: short_name::<T>(),
        steps: 0,
        name: "",
        attempts: HashMap::new(),
        starts: HashMap::new(),
        refused: None,
        places: Vec::new(),
        repeated: 0,
        choices: Vec::new(),
        blame: None,
        stop: None,
    });
    let trace = Trace { state, human_readable };
    let outcome = trace.search::<T>();
    let state = trace.state.into_inner();
    match (state.graph.text(&state.root), outcome) {
        (Some((text, byte_seqs)), Outcome::Full) => (text, Outcome::Full, byte_seqs),
        (Some((text, _)), outcome) => (format!("only {text}"), outcome, Vec::new()),
        (None, _) => {
            let reason = "its shape is too large to write down".into();
            (format!("only {}", state.name), Outcome::Partial { path: state.root, reason }, Vec::new())
        }
    }
}

/// The key of a value that a visitor of type `V` reads.
pub(super) fn key<'de, V: de::Visitor<'de>>(
    kind: Kind,
    name: &'static str,
    labels: &'static [&'static str],
) -> Key {
    let visitor = (std::any::type_name::<V>(), std::any::type_name::<V::Value>());
    Key { kind, visitor, name, labels, variant: None }
}
