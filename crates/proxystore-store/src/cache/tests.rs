use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Notify;

use super::*;

fn slot(key: &str) -> Slot {
    Slot { key: Key::parse(key).unwrap(), type_id: TypeId::of::<u32>(), codec: 1, waits: false }
}

fn target(value: u32, bytes: u64) -> Loaded {
    Ok(Some((Arc::new(value), bytes)))
}

fn value(found: Result<Option<AnyTarget>>) -> Option<u32> {
    found.unwrap().map(|target| *target.downcast::<u32>().unwrap())
}

fn begin<F>(load: F) -> (Transfer, impl FnOnce() -> F) {
    (Transfer::default(), move || load)
}

async fn loaded<F>(cache: &Arc<Cache>, slot: Slot, load: impl Fn() -> F) -> Result<Option<AnyTarget>>
where
    F: Future<Output = Loaded> + Send + 'static,
{
    let ask = |context: &mut Context<'_>| cache.ask(&slot, &|| begin(load()), context);
    match poll_fn(|context| Poll::Ready(ask(context))).await? {
        Ok(found) => Ok(found),
        Err(asked) => cache.landed(asked, Duration::from_secs(60), ask).await,
    }
}

/// A flight that is joined, or begun by `load`, in a task of its own.
fn boarded<F>(cache: &Arc<Cache>, load: impl Fn() -> F) -> Arc<Flight>
where
    F: Future<Output = Loaded> + Send + 'static,
{
    match cache.join(&slot("k"), &|| begin(load())).unwrap() {
        Joined::Flight(flight) => {
            flight.share();
            flight
        }
        Joined::Cached(_) => panic!("it is cached"),
    }
}

fn runtime(start_paused: bool) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(start_paused).build().unwrap()
}

/// A load that begins, tells so, and waits to be released.
#[derive(Default)]
struct Gate {
    begun: AtomicUsize,
    ended: AtomicUsize,
    begins: Notify,
    open: Notify,
}

impl Gate {
    async fn load(self: Arc<Self>, result: Loaded) -> Loaded {
        struct Ends(Arc<Gate>);
        impl Drop for Ends {
            fn drop(&mut self) {
                self.0.ended.fetch_add(1, Ordering::SeqCst);
                self.0.begins.notify_waiters();
            }
        }
        let _ends = Ends(self.clone());
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.begins.notify_waiters();
        self.open.notified().await;
        result
    }

    async fn until(&self, count: &AtomicUsize, at_least: usize) {
        loop {
            let changed = self.begins.notified();
            if count.load(Ordering::SeqCst) >= at_least {
                return;
            }
            changed.await;
        }
    }
}

#[tokio::test]
async fn many_callers_cost_one_load_even_if_most_leave() {
    let (cache, gate) = (Cache::new("test", 16, 1 << 20), Arc::new(Gate::default()));
    let mut callers: Vec<_> = (0..1000)
        .map(|_| {
            let (cache, gate) = (cache.clone(), gate.clone());
            tokio::spawn(
                async move { value(loaded(&cache, slot("k"), || gate.clone().load(target(7, 4))).await) },
            )
        })
        .collect();
    gate.until(&gate.begun, 1).await;
    let patient = callers.pop().unwrap();
    for caller in &callers[..900] {
        caller.abort();
    }
    for caller in callers.drain(..900) {
        let _ = caller.await;
    }
    gate.open.notify_one();
    assert_eq!(patient.await.unwrap(), Some(7));
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Some(7));
    }
    assert_eq!(gate.begun.load(Ordering::SeqCst), 1);
    assert!(cache.contains(&slot("k").key));
}

#[tokio::test]
async fn the_last_caller_to_leave_ends_the_load() {
    let (cache, gate) = (Cache::new("test", 16, 1 << 20), Arc::new(Gate::default()));
    for round in 1..=3 {
        let (inner, load) = (cache.clone(), gate.clone());
        let caller =
            tokio::spawn(async move { loaded(&inner, slot("k"), || load.clone().load(target(7, 4))).await });
        gate.until(&gate.begun, round).await;
        caller.abort();
        gate.until(&gate.ended, round).await;
    }
    assert!(cache.flights().is_empty() && !cache.contains(&slot("k").key));
}

#[tokio::test]
async fn an_evict_during_a_load_keeps_the_value_out() {
    let (cache, gate) = (Cache::new("test", 16, 1 << 20), Arc::new(Gate::default()));
    let (inner, load) = (cache.clone(), gate.clone());
    let caller =
        tokio::spawn(
            async move { value(loaded(&inner, slot("k"), || load.clone().load(target(7, 4))).await) },
        );
    gate.until(&gate.begun, 1).await;
    cache.forget(&slot("k").key);
    gate.open.notify_one();
    assert_eq!(caller.await.unwrap(), Some(7));
    assert!(!cache.contains(&slot("k").key));
    // A load that begins after the evict is cached.
    assert_eq!(value(loaded(&cache, slot("k"), || async { target(8, 4) }).await), Some(8));
    assert!(cache.contains(&slot("k").key));
}

#[tokio::test]
async fn absence_older_than_the_question_is_not_believed() {
    let (cache, gate) = (Cache::new("test", 16, 1 << 20), Arc::new(Gate::default()));
    let (inner, load) = (cache.clone(), gate.clone());
    let early =
        tokio::spawn(async move { value(loaded(&inner, slot("k"), || load.clone().load(Ok(None))).await) });
    gate.until(&gate.begun, 1).await;
    // Now the object is put, and somebody asks who knows that.
    let inner = cache.clone();
    let mut late = Box::pin(async move { value(loaded(&inner, slot("k"), || async { target(7, 4) }).await) });
    assert!(tokio::time::timeout(Duration::ZERO, &mut late).await.is_err(), "it joined the load under way");
    gate.open.notify_one();
    assert_eq!(early.await.unwrap(), None);
    assert_eq!(late.await, Some(7));
}

#[tokio::test]
async fn failures_reach_all_and_are_not_cached() {
    let cache = Cache::new("test", 16, 1 << 20);
    let failure = || async { Err(Error::new(ErrorKind::Unavailable, "down")) };
    assert_eq!(loaded(&cache, slot("k"), failure).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(value(loaded(&cache, slot("k"), || async { target(7, 4) }).await), Some(7));
}

#[tokio::test]
async fn a_load_that_panics_is_an_error_and_not_a_hang() {
    let cache = Cache::new("test", 16, 1 << 20);
    let loads = AtomicUsize::new(0);
    let panics = || {
        loads.fetch_add(1, Ordering::SeqCst);
        async { panic!("a decoder that panics") }
    };
    let error = loaded(&cache, slot("k"), panics).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unexpected);
    assert!(loads.load(Ordering::SeqCst) <= 3);
    assert_eq!(value(loaded(&cache, slot("k"), || async { target(7, 4) }).await), Some(7));
}

#[tokio::test]
async fn bounded_by_count_and_by_bytes() {
    let fill = async |cache: &Arc<Cache>, objects: u32, bytes: u64| {
        for i in 0..objects {
            let found =
                loaded(cache, slot(&format!("{bytes}-{i}")), || async move { target(i, bytes) }).await;
            assert_eq!(value(found), Some(i));
        }
        (0..objects).filter(|i| cache.contains(&slot(&format!("{bytes}-{i}")).key)).collect::<Vec<_>>()
    };
    assert_eq!(fill(&Cache::new("test", 16, 1 << 20), 100, 1).await, (84..100).collect::<Vec<_>>());
    assert_eq!(fill(&Cache::new("test", 1000, 1 << 20), 100, 100 << 10).await, (90..100).collect::<Vec<_>>());
    assert_eq!(
        fill(&Cache::new("test", 16, 1 << 20), 2, 1 << 20).await,
        [1],
        "one object may fill the cache"
    );
    assert_eq!(
        fill(&Cache::new("test", 16, 1 << 20), 2, (1 << 20) + 1).await,
        [0u32; 0],
        "a larger one is not kept"
    );
    assert_eq!(fill(&Cache::new("test", 0, 1 << 20), 2, 1).await, [0u32; 0]);
    assert_eq!(fill(&Cache::new("test", 16, 0), 2, 1).await, [0u32; 0]);
}

#[tokio::test]
async fn another_type_or_codec_is_another_load() {
    let cache = Cache::new("test", 16, 1 << 20);
    assert_eq!(value(loaded(&cache, slot("k"), || async { target(7, 4) }).await), Some(7));
    assert!(cache.get(&slot("k")).is_some());
    assert!(cache.get(&Slot { codec: 2, ..slot("k") }).is_none());
    assert!(cache.get(&Slot { type_id: TypeId::of::<u64>(), ..slot("k") }).is_none());
}

#[tokio::test]
async fn a_flight_that_landed_just_before_is_not_repeated() {
    let cache = Cache::new("test", 16, 1 << 20);
    assert_eq!(value(loaded(&cache, slot("k"), || async { target(7, 4) }).await), Some(7));
    // This caller looked into the cache before the value was there, and asks for a load only now.
    let second = loaded(&cache, slot("k"), || async { panic!("a second load") });
    assert_eq!(value(second.await), Some(7));
}

#[test]
fn a_runtime_that_stands_still_keeps_nobody_waiting() {
    let (cache, gate) = (Cache::new("test", 16, 1 << 20), Arc::new(Gate::default()));
    let standing = runtime(false);
    let _flight = standing.block_on(async {
        let flight = boarded(&cache, || gate.clone().load(target(7, 4)));
        gate.until(&gate.begun, 1).await;
        flight
    });
    runtime(true).block_on(async {
        let others = loaded(&cache, slot("k"), || async { target(8, 4) });
        let found = tokio::time::timeout(Duration::from_secs(3600), others).await;
        assert_eq!(value(found.expect("it waits for a runtime that is not driven")), Some(8));
    });
    assert!(cache.contains(&slot("k").key));
}

#[test]
fn a_lost_runtime_costs_those_who_stay_one_more_load() {
    let (cache, gate) = (Cache::new("test", 16, 1 << 20), Arc::new(Gate::default()));
    let lost = runtime(false);
    // Somebody else waits for the lost load, too.
    let _flight = lost.block_on(async { boarded(&cache, || gate.clone().load(target(7, 4))) });
    drop(lost);
    let found = runtime(true).block_on(loaded(&cache, slot("k"), || async { target(8, 4) }));
    assert_eq!(value(found), Some(8));
}

#[tokio::test]
async fn a_load_that_is_being_left_harms_no_load_that_follows() {
    let cache = Cache::new("test", 16, 1 << 20);
    let gates: [Arc<Gate>; 2] = Default::default();
    let first = boarded(&cache, || gates[0].clone().load(target(7, 4)));
    // Its last handle is being dropped, and waits for the lock.
    *cache.flights().get_mut(&slot("k")).unwrap() = Weak::new();
    let second = boarded(&cache, || gates[1].clone().load(target(8, 4)));
    gates[0].open.notify_one();
    let time = Duration::from_secs(60);
    assert_eq!(value(first.landed(Operation::Get, time, false).await.unwrap().unwrap()), Some(7));
    cache.forget(&slot("k").key);
    gates[1].open.notify_one();
    assert_eq!(value(second.landed(Operation::Get, time, false).await.unwrap().unwrap()), Some(8));
    assert!(!cache.contains(&slot("k").key), "an evicted value is cached");
}

#[tokio::test]
async fn who_waits_alone_needs_no_task() {
    let (cache, gate) = (Cache::new("test", 16, 1 << 20), Arc::new(Gate::default()));
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let load = || loaded(&cache, slot("k"), || gate.clone().load(target(7, 4)));
    let (mut first, mut second) = (Box::pin(load()), Box::pin(load()));
    assert!((&mut first).now_or_never().is_none());
    assert_eq!((tasks(), gate.begun.load(Ordering::SeqCst)), (0, 1));
    assert!((&mut second).now_or_never().is_none());
    assert_eq!(tasks(), 1, "the load is still with the first, who may not be polled");
    gate.open.notify_one();
    // The first waits, and is not polled.
    assert_eq!(value(second.await), Some(7));
    assert_eq!(value(first.await), Some(7));
    assert_eq!(gate.begun.load(Ordering::SeqCst), 1);
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn who_brings_a_load_to_its_end_is_not_woken_for_that() {
    let (cache, gate) = (Cache::new("test", 16, 1 << 20), Arc::new(Gate::default()));
    let wakes = Arc::new(Wakes::default());
    let (waker, woken) = (wakes.clone().into(), || wakes.0.load(Ordering::SeqCst));
    let mut context = Context::from_waker(&waker);
    let mut waiting = Box::pin(loaded(&cache, slot("k"), || gate.clone().load(target(7, 4))));
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    assert_eq!(woken(), 0);
    gate.open.notify_one();
    assert_eq!(woken(), 1);
    let Poll::Ready(found) = waiting.as_mut().poll(&mut context) else { panic!("the load has landed") };
    assert_eq!((value(found), woken()), (Some(7), 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_comes_while_it_is_polled_waits_for_nobody_else() {
    let (cache, gate) = (Cache::new("test", 16, 1 << 20), Arc::new(Gate::default()));
    let (polled, joined) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let first = {
        let (cache, gate) = (cache.clone(), gate.clone());
        let (polled, joined) = (polled.clone(), joined.clone());
        let load = move || {
            let (gate, polled, joined) = (gate.clone(), polled.clone(), joined.clone());
            async move {
                polled.wait();
                joined.wait();
                gate.load(target(7, 4)).await
            }
        };
        tokio::task::spawn_blocking(move || {
            let mut first = Box::pin(async move { loaded(&cache, slot("k"), load).await });
            assert!((&mut first).now_or_never().is_none());
            first
        })
    };
    polled.wait();
    let second = boarded(&cache, || async { panic!("a second load") });
    joined.wait();
    let _first = first.await.unwrap();
    gate.open.notify_one();
    let landed = second.landed(Operation::Get, Duration::from_secs(60), false).await;
    assert_eq!(value(landed.unwrap().unwrap()), Some(7));
}
