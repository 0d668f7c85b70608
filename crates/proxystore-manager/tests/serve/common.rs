//! An object to test with.

use std::time::Duration;

use proxystore_manager::{AuthKey, Context, Limits, Manager, RemoteError, RemoteErrorKind, object};

/// What everybody knows who may come in.
pub(crate) const KEY: &str = "a key that both sides know";

#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Counter {
    pub(crate) count: i64,
}

impl std::fmt::Display for Counter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Counter({})", self.count)
    }
}

#[object(typeid = "test.Counter", value, display)]
impl Counter {
    #[ctor]
    fn new(count: i64) -> Self {
        Self { count }
    }

    fn add(&mut self, k: i64) -> Result<i64, String> {
        self.count = self.count.checked_add(k).ok_or("too many")?;
        Ok(self.count)
    }

    #[idempotent]
    fn get(&self) -> i64 {
        self.count
    }

    fn echo(&self, text: String) -> String {
        text
    }

    fn child(&self, context: &Context) -> Result<CounterProxy, RemoteError> {
        context.host(Self { count: self.count })
    }

    fn same(&self, proxies: Vec<CounterProxy>) -> Vec<CounterProxy> {
        proxies
    }

    fn many(&self, context: &Context, count: usize) -> Result<Vec<CounterProxy>, RemoteError> {
        Ok(vec![context.host(Self { count: self.count })?; count])
    }

    async fn sleep(&self, millis: u64) -> i64 {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        self.count
    }
}

pub(crate) fn key() -> AuthKey {
    AuthKey::new(KEY).unwrap()
}

pub(crate) fn limits() -> Limits {
    Limits { lease: Duration::from_secs(10), grace: Duration::from_millis(500), ..Limits::default() }
}

pub(crate) fn builder() -> proxystore_manager::Builder {
    Manager::builder().register::<Counter>().authkey(key()).limits(limits())
}

pub(crate) fn address(manager: &Manager) -> String {
    manager.addresses().unwrap()[0].to_string()
}

/// Why the manager cannot be connected to.
pub(crate) async fn refused(address: &str, key: AuthKey) -> String {
    Manager::connect(address, key).await.unwrap_err().to_string()
}

/// A client in this process that does not know that the manager is here.
pub(crate) async fn client(manager: &Manager) -> Manager {
    let (manager, key) = (manager.clone(), manager.authkey().unwrap());
    let open = move || {
        let (near, far) = tokio::io::duplex(64 << 10);
        std::future::ready(manager.serve_stream(far).map(|()| near).map_err(std::io::Error::other))
    };
    Manager::connect_over(open, key).await.unwrap()
}

/// What a role says of a result.
pub(crate) fn told<T: std::fmt::Debug>(result: Result<T, RemoteError>) -> String {
    result.map_or_else(|error| kind(error.kind()), |value| format!("{value:?}"))
}

pub(crate) fn kind(kind: RemoteErrorKind) -> String {
    format!("{kind:?}")
}
