//! The suite can fail: each bug is found by the case that is there for it.

mod memory;

use memory::{Bug, harness};
use proxystore_testkit::conformance::{
    Harness, Outcome, basics, batch, cancellation, close, create, keys, races, take, ttl, values, watch,
};

/// Runs the case over the connector with this bug and expects it to fail for this reason.
fn finds(bug: Bug, case: impl AsyncFnOnce(&Harness) -> Outcome, reason: &str) {
    // Waits for something that never comes are skipped over; there is no other waiting here but for real time.
    let paused = [Bug::NeverWakes, Bug::LosesPermits, Bug::IgnoresTtl, Bug::RemembersAbsence].contains(&bug);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(paused)
        .build()
        .expect("a runtime");
    let run = || runtime.block_on(async { case(&harness(bug)).await });
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run))
        .expect_err(&format!("{bug:?} was not found"));
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("a panic without text");
    assert!(text.contains(reason), "{bug:?} was found for another reason: {text}");
}

macro_rules! mutants {
    ($($name:ident: $bug:ident in $case:path => $reason:literal;)*) => {
        $(#[test]
        fn $name() {
            finds(Bug::$bug, $case, $reason);
        })*
    };
}

mutants! {
    tears_writes: TearsWrites in races::overwrite_racing_get => "torn";
    tears_dropped_writes: TearsWrites in cancellation::put_dropped => "after a dropped put, the object is torn";
    tears_dropped_first_writes: TearsWrites in cancellation::first_put_dropped => "torn";
    drops_tail: DropsTail in values::small_sizes => "an object of 65537 bytes comes back as Some(65536) bytes";
    drops_tail_large: DropsTail in values::large_sizes => "an object of 1048576 bytes";
    drops_tail_in_crowd: DropsTail in values::many_megabytes_at_once => "comes back altered";
    forgets_head: ForgetsHead in values::segments_are_joined => "segments of";
    empty_is_absent: EmptyIsAbsent in values::empty_is_not_absent => "an empty object is not got";
    accepts_too_much: AcceptsTooMuch in values::too_large_is_refused => "a put above the maximum";
    folds_case: FoldsCase in keys::every_legal_key => "of another key";
    evicts_below: EvictsBelow in keys::nested_keys_are_independent => "n/o changed when n was evicted";
    evict_of_missing: EvictOfMissingFails in basics::evict_is_idempotent => "not there";
    same_key_twice: SameKeyTwice in basics::new_keys_are_unique => "the same key twice";
    shows_objects: ShowsObjects in basics::debug_shows_no_object => "Debug of the connector shows an object";
    shows_password: ShowsPassword in basics::info_is_public => "holds credentials";
    ignores_ttl: IgnoresTtl in ttl::exists_turns_false => "did not happen within";
    expires_early: ExpiresEarly in ttl::expires => "the object went after";
    expires_early_in_batch: ExpiresEarly in ttl::batches_expire => "the object went after";
    shortens_too_much: ExpiresEarly in ttl::touch_shortens => "the object went after";
    keeps_ttl: KeepsTtl in ttl::stays_without_ttl => "without a ttl";
    touch_creates: TouchCreates in ttl::touch_of_missing => "touch of a missing key gives true";
    touch_revives: TouchCreates in ttl::expires => "touch revives";
    create_checks_first: CreateChecksFirst in create::race_has_one_winner => "of 32";
    create_replaces: CreateReplaces in create::second_is_exists => "the second create";
    create_over_objects: CreateReplaces in create::create_and_overwrite => "create over an object";
    batch_creates_replace: CreateReplaces in batch::failures_are_reported_singly => "over taken keys reports";
    batch_duplicates: CreateReplaces in batch::create_of_duplicates_has_one_winner => "created four times";
    batch_stops: BatchStopsAtFailure in batch::failures_are_reported_singly => "over taken keys reports";
    batch_reversed: BatchReversed in batch::thousand_in_order => "not in order";
    take_checks_first: TakeChecksFirst in take::race_has_one_winner => "not exactly one of 32";
    take_keeps: TakeKeeps in take::gives_once => "a second take gives an object";
    never_wakes: NeverWakes in watch::wakes_on_put => "did not wake on the put";
    never_wakes_on_overwrite: NeverWakes in watch::wakes_on_overwrite => "did not wake on an overwrite";
    never_wakes_anybody: NeverWakes in watch::wakes_all => "watches of one key did not wake";
    get_fails_when_evicted: GetFailsWhenEvicted in races::evict_racing_get => "raced an evict failed";
    loses_permits: LosesPermits in cancellation::many_dropped_at_once => "hangs";
    loses_permits_of_reads: LosesPermits in cancellation::reads_dropped => "hangs";
    outage_is_none: OutageIsNone in close::then_everything_is_closed => "after close succeeds";
    close_twice: CloseTwiceFails in close::then_everything_is_closed => "a second close";
    close_deletes: CloseDeletes in close::deletes_nothing => "close deleted an object";
    clear_takes_all: ClearTakesAll in close::clear_spares_neighbours => "removed a neighbour's object";
    clear_does_nothing: ClearDoesNothing in close::clear_removes_all => "clear left an object";
    evict_does_nothing: EvictDoesNothing in basics::evict_is_idempotent => "an evicted object is there";
    evicted_exists: EvictDoesNothing in basics::exists_follows => "an evicted object exists";
    evicted_stays_taken: EvictDoesNothing in create::create_after_evict => "create of a free key";
    evicted_in_crowd: EvictDoesNothing in races::mixed_tasks => "a task";
    evict_tears: EvictTears in cancellation::removals_dropped => "after a dropped evict, the object is torn";
    never_replaces: NeverReplaces in basics::overwrite_replaces => "after an overwrite";
    never_replaces_created: NeverReplaces in create::create_and_overwrite => "overwrite does not replace";
    invents_objects: InventsObjects in basics::missing_is_none => "get of a missing key gives an object";
    refuses_tags: RefusesTags in basics::tags_are_accepted => "put with tags";
    accepts_any_ttl: AcceptsAnyTtl in ttl::unsupported_is_said => "put with a ttl";
    takes_unasked: TakesUnasked in take::unsupported_is_said => "take";
    sees_only_its_own: SeesOnlyItsOwn in basics::put_then_get => "the other connector does not see";
    leaks_watches: LeaksWatches in watch::dropped_watches => "too many watches";
    remembers_absence: RemembersAbsence in watch::wait_loop_never_misses => "50 waiting loops end";
    expired_stays_taken: IgnoresTtl in ttl::create_over_expired => "did not happen within";
    touch_does_nothing: TouchDoesNothing in ttl::touch_extends => "in spite of a touch";
    writes_in_halves: WritesInHalves in races::overwrites_racing => "after racing overwrites";
    outage_is_none_at_close: OutageIsNone in close::with_operations_under_way => "is missing";
}
