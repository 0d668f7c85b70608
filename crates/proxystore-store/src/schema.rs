//! The shape of a type, learnt by watching its `Deserialize` at work.
//!
//! A format that does not describe itself reads the bytes of one type as another without noticing. So `T::deserialize`
//! is run, once per process, against a deserializer that hands out made-up values and writes down what it was asked
//! for. The result is a canonical text such as `struct Frame{id:u32,name:str}`, and its hash is the type's
//! [`Fingerprint`]: the same on every machine and in every build, whatever module the type lives in.
//!
//! Names of types, fields and variants count, as serde sees them. `String` and `&str`, `T` and `Arc<T>`, a hash map
//! and a tree map are the same; `Vec<u8>`, a sequence, and `Bytes` are not.

use std::any::{TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_128_with_seed;

mod difference;
mod graph;
mod samples;
mod search;
mod tracer;

pub use difference::first_difference;

/// Sixteen bytes that tell types of different shapes apart: the xxh3 hash of [`Schema::text`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The fingerprint of these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    /// Thirty-two lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How much of a type's shape could be learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// All of it: types of different shapes have different fingerprints.
    Full,
    /// The type can be read from a self-describing format only.
    SelfDescribing {
        /// Where, such as `Job.meta`.
        path: String,
        /// What it asks of the format.
        reason: String,
    },
    /// The type could not be followed. The fingerprint knows only what was seen until then, and says less.
    Partial {
        /// Where, such as `Job.count`.
        path: String,
        /// What stood in the way.
        reason: String,
    },
}

/// What was learnt of a type; see [`schema`].
#[derive(Debug, Clone)]
pub struct Schema {
    text: String,
    fingerprint: Fingerprint,
    outcome: Outcome,
    byte_seqs: Vec<String>,
}

impl Schema {
    fn learn<T: DeserializeOwned>(human_readable: bool) -> Self {
        let (text, outcome, byte_seqs) = search::learn::<T>(human_readable);
        let hash = xxh3_128_with_seed(text.as_bytes(), human_readable.into());
        Self { text, fingerprint: Fingerprint(hash.to_be_bytes()), outcome, byte_seqs }
    }

    /// The shape in words, on one line. Snapshot it in a test to notice a change of the type.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What objects and references carry to tell the type.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// How much could be learnt, and if not all, why.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Whether the whole shape is in the fingerprint.
    pub fn is_full(&self) -> bool {
        self.outcome == Outcome::Full
    }

    /// Why a format that does not describe itself could not read the type back, if so.
    pub fn needs_self_describing(&self) -> Option<String> {
        match &self.outcome {
            Outcome::SelfDescribing { path, reason } => {
                Some(format!("`{path}` needs a self-describing format: {reason}"))
            }
            Outcome::Full | Outcome::Partial { .. } => None,
        }
    }

    /// The places, such as `Frame.pixels`, where bytes are handled one by one, as serde does with a `Vec<u8>`:
    /// `Bytes` or `serde_bytes` is faster there.
    pub fn byte_seqs(&self) -> &[String] {
        &self.byte_seqs
    }
}

/// The schema of `T` in formats that are, or are not, human-readable (types may choose another shape for them).
///
/// The first call in a process runs `T`'s `Deserialize` on made-up values, which takes microseconds; later calls look
/// it up. It never fails or overflows the stack: a type that cannot be followed is told by [`Schema::outcome`], also if
/// its `Deserialize` panics (unless the program is built with `panic = "abort"`).
///
/// ```
/// use proxystore_store::schema::schema;
///
/// #[derive(serde::Deserialize)]
/// struct Frame {
///     id: u32,
///     name: Option<String>,
/// }
///
/// assert_eq!(schema::<Frame>(false).text(), "struct Frame{id:u32,name:option<str>}");
/// ```
pub fn schema<T: DeserializeOwned + 'static>(human_readable: bool) -> Arc<Schema> {
    let key = (TypeId::of::<T>(), human_readable);
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    known.unwrap_or_else(|| {
        // Without the lock: it is the user's code that runs here. Two threads may learn the same, which is the same.
        let learnt = Arc::new(Schema::learn::<T>(human_readable));
        KNOWN.write().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(learnt).clone()
    })
}

type Schemas = HashMap<(TypeId, bool), Arc<Schema>>;

static KNOWN: LazyLock<RwLock<Schemas>> = LazyLock::new(RwLock::default);

/// In words, where the type that was stored differs from the one that is wanted, if this process has learnt a schema
/// whose fingerprint `is_stored`.
pub(crate) fn difference(wanted: &Schema, is_stored: impl Fn(&Fingerprint) -> bool) -> Option<String> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let stored = known.values().find(|schema| is_stored(&schema.fingerprint))?.clone();
    drop(known);
    first_difference(wanted.text(), stored.text())
}

/// The name of `T` without modules, for messages.
fn short_name<T>() -> String {
    let name = type_name::<T>();
    let outer = name.split('<').next().unwrap_or(name);
    outer.rsplit("::").next().unwrap_or(outer).into()
}

#[cfg(test)]
mod tests;
