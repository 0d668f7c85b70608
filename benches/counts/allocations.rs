//! How often an operation allocates.

use std::io::Result;

use proxystore_benches::{Goal, Suite, Unit};
use proxystore_testkit::redis::RedisServer;
use stats_alloc::Region;
use tokio::runtime::Builder;

use crate::ALLOCATOR;
use crate::paths::{self, Path};

const TIMES: u64 = 1_000;
/// None at all; a stray one of a thread that ends is not ours.
const NONE: f64 = 0.01;

pub(crate) fn measure(suite: &mut Suite) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let dir = tempfile::tempdir()?;
    let server = suite.block_on(RedisServer::start());
    let mut paths = paths::pure(&runtime);
    paths.extend(paths::of_a_store(&runtime, "file", &format!("file://{}", dir.path().display())));
    if let Some(server) = &server {
        paths.extend(paths::of_a_store(&runtime, "redis", &server.uri()));
    }
    for Path { name, work } in paths {
        work(TIMES);
        let region = Region::new(ALLOCATOR);
        work(TIMES);
        let change = region.change();
        let none = [Goal { id: "P1", peer: None, target: NONE }];
        let goals = if name == "cache hit" || name == "resolved proxy, get" { &none[..] } else { &[] };
        let each = |count: usize| count as f64 / TIMES as f64;
        suite.count(
            "allocations",
            &name,
            Unit::Count,
            each(change.allocations + change.reallocations),
            goals,
        );
        suite.count("allocated", &name, Unit::Bytes, each(change.bytes_allocated), &[]);
    }
    Ok(())
}
