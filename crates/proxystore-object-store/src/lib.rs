//! Objects in any store that the crate [`object_store`] knows, by the same contract as everywhere.
//!
//! | URI | objects | feature |
//! | --- | --- | --- |
//! | `memory:///name` | in the memory of this process | |
//! | `gs://bucket/prefix` | in Google Cloud Storage | `gcp` |
//! | `az://account/container/prefix` | in Azure Blob Storage | `azure` |
//! | `s3+object://bucket/prefix` | in S3 and what speaks its protocol; see `s3://` for more of it | `aws` |
//! | `https://host/path`, `http://host/path` | on any server, to read from | `http` |
//!
//! Any other store is brought along by the program: [`ObjectStoreConnector::from_store`].
//!
//! ```
//! use proxystore_core::{Connector, ConnectorConfig, Origin};
//! use proxystore_object_store::ObjectStoreConfig;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
//! let config = ObjectStoreConfig::from_uri(&"memory:///frames".parse()?)?; // or gs://bucket/frames
//! let connector = config.connect(Origin::Program).await?;
//! let key = connector.new_key(Default::default())?;
//! connector.put(&key, b"an object".as_slice().into(), &Default::default()).await?;
//! assert_eq!(connector.get(&key).await?.map(|object| object.len()), Some(9));
//! # Ok(()) }
//! ```
//!
//! | option | meaning | default |
//! | --- | --- | --- |
//! | `region` | of `s3+object://`, the bucket's region; part of the identity | `us-east-1` |
//! | `endpoint` | another server than the cloud's own, `https://host:port`; part of the identity | |
//! | `credentials` | what signs: `environment` or `anonymous` | `environment`, for what the program opens |
//! | `timeout` | deadline of a request's answer, and of each next 16 KiB while bytes move | `10s` |
//! | `connect_timeout` | deadline of a connection's set-up | `3s` |
//! | `sweep` | how often expired objects are removed, or `off` | `1h` |
//!
//! `http://` has the two times alone, and `memory://` no options.
//!
//! # What each can do
//!
//! | | reach | create | ttl, take | sign addresses |
//! | --- | --- | --- | --- | --- |
//! | `gs://`, `az://`, `s3+object://` | network | yes | yes | yes |
//! | `memory://` | process | yes | yes | no |
//! | `http://` | network | read only | no | no |
//! | a store of yours | as you say | as it can | if it has versions | if it has a signer |
//!
//! A *create* is one request on the condition that nothing is there. *Times to live* are metadata (`proxystoreexpires`,
//! milliseconds since 1970), so that every operation finds an expired object absent; its space is freed by a sweep. A
//! *touch* reads the object and writes it anew, on the condition that it is still the same. A *take* reads it and puts a
//! mark in its place on that condition, which is removed at once. Stores of this kind know no conditional removal: if
//! another writer puts an object under the same key in the instant of a take or a sweep, it may be removed with the mark.
//! Under keys of their own, as stores use, this does not happen.
//!
//! # Credentials
//!
//! Keys are never part of a URI, a configuration or a reference. What the program itself opens is signed by what the
//! environment has:
//!
//! - S3: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, web identity, the role of a container or
//!   machine. Profiles are not read; `s3://` does so.
//! - Google: `GOOGLE_SERVICE_ACCOUNT`, `GOOGLE_SERVICE_ACCOUNT_KEY`, `GOOGLE_APPLICATION_CREDENTIALS`, the default
//!   credentials of the machine.
//! - Azure: `AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_STORAGE_SAS_TOKEN`, `AZURE_CLIENT_ID` and its secret or federated token,
//!   the managed identity of the machine.
//!
//! A store that a *reference* from elsewhere names is opened without any, unless the trust rule that allows it says
//! otherwise: `Trust::allow(["gs://models/team-a?credentials=environment"])`. Regions and endpoints of the environment
//! change nothing, and redirects are not followed: what a URI does not say, a reader elsewhere would not know.
//!
//! # Readers without credentials
//!
//! `presign` gives the address of one object with a signature, which everybody can read for some time, and
//! `Stored::presigned` a proxy that has it in its reference: whoever receives it needs the feature `http` and a rule of
//! trust, and no credentials.
//!
//! ```no_run
//! # #[cfg(feature = "_requests")]
//! # async fn hand_out(
//! #     connector: proxystore_object_store::ObjectStoreConnector,
//! #     proxy: proxystore_store::Proxy<Vec<u8>>,
//! # ) -> proxystore_core::Result<proxystore_store::Proxy<Vec<u8>>> {
//! # use std::time::Duration;
//! # use proxystore_store::Proxy;
//! let address = connector.presign(proxy.factory().key(), Duration::from_secs(600)).await?;
//! let handed: Proxy<Vec<u8>> = Proxy::new(proxy.factory().presigned(address.uri()).await?);
//! # Ok(handed) }
//! ```
//!
//! Such a reference is a secret as the signature in it is. No other reference has one.
//!
//! # Large objects
//!
//! Above 16 MiB an object goes up by parts of 8 MiB, up to eight at once, and above 8 MiB it comes down by ranges of the
//! same size. What breaks is resumed where it broke, if the object is still the same version. A create is one request
//! whatever the size, and so is a touch: the largest object is 5,000 MiB. If the future of a put is dropped, what has gone
//! up is removed in the background, and [`close`](proxystore_core::Connector::close) waits for that; of a process that
//! dies, or where the answer to the beginning of an upload is lost, it stays: let the bucket *abort incomplete multipart
//! uploads after 1 day*. Azure does so by itself after a week.
//!
//! # Costs
//!
//! | operation | requests |
//! | --- | --- |
//! | put | 1; above 16 MiB one per 8 MiB, and 2 |
//! | get | 1; above 8 MiB one per 8 MiB |
//! | exists | 1 |
//! | touch | a get and a put |
//! | take | a get, a put, a removal |
//! | evict, evict many | 1 for each object; Azure: 1 for 256 |
//! | sweep | 1 for a thousand objects, and 1 for each that was not seen before |
//! | watch | none: it never wakes, and waiters poll |

mod bucket;
mod config;
mod connector;
mod download;
mod error;
mod expiry;
mod open;
#[cfg(feature = "_requests")]
mod presigned;
mod remove;
#[cfg(feature = "_requests")]
mod requests;
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
mod retry;
#[cfg(feature = "http")]
mod signature;
mod space;
mod sweep;
#[cfg(all(test, feature = "aws"))]
mod tests;
mod upload;

pub use config::{Credentials, ObjectStoreConfig, Place};
pub use connector::{FromStore, ObjectStoreConnector};
#[cfg(feature = "_requests")]
pub use presigned::Presigned;

/// Serves `gs://`, `az://`, `s3+object://`, `http://`, `https://` and `memory://`.
pub const DRIVER: proxystore_core::Driver = proxystore_core::Driver::of::<ObjectStoreConfig>();
