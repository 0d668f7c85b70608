//! Histories that the model must accept, and their neighbours that it must refuse.

use std::time::Duration;

use proxystore::{ErrorKind, Key};

use super::check;
use crate::history::{Event, Log, Op, Outcome, Who};
use Outcome::{Absent, Damaged, Done, Dropped, Failed, Present, Taken, Value};

const ANNA: Who = Who { host: "anna", store: 1 };
const BERT: Who = Who { host: "bert", store: 2 };
const LIMIT: u64 = 10;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An operation on the one key of these histories, with its times in seconds.
fn event(who: Who, op: Op, start: u64, end: u64, outcome: Outcome) -> Event {
    let key = Some(Key::parse("k").unwrap());
    Event { who, op, key, start: secs(start), limit: secs(LIMIT), end: Some((secs(end), outcome)) }
}

fn cut(who: Who, op: Op, start: u64) -> Event {
    Event { end: None, ..event(who, op, start, start, Done) }
}

fn log(events: impl Into<Vec<Event>>) -> Log {
    Log { events: events.into(), calm: secs(900), end: secs(1_000), ..Log::default() }
}

#[track_caller]
fn accepted(events: impl Into<Vec<Event>>) {
    allowed(&log(events));
}

#[track_caller]
fn allowed(log: &Log) {
    assert_eq!(check(log).violations, [""; 0]);
}

#[track_caller]
fn refused(events: impl Into<Vec<Event>>, words: &str) {
    forbidden(&log(events), words);
}

#[track_caller]
fn forbidden(log: &Log, words: &str) {
    let violations = check(log).violations;
    assert!(violations.iter().any(|why| why.contains(words)), "{violations:#?}");
}

#[test]
fn a_value_comes_from_a_put_of_this_key() {
    let put = || event(ANNA, Op::Put(1), 0, 2, Done);
    accepted([put(), event(BERT, Op::Get, 3, 4, Value(1))]);
    accepted([put(), event(BERT, Op::Get, 1, 4, Value(1))]);
    refused([put(), event(BERT, Op::Get, 3, 4, Value(2))], "2 was read and not put here");
    refused([event(ANNA, Op::Put(1), 5, 6, Done), event(BERT, Op::Get, 3, 4, Value(1))], "not put here");
    refused([event(BERT, Op::Get, 3, 4, Value(1))], "not put here");
    let other = Event { key: Some(Key::parse("other").unwrap()), ..put() };
    refused([other, event(BERT, Op::Get, 3, 4, Value(1))], "not put here");
    refused([put(), event(BERT, Op::Get, 3, 4, Damaged("torn".into()))], "a value that nobody put: torn");
}

#[test]
fn a_write_without_an_answer_may_have_happened_and_a_refused_one_has_not() {
    for outcome in [Failed(ErrorKind::Ambiguous), Failed(ErrorKind::Timeout), Dropped] {
        let create = || event(ANNA, Op::Create(1), 0, 2, outcome.clone());
        accepted([create(), event(BERT, Op::Get, 3, 4, Value(1))]);
        accepted([create(), event(BERT, Op::Get, 3, 4, Absent)]);
    }
    let mut crashed = log([cut(ANNA, Op::Create(1), 0), event(BERT, Op::Get, 30, 31, Value(1))]);
    crashed.crashes.push(("anna", secs(1)));
    allowed(&crashed);
    let refusal = event(ANNA, Op::Create(1), 0, 2, Failed(ErrorKind::Unavailable));
    refused([refusal, event(BERT, Op::Get, 3, 4, Value(1))], "not put here");
}

#[test]
fn an_acknowledged_object_is_there() {
    let put = || event(ANNA, Op::Put(1), 0, 2, Done);
    accepted([put(), event(BERT, Op::Get, 1, 4, Absent)]);
    for op in [Op::Get, Op::Exists, Op::Take] {
        refused([put(), event(BERT, op, 3, 4, Absent)], "absent at");
    }
    let create = event(ANNA, Op::Create(1), 0, 2, Failed(ErrorKind::Ambiguous));
    let read = event(BERT, Op::Get, 3, 4, Value(1));
    refused([create, read, event(ANNA, Op::Exists, 5, 6, Absent)], "absent at");

    // An eviction explains it, even one whose answer was lost, unless it began later.
    for outcome in [Done, Failed(ErrorKind::Ambiguous), Dropped] {
        accepted([put(), event(ANNA, Op::Evict, 3, 5, outcome), event(BERT, Op::Get, 4, 6, Absent)]);
    }
    let refusal = event(ANNA, Op::Evict, 3, 4, Failed(ErrorKind::Unavailable));
    refused([put(), refusal, event(BERT, Op::Get, 5, 6, Absent)], "absent at");
    refused([put(), event(ANNA, Op::Evict, 7, 8, Done), event(BERT, Op::Get, 5, 6, Absent)], "absent at");

    // And so does a server that forgets, unless it forgot before.
    let mut forgotten = log([event(ANNA, Op::Put(1), 4, 5, Done), event(BERT, Op::Get, 7, 8, Absent)]);
    forgotten.losses.push(secs(6));
    allowed(&forgotten);
    for other in [3, 9] {
        forgotten.losses = vec![secs(other)];
        forbidden(&forgotten, "absent at");
    }
}

#[test]
fn what_was_evicted_stays_away() {
    let gone = || [event(ANNA, Op::Put(1), 0, 2, Done), event(ANNA, Op::Evict, 3, 5, Done)];
    let with = |event: Event| log([&gone()[..], &[event]].concat());
    allowed(&with(event(BERT, Op::Get, 4, 6, Value(1))));
    for read in [event(BERT, Op::Get, 6, 7, Value(1)), event(ANNA, Op::Get, 6, 7, Value(1))] {
        forbidden(&with(read), "although it was removed");
    }
    forbidden(&with(event(BERT, Op::Exists, 6, 7, Present)), "although it was removed");
    forbidden(&with(event(BERT, Op::Take, 6, 7, Value(1))), "although it was removed");

    // Another store may have it in its cache, but not the one that evicted it; and `exists` asks no cache.
    let cached = |who, op, outcome| {
        let [put, evict] = gone();
        log([put, event(who, Op::Get, 2, 3, Value(1)), evict, event(who, op, 6, 7, outcome)])
    };
    allowed(&cached(BERT, Op::Get, Value(1)));
    forbidden(&cached(ANNA, Op::Get, Value(1)), "although it was removed");
    forbidden(&cached(BERT, Op::Exists, Present), "although it was removed");
}

#[test]
fn a_late_write_revives_an_object_and_is_counted() {
    let [put, evict] = [event(ANNA, Op::Put(1), 0, 2, Done), event(ANNA, Op::Evict, 3, 5, Done)];
    let read = event(BERT, Op::Get, 6, 7, Value(1));
    let late = event(ANNA, Op::Send, 0, 1, Failed(ErrorKind::Ambiguous));
    let revived = log([late, put.clone(), evict.clone(), read.clone()]);
    allowed(&revived);
    assert_eq!(check(&revived).revived, 1);
    for outcome in [Done, Failed(ErrorKind::Unavailable)] {
        let settled = event(ANNA, Op::Send, 0, 1, outcome);
        refused([settled, put.clone(), evict.clone(), read.clone()], "although it was removed");
    }
}

#[test]
fn one_taker_gets_it() {
    let put = || event(ANNA, Op::Put(1), 0, 2, Done);
    let take = |who, outcome| event(who, Op::Take, 3, 5, outcome);
    accepted([put(), take(ANNA, Absent), take(BERT, Value(1))]);
    accepted([put(), take(ANNA, Absent), take(BERT, Failed(ErrorKind::Ambiguous))]);
    refused([put(), take(ANNA, Value(1)), take(BERT, Value(1))], "2 takers got it");
    refused([put(), take(ANNA, Absent), take(BERT, Absent)], "absent at");
    refused([put(), take(ANNA, Absent), take(BERT, Failed(ErrorKind::Unavailable))], "absent at");
    refused([put(), take(ANNA, Value(1)), event(BERT, Op::Get, 6, 7, Value(1))], "although it was removed");
}

#[test]
fn one_creator_wins() {
    let create = |who, value, outcome| event(who, Op::Create(value), 0, 2, outcome);
    let read = |value| event(ANNA, Op::Get, 3, 4, Value(value));
    accepted([create(ANNA, 1, Done), create(BERT, 2, Taken), read(1)]);
    accepted([create(ANNA, 1, Failed(ErrorKind::Ambiguous)), create(BERT, 2, Taken), read(1)]);
    refused([create(ANNA, 1, Done), create(BERT, 2, Done)], "it was 1 and 2");
    refused(
        [create(ANNA, 1, Done), create(BERT, 2, Failed(ErrorKind::Ambiguous)), read(2)],
        "it was 1 and 2",
    );
    refused([create(ANNA, 1, Done), create(BERT, 2, Taken), read(2)], "not put here");
    refused([create(ANNA, 1, Taken)], "taken, but by nobody");
    refused(
        [create(ANNA, 1, Taken), create(BERT, 2, Failed(ErrorKind::Unavailable))],
        "taken, but by nobody",
    );
    let lost = Failed(ErrorKind::Ambiguous);
    refused([create(ANNA, 1, lost.clone()), create(BERT, 2, lost), read(1), read(2)], "it was 1 and 2");

    // After the server forgot the first one, there may be a second.
    let again = event(BERT, Op::Create(2), 6, 7, Done);
    let mut forgotten = log([create(ANNA, 1, Done), again]);
    forbidden(&forgotten, "it was 1 and 2");
    forgotten.losses.push(secs(5));
    allowed(&forgotten);

    // Who asks again, and the first time won unknowingly, is told of the second.
    let [asks_twice, second] =
        [event(ANNA, Op::Create(1), 0, 8, Taken), event(BERT, Op::Create(2), 6, 7, Done)];
    let mut forgotten = log([asks_twice, event(ANNA, Op::Get, 3, 4, Value(1)), second]);
    forbidden(&forgotten, "1 was read and not put here");
    forgotten.losses.push(secs(5));
    allowed(&forgotten);
}

#[test]
fn everything_ends_in_time() {
    accepted([event(ANNA, Op::Get, 3, 13, Absent)]);
    refused([event(ANNA, Op::Get, 3, 14, Absent)], "took 11s of at most 10s");
    refused([cut(ANNA, Op::Get, 3)], "took 997s of at most 10s");
    accepted([cut(ANNA, Op::Get, 995)]);
    for (host, start, ok) in [("anna", 3, true), ("bert", 3, false), ("anna", 6, false)] {
        let mut crashed = log([cut(ANNA, Op::Get, start)]);
        crashed.crashes.push((host, secs(5)));
        assert_eq!(check(&crashed).violations.is_empty(), ok, "{host} crashed, it began at {start}");
    }
}

#[test]
fn errors_are_of_a_kind_that_a_fault_explains() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Timeout] {
        accepted([event(ANNA, Op::Get, 3, 4, Failed(kind)), event(ANNA, Op::Evict, 3, 4, Failed(kind))]);
    }
    accepted([event(ANNA, Op::Take, 3, 4, Failed(ErrorKind::Ambiguous))]);
    refused([event(ANNA, Op::Get, 3, 4, Failed(ErrorKind::Ambiguous))], "a read cannot be ambiguous");
    for kind in [ErrorKind::Unexpected, ErrorKind::Closed, ErrorKind::Denied] {
        refused([event(ANNA, Op::Get, 3, 4, Failed(kind))], "no fault explains");
    }
    let unavailable = || Failed(ErrorKind::Unavailable);
    accepted([event(ANNA, Op::Get, 899, 901, unavailable())]);
    refused([event(ANNA, Op::Get, 900, 901, unavailable())], "all faults are over");
}

#[test]
fn within_one_tick_of_the_clock_nobody_was_first() {
    let put = || event(ANNA, Op::Put(1), 0, 2, Done);
    accepted([put(), event(BERT, Op::Get, 2, 3, Absent)]);
    accepted([put(), event(ANNA, Op::Evict, 3, 5, Done), event(ANNA, Op::Get, 5, 6, Value(1))]);
}
