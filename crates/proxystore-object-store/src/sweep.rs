//! Removes expired objects.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use object_store::ObjectMeta;
use proxystore_core::{Error, Id, Result};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use crate::bucket::Bucket;
use crate::{expiry, remove};

/// How many objects are looked at at once.
const IN_FLIGHT: usize = 16;
/// How many objects are remembered, by 16 bytes each.
const REMEMBERED: usize = 1 << 20;

/// Removes what is over, and remembers when the rest will be: each version of an object is looked at once.
#[derive(Debug, Default)]
pub(crate) struct Sweeper {
    hasher: RandomState,
    /// When objects are over, by a hash of name and version.
    known: Mutex<HashMap<u64, Option<u64>>>,
}

/// Sweeps `every` so often until aborted, for the first time after a random part of that.
pub(crate) fn start(sweeper: Arc<Sweeper>, bucket: Arc<Bucket>, every: Duration) -> AbortHandle {
    let sweeps = async move {
        // Many that start at once sweep one after another.
        let part = Id::random().map_or(1.0, |id| f64::from(id.as_bytes()[0]) / 256.0);
        tokio::time::sleep(every.mul_f64(part)).await;
        loop {
            // Nobody waits for the result; what failed fails again in the next round or in the user's own operation.
            let _ = sweeper.sweep(&bucket).await;
            tokio::time::sleep(every).await;
        }
    };
    tokio::spawn(sweeps).abort_handle()
}

impl Sweeper {
    /// Gives the number of removed objects, or the first error after all else is swept.
    pub(crate) async fn sweep(&self, bucket: &Bucket) -> Result<u64> {
        let (mut removed, mut first_error) = (0, None);
        // One at a time, and what is not met again is forgotten.
        let mut known = self.known.lock().await;
        let mut met = HashMap::new();
        let mut pages = remove::Pages::of(bucket);
        while let Some(page) = pages.next().await? {
            let looks: Vec<_> = page
                .into_iter()
                .map(|meta| {
                    let version = self.version(&meta);
                    let expiry = known.get(&version).copied();
                    async move { (version, look(bucket, &meta, expiry).await) }
                })
                .collect();
            let mut looks = stream::iter(looks).buffer_unordered(IN_FLIGHT);
            while let Some((version, looked)) = looks.next().await {
                match looked {
                    Ok(Looked::Removed) => removed += 1,
                    Ok(Looked::Stays(expiry)) if met.len() < REMEMBERED => drop(met.insert(version, expiry)),
                    Ok(_) => {}
                    Err(error) => first_error = first_error.or(Some(error)),
                }
            }
        }
        *known = met;
        first_error.map_or(Ok(removed), |error: Error| Err(error))
    }

    fn version(&self, meta: &ObjectMeta) -> u64 {
        self.hasher.hash_one((&meta.location, &meta.e_tag, meta.size, meta.last_modified))
    }
}

enum Looked {
    Removed,
    Stays(Option<u64>),
    Gone,
}

/// Removes the object if it is over; `known`: when it is.
async fn look(bucket: &Bucket, meta: &ObjectMeta, known: Option<Option<u64>>) -> Result<Looked> {
    if let Some(expiry) = known
        && !expiry::is_over(expiry)
    {
        return Ok(Looked::Stays(expiry));
    }
    // Whatever is known, it may be another object by now.
    let Some(head) = bucket.head(&meta.location).await? else { return Ok(Looked::Gone) };
    if !expiry::is_over(head.expiry) {
        return Ok(Looked::Stays(head.expiry));
    }
    remove::one(bucket, &meta.location).await.map(|()| Looked::Removed)
}
