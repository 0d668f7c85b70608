//! Contenders that take turns. Criterion warms up, and decides how often; we decide who.

use std::future::Future;
use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};
use futures_util::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};

use crate::figure::{Figure, Goal, Unit};

/// Does its work so many times, and says how long that took.
pub type Run = Arc<dyn Fn(u64) -> BoxFuture<'static, Duration> + Send + Sync>;

/// Work whose outcome is dropped within the time.
pub fn once<T, F: Future<Output = T> + Send>(work: impl Fn() -> F + Send + Sync + 'static) -> Run {
    let work = Arc::new(work);
    Arc::new(move |times| {
        let work = work.clone();
        Box::pin(async move {
            let start = Instant::now();
            for _ in 0..times {
                black_box(work().await);
            }
            start.elapsed()
        })
    })
}

/// Work that leaves something behind, which `clean` removes outside of the time.
pub fn timed<T, F, C>(
    work: impl Fn() -> F + Send + Sync + 'static,
    clean: impl Fn(Vec<T>) -> C + Send + Sync + 'static,
) -> Run
where
    T: Send,
    F: Future<Output = T> + Send,
    C: Future<Output = ()> + Send,
{
    let both = Arc::new((work, clean));
    Arc::new(move |times| {
        let both = both.clone();
        Box::pin(async move {
            let (work, clean) = &*both;
            let mut left = Vec::with_capacity(times as usize);
            let start = Instant::now();
            for _ in 0..times {
                left.push(work().await);
            }
            let took = start.elapsed();
            clean(left).await;
            took
        })
    })
}

/// Work that waits for nothing.
pub fn now<T>(work: impl Fn() -> T + Send + Sync + 'static) -> Run {
    let work = Arc::new(work);
    Arc::new(move |times| {
        let work = work.clone();
        Box::pin(async move {
            let start = Instant::now();
            for _ in 0..times {
                black_box(work());
            }
            start.elapsed()
        })
    })
}

/// Work that knows itself how long it took: what is measured is only a part of it.
pub fn reported<F: Future<Output = Duration> + Send>(work: impl Fn() -> F + Send + Sync + 'static) -> Run {
    let work = Arc::new(work);
    Arc::new(move |times| {
        let work = work.clone();
        Box::pin(async move {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                took += work().await;
            }
            took
        })
    })
}

/// One shape of work, done by us and by others.
#[must_use = "a race is run by a suite"]
pub struct Race {
    place: String,
    shape: String,
    bytes: Option<u64>,
    contenders: Vec<(&'static str, Run)>,
    goals: Vec<Goal>,
}

impl std::fmt::Debug for Race {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Race({}/{})", self.place, self.shape)
    }
}

impl Race {
    /// Work of ours.
    pub fn new(place: &str, shape: &str, ours: Run) -> Self {
        let contenders = vec![("ours", ours)];
        Self { place: place.into(), shape: shape.into(), bytes: None, contenders, goals: Vec::new() }
    }

    /// On objects of this size.
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = Some(bytes as u64);
        self
    }

    /// The same work, done by a peer.
    pub fn against(mut self, name: &'static str, run: Run) -> Self {
        self.contenders.push((name, run));
        self
    }

    /// We take at most `factor` times as long as this peer.
    pub fn within(mut self, id: &'static str, peer: &'static str, factor: f64) -> Self {
        self.goals.push(Goal { id, peer: Some(peer), target: factor });
        self
    }

    /// We take at most so long.
    pub fn at_most(mut self, id: &'static str, most: Duration) -> Self {
        self.goals.push(Goal { id, peer: None, target: most.as_nanos() as f64 });
        self
    }
}

/// In one call of ours by criterion, everybody has so many turns.
const TURNS: u64 = 8;

/// Everybody does the work `times` times, in turns, each round beginning with another one. Gives what each turn took,
/// in nanoseconds for each time.
async fn rounds(contenders: Vec<Run>, times: u64) -> Vec<Vec<f64>> {
    let turns = times.clamp(1, TURNS);
    let each = (times / turns).max(1);
    let mut laps = vec![Vec::new(); contenders.len()];
    for turn in 0..turns as usize {
        for next in 0..contenders.len() {
            let who = (turn + next) % contenders.len();
            laps[who].push(contenders[who](each).await.as_nanos() as f64 / each as f64);
        }
    }
    laps
}

/// Runs races, and keeps the figures.
#[derive(Debug)]
pub struct Suite {
    runtime: Runtime,
    quick: bool,
    names: Vec<String>,
    figures: Vec<Figure>,
}

impl Suite {
    /// A suite on a runtime as `#[tokio::main]` makes it. It runs the races whose names begin with one of these; no
    /// name means all. `quick` is for a first look: fewer sizes, a tenth of the time.
    pub fn new(quick: bool, names: Vec<String>) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        Ok(Self { runtime, quick, names, figures: Vec::new() })
    }

    /// Whether this is for a first look.
    pub fn is_quick(&self) -> bool {
        self.quick
    }

    /// What was measured.
    pub fn figures(&self) -> &[Figure] {
        &self.figures
    }

    /// Prepares something, on the runtime of the races.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Whether any race of this place is wanted.
    pub fn wants(&self, place: &str) -> bool {
        self.is_wanted(|name| name.starts_with(place) || place.starts_with(name))
    }

    fn is_wanted(&self, matches: impl Fn(&str) -> bool) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| matches(name))
    }

    /// Adds a figure that is no time.
    pub fn count(&mut self, place: &str, shape: &str, unit: Unit, amount: f64, goals: &[Goal]) {
        self.keep(Figure::new((place, shape, None), unit, &[amount], &[], goals));
    }

    fn keep(&mut self, figure: Figure) {
        show(&figure.line());
        self.figures.push(figure);
    }

    /// Runs a race, unless nobody asked for it.
    pub fn run(&mut self, race: Race) {
        let Race { place, shape, bytes, contenders, goals } = race;
        let full = format!("{place}/{shape}");
        if !self.is_wanted(|name| full.starts_with(name)) {
            return;
        }
        // Criterion does not say which of its calls are the warm-up: the last ones are not.
        let laps: Mutex<Vec<Vec<Vec<f64>>>> = Mutex::default();
        let (samples, warm_up, time) = if self.quick { (10, 60, 300) } else { (20, 300, 2_000) };
        let mut criterion = Criterion::default()
            .without_plots()
            .nresamples(1_000)
            .sample_size(samples)
            .warm_up_time(Duration::from_millis(warm_up))
            .measurement_time(Duration::from_millis(time));
        let mut group = criterion.benchmark_group(&place);
        group.sampling_mode(SamplingMode::Flat);
        let id = format!("{shape}/{}", bytes.unwrap_or_default());
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|times| {
                let runs = contenders.iter().map(|(_, run)| run.clone()).collect();
                // On a worker, as the tasks of a program are.
                let race = self.runtime.spawn(rounds(runs, times));
                let lap = match self.runtime.block_on(race) {
                    Ok(lap) => lap,
                    Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
                };
                let ours = lap[0].iter().sum::<f64>() / lap[0].len() as f64;
                laps.lock().unwrap_or_else(PoisonError::into_inner).push(lap);
                Duration::from_nanos((ours * times as f64) as u64).max(Duration::from_nanos(1))
            });
        });
        group.finish();
        let laps = laps.into_inner().unwrap_or_else(PoisonError::into_inner);
        let last = &laps[laps.len().saturating_sub(samples)..];
        let of = |who: usize| last.iter().flat_map(|lap| lap[who].iter().copied()).collect::<Vec<f64>>();
        let peers: Vec<_> =
            contenders.iter().enumerate().skip(1).map(|(who, (name, _))| (*name, of(who))).collect();
        self.keep(Figure::new((&place, &shape, bytes), Unit::Ns, &of(0), &peers, &goals));
    }
}

#[allow(clippy::print_stdout, reason = "it reports")]
fn show(line: &str) {
    println!("{line}");
}
