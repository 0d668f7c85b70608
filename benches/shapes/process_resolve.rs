//! Another process, which resolves the references that it is sent.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proxystore::{Bytes, Key, Proxy, Raw, Store};
use proxystore_benches::{Run, Suite, reported};
use proxystore_testkit::process::{self, Role};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

pub(crate) const ROLE: &str = "elsewhere";

/// Does what each line says, and answers with the nanoseconds that it took.
pub(crate) fn play() {
    proxystore::install(proxystore::Trust::Any);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        while let Some(line) = process::hear().await {
            // In a task, as programs do.
            let took = tokio::spawn(async move { work(&line).await }).await.expect("the work");
            process::say(&took.as_nanos().to_string());
        }
    });
}

async fn work(line: &str) -> Duration {
    let (verb, rest) = line.split_once(' ').expect("a verb");
    let start = Instant::now();
    match verb {
        "open" => {
            let (name, uri) = rest.split_once(' ').expect("a name and a place");
            let store = Store::builder(name).uri(uri).cache_objects(0).register();
            store.build().await.expect("a store");
        }
        "resolve" => {
            let proxy: Proxy<Bytes, Raw> = serde_json::from_str(rest).expect("a reference");
            proxy.resolve_async().await.expect("a target");
        }
        "read" => {
            let path = rest.to_owned();
            spawn_blocking(|| std::fs::read(path)).await.expect("a thread").expect("a read");
        }
        "redis" => {
            let (port, name) = rest.split_once(' ').expect("a port and a name");
            return crate::redis::elsewhere(port, name).await;
        }
        _ => unreachable!("nobody says {verb}"),
    }
    start.elapsed()
}

/// A process that plays this role.
#[derive(Clone)]
pub(crate) struct Elsewhere(Arc<Mutex<Role>>);

impl Elsewhere {
    /// It has this store, and keeps none of its objects.
    pub(crate) fn start(suite: &Suite, store: &Store) -> Self {
        let open = format!("open {} {}", store.name(), store.config().uri);
        suite.block_on(async {
            let mut role = Role::spawn(ROLE, &[]);
            role.say(&open).await;
            role.hear().await.expect("a store elsewhere");
            Self(Arc::new(Mutex::new(role)))
        })
    }

    pub(crate) fn resolve(&self, store: &'static Store, key: &'static Key) -> Run {
        let proxy = store.proxy_from_key::<Bytes, Raw>(key.clone());
        self.ask(format!("resolve {}", serde_json::to_string(&proxy).expect("a reference")))
    }

    pub(crate) fn read(&self, path: &Path) -> Run {
        self.ask(format!("read {}", path.display()))
    }

    pub(crate) fn ask(&self, line: String) -> Run {
        let (role, line) = (self.0.clone(), Arc::new(line));
        reported(move || {
            let (role, line) = (role.clone(), line.clone());
            async move {
                let mut role = role.lock().await;
                role.say(&line).await;
                let nanos = role.hear().await.and_then(|nanos| nanos.parse().ok());
                Duration::from_nanos(nanos.expect("an answer"))
            }
        })
    }
}
