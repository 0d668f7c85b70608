//! Servers of any kind, to read from.

use std::sync::Arc;

use object_store::http::HttpBuilder;
use proxystore_core::{ConnectorConfig, Error, ErrorKind, Reach, Result, Uri};

use super::bucket;
use crate::ObjectStoreConnector;
use crate::bucket::{Abilities, Names};
use crate::config::{ObjectStoreConfig, plain};
use crate::requests::{Requests, once};
use crate::signature;

pub(super) async fn connector(config: &ObjectStoreConfig, uri: &Uri) -> Result<ObjectStoreConnector> {
    let bad = || Error::new(ErrorKind::Config, "the address cannot be requested");
    let key = uri.password()?;
    let (mut url, signed) = (plain(uri).ok_or_else(bad)?.to_string(), key.is_some());
    let names = match &key {
        Some(key) => {
            signature::check(key)?;
            url = format!("{url}?{}", key.expose());
            Names::One { path: uri.path().into(), end: signature::end(key) }
        }
        None => Names::all(""),
    };
    let (limit, connect) = (config.timeout, config.connect_timeout);
    let make = move || {
        let requests = Requests::new(limit, connect).ok()?;
        HttpBuilder::new().with_url(url).with_retry(once()).with_http_connector(requests).build().ok()
    };
    // It reads certificates from files.
    let store = tokio::task::spawn_blocking(make).await.ok().flatten().ok_or_else(bad)?;
    // What has a signature lies in a cloud, and the signature is for GET. Of other servers little is known.
    let abilities = Abilities {
        read_only: true,
        versions: false,
        ranges: signed,
        heads: !signed,
        ..Abilities::of_clouds()
    };
    let bucket = bucket(config, Arc::new(store), abilities, names);
    Ok(ObjectStoreConnector::new(config.identity(), Reach::Network, bucket, None))
}
