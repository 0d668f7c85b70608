//! Objects of a manager in a process of its own, beside CPython's managers: `manager.py` does the same.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{Stream, StreamExt, stream};
use proxystore::Bytes;
use proxystore::manager::{Manager, child_hook};
use proxystore_benches::{Race, Run, Suite, once};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

use crate::ours::{keep, value};

/// Calls under way at a time; CPython has eight client processes, each with one.
const IN_FLIGHT: u64 = 64;
const BLOB: usize = 1 << 20;
/// Objects that are made one after the other.
const OBJECTS: u64 = 100;
/// Items of one stream.
const ITEMS: u64 = 10_000;
const NAME: &str = "CPython";

struct Counter(i64);

#[proxystore::object]
impl Counter {
    #[ctor]
    fn new(start: i64) -> Self {
        Self(start)
    }

    fn add(&mut self, k: i64) -> i64 {
        self.0 += k;
        self.0
    }

    fn numbers(&self, to: i64) -> impl Stream<Item = i64> + Send + use<> {
        stream::iter(0..to)
    }

    fn blob(&self) -> Bytes {
        value(BLOB).clone()
    }
}

/// Is the manager, if this process was started to be it.
pub(crate) fn play() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(child_hook(|| Manager::builder().register::<Counter>()));
}

/// The process of CPython's client, which has the one of its manager.
struct Python {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Python {
    fn start() -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/shapes/manager.py");
        let child = Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.ok()?;
        let output = BufReader::new(child.stdout.take()?).lines();
        Some(Self { input: child.stdin.take()?, output, _child: child })
    }

    async fn run(&mut self, shape: &str, times: u64) -> Duration {
        self.input.write_all(format!("{shape} {times}\n").as_bytes()).await.expect("a pipe");
        let line = self.output.next_line().await.expect("a pipe").expect("a reply");
        Duration::from_nanos(line.parse().expect("nanoseconds"))
    }
}

/// CPython does `part` of what is `whole` for us, so that both take about as long.
fn python(client: &Arc<Mutex<Python>>, shape: &'static str, (part, whole): (u64, u64)) -> Run {
    let client = client.clone();
    Arc::new(move |times| {
        let client = client.clone();
        Box::pin(async move {
            client.lock().await.run(shape, times * part).await.mul_f64(whole as f64 / part as f64)
        })
    })
}

/// One call after the other; the median, so many times.
fn call(counter: &'static CounterProxy) -> Run {
    Arc::new(move |times| {
        Box::pin(async move {
            let mut series = Vec::with_capacity(times as usize);
            for _ in 0..times {
                let start = Instant::now();
                counter.add(1).await.expect("a call");
                series.push(start.elapsed());
            }
            series.sort_unstable();
            series[series.len() / 2] * times as u32
        })
    })
}

fn at_once(counter: &'static CounterProxy) -> Run {
    Arc::new(move |times| {
        Box::pin(async move {
            let share = times.div_ceil(IN_FLIGHT);
            let start = Instant::now();
            let calls = (0..IN_FLIGHT).map(|_| {
                tokio::spawn(async move {
                    for _ in 0..share {
                        counter.add(1).await.expect("a call");
                    }
                })
            });
            join_all(calls).await.into_iter().for_each(|done| done.expect("the calls"));
            start.elapsed().mul_f64(times as f64 / (share * IN_FLIGHT) as f64)
        })
    })
}

/// Until the manager has let go of the last one.
fn create(manager: &'static Manager) -> Run {
    Arc::new(move |times| {
        Box::pin(async move {
            let objects = async || manager.stats().await.expect("the stats").objects;
            let before = objects().await;
            let start = Instant::now();
            for _ in 0..times * OBJECTS {
                CounterProxy::create(manager, 0).await.expect("an object");
            }
            while objects().await > before {}
            start.elapsed()
        })
    })
}

fn numbers(counter: &'static CounterProxy) -> Run {
    once(move || async move {
        let mut numbers = counter.numbers(ITEMS as i64).await.expect("a stream");
        let mut count = 0;
        while let Some(number) = numbers.next().await {
            number.expect("a number");
            count += 1;
        }
        assert_eq!(count, ITEMS);
    })
}

fn blob(counter: &'static CounterProxy) -> Run {
    once(move || async move { assert_eq!(counter.blob().await.expect("a result").len(), BLOB) })
}

pub(crate) fn measure(suite: &mut Suite) {
    let Some(client) = suite.block_on(async { Python::start() }) else { return };
    let client = Arc::new(Mutex::new(client));
    let manager = keep(suite.block_on(Manager::builder().spawn_child()).expect("a manager"));
    let counter = keep(suite.block_on(CounterProxy::create(manager, 0)).expect("an object"));
    let race = |shape: &str, ours, theirs, share| {
        Race::new("manager", shape, ours).against(NAME, python(&client, theirs, share))
    };
    suite.run(race("call", call(counter), "call", (1, 1)).within("M1", NAME, 0.9));
    suite.run(race("64 calls at once", at_once(counter), "at once", (1, 1)).within("M2", NAME, 0.5));
    let create = race("create and drop 100", create(manager), "create", (OBJECTS / 20, OBJECTS));
    suite.run(create.within("M3", NAME, 0.1));
    let stream = race("stream of 10,000", numbers(counter), "numbers", (ITEMS / 100, ITEMS));
    suite.run(stream.within("M4", NAME, 0.02));
    suite.run(race("result", blob(counter), "blob", (1, 1)).bytes(BLOB).within("M5", NAME, 1.0 / 3.0));
}
