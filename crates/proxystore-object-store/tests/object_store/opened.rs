//! How connectors are opened, by the program and by references.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutPayload, PutResult,
};
use proxystore_core::{
    Bytes, Connector, ConnectorConfig, ErrorKind, Key, Mode, Origin, PutOptions, Uri, async_trait,
};
use proxystore_object_store::{DRIVER, FromStore, ObjectStoreConfig, ObjectStoreConnector};
use proxystore_store::{Proxy, Registry, Store, Trust};
use proxystore_testkit::sample;

fn registry(trust: Trust) -> Registry {
    let registry = Registry::new();
    registry.install(DRIVER);
    registry.set_trust(trust);
    registry
}

fn moved(proxy: &Proxy<Vec<u8>>) -> Proxy<Vec<u8>> {
    serde_json::from_str(&serde_json::to_string(proxy).unwrap()).unwrap()
}

/// A reference to a store that the program brought along resolves wherever a store of its name and place is.
#[tokio::test]
async fn references_find_a_store_that_was_brought_along() {
    let objects = Arc::new(InMemory::new());
    let open = async |registry: &Registry, uri: &str| {
        let connector =
            ObjectStoreConnector::from_store(objects.clone(), uri.parse().unwrap(), FromStore::default());
        let store = Store::builder("brought").connector(connector.unwrap()).registry(registry);
        store.register().build().await.unwrap()
    };
    let (here, there) = (registry(Trust::Registered), registry(Trust::Registered));
    let store = open(&here, "mine+object:///a").await;
    let proxy = store.proxy(vec![1u8, 2, 3]).await.unwrap();

    let error = there.bind(moved(&proxy)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    open(&there, "mine+object:///a").await;
    assert_eq!(there.bind(moved(&proxy)).await.unwrap().resolve_async().await.unwrap(), &[1, 2, 3]);

    let elsewhere = registry(Trust::Registered);
    open(&elsewhere, "mine+object:///b").await;
    let error = elsewhere.bind(moved(&proxy)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreMismatch, "{error}");
}

/// A store in memory is opened by its name, and elsewhere refused by a sentence.
#[tokio::test]
async fn memory_is_that_of_one_process() {
    let open = async |uri: &str, origin| {
        ObjectStoreConfig::from_uri(&uri.parse::<Uri>().unwrap())?.connect(origin).await
    };
    let error = open("memory:///nobody", Origin::Reference).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unregistered, "{error}");
    let error = open("memory://another/a", Origin::Program).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("another one"), "{error}");

    let store = Store::builder("a").uri("memory:///opened").registry(&registry(Trust::Registered));
    let proxy = store.build().await.unwrap().proxy(vec![5u8]).await.unwrap();
    let reader = registry(Trust::Any);
    assert_eq!(reader.bind(moved(&proxy)).await.unwrap().resolve_async().await.unwrap(), &[5]);
}

/// Where a scheme is not built in, the error names the feature.
#[cfg(not(any(feature = "aws", feature = "gcp", feature = "azure", feature = "http")))]
#[tokio::test]
async fn what_is_not_built_in_is_said() {
    for (uri, feature) in [
        ("gs://bucket", "`gcs`"),
        ("az://account/container", "`azure`"),
        ("s3+object://bucket", "`object-store-s3`"),
        ("https://host/a", "`http`"),
    ] {
        let config = ObjectStoreConfig::from_uri(&uri.parse().unwrap()).unwrap();
        let error = config.connect(Origin::Program).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(feature), "{error}");
    }
}

/// A store that repeats its writes by itself, because it takes the first answer for lost.
#[derive(Debug, Default)]
struct Repeats {
    store: InMemory,
    once: AtomicBool,
}

impl fmt::Display for Repeats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Repeats")
    }
}

#[async_trait]
impl ObjectStore for Repeats {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: object_store::PutOptions,
    ) -> object_store::Result<PutResult> {
        if !self.once.load(Ordering::Relaxed) {
            let _ = self.store.put_opts(path, payload.clone(), options.clone()).await;
        }
        self.store.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.store.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.store.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

/// A store that repeats a create finds its own object, which is told by its bytes; so is the mark of a take.
#[tokio::test]
async fn a_store_that_repeats_meets_itself() {
    let store = Arc::new(Repeats::default());
    let settings = FromStore { versions: true, ..FromStore::default() };
    let connector =
        ObjectStoreConnector::from_store(store.clone(), "mine+object:///r".parse().unwrap(), settings)
            .unwrap();
    let creating = PutOptions { mode: Mode::Create, ..PutOptions::default() };
    let a = Key::parse("a").unwrap();
    for len in [10, 20 << 20] {
        let (mine, other) = (sample::make(1, len), sample::make(2, len));
        connector.put(&a, mine.clone().into(), &creating).await.unwrap();
        let error = connector.put(&a, other.into(), &creating).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
        let taken = connector.take(&a).await.unwrap().map(|taken| taken.into_bytes());
        assert!(taken == Some(mine), "the object is lost");
        assert!(connector.take(&a).await.unwrap().is_none());
    }
    // One that finds another object, of the same length, was too late.
    store.once.store(true, Ordering::Relaxed);
    let put = |text: &'static str| connector.put(&a, Bytes::from(text).into(), &creating);
    put("one").await.unwrap();
    assert_eq!(put("two").await.unwrap_err().kind(), ErrorKind::Exists);
}

/// What a store cannot do is said, and what it has no room for.
#[tokio::test]
async fn what_cannot_be_is_said() {
    let open = |settings| {
        let uri = "mine+object:///c".parse().unwrap();
        ObjectStoreConnector::from_store(Arc::new(InMemory::new()), uri, settings).unwrap()
    };
    let (connector, a) = (open(FromStore::default()), Key::parse("a").unwrap());
    let ttl = PutOptions { ttl: Some(std::time::Duration::from_secs(1)), ..PutOptions::default() };
    let error = connector.put(&a, vec![1].into(), &ttl).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("versions: true"), "{error}");
    assert!(connector.get(&a).await.unwrap().is_none());

    let uri = "mine+object://user:c4n4ry@host/c".parse().unwrap();
    let error =
        ObjectStoreConnector::from_store(Arc::new(InMemory::new()), uri, FromStore::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(!error.to_string().contains("c4n4ry"), "{error}");
}
