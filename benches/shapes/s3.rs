//! `s3://`, beside the SDK. The server is another process, with all objects in memory.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use futures_util::stream::{self, StreamExt};
use proxystore::s3::{S3Config, S3Connector};
use proxystore::{Bytes, Store};
use proxystore_benches::{Race, Suite};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};

use crate::bare::{self, Bare};
use crate::ours::{self, MANY, keep};

pub(crate) const ROLE: &str = "s3-server";
/// The SDK's best for large objects: parts of this size, so many at once.
const PART: usize = 8 << 20;
const AT_ONCE: usize = 8;
const LARGE: usize = 100 << 20;

/// The server, until nobody listens any more.
pub(crate) fn serve() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let server = S3Server::start().await;
        process::say(&server.endpoint());
        while process::hear().await.is_some() {}
    });
}

/// The server, and where it listens.
pub(crate) async fn start() -> (Role, String) {
    let mut server = Role::spawn(ROLE, &[]);
    let endpoint = server.hear().await.expect("an endpoint");
    (server, endpoint)
}

/// The SDK, one request for each object.
struct Sdk(Client);

impl Bare for Sdk {
    const NAME: &'static str = "aws-sdk-s3";

    async fn put(&'static self, name: String, value: &'static Bytes) {
        let body = ByteStream::from(value.clone());
        self.0.put_object().bucket(BUCKET).key(name).body(body).send().await.expect("a put");
    }

    async fn get(&'static self, name: &'static str) -> impl Send {
        let got = self.0.get_object().bucket(BUCKET).key(name).send().await.expect("a get");
        got.body.collect().await.expect("a body").into_bytes()
    }

    async fn remove(&'static self, names: Vec<String>) {
        for name in names {
            self.0.delete_object().bucket(BUCKET).key(name).send().await.expect("a delete");
        }
    }
}

/// The SDK, asked for the first part of each object, as one asks who does not know how large it is.
struct Beginning(Sdk);

impl Bare for Beginning {
    const NAME: &'static str = "aws-sdk-s3, a range";

    async fn put(&'static self, name: String, value: &'static Bytes) {
        self.0.put(name, value).await;
    }

    async fn get(&'static self, name: &'static str) -> impl Send {
        let get = self.0.0.get_object().bucket(BUCKET).key(name).range(format!("bytes=0-{}", PART - 1));
        get.send().await.expect("a get").body.collect().await.expect("a body").into_bytes()
    }

    async fn remove(&'static self, names: Vec<String>) {
        self.0.remove(names).await;
    }
}

/// The SDK, several requests at once for each object.
struct Parts(Sdk);

impl Bare for Parts {
    const NAME: &'static str = "aws-sdk-s3 in parts";

    async fn put(&'static self, name: String, value: &'static Bytes) {
        let client = &self.0.0;
        let begun =
            client.create_multipart_upload().bucket(BUCKET).key(&name).send().await.expect("an upload");
        let id = begun.upload_id().expect("the id of an upload");
        let part = |number: usize| {
            let end = value.len().min((number + 1) * PART);
            let body = ByteStream::from(value.slice(number * PART..end));
            let upload = client.upload_part().bucket(BUCKET).key(&name).upload_id(id);
            let number = number as i32 + 1;
            let sent = upload.part_number(number).body(body).send();
            async move {
                let tag = sent.await.expect("a part").e_tag;
                CompletedPart::builder().part_number(number).set_e_tag(tag).build()
            }
        };
        let parts = stream::iter(0..value.len().div_ceil(PART)).map(part).buffered(AT_ONCE).collect().await;
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = client.complete_multipart_upload().bucket(BUCKET).key(&name).upload_id(id);
        complete.multipart_upload(parts).send().await.expect("an object");
    }

    async fn get(&'static self, name: &'static str) -> impl Send {
        let client = &self.0.0;
        let head = client.head_object().bucket(BUCKET).key(name).send().await.expect("a head");
        let len = head.content_length().expect("a length") as usize;
        let range = |number: usize| async move {
            let (from, to) = (number * PART, len.min((number + 1) * PART) - 1);
            let get = client.get_object().bucket(BUCKET).key(name).range(format!("bytes={from}-{to}"));
            get.send().await.expect("a range").body.collect().await.expect("a body").into_bytes()
        };
        let mut all = Vec::with_capacity(len);
        let mut ranges = stream::iter(0..len.div_ceil(PART)).map(range).buffered(AT_ONCE);
        while let Some(bytes) = ranges.next().await {
            all.extend_from_slice(&bytes);
        }
        all
    }

    async fn remove(&'static self, names: Vec<String>) {
        self.0.remove(names).await;
    }
}

fn client(endpoint: &str) -> Client {
    let builder = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "benches"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    Client::from_conf(builder.build())
}

async fn open(client: &Client, endpoint: &str) -> proxystore::Result<Store> {
    let endpoint = Some(endpoint.to_owned());
    let config = S3Config { bucket: BUCKET.into(), prefix: "ours".into(), endpoint, ..S3Config::default() };
    let connector = S3Connector::from_client(client, &config).await?;
    Store::builder("s3").connector(connector).cache_objects(0).populate(false).build().await
}

pub(crate) fn measure(suite: &mut Suite) {
    let (_server, endpoint) = suite.block_on(start());
    let store = keep(suite.block_on(open(&client(&endpoint), &endpoint)).expect("a store"));
    let sdk = keep(Sdk(client(&endpoint)));
    let beginning = keep(Beginning(Sdk(client(&endpoint))));
    let parts = keep(Parts(Sdk(client(&endpoint))));
    for &size in ours::sizes(suite) {
        let value = ours::value(size);
        let (key, name) = (ours::held(suite, store, value), bare::held(suite, sdk, value));
        let race = |shape: &str, run| {
            let race = Race::new("s3", shape, run).bytes(size);
            match size {
                LARGE => race.within("P6", Parts::NAME, 1.05).within("P6", Sdk::NAME, 1.05),
                1024 => race.within("P6", Sdk::NAME, 1.1),
                _ => race,
            }
        };
        let put = race("put", ours::put(store, value)).against(Sdk::NAME, bare::put(sdk, value));
        let get = race("get", ours::get(store, key)).against(Sdk::NAME, bare::get(sdk, name));
        if size > PART {
            suite.run(put.against(Parts::NAME, bare::put(parts, value)));
            suite.run(get.against(Parts::NAME, bare::get(parts, name)));
        } else {
            suite.run(put);
            suite.run(get.against(Beginning::NAME, bare::get(beginning, name)));
        }
        suite.block_on(async {
            store.evict(key).await.expect("an evict");
            sdk.remove(vec![name.into()]).await;
        });
    }
    suite.run(Race::new("s3", "miss", ours::miss(store)));
    let value = ours::value(1024);
    let keys = ours::held_many(suite, store, value, MANY);
    suite.run(Race::new("s3", "put 1,000", ours::put_many(store, value)).bytes(1024));
    suite.run(Race::new("s3", "get 1,000", ours::get_many(store, keys)).bytes(1024));
    suite.block_on(store.close_and_clear()).expect("a close");
}
