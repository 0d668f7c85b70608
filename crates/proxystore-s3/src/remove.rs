//! Many objects removed at once, and all of them.

use std::collections::{HashMap, HashSet};

use aws_sdk_s3::types::{Delete, Object, ObjectIdentifier};
use futures_util::stream::{self, StreamExt};
use proxystore_core::{Error, ErrorKind, Result};

use crate::bucket::Bucket;
use crate::error::{self, Effect, Failed};

/// The most objects that a request removes.
const BATCH: usize = 1000;
/// How many requests go at once where the server takes one object by each.
const IN_FLIGHT: usize = 16;

/// Removes the object at `name`, if there is one; if it is of this version, where one is named.
pub(crate) async fn one(bucket: &Bucket, name: &str, etag: Option<&str>) -> Result<(), Failed> {
    let delete =
        bucket.client.delete_object().bucket(&bucket.name).key(name).set_if_match(etag.map(Into::into));
    match bucket.send(Effect::Idempotent, delete.send()).await {
        Err(failed) if failed.why == error::Why::NoObject => Ok(()),
        removed => removed.map(drop),
    }
}

/// Removes many, with one result for each, in order.
pub(crate) async fn many(bucket: &Bucket, names: &[String]) -> Vec<Result<()>> {
    let mut results = Vec::with_capacity(names.len());
    for names in names.chunks(BATCH) {
        match batch(bucket, names).await {
            Ok(failed) => {
                let result = |name| failed.get(name).cloned().map_or(Ok(()), Err);
                results.extend(names.iter().map(|name| result(name.as_str())));
            }
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                let each: Vec<_> = names.iter().map(|name| one(bucket, name, None)).collect();
                let each: Vec<_> = stream::iter(each).buffered(IN_FLIGHT).collect().await;
                results.extend(each.into_iter().map(|result| result.map_err(Error::from)));
            }
            Err(error) => results.extend(names.iter().map(|_| Err(error.clone()))),
        }
    }
    results
}

/// Removes up to 1,000, and gives the errors by name.
async fn batch(bucket: &Bucket, names: &[String]) -> Result<HashMap<String, Error>> {
    let unfit = |_| Error::new(ErrorKind::Unexpected, "the request could not be made");
    let names: HashSet<&String> = names.iter().collect();
    let objects = names.into_iter().map(|name| ObjectIdentifier::builder().key(name).build().map_err(unfit));
    let objects = objects.collect::<Result<_>>()?;
    let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build().map_err(unfit)?;
    let request = bucket.client.delete_objects().bucket(&bucket.name).delete(delete).send();
    let answer = bucket.send(Effect::Idempotent, request).await?;
    let errors = answer.errors.unwrap_or_default().into_iter().filter_map(|failed| {
        let code = failed.code().unwrap_or_default();
        let status = match code {
            "NoSuchKey" => return None,
            "AccessDenied" => 403,
            "SlowDown" => 503,
            "InternalError" => 500,
            _ => 0,
        };
        let error = error::answered(status, code, Effect::Idempotent).error;
        failed.key.map(|name| (name, error))
    });
    Ok(errors.collect())
}

/// Removes every object whose name under the prefix is a key's.
pub(crate) async fn all(bucket: &Bucket) -> Result<()> {
    let mut first_error = None;
    let mut next = None;
    loop {
        let page = Page::of(bucket, next).await?;
        let ours =
            |object: &Object| object.key().filter(|name| bucket.key(name).is_some()).map(str::to_owned);
        let names: Vec<_> = page.objects.iter().filter_map(ours).collect();
        let removed = many(bucket, &names).await;
        first_error = first_error.or(removed.into_iter().find_map(Result::err));
        next = page.next;
        if next.is_none() {
            return first_error.map_or(Ok(()), Err);
        }
    }
}

/// Up to 1,000 of what is under the prefix.
pub(crate) struct Page {
    pub(crate) objects: Vec<Object>,
    pub(crate) next: Option<String>,
}

impl Page {
    pub(crate) async fn of(bucket: &Bucket, from: Option<String>) -> Result<Self> {
        let list = bucket.client.list_objects_v2().bucket(&bucket.name).prefix(&bucket.prefix);
        let page = bucket.send(Effect::Read, list.set_continuation_token(from).send()).await?;
        Ok(Self { objects: page.contents.unwrap_or_default(), next: page.next_continuation_token })
    }
}
