use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::Notify;

use super::*;

fn slot(key: &str) -> Slot {
    Slot { key: Key::parse(key).unwrap(), type_id: TypeId::of::<u32>(), codec: 1 }
}

fn target(value: u32, bytes: u64) -> Loaded {
    Ok(Some((Arc::new(value), bytes)))
}

fn value(found: Result<Option<AnyTarget>>) -> Option<u32> {
    found.unwrap().map(|target| *target.downcast::<u32>().unwrap())
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
    let (cache, gate) = (Cache::new(16, 1 << 20), Arc::new(Gate::default()));
    let mut callers: Vec<_> = (0..1000)
        .map(|_| {
            let (cache, gate) = (cache.clone(), gate.clone());
            tokio::spawn(
                async move { value(cache.load(slot("k"), || gate.clone().load(target(7, 4))).await) },
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
    let (cache, gate) = (Cache::new(16, 1 << 20), Arc::new(Gate::default()));
    for round in 1..=3 {
        let (inner, load) = (cache.clone(), gate.clone());
        let caller =
            tokio::spawn(async move { inner.load(slot("k"), || load.clone().load(target(7, 4))).await });
        gate.until(&gate.begun, round).await;
        caller.abort();
        gate.until(&gate.ended, round).await;
    }
    assert!(cache.flights().is_empty() && !cache.contains(&slot("k").key));
}

#[tokio::test]
async fn an_evict_during_a_load_keeps_the_value_out() {
    let (cache, gate) = (Cache::new(16, 1 << 20), Arc::new(Gate::default()));
    let (inner, load) = (cache.clone(), gate.clone());
    let caller =
        tokio::spawn(async move { value(inner.load(slot("k"), || load.clone().load(target(7, 4))).await) });
    gate.until(&gate.begun, 1).await;
    cache.forget(&slot("k").key);
    gate.open.notify_one();
    assert_eq!(caller.await.unwrap(), Some(7));
    assert!(!cache.contains(&slot("k").key));
    // A load that begins after the evict is cached.
    assert_eq!(value(cache.load(slot("k"), || async { target(8, 4) }).await), Some(8));
    assert!(cache.contains(&slot("k").key));
}

#[tokio::test]
async fn absence_older_than_the_question_is_not_believed() {
    let (cache, gate) = (Cache::new(16, 1 << 20), Arc::new(Gate::default()));
    let (inner, load) = (cache.clone(), gate.clone());
    let early =
        tokio::spawn(async move { value(inner.load(slot("k"), || load.clone().load(Ok(None))).await) });
    gate.until(&gate.begun, 1).await;
    // Now the object is put, and somebody asks who knows that.
    let inner = cache.clone();
    let mut late = Box::pin(async move { value(inner.load(slot("k"), || async { target(7, 4) }).await) });
    assert!(tokio::time::timeout(Duration::ZERO, &mut late).await.is_err(), "it joined the load under way");
    gate.open.notify_one();
    assert_eq!(early.await.unwrap(), None);
    assert_eq!(late.await, Some(7));
}

#[tokio::test]
async fn failures_reach_all_and_are_not_cached() {
    let cache = Cache::new(16, 1 << 20);
    let failure = || async { Err(Error::new(ErrorKind::Unavailable, "down")) };
    assert_eq!(cache.load(slot("k"), failure).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(value(cache.load(slot("k"), || async { target(7, 4) }).await), Some(7));
}

#[tokio::test]
async fn a_load_that_panics_is_an_error_and_not_a_hang() {
    let cache = Cache::new(16, 1 << 20);
    let loads = AtomicUsize::new(0);
    let panics = || {
        loads.fetch_add(1, Ordering::SeqCst);
        async { panic!("a decoder that panics") }
    };
    let error = cache.load(slot("k"), panics).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unexpected);
    assert!(loads.load(Ordering::SeqCst) <= 3);
    assert_eq!(value(cache.load(slot("k"), || async { target(7, 4) }).await), Some(7));
}

#[tokio::test]
async fn bounded_by_count_and_by_bytes() {
    let fill = async |cache: &Arc<Cache>, objects: u32, bytes: u64| {
        for i in 0..objects {
            let found = cache.load(slot(&format!("{bytes}-{i}")), || async move { target(i, bytes) }).await;
            assert_eq!(value(found), Some(i));
        }
        (0..objects).filter(|i| cache.contains(&slot(&format!("{bytes}-{i}")).key)).collect::<Vec<_>>()
    };
    assert_eq!(fill(&Cache::new(16, 1 << 20), 100, 1).await, (84..100).collect::<Vec<_>>());
    assert_eq!(fill(&Cache::new(1000, 1 << 20), 100, 100 << 10).await, (90..100).collect::<Vec<_>>());
    assert_eq!(fill(&Cache::new(16, 1 << 20), 2, 1 << 20).await, [1], "one object may fill the cache");
    assert_eq!(fill(&Cache::new(16, 1 << 20), 2, (1 << 20) + 1).await, [0u32; 0], "a larger one is not kept");
    assert_eq!(fill(&Cache::new(0, 1 << 20), 2, 1).await, [0u32; 0]);
    assert_eq!(fill(&Cache::new(16, 0), 2, 1).await, [0u32; 0]);
}

#[tokio::test]
async fn another_type_or_codec_is_another_load() {
    let cache = Cache::new(16, 1 << 20);
    assert_eq!(value(cache.load(slot("k"), || async { target(7, 4) }).await), Some(7));
    assert!(cache.get(&slot("k")).is_some());
    assert!(cache.get(&Slot { codec: 2, ..slot("k") }).is_none());
    assert!(cache.get(&Slot { type_id: TypeId::of::<u64>(), ..slot("k") }).is_none());
}

#[tokio::test]
async fn a_flight_that_landed_just_before_is_not_repeated() {
    let cache = Cache::new(16, 1 << 20);
    assert_eq!(value(cache.load(slot("k"), || async { target(7, 4) }).await), Some(7));
    // This caller looked into the cache before the value was there, and asks for a load only now.
    let second = cache.load(slot("k"), || async { panic!("a second load") });
    assert_eq!(value(second.await), Some(7));
}
