//! How much memory an operation on one large object needs at most, as the system sees it: mapped files, too.

use std::fs;
use std::io::{Error, Result};

use proxystore::{Bytes, Raw, Store};
use proxystore_benches::{Goal, Suite, Unit, folder};
use proxystore_testkit::redis::RedisServer;
use proxystore_testkit::sample;

const LARGE: usize = 100 << 20;
/// What may be needed beyond the object itself.
const MARGIN: f64 = (32 << 20) as f64;

pub(crate) fn measure(suite: &mut Suite) -> Result<()> {
    if !is_told()? {
        println!("memory: left out, this system does not tell the most that was used");
        return Ok(());
    }
    let server = suite.block_on(RedisServer::start());
    let (disk, memory) = (tempfile::tempdir_in(folder()?)?, tempfile::tempdir_in("/dev/shm")?);
    let mut places = vec![
        ("local", "local:///memory".to_owned()),
        ("file", format!("file://{}", disk.path().display())),
        ("file-memory", format!("file://{}", memory.path().display())),
    ];
    places.extend(server.as_ref().map(|server| ("redis", server.uri())));
    for (name, uri) in places {
        let (put, get) = suite.block_on(of(&format!("memory-{name}"), &uri))?;
        let goal = [Goal { id: "P12", peer: None, target: MARGIN }];
        suite.count("memory", &format!("{name}, put beyond the object"), Unit::Bytes, put, &goal);
        suite.count("memory", &format!("{name}, get beyond the object"), Unit::Bytes, get, &goal);
    }
    Ok(())
}

/// Whether what is used for a moment shows afterwards.
fn is_told() -> Result<bool> {
    let before = reset()?;
    drop(sample::make(1, LARGE));
    Ok(peak()? - before > 0.9 * LARGE as f64)
}

/// The most that a put and a get add.
async fn of(name: &str, uri: &str) -> Result<(f64, f64)> {
    let store = Store::builder(name).uri(uri).cache_objects(0).build().await.map_err(Error::other)?;
    let value = sample::make(1, LARGE);
    let before = reset()?;
    let key = store.put(&value).codec::<Raw>().await.map_err(Error::other)?;
    let put = peak()? - before;
    drop(value);
    let before = reset()?;
    let got = store.get::<Bytes>(&key).codec::<Raw>().await.map_err(Error::other)?;
    let in_memory = uri.starts_with("local:");
    let get = peak()? - before - if in_memory { 0.0 } else { LARGE as f64 };
    drop(got);
    store.evict(&key).await.map_err(Error::other)?;
    store.close().await.map_err(Error::other)?;
    Ok((put.max(0.0), get.max(0.0)))
}

/// Begins anew, and gives what is used now.
fn reset() -> Result<f64> {
    fs::write("/proc/self/clear_refs", "5")?;
    field("VmRSS:")
}

fn peak() -> Result<f64> {
    field("VmHWM:")
}

fn field(name: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let field = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
    let kib: f64 =
        field.and_then(|kib| kib.trim().parse().ok()).ok_or_else(|| Error::other("no such field"))?;
    Ok(kib * 1024.0)
}
