//! Removes expired objects, and uploads that nobody completes.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::types::Object;
use futures_util::stream::{self, StreamExt};
use proxystore_core::{Error, Id, Result};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use crate::bucket::Bucket;
use crate::error::{Effect, Failed, Why};
use crate::{expiry, remove, upload};

/// An upload of this age is nobody's.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);
/// How many objects are looked at at once.
const IN_FLIGHT: usize = 16;
/// How many objects are remembered, by 16 bytes each.
const REMEMBERED: usize = 1 << 20;

/// What a sweep has removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
    /// Expired objects.
    pub objects: u64,
    /// Uploads that were begun a day ago and not completed.
    pub uploads: u64,
}

/// Removes what is over, and remembers when the rest will be: each version of an object is looked at once.
#[derive(Default)]
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
    /// Gives the first error, after all else is swept.
    pub(crate) async fn sweep(&self, bucket: &Bucket) -> Result<Swept> {
        let mut swept = Swept::default();
        let mut first_error = None;
        // One at a time, and what is not met again is forgotten.
        let mut known = self.known.lock().await;
        let mut met = HashMap::new();
        let mut next = None;
        loop {
            let page = remove::Page::of(bucket, next).await?;
            let mut looks = Vec::new();
            for object in &page.objects {
                let Some(name) = object.key().filter(|name| bucket.key(name).is_some()) else { continue };
                let version = self.version(object);
                let expiry = known.get(&version).copied();
                looks.push(async move { (version, look(bucket, name, expiry).await) });
            }
            let mut looks = stream::iter(looks).buffer_unordered(IN_FLIGHT);
            while let Some((version, looked)) = looks.next().await {
                match looked {
                    Ok(Looked::Removed) => swept.objects += 1,
                    Ok(Looked::Stays(expiry)) if met.len() < REMEMBERED => drop(met.insert(version, expiry)),
                    Ok(_) => {}
                    Err(error) => first_error = first_error.or(Some(error)),
                }
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        *known = met;
        match uploads(bucket).await {
            Ok(count) => swept.uploads = count,
            Err(error) => first_error = first_error.or(Some(error)),
        }
        first_error.map_or(Ok(swept), Err)
    }

    fn version(&self, object: &Object) -> u64 {
        let time = object.last_modified().map(|time| (time.secs(), time.subsec_nanos()));
        self.hasher.hash_one((object.key(), object.e_tag(), object.size(), time))
    }
}

enum Looked {
    Removed,
    Stays(Option<u64>),
    Gone,
}

/// Removes the object if it is over; `known`: when it is.
async fn look(bucket: &Bucket, name: &str, known: Option<Option<u64>>) -> Result<Looked> {
    if let Some(expiry) = known
        && !expiry::is_over(expiry)
    {
        return Ok(Looked::Stays(expiry));
    }
    let Some(head) = bucket.head(name).await? else { return Ok(Looked::Gone) };
    if !expiry::is_over(head.expiry) {
        return Ok(Looked::Stays(head.expiry));
    }
    match remove::one(bucket, name, Some(&head.etag)).await {
        Ok(()) => Ok(Looked::Removed),
        // Somebody has put another.
        Err(Failed { why: Why::Condition, .. }) => Ok(Looked::Gone),
        Err(failed) => Err(failed.error),
    }
}

/// Aborts the uploads under the prefix that are old, and gives their number.
async fn uploads(bucket: &Bucket) -> Result<u64> {
    let mut count = 0;
    let (mut key, mut id) = (None, None);
    loop {
        let list = bucket.client.list_multipart_uploads().bucket(&bucket.name).prefix(&bucket.prefix);
        let list = list.set_key_marker(key).set_upload_id_marker(id);
        let page = bucket.send(Effect::Read, list.send()).await.map_err(Error::from)?;
        for upload in page.uploads() {
            let (Some(name), Some(id), Some(begun)) = (upload.key(), upload.upload_id(), upload.initiated())
            else {
                continue;
            };
            let age = expiry::now().saturating_sub(begun.to_millis().map_or(0, |begun| begun.max(0) as u64));
            if u128::from(age) >= ABANDONED.as_millis()
                && bucket.key(name).is_some()
                && upload::abort(bucket, name, id).await
            {
                count += 1;
            }
        }
        (key, id) = (page.next_key_marker, page.next_upload_id_marker);
        if page.is_truncated != Some(true) || key.is_none() {
            return Ok(count);
        }
    }
}
