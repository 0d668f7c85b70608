//! What a request asks for.

use hyper::{HeaderMap, Method, Uri};

/// The kinds of requests that the connector makes.
#[allow(missing_docs, reason = "each is the request of that name")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum On {
    HeadBucket,
    Put,
    Copy,
    Get,
    Head,
    Delete,
    DeleteMany,
    List,
    ListUploads,
    BeginUpload,
    Part,
    CompleteUpload,
    AbortUpload,
    Other,
}

/// The kind of a request with the bucket in its path.
pub(super) fn kind(method: &Method, uri: &Uri, headers: &HeaderMap) -> On {
    let query = uri.query().unwrap_or_default();
    let of_object = uri.path().trim_matches('/').contains('/');
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let upload = has("uploadId");
    match method.as_str() {
        "PUT" if upload => On::Part,
        "PUT" if headers.contains_key("x-amz-copy-source") => On::Copy,
        "PUT" => On::Put,
        "POST" if has("delete") => On::DeleteMany,
        "POST" if has("uploads") => On::BeginUpload,
        "POST" if upload => On::CompleteUpload,
        "DELETE" if upload => On::AbortUpload,
        "DELETE" => On::Delete,
        "GET" if has("uploads") => On::ListUploads,
        "GET" if has("list-type") => On::List,
        "GET" => On::Get,
        "HEAD" if of_object => On::Head,
        "HEAD" => On::HeadBucket,
        _ => On::Other,
    }
}
