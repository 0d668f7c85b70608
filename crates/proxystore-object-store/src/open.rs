//! How a store comes about at each place.

use object_store::ObjectStore;
use proxystore_core::{ConnectorConfig, Error, ErrorKind, Origin, Reach, Result};

use crate::bucket::{Abilities, Bucket, Names};
use crate::config::{ObjectStoreConfig, Place};
use crate::upload::Uploads;
use crate::{ObjectStoreConnector, space};

#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
pub(crate) mod cloud;
#[cfg(feature = "http")]
mod web;

/// The connector at a place. Looks whether the bucket is there.
pub(crate) async fn connector(config: ObjectStoreConfig, origin: Origin) -> Result<ObjectStoreConnector> {
    match &config.place {
        Place::Memory { name, process } => {
            let store = space::named(name, process.as_deref(), origin)?;
            let abilities = Abilities { ranges: false, ..Abilities::of_clouds() };
            let bucket = bucket(&config, store, abilities, Names::all(""));
            Ok(ObjectStoreConnector::new(config.identity(), Reach::Process, bucket, sweeps(&config, origin)))
        }
        #[cfg(feature = "http")]
        Place::Http { uri } => web::connector(&config, uri).await,
        #[cfg(feature = "aws")]
        Place::S3 { .. } => cloud::connector(&config, origin, cloud::s3).await,
        #[cfg(feature = "gcp")]
        Place::Gcs { .. } => cloud::connector(&config, origin, cloud::gcs).await,
        #[cfg(feature = "azure")]
        Place::Azure { .. } => cloud::connector(&config, origin, cloud::azure).await,
        #[allow(unreachable_patterns, reason = "with all features, nothing is left")]
        place => Err(without_feature(place)),
    }
}

fn bucket(
    config: &ObjectStoreConfig,
    store: std::sync::Arc<dyn ObjectStore>,
    abilities: Abilities,
    names: Names,
) -> Bucket {
    Bucket { store, names, timeout: config.timeout, abilities, uploads: Uploads::default() }
}

fn sweeps(config: &ObjectStoreConfig, origin: Origin) -> Option<std::time::Duration> {
    config.sweep.filter(|_| origin == Origin::Program)
}

fn without_feature(place: &Place) -> Error {
    let (scheme, feature, own) = match place {
        Place::S3 { .. } => ("s3+object", "object-store-s3", "aws"),
        Place::Gcs { .. } => ("gs", "gcs", "gcp"),
        Place::Azure { .. } => ("az", "azure", "azure"),
        _ => ("http", "http", "http"),
    };
    Error::new(ErrorKind::Unsupported, format!("this program is built without `{scheme}://`")).hint(format!(
        "enable the Cargo feature `{feature}` of proxystore, or `{own}` of proxystore-object-store"
    ))
}

impl Abilities {
    /// What a bucket in a cloud can do, by requests of our own.
    fn of_clouds() -> Self {
        Self { read_only: false, versions: true, ranges: true, heads: true, repeats: false, ours: true }
    }
}

impl Names {
    /// All names that begin with the prefix.
    fn all(prefix: &str) -> Self {
        let before = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self::Keys { before, behind: "" }
    }
}
