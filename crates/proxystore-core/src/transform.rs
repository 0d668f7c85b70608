//! What is done to the bytes of an object on their way into a connector, and undone on their way out.

use std::fmt::Debug;

use crate::{Key, Payload, Result, Uri};

/// Compression, encryption: a change of an object's bytes that every reader must know how to undo.
///
/// It is part of the contract with the reader, so its [`name`](Self::name) is part of the store's URI, as in
/// `redis://host?via=zstd,encrypt`, and travels in every reference. [`WithTransform`](crate::WithTransform) puts some
/// around a connector.
pub trait Transform: Debug + Send + Sync + 'static {
    /// Its name in URIs: lower-case letters, digits, `-`.
    fn name(&self) -> &'static str;

    /// When it is applied.
    fn stage(&self) -> Stage;

    /// Changes an object that is put. Large objects are sealed on a thread of their own.
    fn seal(&self, at: &Place<'_>, value: Payload) -> Result<Payload>;

    /// Undoes [`seal`](Self::seal). The bytes may come from anyone: `Corrupt` if they are not what `seal` gives for
    /// this place, `TooLarge` before more memory is allocated than for the bytes that came and [`Place::max`] more.
    fn open(&self, at: &Place<'_>, value: Payload) -> Result<Payload>;
}

/// The order in which transforms are applied; at most one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// First, since what is encrypted does not compress.
    Compress,
    /// Last.
    Encrypt,
}

/// Where an object belongs.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The identity of the connector, before any transform.
    pub store: &'a Uri,
    /// The key.
    pub key: &'a Key,
    /// The largest object that the caller takes, in bytes, before any transform.
    pub max: u64,
}
