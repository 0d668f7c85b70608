//! `file://` on a disk and on a file system in memory, beside the system calls.

use std::path::PathBuf;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use proxystore::Bytes;
use proxystore_benches::{Race, Suite, folder};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::bare::{self, Bare};
use crate::local::Objects;
use crate::ours::{self, MANY, keep};
use crate::process_resolve::Elsewhere;

/// `std::fs` on a thread for it: a file is written under another name, and renamed.
struct Std(PathBuf);

impl Bare for Std {
    const NAME: &'static str = "std::fs";

    async fn put(&'static self, name: String, value: &'static Bytes) {
        let put = move || {
            let (to, new) = (self.0.join(&name), self.0.join(format!("{name}.new")));
            std::fs::write(&new, value)?;
            std::fs::rename(new, to)
        };
        spawn_blocking(put).await.expect("a thread").expect("a write");
    }

    async fn get(&'static self, name: &'static str) -> impl Send {
        spawn_blocking(move || std::fs::read(self.0.join(name))).await.expect("a thread").expect("a read")
    }

    async fn remove(&'static self, names: Vec<String>) {
        names.into_iter().for_each(|name| std::fs::remove_file(self.0.join(name)).expect("a removal"));
    }
}

/// `tokio::fs`.
struct Tokio(PathBuf);

impl Bare for Tokio {
    const NAME: &'static str = "tokio::fs";

    async fn put(&'static self, name: String, value: &'static Bytes) {
        let (to, new) = (self.0.join(&name), self.0.join(format!("{name}.new")));
        tokio::fs::write(&new, value).await.expect("a write");
        tokio::fs::rename(new, to).await.expect("a rename");
    }

    async fn get(&'static self, name: &'static str) -> impl Send {
        tokio::fs::read(self.0.join(name)).await.expect("a read")
    }

    async fn remove(&'static self, names: Vec<String>) {
        names.into_iter().for_each(|name| std::fs::remove_file(self.0.join(name)).expect("a removal"));
    }
}

pub(crate) fn measure(suite: &mut Suite) {
    // On many machines the folder for temporary files is in memory, and the one for builds is not.
    let disk = tempfile::tempdir_in(folder().expect("a directory"));
    place(suite, "file", disk.expect("a directory"));
    match tempfile::tempdir_in("/dev/shm") {
        Ok(memory) => place(suite, "file-memory", memory),
        Err(error) => println!("file-memory: left out, there is no /dev/shm: {error}"),
    }
}

fn place(suite: &mut Suite, place: &'static str, dir: TempDir) {
    if !suite.wants(place) {
        return;
    }
    let sub = |name: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).expect("a directory");
        path
    };
    let store = ours::open(suite, place, &format!("file://{}", sub("ours").display()));
    let plain = keep(Std(sub("std")));
    let tokio = keep(Tokio(sub("tokio")));
    let objects = LocalFileSystem::new_with_prefix(sub("objects")).expect("a directory");
    let objects = keep(Objects(Box::new(objects)));
    let elsewhere = Elsewhere::start(suite, store);
    for &size in ours::sizes(suite) {
        let value = ours::value(size);
        let race = |shape, run| Race::new(place, shape, run).bytes(size);
        let puts = |race: Race| {
            race.against(Std::NAME, bare::put(plain, value))
                .against(Tokio::NAME, bare::put(tokio, value))
                .against(Objects::NAME, bare::put(objects, value))
        };
        let goals = |race: Race| match size {
            1024..=1_048_576 => race.within("P3", Std::NAME, 1.15).within("P3", Objects::NAME, 1.0),
            _ => race,
        };
        suite.run(goals(puts(race("put", ours::put(store, value)))));
        let key = ours::held(suite, store, value);
        let (std_name, tokio_name) = (bare::held(suite, plain, value), bare::held(suite, tokio, value));
        let objects_name = bare::held(suite, objects, value);
        let gets = |race: Race| {
            race.against(Std::NAME, bare::get(plain, std_name))
                .against(Tokio::NAME, bare::get(tokio, tokio_name))
                .against(Objects::NAME, bare::get(objects, objects_name))
        };
        let get = goals(gets(race("get", ours::get(store, key))));
        suite.run(match (place, size >= 100 << 20) {
            (_, false) => get,
            ("file", true) => get.within("P3", Std::NAME, 0.4),
            (_, true) => get.within("P3", Std::NAME, 0.4).at_most("P10", Duration::from_millis(1)),
        });
        suite.run(race("proxy", ours::proxy(store, value)).against(Std::NAME, bare::put(plain, value)));
        suite.run(race("resolve", ours::resolve(store, key)).against(Std::NAME, bare::get(plain, std_name)));
        suite.run(
            race("resolve elsewhere", elsewhere.resolve(store, key))
                .against(Std::NAME, elsewhere.read(&plain.0.join(std_name))),
        );
        suite.block_on(async {
            store.evict(key).await.expect("an evict");
            plain.remove(vec![std_name.into()]).await;
            tokio.remove(vec![tokio_name.into()]).await;
            objects.remove(vec![objects_name.into()]).await;
        });
    }
    suite.run(Race::new(place, "miss", ours::miss(store)));
    let value = ours::value(1024);
    let keys = ours::held_many(suite, store, value, MANY);
    suite.run(Race::new(place, "put 1,000", ours::put_many(store, value)).bytes(1024));
    suite.run(Race::new(place, "get 1,000", ours::get_many(store, keys)).bytes(1024));
    suite.block_on(store.close()).expect("a close");
}
