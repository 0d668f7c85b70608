//! An interface in a crate that both sides share, and its implementation in one of them.

use proxystore_manager::builtin::List;
use proxystore_manager::{
    CallError, Interfaces, Manager, Object, ObjectProxy, Remote, RemoteErrorKind, interface,
};

use crate::common::{CounterProxy, client, limits};

#[interface(typeid = "test.Directory")]
trait Directory {
    #[ctor]
    async fn new(name: String) -> Result<Self, String>
    where
        Self: Sized;

    /// Its name.
    fn name(&self) -> String;

    #[idempotent]
    async fn enter(&mut self, key: String, value: u32) -> Result<Option<u32>, String>;

    #[rename = "find"]
    async fn look_up(&self, key: String) -> Option<u32>;
}

struct Real(String, std::collections::HashMap<String, u32>);

#[interface(typeid = "test.Sized")]
trait Measured {
    fn size(&self) -> usize;

    fn clear(&mut self) -> usize;
}

impl Object for Real {
    type Proxy = DirectoryProxy;

    fn interfaces() -> Interfaces<Self> {
        Interfaces::none().and::<MeasuredProxy>()
    }
}

impl Measured for Real {
    fn size(&self) -> usize {
        self.1.len()
    }

    fn clear(&mut self) -> usize {
        std::mem::take(&mut self.1).len()
    }
}

impl Directory for Real {
    async fn new(name: String) -> Result<Self, String> {
        if name.is_empty() { Err("no name".into()) } else { Ok(Self(name, Default::default())) }
    }

    fn name(&self) -> String {
        self.0.clone()
    }

    async fn enter(&mut self, key: String, value: u32) -> Result<Option<u32>, String> {
        tokio::task::yield_now().await;
        Ok(self.1.insert(key, value))
    }

    async fn look_up(&self, key: String) -> Option<u32> {
        self.1.get(&key).copied()
    }
}

#[tokio::test]
async fn an_interface_has_a_proxy_that_knows_no_implementation() {
    let manager = Manager::builder().register::<Real>().limits(limits()).in_process().unwrap();
    let client = client(&manager).await;
    for manager in [&manager, &client] {
        let directory: Remote<Real> = DirectoryProxy::create(manager, "a".into()).await.unwrap();
        assert_eq!(directory.name().await.unwrap(), "a");
        assert_eq!(directory.enter("k".into(), 1).await.unwrap(), None);
        assert_eq!(directory.enter("k".into(), 2).await.unwrap(), Some(1));
        assert_eq!(directory.look_up("k".into()).await.unwrap(), Some(2));
        let found: Option<u32> = directory.base().call_method::<_, _, ()>("find", &("k",)).await.unwrap();
        assert_eq!(found, Some(2));
        let unnamed = DirectoryProxy::create(manager, String::new()).await;
        assert_eq!(unnamed, Err(CallError::App("no name".into())));
    }
}

#[tokio::test]
async fn an_object_of_another_type_is_refused() {
    let manager = Manager::builder().register::<Real>().limits(limits()).in_process().unwrap();
    let client = client(&manager).await;
    let directory = DirectoryProxy::create(&client, "a".into()).await.unwrap();
    client.publish("it", &directory).await.unwrap();
    let wrong = client.lookup::<CounterProxy>("it").await.unwrap_err();
    assert_eq!(wrong.kind(), RemoteErrorKind::NoSuchType);
    let text = serde_json::to_string(&directory).unwrap();
    let wrong = serde_json::from_str::<CounterProxy>(&text).unwrap_err();
    assert!(wrong.to_string().contains("test.Directory"), "{wrong}");
    let missing = CounterProxy::create(&client, 1).await.unwrap_err();
    assert_eq!(missing.kind(), RemoteErrorKind::NoSuchType);
}

#[tokio::test]
async fn a_proxy_becomes_one_of_another_interface_of_its_object_and_travels_as_that() {
    let manager = Manager::builder().register::<Real>().limits(limits()).in_process().unwrap();
    let client = client(&manager).await;
    for manager in [&manager, &client] {
        let directory = DirectoryProxy::create(manager, "a".into()).await.unwrap();
        directory.enter("k".into(), 1).await.unwrap();
        let measured: MeasuredProxy = directory.base().cast().await.unwrap();
        assert_eq!(measured.size().await, Ok(1));
        // Through a container, and out to another client.
        let shelf = List::<MeasuredProxy>::create(manager).await.unwrap();
        shelf.push(&measured).await.unwrap();
        let same = shelf.get(0).await.unwrap().unwrap();
        assert_eq!(same, measured);
        assert_eq!(same.clear().await, Ok(1));
        // As text, and back to the first interface.
        let text = serde_json::to_string(&same).unwrap();
        let same: MeasuredProxy = serde_json::from_str(&text).unwrap();
        let directory: DirectoryProxy = same.base().cast().await.unwrap();
        assert_eq!(directory.look_up("k".into()).await, Ok(None));
        let wrong = directory.base().cast::<CounterProxy>().await.unwrap_err();
        assert_eq!(wrong.kind(), RemoteErrorKind::NoSuchType);
        assert!(
            wrong.to_string().contains("`test.Directory, test.Sized`, and not `test.Counter`"),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn weak_proxies_stay_weak_when_they_are_cast() {
    let manager = Manager::builder().register::<Real>().limits(limits()).in_process().unwrap();
    let client = client(&manager).await;
    let directory = DirectoryProxy::create(&client, "a".into()).await.unwrap();
    let measured: MeasuredProxy = directory.base().read_only().unwrap().cast().await.unwrap();
    assert_eq!(measured.size().await, Ok(0));
    assert_eq!(measured.clear().await.unwrap_err().kind(), RemoteErrorKind::PermissionDenied);
}
