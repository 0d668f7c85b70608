//! Buckets in clouds.

use std::str::FromStr;
use std::sync::Arc;

use futures_util::StreamExt;
use object_store::ObjectStore;
#[cfg(feature = "aws")]
use object_store::aws::AmazonS3Builder;
use object_store::signer::Signer;
use proxystore_core::{ConnectorConfig, Error, ErrorKind, Origin, Reach, Result};
use tokio::time::timeout;

use super::{bucket, sweeps};
use crate::ObjectStoreConnector;
use crate::bucket::{Abilities, Bucket, Names};
use crate::config::{Credentials, ObjectStoreConfig, Place};
use crate::error::{self, Effect, Why};
use crate::requests::{Requests, once};

/// A store, and the same as what signs addresses.
pub(crate) type Made = (Arc<dyn ObjectStore>, Arc<dyn Signer>);

pub(crate) type Make = fn(&Place, Requests, signed: bool) -> object_store::Result<Made>;

pub(crate) async fn connector(
    config: &ObjectStoreConfig,
    origin: Origin,
    make: Make,
) -> Result<ObjectStoreConnector> {
    let signed = match config.credentials {
        Some(credentials) => credentials == Credentials::Environment,
        None => origin == Origin::Program,
    };
    let (place, limit, connect) = (config.place.clone(), config.timeout, config.connect_timeout);
    let make = move || {
        let requests = Requests::new(limit, connect).ok()?;
        make(&place, requests, signed).ok()
    };
    // It reads certificates and perhaps keys from files.
    let Ok(Some((store, signer))) = tokio::task::spawn_blocking(make).await else {
        // What the store says of it may quote a key.
        return Err(Error::new(ErrorKind::Config, "the store cannot be made of these settings")
            .hint("look whether the credentials in the environment are whole"));
    };
    let bucket = bucket(config, store, Abilities::of_clouds(), Names::all(config.place.prefix()));
    is_there(&bucket).await?;
    let every = sweeps(config, origin);
    let mut connector = ObjectStoreConnector::new(config.identity(), Reach::Network, bucket, every);
    connector.signer = signed.then_some(signer);
    Ok(connector)
}

/// Looks whether the bucket is there. One may be allowed to read objects, and not to list them.
async fn is_there(bucket: &Bucket) -> Result<()> {
    let mut list = bucket.store.list(bucket.directory().as_ref());
    match timeout(bucket.patience(), list.next()).await {
        Ok(None | Some(Ok(_))) => Ok(()),
        Ok(Some(Err(error))) => match error::failed(&error, Effect::Read) {
            failed if failed.why == Why::Refused => Ok(()),
            failed if failed.why == Why::NoObject => Err(error::no_bucket()),
            failed => Err(failed.error),
        },
        Err(_) => Err(error::late(Effect::Read, bucket.patience())),
    }
}

/// The settings that the environment has under these names, and no others: endpoints are said by the URI.
fn environment<K: FromStr>(names: &[&str]) -> Vec<(K, String)> {
    let of = |name: &&str| Some((name.to_ascii_lowercase().parse().ok()?, std::env::var(name).ok()?));
    names.iter().filter_map(of).collect()
}

#[cfg(feature = "aws")]
pub(super) fn s3(place: &Place, requests: Requests, signed: bool) -> object_store::Result<Made> {
    const KEYS: [&str; 10] = [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_ENDPOINT_URL_STS",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    ];
    let mut builder = s3_builder(place, requests);
    if signed {
        builder = environment(&KEYS)
            .into_iter()
            .fold(builder, |builder, (key, value)| builder.with_config(key, value));
    }
    let store = Arc::new(builder.with_skip_signature(!signed).build()?);
    Ok((store.clone(), store))
}

#[cfg(feature = "aws")]
pub(crate) fn s3_builder(place: &Place, requests: Requests) -> AmazonS3Builder {
    let mut builder = AmazonS3Builder::new().with_retry(once()).with_http_connector(requests);
    // Several servers know no removal of many at once, and for one object it is the dearer request.
    builder = builder.with_disable_bulk_delete(true);
    if let Place::S3 { bucket, region, .. } = place {
        // A bucket with a dot in its name is not covered by the certificate.
        let in_host = place.endpoint().is_none() && !bucket.contains('.');
        builder = builder.with_bucket_name(bucket).with_virtual_hosted_style_request(in_host);
        builder = builder.with_region(region.as_deref().unwrap_or("us-east-1"));
    }
    if let Some(endpoint) = place.endpoint() {
        builder = builder.with_endpoint(endpoint);
    }
    builder
}

#[cfg(feature = "gcp")]
pub(super) fn gcs(place: &Place, requests: Requests, signed: bool) -> object_store::Result<Made> {
    use object_store::StaticCredentialProvider;
    use object_store::gcp::{GcpCredential, GcpSigningCredential, GoogleCloudStorageBuilder};
    const KEYS: [&str; 4] = [
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ];
    let mut builder = GoogleCloudStorageBuilder::new().with_retry(once()).with_http_connector(requests);
    if let Place::Gcs { bucket, .. } = place {
        builder = builder.with_bucket_name(bucket);
    }
    // Also without an endpoint: a file of keys could name another.
    builder = builder.with_base_url(place.endpoint().as_deref().unwrap_or("https://storage.googleapis.com"));
    builder = if signed {
        environment(&KEYS).into_iter().fold(builder, |builder, (key, value)| builder.with_config(key, value))
    } else {
        // Given some, it does not look for others.
        let nothing = GcpCredential { bearer: String::new() };
        let signing = GcpSigningCredential { email: String::new(), private_key: None };
        builder
            .with_credentials(Arc::new(StaticCredentialProvider::new(nothing)))
            .with_signing_credentials(Arc::new(StaticCredentialProvider::new(signing)))
    };
    let store = Arc::new(builder.with_skip_signature(!signed).build()?);
    Ok((store.clone(), store))
}

#[cfg(feature = "azure")]
pub(super) fn azure(place: &Place, requests: Requests, signed: bool) -> object_store::Result<Made> {
    use object_store::azure::MicrosoftAzureBuilder;
    const KEYS: [&str; 11] = [
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_TOKEN",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
        "AZURE_TENANT_ID",
        "AZURE_AUTHORITY_HOST",
        "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_MSI_ENDPOINT",
    ];
    let mut builder = MicrosoftAzureBuilder::new().with_retry(once()).with_http_connector(requests);
    if let Place::Azure { account, container, .. } = place {
        builder = builder.with_account(account).with_container_name(container);
    }
    if let Some(endpoint) = place.endpoint() {
        builder = builder.with_endpoint(endpoint);
    }
    if signed {
        builder = environment(&KEYS)
            .into_iter()
            .fold(builder, |builder, (key, value)| builder.with_config(key, value));
    }
    let store = Arc::new(builder.with_skip_signature(!signed).build()?);
    Ok((store.clone(), store))
}
