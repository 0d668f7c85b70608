//! The contract of [`Connector`] as tests: one async function per case, and [`conformance!`](crate::conformance!)
//! that makes a `#[test]` of each.
//!
//! Every case takes a [`Harness`], leaves nothing behind that another case would trip over, and panics with the
//! reason when the connector breaks the contract. A case that needs what the connector does not claim to have (its
//! [`Capabilities`]) returns [`NotApplicable`].

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use proxystore_core::{Bytes, Capabilities, Connector, Key, Mode, Payload, PutOptions, Result};

pub mod basics;
pub mod batch;
pub mod cancellation;
pub mod close;
pub mod create;
pub mod files;
pub mod keys;
pub mod races;
pub mod take;
pub mod ttl;
pub mod values;
pub mod watch;

/// How long one case may take before it counts as hung.
const CASE_DEADLINE: Duration = Duration::from_secs(120);

/// What a case gives when nothing is wrong.
pub type Outcome = std::result::Result<(), NotApplicable>;

/// Why a case does not concern this connector, such as `the connector has no ttl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotApplicable(pub String);

impl fmt::Display for NotApplicable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a case works with: the connector under test and, if there are, more views of its backend.
#[derive(Debug)]
pub struct Harness {
    connector: Arc<dyn Connector>,
    second: Option<Arc<dyn Connector>>,
    neighbour: Option<Arc<dyn Connector>>,
    kept: Kept,
}

#[derive(Default)]
struct Kept(Vec<Box<dyn Any + Send + Sync>>);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values", self.0.len())
    }
}

impl Harness {
    /// A harness with the connector under test alone.
    pub fn new(connector: Arc<dyn Connector>) -> Self {
        Self { connector, second: None, neighbour: None, kept: Kept::default() }
    }

    /// Adds an independent connector to the *same* objects, opened by the same URI, as another process would.
    #[must_use]
    pub fn with_second(mut self, second: Arc<dyn Connector>) -> Self {
        self.second = Some(second);
        self
    }

    /// Adds a connector to *other* objects of the same backend: another prefix, directory or database.
    #[must_use]
    pub fn with_neighbour(mut self, neighbour: Arc<dyn Connector>) -> Self {
        self.neighbour = Some(neighbour);
        self
    }

    /// Keeps `value` until the case is over: a temporary directory, a server.
    #[must_use]
    pub fn keeping(mut self, value: impl Any + Send + Sync) -> Self {
        self.kept.0.push(Box::new(value));
        self
    }

    /// The connector under test.
    pub fn connector(&self) -> &Arc<dyn Connector> {
        &self.connector
    }

    /// The second connector, or the one under test again if there is no second.
    pub fn other(&self) -> &Arc<dyn Connector> {
        self.second.as_ref().unwrap_or(&self.connector)
    }

    /// The second connector, or why the case does not apply.
    pub fn second(&self) -> std::result::Result<&Arc<dyn Connector>, NotApplicable> {
        self.second.as_ref().ok_or_else(|| NotApplicable("the harness has no second connector".into()))
    }

    /// The neighbour, or why the case does not apply.
    pub fn neighbour(&self) -> std::result::Result<&Arc<dyn Connector>, NotApplicable> {
        self.neighbour.as_ref().ok_or_else(|| NotApplicable("the harness has no neighbour".into()))
    }

    /// What the connector claims to do.
    pub fn capabilities(&self) -> Capabilities {
        self.connector.info().capabilities
    }

    /// Goes on only if the connector claims `capability`, which is called `name`.
    pub fn needs(&self, capability: bool, name: &str) -> Outcome {
        if capability { Ok(()) } else { Err(NotApplicable(format!("the connector has no {name}"))) }
    }

    /// The sizes among `sizes` that the connector takes.
    pub fn fitting<'a>(&self, sizes: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
        let max = self.capabilities().max_value;
        sizes.iter().copied().filter(move |size| *size as u64 <= max)
    }

    /// A fresh key.
    pub fn key(&self) -> Key {
        self.connector.new_key(Default::default()).expect("new_key")
    }

    /// `count` fresh keys.
    pub fn keys(&self, count: usize) -> Vec<Key> {
        (0..count).map(|_| self.key()).collect()
    }

    /// Puts with default options.
    pub async fn put(&self, key: &Key, value: impl Into<Payload>) {
        put(&self.connector, key, value).await;
    }

    /// Puts in [`Mode::Create`].
    pub async fn create(&self, key: &Key, value: impl Into<Payload>) -> Result<()> {
        create(&self.connector, key, value).await
    }

    /// Puts with a time to live.
    pub async fn put_for(&self, key: &Key, value: impl Into<Payload>, ttl: Duration) {
        let options = PutOptions { ttl: Some(ttl), ..PutOptions::default() };
        self.connector.put(key, value.into(), &options).await.expect("put with a ttl");
    }

    /// Gets, in one piece.
    pub async fn get(&self, key: &Key) -> Option<Bytes> {
        get(&self.connector, key).await
    }
}

async fn put(connector: &Arc<dyn Connector>, key: &Key, value: impl Into<Payload>) {
    connector.put(key, value.into(), &PutOptions::default()).await.expect("put");
}

async fn create(connector: &Arc<dyn Connector>, key: &Key, value: impl Into<Payload>) -> Result<()> {
    connector.put(key, value.into(), &creating()).await
}

async fn get(connector: &Arc<dyn Connector>, key: &Key) -> Option<Bytes> {
    connector.get(key).await.expect("get").map(Payload::into_bytes)
}

fn creating() -> PutOptions {
    PutOptions { mode: Mode::Create, ..PutOptions::default() }
}

/// What [`conformance!`](crate::conformance!) accepts: a connector, a [`Harness`], or `None` for a test that was
/// recorded as skipped.
pub trait Fixture {
    /// The harness, unless there is nothing to test here.
    fn harness(self) -> Option<Harness>;
}

impl Fixture for Harness {
    fn harness(self) -> Option<Harness> {
        Some(self)
    }
}

impl<C: Connector> Fixture for Arc<C> {
    fn harness(self) -> Option<Harness> {
        Some(Harness::new(self))
    }
}

impl Fixture for Arc<dyn Connector> {
    fn harness(self) -> Option<Harness> {
        Some(Harness::new(self))
    }
}

impl<F: Fixture> Fixture for Option<F> {
    fn harness(self) -> Option<Harness> {
        self.and_then(Fixture::harness)
    }
}

/// Runs one case on a runtime of its own, prints when it is not applicable, and closes the connectors.
/// Panics if the case does or if it takes longer than two minutes.
#[allow(clippy::print_stdout, reason = "the test's report")]
pub fn run<X: Fixture>(
    case: &str,
    fixture: impl Future<Output = X>,
    body: impl AsyncFnOnce(&Harness) -> Outcome,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime for the test");
    runtime.block_on(async {
        let Some(harness) = fixture.await.harness() else { return };
        let Ok(outcome) = tokio::time::timeout(CASE_DEADLINE, body(&harness)).await else {
            panic!("{case} hung: not over after {CASE_DEADLINE:?}");
        };
        if let Err(why) = outcome {
            println!("not applicable: {case}: {why}");
        }
        let all = [Some(&harness.connector), harness.second.as_ref(), harness.neighbour.as_ref()];
        for connector in all.into_iter().flatten() {
            connector.close().await.expect("close");
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
}

/// Makes a `#[test]` of every case of the [`conformance`](mod@crate::conformance) suite, in a module `conformance`.
///
/// The expression is evaluated once per test, in an async context, on that test's runtime; it gives a
/// [`Fixture`](crate::conformance::Fixture): a fresh `Arc<dyn Connector>`, a
/// [`Harness`](crate::conformance::Harness), or an `Option` of these. Names are looked up in the module around.
///
/// ```
/// # use std::sync::Arc;
/// # use proxystore_core::Connector;
/// use proxystore_testkit::conformance::Harness;
/// use proxystore_testkit::redis::RedisServer;
///
/// # async fn connect(_: &RedisServer) -> Arc<dyn Connector> { std::future::pending().await }
/// async fn open() -> Option<Harness> {
///     let server = RedisServer::start().await?; // None: recorded as skipped
///     let (first, second) = (connect(&server).await, connect(&server).await);
///     Some(Harness::new(first).with_second(second).keeping(server))
/// }
///
/// proxystore_testkit::conformance!(connector = open().await);
/// # fn main() {}
/// ```
///
/// To run it for several configurations, put each into a module of its own.
#[macro_export]
macro_rules! conformance {
    (connector = $connector:expr $(,)?) => {
        $crate::__conformance_tests! { $connector;
            basics: put_then_get missing_is_none exists_follows evict_is_idempotent put_after_evict
                overwrite_replaces new_keys_are_unique tags_are_accepted info_is_public
                debug_shows_no_object;
            values: small_sizes large_sizes empty_is_not_absent segments_are_joined too_large_is_refused
                many_megabytes_at_once;
            keys: every_legal_key nested_keys_are_independent;
            batch: thousand_in_order batches_agree_with_singles empty_batches duplicates
                failures_are_reported_singly create_of_duplicates_has_one_winner;
            create: second_is_exists create_and_overwrite create_after_evict race_has_one_winner;
            files: come_and_go bytes_and_files_are_alike changed_is_refused missing_is_none drafts_leave_nothing
                creates_and_expiry;
            ttl: expires exists_turns_false batches_expire create_over_expired stays_without_ttl
                touch_extends touch_shortens touch_of_missing unsupported_is_said;
            take: gives_once of_missing_is_none race_has_one_winner unsupported_is_said;
            races: evict_racing_get overwrite_racing_get overwrites_racing mixed_tasks;
            watch: wakes_on_put wakes_on_overwrite wakes_all wait_loop_never_misses dropped_watches;
            cancellation: put_dropped first_put_dropped reads_dropped removals_dropped
                many_dropped_at_once;
            close: then_everything_is_closed deletes_nothing with_operations_under_way clear_removes_all
                clear_spares_neighbours;
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($connector:expr; $($group:ident: $($case:ident)*;)*) => {
        mod conformance {
            #[allow(unused_imports)]
            use super::*;
            $(mod $group {
                #[allow(unused_imports)]
                use super::*;
                $(#[test]
                fn $case() {
                    $crate::conformance::run(
                        concat!(stringify!($group), "::", stringify!($case)),
                        async { $connector },
                        $crate::conformance::$group::$case,
                    );
                })*
            })*
        }
    };
}
