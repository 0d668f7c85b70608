//! The objects of a connector in its store, and how operations on them are made.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{GetOptions, GetResult, ObjectStore, UpdateVersion};
use proxystore_core::{Error, ErrorKind, Key, Result, Transfer};
use tokio::time::timeout;

use crate::error::{self, Effect, Failed, Why};
use crate::expiry;
use crate::upload::Uploads;

#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) names: Names,
    pub(crate) timeout: Duration,
    pub(crate) abilities: Abilities,
    pub(crate) uploads: Uploads,
}

/// How objects are named in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Names {
    /// `<before><key><behind>`, where `before` is empty or has a `/` at its end.
    Keys { before: String, behind: &'static str },
    /// The store has one object and no name for it: it lies at this path, which ends in its key, and until then, in
    /// milliseconds since 1970.
    #[cfg_attr(not(feature = "http"), allow(dead_code, reason = "no address is opened"))]
    One { path: String, end: Option<u64> },
}

/// What a store can do, as far as it is not asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Abilities {
    /// It is read from, and nothing else.
    pub(crate) read_only: bool,
    /// It carries metadata, and replaces an object on the condition that it is still the same.
    pub(crate) versions: bool,
    /// It gives parts of objects.
    pub(crate) ranges: bool,
    /// It answers a HEAD. A signature is for one method.
    pub(crate) heads: bool,
    /// It may repeat a request by itself, and so meet its own object.
    pub(crate) repeats: bool,
    /// It makes its requests by ours, which have deadlines.
    pub(crate) ours: bool,
}

/// What is known of an object without its bytes.
pub(crate) struct Head {
    pub(crate) version: UpdateVersion,
    pub(crate) len: u64,
    pub(crate) expiry: Option<u64>,
}

impl Names {
    /// What is denied may be so because its time is over.
    pub(crate) fn judged(&self, error: Error) -> Error {
        match self {
            Self::One { end, .. } if error.kind() == ErrorKind::Denied => match expiry::is_over(*end) {
                true => Error::new(ErrorKind::Expired, "the time of the signed address is over")
                    .hint("ask for a new one where it comes from"),
                false => Error::new(ErrorKind::Denied, error.message())
                    .hint("the signed address may have been called back: ask for a new one"),
            },
            _ => error,
        }
    }
}

impl Bucket {
    /// Where the object of this key is in the store. `Denied` if this store has only another one.
    pub(crate) fn object(&self, key: &Key) -> Result<Path> {
        let name = match &self.names {
            Names::Keys { before, behind } => format!("{before}{key}{behind}"),
            Names::One { path, .. }
                if path.strip_suffix(key.as_str()).is_some_and(|rest| rest.ends_with('/')) =>
            {
                return Ok(Path::default());
            }
            Names::One { .. } => {
                return Err(Error::new(ErrorKind::Denied, "the signed address is that of another object"));
            }
        };
        Path::parse(name).map_err(|_| Error::new(ErrorKind::Config, "the store takes no such name"))
    }

    /// The key of what has this name in the store, if it can be an object of ours.
    pub(crate) fn key(&self, name: &Path) -> Option<Key> {
        let Names::Keys { before, behind } = &self.names else { return None };
        let key = name.as_ref().strip_prefix(before.as_str())?.strip_suffix(behind)?;
        Key::parse(key).ok()
    }

    /// The directory that all objects are in, if it is not the root.
    pub(crate) fn directory(&self) -> Option<Path> {
        let Names::Keys { before, .. } = &self.names else { return None };
        Path::parse(before).ok().filter(|path| !path.as_ref().is_empty())
    }

    /// The answer of the store within the deadline, to which `more` is added.
    pub(crate) fn send<'a, T: 'a>(
        &'a self,
        effect: Effect,
        more: Duration,
        request: impl Future<Output = object_store::Result<T>> + Send + 'a,
    ) -> impl Future<Output = Result<T, Failed>> + Send + 'a {
        let after = self.patience().saturating_add(more);
        // The futures of stores are of many KiB.
        let request = Box::pin(request);
        async move {
            match timeout(after, request).await {
                Ok(answer) => answer.map_err(|error| error::failed(&error, effect)),
                Err(_) => Err(error::late(effect, after).into()),
            }
        }
    }

    /// The deadline of an operation without bytes. A few requests may be behind it, of which our own have deadlines.
    pub(crate) fn patience(&self) -> Duration {
        if self.abilities.ours { self.timeout.saturating_mul(4) } else { self.timeout }
    }

    /// What is added to it for an object that goes out. Our own requests are not cut off while bytes move.
    pub(crate) fn time_for(&self, len: usize) -> Duration {
        if self.abilities.ours { Duration::MAX } else { Transfer::time_for(len as u64) }
    }

    /// The object at `path` or a part of it, whose bytes are still to come.
    pub(crate) async fn get(&self, path: &Path, options: GetOptions) -> Result<GetResult, Failed> {
        let found = self.send(Effect::Read, Duration::ZERO, self.store.get_opts(path, options)).await?;
        // What has versions says which one it is; an error with the status of a success does not.
        if self.abilities.versions && found.meta.e_tag.is_none() {
            return Err(error::torn("the store's answer has no ETag").into());
        }
        Ok(found)
    }

    /// What is at `path`, also if it has expired.
    pub(crate) async fn head(&self, path: &Path) -> Result<Option<Head>> {
        match self.get(path, GetOptions::new().with_head(self.abilities.heads)).await {
            Ok(found) => Ok(Some(Head {
                expiry: expiry::of(&found.attributes)?,
                len: found.meta.size,
                version: UpdateVersion { e_tag: found.meta.e_tag, version: found.meta.version },
            })),
            Err(Failed { why: Why::NoObject, .. }) => Ok(None),
            Err(failed) => Err(failed.error),
        }
    }
}
