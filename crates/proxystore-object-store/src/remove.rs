//! Many objects removed at once, and all of them.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use proxystore_core::{Error, Result};
use tokio::time::timeout;

use crate::bucket::Bucket;
use crate::error::{self, Effect, Failed, Why};

/// The most objects that are removed by one call of the store.
const BATCH: usize = 1000;
/// How many requests go at once where the store takes one object by each.
const IN_FLIGHT: usize = 16;

/// Removes the object at `path`, if there is one.
pub(crate) async fn one(bucket: &Bucket, path: &Path) -> Result<()> {
    match bucket.send(Effect::Idempotent, Duration::ZERO, bucket.store.delete(path)).await {
        Err(Failed { why: Why::NoObject, .. }) => Ok(()),
        removed => removed.map_err(Error::from),
    }
}

/// Removes many, with one result for each, in order.
pub(crate) async fn many(bucket: &Bucket, paths: &[Path]) -> Vec<Result<()>> {
    let mut results = Vec::with_capacity(paths.len());
    for paths in paths.chunks(BATCH) {
        let (removed, outage) = batch(bucket, paths).await;
        // The store does not say which object an error is about. Of those that it was silent about each is asked for.
        let each: Vec<_> = paths
            .iter()
            .map(|path| {
                let (done, outage) = (removed.contains(path), outage.clone());
                async move {
                    match outage {
                        _ if done => Ok(()),
                        Some(error) => Err(error),
                        None => one(bucket, path).await,
                    }
                }
            })
            .collect();
        results.extend(stream::iter(each).buffered(IN_FLIGHT).collect::<Vec<_>>().await);
    }
    results
}

/// Removes up to a batch, and gives those that surely are, and the error if the store cannot be reached.
async fn batch(bucket: &Bucket, paths: &[Path]) -> (HashSet<Path>, Option<Error>) {
    // Twice the same in one batch is an error for some.
    let paths: HashSet<Path> = paths.iter().cloned().collect();
    let all = stream::iter(paths.into_iter().map(Ok)).boxed();
    let mut answers = bucket.store.delete_stream(all);
    let mut removed = HashSet::new();
    let after = bucket.patience();
    loop {
        match timeout(after, answers.next()).await {
            Ok(None) => return (removed, None),
            Ok(Some(Ok(path))) => drop(removed.insert(path)),
            Ok(Some(Err(error))) => {
                let failed = error::failed(&error, Effect::Idempotent);
                if failed.error.is_transient() {
                    return (removed, Some(failed.error));
                }
            }
            Err(_) => return (removed, Some(error::late(Effect::Idempotent, after))),
        }
    }
}

/// Removes every object whose name under the prefix is a key's.
pub(crate) async fn all(bucket: &Bucket) -> Result<()> {
    let mut first_error = None;
    let mut pages = Pages::of(bucket);
    while let Some(page) = pages.next().await? {
        let paths: Vec<_> = page.into_iter().map(|meta| meta.location).collect();
        let removed = many(bucket, &paths).await;
        first_error = first_error.or(removed.into_iter().find_map(Result::err));
    }
    first_error.map_or(Ok(()), Err)
}

/// What is under the prefix and has a key, up to 1,000 at a time.
pub(crate) struct Pages<'a> {
    bucket: &'a Bucket,
    list: stream::Fuse<stream::BoxStream<'static, object_store::Result<ObjectMeta>>>,
}

impl<'a> Pages<'a> {
    pub(crate) fn of(bucket: &'a Bucket) -> Self {
        Self { bucket, list: bucket.store.list(bucket.directory().as_ref()).fuse() }
    }

    /// None: that was all.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<ObjectMeta>>> {
        let mut page = Vec::new();
        let after = self.bucket.patience();
        while page.len() < BATCH {
            match timeout(after, self.list.next()).await {
                Ok(None) => return Ok(Some(page).filter(|page| !page.is_empty())),
                Ok(Some(Ok(meta))) if self.bucket.key(&meta.location).is_some() => page.push(meta),
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(error))) => return Err(error::failed(&error, Effect::Read).error),
                Err(_) => return Err(error::late(Effect::Read, after)),
            }
        }
        Ok(Some(page))
    }
}
