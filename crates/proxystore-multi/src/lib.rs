//! `multi://`: several connectors as one, each for the objects that suit it.
//!
//! The hosts of the URI are names of children, in order; the options say where each is, and what it takes:
//!
//! ```text
//! multi://small,large?small=redis://cache.example&small.max=65536&large=file:///data
//! ```
//!
//! | Option | Meaning | Default |
//! |--------|---------|---------|
//! | `<child>` | where it is: a URI, percent-encoded (`?` as `%3F`, `&` as `%26`, `%` as `%25`) | |
//! | `<child>.priority` | the highest one that takes an object has it; of equals, the first | `0` |
//! | `<child>.min`, `<child>.max` | the smallest and the largest object that it takes, in bytes, inclusive | any |
//! | `<child>.subset` | tags that an object may have, with commas | none |
//! | `<child>.superset` | tags that an object must have, with commas | none |
//! | `<child>.hosts` | regular expressions for whole host names, with spaces (`%20`) | all |
//! | `<child>.near` | the child that has copies of its objects near | none |
//! | `<child>.keep` | how long copies stay near, at most | `1h` |
//! | `fallback` | `yes`: when a child is unavailable or full, the next that takes the object gets it | `no` |
//!
//! A size is that of the encoded value. An object without tags suits a child that demands none; one with tags suits a
//! child that allows or demands each of them. What has no size yet, a future, may be large: it goes to a child without
//! an upper bound, if there is one. If no child takes an object, that is an error that names the constraints.
//!
//! # Keys
//!
//! A fresh key names its child, as in `small~mfrg…`, and what the store keeps beside an object stays with it: the key
//! alone says where an object is, whatever is put. The first child that takes every object, on all hosts and without
//! tags, has the keys that name none. A key that names a child which does not exist, or which is dormant, is an error.
//!
//! # Hosts
//!
//! A child whose `hosts` do not match the name of this host is dormant: it is part of the configuration and of the
//! store's identity, is never connected, and takes nothing; using a key of it is `Unsupported`, and says why.
//!
//! # In other processes
//!
//! The store's identity has all settings but `keep`, and so have its references. Whoever opens it by a reference must be
//! allowed to open each child that it uses, by itself, with the credentials of its own rule; a child that is not
//! allowed there, or cannot be opened, is an error when a key of it is used. A literal password in the URI of a child is
//! refused: name a variable, `redis://app:${PW}@host`.
//!
//! # Fallback
//!
//! Only what has certainly not happened goes to another child: a put whose answer is lost is still `Ambiguous`. A create
//! stays with its child, or two could win. An object keeps its key, so a reader asks all children that may have got it:
//! an absent object costs as many requests, and is absent only if all say so. Objects cannot be taken in one step then.
//! If an object is overwritten while its child is away, readers may find the old one when it is back; fresh keys are
//! put once. Children that are not for all hosts take no part.
//!
//! # Near and far
//!
//! With `far.near=ram`, objects of `far` are put into `ram`, and copied to `far` behind it. Readers of this host find
//! the near copy, others the far one; evicting removes both. The near child takes nothing else, needs expiry,
//! and must not drop objects before their time, as a cache would: that looks like an evict.
//!
//! - *Until the copy is there*, readers elsewhere find nothing. [`MultiConnector::flush`] waits for it, and closing does
//!   for ten seconds. At most 64 MiB are under way, or one larger object; beyond that, a put waits until it is far.
//! - *If this process dies in between*, the object is near only, and goes with the near copy: after `keep` at most, or
//!   its own ttl. The same holds of a put that is dropped, and when the copy cannot be made for ten minutes, or half of
//!   `keep`: then `flush` or `close` tells it. So a put is as durable as the near child until the copy is made.
//! - *An object that is evicted on another host* may be read from the near copy here, for `keep` at most, as it may from
//!   a cache. Evicted there before the copy is made, it comes far all the same, and stays until it is evicted again or
//!   its ttl is over. A process of this host may evict it at any time: nothing is left.
//! - *Only fresh keys are near*. What may be written again, such as signs of life, and keys of the program's own, is far
//!   only. What is created, such as the value of a future, is decided far, and copied near afterwards. Objects cannot be
//!   taken in one step.
//!
//! # Example
//!
//! Here without a registry; a program opens a store by the URI.
//!
//! ```
//! use std::sync::Arc;
//! use proxystore_core::{
//!     Connector, ConnectorConfig, Driver, KeyHint, Opener, Origin, Result, Uri, async_trait,
//! };
//! use proxystore_multi::MultiConfig;
//!
//! #[derive(Debug)]
//! struct Local;
//!
//! const LOCAL: Driver = proxystore_local::DRIVER;
//!
//! #[async_trait]
//! impl Opener for Local {
//!     async fn open(&self, uri: &Uri) -> Result<Arc<dyn Connector>> {
//!         LOCAL.open(uri, Origin::Program).await
//!     }
//!     fn identity(&self, uri: &Uri) -> Result<Uri> {
//!         LOCAL.identity(uri)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
//! let uri = "multi://small,large?small=local:///small&small.max=10&large=local:///large".parse()?;
//! let connector = MultiConfig::from_uri(&uri)?.connect_over(Origin::Program, Arc::new(Local)).await?;
//! let key = connector.new_key(KeyHint { size: Some(3), tags: None })?;
//! assert!(key.as_str().starts_with("small~"));
//! connector.put(&key, vec![1, 2, 3].into(), &Default::default()).await?;
//! assert_eq!(connector.get(&key).await?.unwrap().into_bytes(), vec![1, 2, 3]);
//! # Ok(()) }
//! ```

mod config;
mod connector;
mod copies;
mod key;
mod members;
mod route;

pub use config::{Child, MultiConfig};
pub use connector::MultiConnector;
pub use route::{Constraints, Route};

/// Serves `multi://`.
pub const DRIVER: proxystore_core::Driver = proxystore_core::Driver::of::<MultiConfig>();
