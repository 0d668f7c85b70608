//! Any `ObjectStore` as a connector, beside that store: S3 by `object_store`, on the server of `s3.rs`.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use proxystore::Store;
use proxystore::object_store::{FromStore, ObjectStoreConnector};
use proxystore_benches::{Race, Suite};
use proxystore_testkit::s3::{ACCESS_KEY, BUCKET, SECRET_KEY};

use crate::bare::{self, Bare};
use crate::local::Objects;
use crate::ours::{self, keep};
use crate::s3;

const PLACE: &str = "object-store";

pub(crate) fn measure(suite: &mut Suite) {
    let (_server, endpoint) = suite.block_on(s3::start());
    let builder = AmazonS3Builder::new()
        .with_bucket_name(BUCKET)
        .with_region("us-east-1")
        .with_access_key_id(ACCESS_KEY)
        .with_secret_access_key(SECRET_KEY)
        .with_endpoint(endpoint)
        .with_allow_http(true)
        // As the connector has it.
        .with_disable_bulk_delete(true);
    let bucket: Arc<dyn ObjectStore> = Arc::new(builder.build().expect("a client"));
    let store = keep(suite.block_on(open(bucket.clone())).expect("a store"));
    let objects = keep(Objects(Box::new(bucket)));
    for &size in ours::sizes(suite) {
        let value = ours::value(size);
        let (key, name) = (ours::held(suite, store, value), bare::held(suite, objects, value));
        let race = |shape: &str, run| Race::new(PLACE, shape, run).bytes(size);
        suite.run(race("put", ours::put(store, value)).against(Objects::NAME, bare::put(objects, value)));
        suite.run(race("get", ours::get(store, key)).against(Objects::NAME, bare::get(objects, name)));
        suite.block_on(async {
            store.evict(key).await.expect("an evict");
            objects.remove(vec![name.into()]).await;
        });
    }
    suite.run(Race::new(PLACE, "miss", ours::miss(store)));
    suite.block_on(store.close_and_clear()).expect("a close");
}

async fn open(bucket: Arc<dyn ObjectStore>) -> proxystore::Result<Store> {
    let uri = "bench+object:///bucket".parse()?;
    let connector = ObjectStoreConnector::from_store(bucket, uri, FromStore::default())?;
    Store::builder(PLACE).connector(connector).cache_objects(0).populate(false).build().await
}
