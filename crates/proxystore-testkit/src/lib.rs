//! For authors of connectors: a suite that checks the whole contract, and what it takes to test one for real.
//!
//! [`conformance!`] turns a way to open your connector into some sixty tests. They check what
//! [`Connector`](proxystore_core::Connector) promises: whole objects or none, exactly one winner of a create or a
//! take, batches that report each failure singly, every legal key, sizes up to 64 MiB, times to live, watches,
//! races, futures dropped at each of their await points, close and clear. What a connector does not claim in its
//! [`Capabilities`](proxystore_core::Capabilities) is not applicable, and the test says so.
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::atomic::{AtomicBool, Ordering};
//! use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
//!
//! use proxystore_core::{
//!     Capabilities, Connector, ConnectorInfo, Error, ErrorKind, Key, Mode, Payload, PutOptions, Reach, Result,
//!     Uri, async_trait,
//! };
//! use proxystore_testkit::conformance::{Harness, close, create, keys, watch};
//!
//! type Objects = HashMap<Key, Payload>;
//!
//! /// Objects in a map.
//! #[derive(Debug)]
//! struct MapConnector {
//!     info: ConnectorInfo,
//!     objects: Arc<Mutex<Objects>>,
//!     closed: AtomicBool,
//! }
//!
//! impl MapConnector {
//!     fn new(objects: Arc<Mutex<Objects>>) -> Self {
//!         let capabilities = Capabilities {
//!             reach: Reach::Process,
//!             create: true,
//!             watch: false,
//!             ttl: false,
//!             take: true,
//!             max_value: u64::MAX,
//!         };
//!         let info = ConnectorInfo::new(Uri::new("map"), capabilities);
//!         Self { info, objects, closed: AtomicBool::new(false) }
//!     }
//!
//!     fn objects(&self) -> Result<MutexGuard<'_, Objects>> {
//!         if self.closed.load(Ordering::Acquire) {
//!             return Err(Error::new(ErrorKind::Closed, "the connector is closed"));
//!         }
//!         Ok(self.objects.lock().unwrap_or_else(PoisonError::into_inner))
//!     }
//! }
//!
//! #[async_trait]
//! impl Connector for MapConnector {
//!     fn info(&self) -> &ConnectorInfo {
//!         &self.info
//!     }
//!
//!     async fn put(&self, key: &Key, value: Payload, options: &PutOptions) -> Result<()> {
//!         if options.ttl.is_some() {
//!             return Err(Error::new(ErrorKind::Unsupported, "objects in a map do not expire"));
//!         }
//!         let mut objects = self.objects()?;
//!         if options.mode == Mode::Create && objects.contains_key(key) {
//!             return Err(Error::new(ErrorKind::Exists, "the key is taken").with("key", key));
//!         }
//!         objects.insert(key.clone(), value);
//!         Ok(())
//!     }
//!
//!     async fn get(&self, key: &Key) -> Result<Option<Payload>> {
//!         Ok(self.objects()?.get(key).cloned())
//!     }
//!
//!     async fn exists(&self, key: &Key) -> Result<bool> {
//!         Ok(self.objects()?.contains_key(key))
//!     }
//!
//!     async fn evict(&self, key: &Key) -> Result<()> {
//!         self.objects()?.remove(key);
//!         Ok(())
//!     }
//!
//!     async fn take(&self, key: &Key) -> Result<Option<Payload>> {
//!         Ok(self.objects()?.remove(key))
//!     }
//!
//!     async fn close(&self) -> Result<()> {
//!         self.closed.store(true, Ordering::Release);
//!         Ok(())
//!     }
//! }
//!
//! /// Two connectors to the same objects, as two users of one backend would hold.
//! async fn open() -> Harness {
//!     let objects = Arc::new(Mutex::default());
//!     let first = Arc::new(MapConnector::new(objects.clone()));
//!     Harness::new(first).with_second(Arc::new(MapConnector::new(objects)))
//! }
//!
//! proxystore_testkit::conformance!(connector = open().await);
//!
//! // A case is a function, too:
//! # #[tokio::main]
//! async fn main() {
//!     create::race_has_one_winner(&open().await).await.expect("applicable");
//!     let why = watch::wakes_on_put(&open().await).await.unwrap_err();
//!     assert_eq!(why.to_string(), "the connector has no watch");
//!     # close::then_everything_is_closed(&open().await).await.expect("applicable");
//!     # keys::every_legal_key(&open().await).await.expect("applicable");
//! }
//! ```
//!
//! # What else is here
//!
//! | Module | What it gives |
//! |--------|---------------|
//! | [`fault`] | a connector around yours that fails, hangs, delays or damages on demand, and counts calls |
//! | [`tcp_proxy`] | a TCP proxy with black holes, resets, slices and refusals, switched while it runs |
//! | [`redis`] | a real Redis server for the length of a test |
//! | `s3` (feature `s3`) | an S3 server in the process, with faults on demand |
//! | [`process`] | the test binary once more, as another process to talk to, and to kill at a named point |
//! | [`wall_clock`] | a wall clock for such a process, set while it runs |
//! | [`cancel`] | dropping a future at each of its await points; waiting for what must come |
//! | [`sample`] | objects that tell whether they are whole |
//! | [`mod@skip`] | tests that cannot run here, counted |
//!
//! # Environment
//!
//! | Variable | Effect |
//! |----------|--------|
//! | `PROXYSTORE_REQUIRE` | a list with commas, such as `redis,faketime`: their absence fails a test instead of skipping it |
//! | `PROXYSTORE_SKIPS` | the file to which each skipped test appends a line |
//!
//! It is for Unix systems.

#![allow(clippy::panic, reason = "a failed expectation is what a test kit reports")]

pub mod cancel;
pub mod conformance;
pub mod fault;
pub mod process;
pub mod redis;
#[cfg(feature = "s3")]
pub mod s3;
pub mod sample;
pub mod skip;
pub mod tcp_proxy;
pub mod wall_clock;
