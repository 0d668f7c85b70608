//! An object to test with, and managers in this process and in others.

use std::time::Duration;

use futures_util::stream::{self, Stream};
use proxystore_manager::{
    AuthKey, Builder, Context, Limits, Manager, Remote, RemoteError, child_hook, object,
};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Probe {
    total: i64,
}

/// What it says when it does not want to; it points to a witness.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) why: String,
    pub(crate) witness: Option<ProbeProxy>,
}

impl std::fmt::Display for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a probe at {}", self.total)
    }
}

#[object(typeid = "peer.Probe", display)]
impl Probe {
    #[ctor]
    pub(crate) fn new(total: i64) -> Self {
        Self { total }
    }

    fn f(&self) -> String {
        "f()".into()
    }

    /// Fails in its own words.
    fn g(&self) -> Result<(), Refused> {
        Err(Refused { why: "as asked".into(), witness: None })
    }

    #[hidden]
    #[allow(dead_code)]
    fn _h(&self) -> String {
        "_h()".into()
    }

    fn add(&mut self, k: i64) -> i64 {
        self.total += k;
        self.total
    }

    #[idempotent]
    fn get(&self) -> i64 {
        self.total
    }

    fn echo(&self, text: String) -> String {
        text
    }

    fn squares(&self, count: u64) -> impl Stream<Item = u64> + use<> {
        stream::iter((0..count).map(|i| i * i))
    }

    fn child(&self, context: &Context) -> Result<Remote<Self>, RemoteError> {
        context.host(Self { total: self.total })
    }

    /// Fails, and the error holds an object that nobody else has.
    fn accuse(&self, context: &Context) -> Result<(), Refused> {
        let witness = context.host(Self { total: 7 }).ok();
        Err(Refused { why: "as asked".into(), witness })
    }

    fn explode(&self) {
        panic!("as asked");
    }

    /// Of the process that it lives in.
    fn pid(&self) -> u32 {
        std::process::id()
    }
}

pub(crate) fn key() -> AuthKey {
    AuthKey::new("a key that both sides know").unwrap()
}

pub(crate) fn limits() -> Limits {
    Limits { lease: Duration::from_millis(800), grace: Duration::from_millis(200), ..Limits::default() }
}

pub(crate) fn builder() -> Builder {
    Manager::builder().register::<Probe>().authkey(key()).limits(limits())
}

pub(crate) fn address(manager: &Manager) -> String {
    manager.addresses().unwrap()[0].to_string()
}

/// The manager, and a client of it that goes through a session and the codec.
pub(crate) async fn both(manager: Manager) -> [Manager; 2] {
    let home = manager.clone();
    let open = move || {
        let (near, far) = tokio::io::duplex(64 << 10);
        let served = home.serve_stream(far).map_err(std::io::Error::other);
        async move { served.map(|()| near) }
    };
    let client = Manager::connect_over(open, manager.authkey().unwrap()).await.unwrap();
    [manager, client]
}

/// A manager's process: this test binary, at the hook.
#[tokio::test]
async fn manager_process() {
    crate::pinned::initialize().await;
    child_hook(|| Manager::builder().register::<Probe>()).await;
}

/// What [`manager_process`] is started with.
pub(crate) fn manager_command() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["common::manager_process", "--exact", "--nocapture", "--test-threads=1"]);
    command
}

/// A manager in a process of its own.
pub(crate) async fn spawn() -> Manager {
    builder().spawn(manager_command()).await.unwrap()
}

/// Sends a signal. Whether there was such a process.
pub(crate) async fn signal(pid: u32, name: &str) -> bool {
    let mut kill = Command::new("kill");
    kill.args(["-s", name, &pid.to_string()]).stderr(std::process::Stdio::null());
    kill.status().await.unwrap().success()
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let so = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(20 * SECOND, so).await;
    assert!(in_time.is_ok(), "never: {what}");
}

/// Waits until the manager has so many objects.
pub(crate) async fn objects(manager: &Manager, count: usize) {
    until(&format!("{count} objects"), async || manager.stats().await.unwrap().objects == count).await;
}
