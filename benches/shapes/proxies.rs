//! Proxies and the cache: what costs no backend anything.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use proxystore::local::LocalConnector;
use proxystore::{Bytes, Key, Proxy, Raw, Store};
use proxystore_benches::{Goal, Race, Run, Suite, Unit, now, once};
use proxystore_testkit::fault::{Fault, FaultConnector, Op};
use tokio::sync::OnceCell;
use tokio::time::sleep;

use crate::ours::{self, keep};

/// What each load of the fan-out takes, at least.
const LOAD: Duration = Duration::from_millis(1);
/// What each of the tasks may cost beyond it.
const EACH: Duration = Duration::from_micros(3);

pub(crate) fn measure(suite: &mut Suite) {
    let store =
        keep(suite.block_on(Store::builder("proxies").uri("local:///proxies").build()).expect("a store"));
    let value = ours::value(1024);

    let proxy: &Proxy<Bytes, Raw> =
        keep(suite.block_on(async { store.proxy(value.clone()).codec().await }).expect("a proxy"));
    let cell = keep(std::sync::OnceLock::from(value.clone()));
    let get =
        Race::new("proxy", "get of a resolved one", now(move || black_box(proxy).get().map(Bytes::len)));
    let get = get.against("OnceLock", now(move || black_box(cell).get().map(Bytes::len)));
    suite.run(get.at_most("P1", Duration::from_nanos(5)));
    suite.run(Race::new("proxy", "resolve of a resolved one", once(move || proxy.resolve_async())));

    let key = ours::held(suite, store, value);
    let moka = keep(moka::sync::Cache::<Key, Arc<Bytes>>::new(16));
    moka.insert(key.clone(), Arc::new(value.clone()));
    let hit = Race::new("proxy", "cache hit", ours::get(store, key));
    let hit = hit.against("moka", now(move || moka.get(black_box(key)).map(|value| value.len())));
    suite.run(hit.at_most("P1", Duration::from_nanos(300)));

    for tasks in [1, 64, 1_024, 10_000] {
        let (ours, faulty) = fan_out(suite, tasks);
        let race = Race::new("proxy", &format!("{tasks} tasks on one, {LOAD:?} load"), ours);
        let race = race.against("OnceCell", cells(tasks));
        suite.run(if tasks == 10_000 { race.at_most("P9", LOAD + EACH * 10_000) } else { race });
        if tasks == 10_000 {
            let gets = suite.block_on(gets(&faulty, tasks));
            suite.count(
                "proxy",
                "gets of 10,000 tasks",
                Unit::Count,
                gets,
                &[Goal { id: "P9", peer: None, target: 1.0 }],
            );
        }
    }
}

/// Tasks that all want the target of one proxy, which nobody has resolved.
fn fan_out(suite: &Suite, tasks: usize) -> (Run, Arc<FaultConnector>) {
    let faulty = FaultConnector::new(Arc::new(LocalConnector::named("fan-out")));
    faulty.every(Op::Get, Fault::Delay(LOAD));
    let name = format!("fan-out-{tasks}");
    let store = Store::builder(name).shared_connector(faulty.clone()).cache_objects(0).build();
    let store = keep(suite.block_on(store).expect("a store"));
    let key = ours::held(suite, store, ours::value(1024));
    let run = once(move || async move { spread(store.proxy_from_key(key.clone()), tasks).await });
    (run, faulty)
}

async fn spread(proxy: Proxy<Bytes, Raw>, tasks: usize) {
    let resolve = |proxy: Proxy<Bytes, Raw>| async move { proxy.resolve_async().await.map(Bytes::len) };
    let tasks: Vec<_> = (0..tasks).map(|_| tokio::spawn(resolve(proxy.clone()))).collect();
    for resolved in join_all(tasks).await {
        resolved.expect("a task").expect("a target");
    }
}

/// How often the backend is asked.
async fn gets(faulty: &Arc<FaultConnector>, tasks: usize) -> f64 {
    let store = Store::builder("counted").shared_connector(faulty.clone()).cache_objects(0).build();
    let store = store.await.expect("a store");
    let key = store.put(ours::value(1024)).codec::<Raw>().await.expect("a put");
    let before = faulty.calls(Op::Get);
    spread(store.proxy_from_key(key), tasks).await;
    (faulty.calls(Op::Get) - before) as f64
}

fn cells(tasks: usize) -> Run {
    once(move || async move {
        let cell = Arc::new(OnceCell::new());
        let load = |cell: Arc<OnceCell<Bytes>>| async move {
            let load = || async {
                sleep(LOAD).await;
                ours::value(1024).clone()
            };
            cell.get_or_init(load).await.len()
        };
        let tasks: Vec<_> = (0..tasks).map(|_| tokio::spawn(load(cell.clone()))).collect();
        for loaded in join_all(tasks).await {
            loaded.expect("a task");
        }
    })
}
