//! Objects in memory, with the conditions of S3 checked and applied in one step.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use futures_util::TryStreamExt;
use proxystore_core::{Bytes, Id};
use s3s::crypto::{Checksum, Md5};
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

/// All objects and uploads.
#[derive(Debug, Clone)]
pub(super) struct Memory(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    buckets: HashMap<String, BTreeMap<String, Stored>>,
    uploads: BTreeMap<String, Upload>,
}

#[derive(Debug, Clone)]
struct Stored {
    bytes: Bytes,
    etag: ETag,
    metadata: Option<Metadata>,
    modified: SystemTime,
}

#[derive(Debug)]
struct Upload {
    bucket: String,
    name: String,
    metadata: Option<Metadata>,
    parts: BTreeMap<i32, (ETag, Bytes)>,
    begun: SystemTime,
}

/// The smallest part but the last.
const MIN_PART: usize = 5 << 20;
/// The most entries of a list.
const PAGE: usize = 1000;

impl Memory {
    pub(super) fn new(bucket: &str) -> Self {
        let buckets = HashMap::from([(bucket.to_owned(), BTreeMap::new())]);
        Self(Arc::new(Mutex::new(State { buckets, uploads: BTreeMap::new() })))
    }

    pub(super) fn uploads(&self) -> usize {
        self.lock().uploads.len()
    }

    pub(super) fn objects(&self, bucket: &str) -> Vec<String> {
        self.lock().buckets[bucket].keys().cloned().collect()
    }

    pub(super) fn begun_before(&self, time: SystemTime) {
        self.lock().uploads.values_mut().for_each(|upload| upload.begun = upload.begun.min(time));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        super::lock(&self.0)
    }
}

impl State {
    fn bucket(&mut self, name: &str) -> S3Result<&mut BTreeMap<String, Stored>> {
        self.buckets.get_mut(name).ok_or_else(|| s3_error!(NoSuchBucket))
    }

    fn object(&mut self, bucket: &str, name: &str) -> S3Result<Stored> {
        self.bucket(bucket)?.get(name).cloned().ok_or_else(|| s3_error!(NoSuchKey))
    }

    fn upload(&mut self, id: &str) -> S3Result<&mut Upload> {
        self.uploads.get_mut(id).ok_or_else(|| s3_error!(NoSuchUpload))
    }

    /// Writes an object if the conditions hold.
    fn write(
        &mut self,
        bucket: &str,
        name: &str,
        stored: Stored,
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> S3Result<()> {
        let objects = self.bucket(bucket)?;
        let there = objects.get(name);
        if if_none_match.is_some_and(|condition| there.is_some_and(|there| holds(condition, there))) {
            return Err(s3_error!(PreconditionFailed));
        }
        match (if_match, there) {
            (None, _) => {}
            (Some(_), None) => return Err(s3_error!(NoSuchKey)),
            (Some(condition), Some(there)) if holds(condition, there) => {}
            _ => return Err(s3_error!(PreconditionFailed)),
        }
        objects.insert(name.to_owned(), stored);
        Ok(())
    }
}

fn holds(condition: &ETagCondition, there: &Stored) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == there.etag.value(),
    }
}

fn etag(bytes: &[u8], suffix: &str) -> ETag {
    let digest = Md5::checksum(bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    ETag::Strong(hex + suffix)
}

fn size(bytes: &Bytes) -> Option<i64> {
    i64::try_from(bytes.len()).ok()
}

async fn read(body: Option<StreamingBlob>, expected: Option<i64>) -> S3Result<Bytes> {
    let mut bytes =
        Vec::with_capacity(expected.and_then(|len| usize::try_from(len).ok()).unwrap_or_default());
    if let Some(mut body) = body {
        while let Some(chunk) = body.try_next().await.map_err(|_| s3_error!(IncompleteBody))? {
            bytes.extend_from_slice(&chunk);
        }
    }
    match expected {
        Some(expected) if expected != bytes.len() as i64 => Err(s3_error!(IncompleteBody)),
        _ => Ok(bytes.into()),
    }
}

#[async_trait::async_trait]
impl S3 for Memory {
    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.lock().bucket(&req.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = req.input;
        let bytes = read(input.body, input.content_length).await?;
        let etag = etag(&bytes, "");
        let stored =
            Stored { bytes, etag: etag.clone(), metadata: input.metadata, modified: SystemTime::now() };
        let conditions = (input.if_match.as_ref(), input.if_none_match.as_ref());
        self.lock().write(&input.bucket, &input.key, stored, conditions.0, conditions.1)?;
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(etag), ..Default::default() }))
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let condition =
            req.headers.get("if-match").map(|header| ETagCondition::parse_http_header(header.as_bytes()));
        let condition = condition.transpose().map_err(|_| s3_error!(InvalidArgument))?;
        let input = req.input;
        let CopySource::Bucket { bucket, key, .. } = &input.copy_source else {
            return Err(s3_error!(NotImplemented));
        };
        let mut state = self.lock();
        let source = state.object(bucket, key)?;
        if !input.copy_source_if_match.as_ref().is_none_or(|condition| holds(condition, &source)) {
            return Err(s3_error!(PreconditionFailed));
        }
        let replaces = input
            .metadata_directive
            .is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
        let etag = etag(&source.bytes, "");
        let metadata = if replaces { input.metadata } else { source.metadata };
        let copy = Stored { bytes: source.bytes, etag: etag.clone(), metadata, modified: SystemTime::now() };
        state.write(&input.bucket, &input.key, copy, condition.as_ref(), None)?;
        let copied = CopyObjectResult { e_tag: Some(etag), ..Default::default() };
        Ok(S3Response::new(CopyObjectOutput { copy_object_result: Some(copied), ..Default::default() }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        let there = self.lock().object(&input.bucket, &input.key)?;
        if !input.if_match.as_ref().is_none_or(|condition| holds(condition, &there)) {
            return Err(s3_error!(PreconditionFailed));
        }
        let len = there.bytes.len();
        let (bytes, content_range) = match input.range {
            None => (there.bytes.clone(), None),
            Some(range) => {
                let range = range.check(len as u64)?;
                let told = format!("bytes {}-{}/{len}", range.start, range.end - 1);
                (there.bytes.slice(range.start as usize..range.end as usize), Some(told))
            }
        };
        let content_length = size(&bytes);
        Ok(S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::from(s3s::Body::from(bytes))),
            content_length,
            content_range,
            e_tag: Some(there.etag),
            metadata: there.metadata,
            last_modified: Some(there.modified.into()),
            ..Default::default()
        }))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let there = self.lock().object(&req.input.bucket, &req.input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: size(&there.bytes),
            e_tag: Some(there.etag),
            metadata: there.metadata,
            last_modified: Some(there.modified.into()),
            ..Default::default()
        }))
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = req.input;
        let mut state = self.lock();
        let objects = state.bucket(&input.bucket)?;
        if let (Some(condition), Some(there)) = (&input.if_match, objects.get(&input.key))
            && !holds(condition, there)
        {
            return Err(s3_error!(PreconditionFailed));
        }
        objects.remove(&input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = req.input;
        if input.delete.objects.len() > PAGE {
            return Err(s3_error!(MalformedXML));
        }
        let mut state = self.lock();
        let objects = state.bucket(&input.bucket)?;
        input.delete.objects.iter().for_each(|object| drop(objects.remove(&object.key)));
        Ok(S3Response::new(DeleteObjectsOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        let prefix = input.prefix.unwrap_or_default();
        let after = input.continuation_token.unwrap_or_default();
        let mut state = self.lock();
        let names = state.bucket(&input.bucket)?.iter();
        let mut all = names.filter(|(name, _)| name.starts_with(&prefix) && **name > after);
        let contents: Vec<_> = all
            .by_ref()
            .take(PAGE)
            .map(|(name, there)| Object {
                key: Some(name.clone()),
                e_tag: Some(there.etag.clone()),
                size: size(&there.bytes),
                last_modified: Some(there.modified.into()),
                ..Default::default()
            })
            .collect();
        let next = all.next().and(contents.last().and_then(|last| last.key.clone()));
        Ok(S3Response::new(ListObjectsV2Output {
            is_truncated: Some(next.is_some()),
            next_continuation_token: next,
            contents: Some(contents),
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = req.input;
        let id = Id::random().map_err(|_| s3_error!(InternalError))?.to_string();
        let mut state = self.lock();
        state.bucket(&input.bucket)?;
        let upload = Upload {
            bucket: input.bucket,
            name: input.key,
            metadata: input.metadata,
            parts: BTreeMap::new(),
            begun: SystemTime::now(),
        };
        state.uploads.insert(id.clone(), upload);
        Ok(S3Response::new(CreateMultipartUploadOutput { upload_id: Some(id), ..Default::default() }))
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let input = req.input;
        self.lock().upload(&input.upload_id)?;
        let bytes = read(input.body, input.content_length).await?;
        let etag = etag(&bytes, "");
        self.lock().upload(&input.upload_id)?.parts.insert(input.part_number, (etag.clone(), bytes));
        Ok(S3Response::new(UploadPartOutput { e_tag: Some(etag), ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = req.input;
        let mut state = self.lock();
        let upload = state.upload(&input.upload_id)?;
        let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let (mut bytes, mut etags) = (Vec::new(), Vec::new());
        bytes.reserve_exact(upload.parts.values().map(|(_, part)| part.len()).sum());
        for (i, part) in named.iter().enumerate() {
            let there = part.part_number.and_then(|number| upload.parts.get(&number));
            let (etag, part_bytes) = there.ok_or_else(|| s3_error!(InvalidPart))?;
            if part.e_tag.as_ref().is_none_or(|named| named.value() != etag.value()) {
                return Err(s3_error!(InvalidPart));
            }
            if i + 1 < named.len() && part_bytes.len() < MIN_PART {
                return Err(s3_error!(EntityTooSmall));
            }
            bytes.extend_from_slice(part_bytes);
            etags.extend_from_slice(etag.value().as_bytes());
        }
        let etag = etag(&etags, &format!("-{}", named.len()));
        let (bucket, name, metadata) = (upload.bucket.clone(), upload.name.clone(), upload.metadata.clone());
        let stored =
            Stored { bytes: bytes.into(), etag: etag.clone(), metadata, modified: SystemTime::now() };
        state.write(&bucket, &name, stored, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        state.uploads.remove(&input.upload_id);
        Ok(S3Response::new(CompleteMultipartUploadOutput { e_tag: Some(etag), ..Default::default() }))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let mut state = self.lock();
        state.upload(&req.input.upload_id)?;
        state.uploads.remove(&req.input.upload_id);
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = req.input;
        let prefix = input.prefix.unwrap_or_default();
        let state = self.lock();
        let ours = state.uploads.iter();
        let ours =
            ours.filter(|(_, upload)| upload.bucket == input.bucket && upload.name.starts_with(&prefix));
        let uploads = ours.map(|(id, upload)| MultipartUpload {
            key: Some(upload.name.clone()),
            upload_id: Some(id.clone()),
            initiated: Some(upload.begun.into()),
            ..Default::default()
        });
        let uploads = Some(uploads.collect());
        Ok(S3Response::new(ListMultipartUploadsOutput {
            uploads,
            is_truncated: Some(false),
            ..Default::default()
        }))
    }
}
