//! A password that is put into a store's URI is shown nowhere.

use std::fmt::Debug;

use proxystore::{
    ConnectorConfig, ErrorKind, Json, Key, KeyRing, MsgPack, Postcard, Raw, Registry, Scope, SecretKey,
    Store, StoreConfig, Trust, Uri,
};
use proxystore_testkit::redis::RedisServer;
use serde::{Deserialize, Serialize};

use crate::stores;

const CANARY: &str = "c4n4ry-p4ssw0rd";

/// Collects everything that anybody could print.
#[derive(Default)]
struct Shown(Vec<String>);

impl Shown {
    fn debug(&mut self, what: impl Debug) {
        self.0.push(format!("{what:?}"));
        self.0.push(format!("{what:#?}"));
    }

    fn error(&mut self, error: &proxystore::Error) {
        self.debug(error);
        self.0.push(error.to_string());
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            self.debug(cause);
            self.0.push(cause.to_string());
            source = cause.source();
        }
    }

    fn letter(&mut self, letter: &(impl Debug + Serialize)) {
        self.debug(letter);
        self.0.push(serde_json::to_string(letter).unwrap());
        self.0.push(String::from_utf8_lossy(&postcard::to_allocvec(letter).unwrap()).into());
    }

    fn check(self) {
        assert!(self.0.len() > 10);
        for text in self.0 {
            assert!(!text.contains(CANARY), "{text}");
        }
    }
}

#[tokio::test]
async fn a_password_is_shown_nowhere() {
    let Some(server) = RedisServer::with(&["--requirepass", CANARY]).await else { return };
    let uri = server.uri().replace("redis://", &format!("redis://:{CANARY}@"));
    proxystore::install(Trust::allow([&uri]).unwrap());
    let mut shown = Shown::default();

    let store = Store::builder("secret").uri(&uri).register().build().await.unwrap();
    let proxy = store.proxy(1u8).await.unwrap();
    let config = proxystore::redis::RedisConfig::from_uri(&uri.parse().unwrap()).unwrap();
    shown.debug(&store);
    shown.debug(store.config());
    shown.debug(store.connector());
    shown.debug(store.connector().info());
    shown.debug(&proxy);
    shown.debug(Registry::global());
    shown.debug(&config);
    shown.debug(config.identity());
    shown.debug(Store::builder("b").uri(&uri));
    shown.debug(uri.parse::<Uri>().unwrap());
    shown.debug(store.metrics());
    shown.0.push(uri.parse::<Uri>().unwrap().to_string());
    shown.0.push(serde_json::to_string(&config).unwrap());
    shown.0.push(serde_json::to_string(&proxy).unwrap());
    shown.0.push(serde_json::to_string(store.config()).unwrap());
    shown.0.push(store.config().to_toml().unwrap());
    shown.0.push(String::from_utf8_lossy(&postcard::to_allocvec(&proxy).unwrap()).into());

    let future = store.future::<u8>().await.unwrap();
    let mut owned = store.owned_proxy(1u8).populate(false).await.unwrap();
    shown.debug(store.future::<u8>());
    shown.debug(&future);
    shown.0.push(serde_json::to_string(&future).unwrap());
    shown.debug(store.owned_proxy(1u8));
    shown.debug(&owned);
    shown.debug(owned.borrow());
    shown.debug(owned.borrow_mut());
    shown.debug(Scope::new());
    owned.lend(async |lent| shown.letter(&lent)).await.unwrap();
    owned.lend_mut(async |lent| shown.letter(&lent)).await.unwrap();
    let handover = owned.hand_over().await.unwrap();
    shown.letter(&handover);
    let mut owned = handover.claim().await.unwrap();

    // Errors of every way to fail with it.
    let failing = [
        uri.replace(CANARY, &format!("{CANARY}-wrong")),
        uri.replace("127.0.0.1", "no-such-host.invalid"),
        format!("{uri}?prefx=a"),
        format!("{uri}#fragment"),
        uri.replace("redis://", "rediss://"),
        uri.replace("redis://", "nosuch://"),
        format!("nosuch://h?password={CANARY}"),
        format!("redis://h?password={CANARY}"),
        format!("redis://h?password={CANARY}&via=nosuch"),
        format!("redis://h:1234/{CANARY}@h/0"),
        format!("{uri}/notadb"),
        format!("redis://:{CANARY}@127.0.0.1:1/0"),
    ];
    for uri in &failing {
        let error = Store::builder("x").uri(uri).build().await.unwrap_err();
        assert_ne!(error.kind(), ErrorKind::Unexpected, "{error}");
        shown.error(&error);
    }
    for setting in ["surprise = 1".into(), format!("populate = \"redis://:{CANARY}@h\"")] {
        let toml = format!("name = \"x\"\nuri = \"redis://:{CANARY}@h\"\n{setting}");
        shown.error(&StoreConfig::from_toml(&toml).unwrap_err());
    }
    shown.error(
        &store
            .proxy_from_key::<u8, proxystore::Postcard>(Key::random().unwrap())
            .resolve_async()
            .await
            .unwrap_err(),
    );
    drop(server);
    shown.error(&store.put(&1u8).await.unwrap_err());
    shown.error(&store.get::<u8>(&Key::random().unwrap()).await.unwrap_err());
    shown.error(&store.future::<u8>().await.unwrap_err());
    shown.error(&future.done().await.unwrap_err());
    shown.error(&future.set(&1).await.unwrap_err());
    shown.error(&store.owned_proxy(1u8).await.unwrap_err());
    shown.error(&owned.update(2).await.unwrap_err());
    shown.error(&owned.clone_object().await.unwrap_err());
    shown.error(&owned.lend(async |_| ()).await.unwrap_err());
    shown.error(&handover.claim().await.unwrap_err());
    shown.error(&proxystore::into_owned(proxy).await.unwrap_err());
    let kept = owned.hand_over().await.unwrap_err();
    shown.debug(&kept);
    shown.error(&kept.error);
    shown.debug(kept.owner.evict().await);
    shown.check();
}

/// Who has a ticket or a signature, has what they give: they are in the bytes that travel, and shown nowhere.
#[tokio::test]
async fn what_gives_rights_is_not_shown() {
    let backend = stores::local().await;
    let keys = KeyRing::new(SecretKey::random("k1").unwrap());
    let build = Store::builder("rights").shared_connector(backend.connector.clone()).sign(keys);
    let store = build.build().await.unwrap();
    let hides = |letter: &str, shown: String| {
        let fields: serde_json::Value = serde_json::from_str(letter).unwrap();
        let grant = fields["reference"]["grant"].as_str().unwrap();
        let (ticket, tag) = (fields["ticket"].as_str().unwrap(), grant.rsplit(' ').next().unwrap());
        assert!(!shown.contains(ticket) && !shown.contains(tag), "{shown}");
    };
    macro_rules! hides {
        ($letter:expr) => {
            hides(&serde_json::to_string($letter).unwrap(), format!("{:?} {:#?}", $letter, $letter))
        };
    }
    let mut owned = store.owned_proxy(1u8).await.unwrap();
    owned.lend(async |lent| hides!(&lent)).await.unwrap();
    owned.lend_mut(async |lent| hides!(&lent)).await.unwrap();
    let handover = owned.hand_over().await.unwrap();
    hides!(&handover);
    store.evict(handover.key()).await.unwrap();
    let error = handover.claim().await.unwrap_err();
    hides(&serde_json::to_string(&handover).unwrap(), error.to_string());
}

#[tokio::test]
async fn panics_show_no_secret() {
    let uri: Uri = format!("redis://:{CANARY}@h/0").parse().unwrap();
    let panic = std::panic::catch_unwind(|| panic!("{uri:?} {:?}", uri.password())).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("***") && !text.contains(CANARY), "{text}");
}

/// A number, which refuses every text by quoting it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(try_from = "String")]
struct Quoting;

impl TryFrom<String> for Quoting {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Err(format!("{text} is no number"))
    }
}

#[tokio::test]
async fn a_stored_value_is_not_shown_by_errors() {
    let store = stores::local().await.store("values").await;
    let mut shown = Shown::default();
    macro_rules! refused {
        ($value:expr, $Codec:ty as $($Type:ty),*) => {
            let key = store.put($value).codec::<$Codec>().await.unwrap();
            $( shown.error(&store.get::<$Type>(&key).codec::<$Codec>().await.unwrap_err()); )*
        };
    }
    let text = String::from(CANARY);
    refused!(&text, Json as u32, Quoting, Vec<u32>);
    refused!(&text, MsgPack as u32, Quoting, Vec<u32>);
    refused!(&text, Postcard as u32, Quoting, Vec<u32>);
    refused!(&[CANARY.as_bytes(), &[0xff]].concat(), Raw as String);
    shown.check();
}
