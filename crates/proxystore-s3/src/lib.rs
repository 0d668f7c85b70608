//! `s3://`: objects in S3 and what speaks its protocol, for whoever reaches the server over the network.
//!
//! `s3://bucket/prefix` is the bucket `bucket`, which must be there, and in it all names that begin with `prefix/`. An
//! object is one of S3's, its bytes as they are.
//!
//! | option | meaning | default |
//! | --- | --- | --- |
//! | `region` | the bucket's region; part of the identity | that of the environment or profile, or `us-east-1` |
//! | `endpoint` | another server than AWS, `https://host:port`; part of the identity | |
//! | `path_style` | the bucket stands in the path, not in the host's name; part of the identity | `true` with an endpoint |
//! | `profile` | the profile of the AWS configuration files that signs | the AWS chain |
//! | `anonymous` | nothing signs: public buckets | `false` |
//! | `checksum` | checksums of the protocol: `supported` (wherever there are some) or `required` | `required` with an endpoint |
//! | `timeout` | deadline of a request's answer, and of each next 16 KiB while bytes move | `10s` |
//! | `connect_timeout` | deadline of a connection's set-up | `3s` |
//! | `sweep` | how often expired objects and abandoned uploads are removed, or `off` | `1h` |
//!
//! ```no_run
//! use proxystore_core::{Connector, ConnectorConfig, Origin};
//! use proxystore_s3::S3Config;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> proxystore_core::Result<()> {
//! let uri = "s3://models/team-a?region=eu-west-1".parse()?;
//! let connector = S3Config::from_uri(&uri)?.connect(Origin::Program).await?;
//! let key = connector.new_key(Default::default())?;
//! connector.put(&key, b"an object".as_slice().into(), &Default::default()).await?;
//! assert_eq!(connector.get(&key).await?.map(|object| object.len()), Some(9));
//! # Ok(()) }
//! ```
//!
//! Others write, for example: Cloudflare R2 `s3://bucket/p?endpoint=https://<account>.r2.cloudflarestorage.com&region=auto`,
//! MinIO `s3://bucket/p?endpoint=http://127.0.0.1:9000`. With an endpoint, the checksums of recent years, which some
//! servers refuse, are left out; the store's own digest covers every object in any case. The server must know
//! `If-None-Match: *` and `If-Match` of a put (AWS since 2024, R2, MinIO): where it silently ignores them, a create or
//! take may have two winners. Where it ignores `If-Match` of a copy or a removal, a touch that meets an overwrite may undo
//! it, and a sweep may remove an object that is put in the place of an expired one in the same instant; under keys of
//! their own, as stores use, neither happens.
//!
//! # Credentials
//!
//! Keys are never part of a URI, a configuration or a reference. What the program itself opens is signed by what the AWS
//! chain finds: environment, default profile, web identity, the role of the container or machine. A store that a
//! *reference* from elsewhere names is not: its requests bear no signature, so that nobody can have this process's rights
//! used at a place of their choice, unless the trust rule that allows it names a profile:
//! `Trust::allow(["s3://models/team-a?region=eu-west-1&profile=reader"])`. Redirects are not followed, and the variable
//! `AWS_ENDPOINT_URL` changes nothing: what a URI does not say, a reader elsewhere would not know.
//!
//! Needed are `s3:GetObject`, `s3:PutObject`, `s3:DeleteObject`, `s3:AbortMultipartUpload` on `bucket/prefix/*`, and
//! `s3:ListBucket`, `s3:ListBucketMultipartUploads` on the bucket. Readers need the first and `s3:ListBucket`: without
//! it, S3 answers for what is absent as for what is forbidden, and so does the connector.
//!
//! # Time, and the rules to set
//!
//! An object with a time to live carries its end as metadata (`proxystore-expires`, milliseconds since 1970), in the
//! same write: from then on every operation finds it absent. Writers and readers go by their own clocks, which differ by
//! less than 15 minutes, or else S3 refuses them. Its space is freed by the next sweep of any connector that the program
//! itself opened, which asks for the metadata of each version of an object once. Many processes share the work if each
//! sweeps rarely; or let one do it, and the others say `sweep=off`.
//!
//! Where the last process may die for good, let S3 clean up, by two lifecycle rules of the bucket for the prefix: *abort
//! incomplete multipart uploads after 1 day*, and where all objects have a time to live, *expire current versions* after
//! more days than the longest of these. In a bucket with versions, removed objects stay as old versions: add *permanently
//! delete noncurrent versions*, and *delete expired object delete markers*.
//!
//! # Large objects
//!
//! Above 16 MiB an object goes up by parts of 8 MiB, up to eight at once, and above 8 MiB it comes down by ranges of the
//! same size. A broken answer is resumed where it broke, if the object is still the same version; a length that is not
//! the one that was told is never an object. Nothing is seen of an upload before it is complete. If its future is dropped
//! it is aborted in the background, and [`close`](proxystore_core::Connector::close) waits for that; uploads of dead
//! processes are aborted by a sweep when they are a day old. Memory: the object itself and some MiB of buffers; of what goes
//! from a file or into one (`put_file`, `get_file`) only the eight parts or ranges on their way. The largest
//! object is 5 GiB: that is what S3 copies in one step, and a copy onto itself is how a touch changes the metadata.
//!
//! # Costs
//!
//! | operation | requests | at AWS's list price, of a million |
//! | --- | --- | --- |
//! | put | 1 PUT; above 16 MiB one per 8 MiB, and 2 (create: 3) | $5 |
//! | get | 1 GET per 8 MiB | $0.40 |
//! | exists | 1 HEAD | $0.40 |
//! | touch | 1 HEAD, 1 COPY | $5.40 |
//! | take | 1 GET per 8 MiB, 1 PUT, 1 DELETE | $5.40 |
//! | evict, evict many | 1 DELETE, or 1 for a thousand | free |
//! | watch | none: it never wakes, and waiters poll | |
//! | sweep of a million objects | 1,000 LIST; 1 HEAD for each that was not seen before | $0.01, and at first $0.40 |

mod body;
mod bucket;
mod buffers;
mod client;
mod config;
mod connector;
mod download;
mod error;
mod expiry;
mod remove;
mod sweep;
mod upload;

pub use config::{Checksum, Credentials, S3Config};
pub use connector::S3Connector;
pub use sweep::Swept;

/// Serves `s3://`.
pub const DRIVER: proxystore_core::Driver = proxystore_core::Driver::of::<S3Config>();
