//! Nothing outside the root is read or changed, and nothing inside that is not an object reads as one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use proxystore_core::{Connector, Error, ErrorKind, Key, PutOptions};

use super::{Place, creating, files, key};

/// Every operation on `key`; what each says.
async fn every_operation(place: &Place, key: &Key) -> Vec<(&'static str, Result<(), Error>)> {
    let (connector, minute) = (&place.connector, Duration::from_secs(60));
    let put = |options: PutOptions| async move { connector.put(key, vec![9; 100].into(), &options).await };
    vec![
        ("get", connector.get(key).await.map(drop)),
        ("exists", connector.exists(key).await.map(drop)),
        ("touch", connector.touch(key, minute).await.map(drop)),
        ("take", connector.take(key).await.map(drop)),
        ("watch", connector.watch(key).await.map(drop)),
        ("create", put(creating()).await),
        ("sweep", place.connector.sweep().await.map(drop)),
        ("put", put(PutOptions::default()).await),
        ("evict", connector.evict(key).await),
        ("put again", put(PutOptions::default()).await),
        ("clear", connector.clear().await),
    ]
}

/// What is in a directory: names, contents and times.
pub(crate) fn snapshot(directory: &Path) -> Vec<(PathBuf, SystemTime, Vec<u8>)> {
    let mut found: Vec<_> = files(directory)
        .into_iter()
        .map(|path| {
            let modified = fs::symlink_metadata(&path).unwrap().modified().unwrap();
            let content = fs::read(&path).unwrap_or_default();
            (path, modified, content)
        })
        .collect();
    found.push((directory.into(), fs::metadata(directory).unwrap().modified().unwrap(), Vec::new()));
    found.sort();
    found
}

/// A directory beside the root with something in it, in every shard's name.
fn outside(place: &Place) -> PathBuf {
    let outside = place.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    for name in ["secret", "k", "passwd"] {
        fs::write(outside.join(name), "untouched").unwrap();
    }
    outside
}

fn hostile_names(outside: &Path) -> Vec<String> {
    let outside = outside.display().to_string();
    let bases = [
        "..",
        ".",
        "",
        "/",
        "//",
        "../outside/secret",
        "../../etc/passwd",
        "/etc/passwd",
        "a/../../outside/k",
        "a/..",
        "a/.",
        "./a",
        "a//b",
        "a/",
        "/a",
        "...",
        "..a",
        "a..",
        "~",
        "~/secret",
        "~root",
        "*",
        "?",
        "[a]",
        "a\\b",
        "..\\outside",
        "a\0b",
        "\0",
        "a\nb",
        "\r",
        "\t",
        " ",
        "a b",
        "=x",
        "=",
        "a=b",
        "+",
        "a+",
        "+a",
        ",",
        "a,b",
        "%2e%2e",
        "%2e%2e/outside",
        "%00",
        "$(id)",
        "`id`",
        ";id",
        "|id",
        "&",
        "<",
        ">",
        "'",
        "\"",
        "-rf",
        "--",
        "-",
        "é",
        "ａ",
        "\u{202e}",
        "\u{feff}",
        "．．",
        "‥",
        "con",
        "nul",
        ".git",
        ".git/config",
        "proc/self/fd/0",
        "dev/null",
        "secret",
        "k",
        "passwd",
        "outside/secret",
        "=proxystore-file-1",
        "_",
        "0",
        "00",
        "00/00",
    ];
    let mut names: Vec<String> = bases.iter().map(|base| (*base).to_owned()).collect();
    names.push(outside.clone());
    for base in bases {
        names.push(format!("../{base}"));
        names.push(format!("{outside}/{base}"));
        names.push(format!("{base}/../secret"));
        names.push(format!("a/{base}"));
        names.push(format!("{base}{}", "x".repeat(200)));
        names.push(format!("{}/{base}", "x".repeat(200)));
        names.push(format!("{}/{}/{base}", "x".repeat(200), "y".repeat(38)));
    }
    names
}

#[tokio::test]
async fn hostile_names_have_no_effect_outside() {
    let place = Place::new().await;
    let outside = outside(&place);
    let before = snapshot(&outside);
    let names = hostile_names(&outside);
    assert!(names.len() >= 500, "{}", names.len());
    let mut legal = 0;
    for name in names {
        let Ok(key) = Key::parse(&name) else { continue };
        legal += 1;
        let connector = &place.connector;
        connector.put(&key, name.clone().into_bytes().into(), &PutOptions::default()).await.unwrap();
        assert_eq!(place.get(&key).await.unwrap(), name.as_bytes(), "{name:?}");
        assert!(connector.exists(&key).await.unwrap());
        assert!(connector.touch(&key, Duration::from_secs(60)).await.unwrap());
        connector.watch(&key).await.unwrap();
        assert!(connector.take(&key).await.unwrap().is_some());
        connector.evict(&key).await.unwrap();
    }
    place.connector.clear().await.unwrap();
    assert!(legal > 50, "{legal}");
    assert_eq!(snapshot(&outside), before);
    let beside = fs::read_dir(place.directory.path()).unwrap().count();
    assert_eq!(beside, 2, "something new stands beside the root");
}

#[tokio::test]
async fn a_shard_that_is_a_link_is_denied() {
    let place = Place::new().await;
    let (k, outside) = (key("k"), outside(&place));
    place.connector.put(&k, vec![1; 10].into(), &PutOptions::default()).await.unwrap();
    let shard = place.file(&k).parent().unwrap().to_owned();
    fs::remove_dir_all(&shard).unwrap();
    symlink(&outside, &shard).unwrap();
    let before = snapshot(&outside);
    for (operation, result) in every_operation(&place, &k).await {
        match (operation, result.map_err(|error| error.kind())) {
            ("watch", Ok(())) | (_, Err(ErrorKind::Denied | ErrorKind::Corrupt)) => {}
            (_, result) => panic!("{operation} through a link gives {result:?}"),
        }
    }
    assert_eq!(snapshot(&outside), before);
    fs::remove_file(&shard).unwrap();
    fs::write(&shard, "a file").unwrap();
    for (operation, result) in every_operation(&place, &k).await {
        let kind = result.map_err(|error| error.kind());
        assert_eq!(kind, Err(ErrorKind::Corrupt), "{operation} with a file for a shard");
    }
}

#[tokio::test]
async fn what_is_no_object_is_corrupt() {
    let place = Place::new().await;
    let outside = outside(&place);
    let (k, other) = (key("k"), key("other"));
    let intact = |len: usize| (0..len).map(|i| i as u8).collect::<Vec<_>>();
    place.connector.put(&other, intact(1_000).into(), &PutOptions::default()).await.unwrap();
    let of_other = fs::read(place.file(&other)).unwrap();
    let before = snapshot(&outside);

    type Damage<'a> = (&'a str, Box<dyn Fn(&Path) + 'a>);
    let replace =
        |content: Vec<u8>| -> Box<dyn Fn(&Path)> { Box::new(move |file| fs::write(file, &content).unwrap()) };
    place.connector.put(&k, intact(1_000).into(), &PutOptions::default()).await.unwrap();
    let file = place.file(&k);
    let whole = fs::read(&file).unwrap();
    let mut damages: Vec<Damage<'_>> = vec![
        ("empty", replace(Vec::new())),
        ("garbage", replace(vec![0xA5; 5_000])),
        ("zeros", replace(vec![0; whole.len()])),
        ("extended", replace([&whole[..], b"x"].concat())),
        ("half", replace(whole[..whole.len() / 2].to_vec())),
        ("header alone", replace(whole[..32].to_vec())),
        ("less than a header", replace(whole[..31].to_vec())),
        ("another key's", replace(of_other)),
        (
            "a link to an object",
            Box::new(|file| {
                fs::remove_file(file).unwrap();
                symlink(place.file(&other), file).unwrap();
            }),
        ),
        (
            "a link outside",
            Box::new(|file| {
                fs::remove_file(file).unwrap();
                symlink(outside.join("secret"), file).unwrap();
            }),
        ),
        (
            "a dangling link",
            Box::new(|file| {
                fs::remove_file(file).unwrap();
                symlink(outside.join("new"), file).unwrap();
            }),
        ),
        (
            "a second name",
            Box::new(|file| {
                let _ = fs::remove_file(place.directory.path().join("name"));
                fs::hard_link(file, place.directory.path().join("name")).unwrap();
            }),
        ),
        (
            "a pipe",
            Box::new(|file| {
                fs::remove_file(file).unwrap();
                assert!(Command::new("mkfifo").arg(file).status().unwrap().success());
            }),
        ),
        (
            "a socket",
            Box::new(|file| {
                fs::remove_file(file).unwrap();
                std::os::unix::net::UnixListener::bind(file).unwrap();
            }),
        ),
    ];
    for byte in (0..16).chain(24..32) {
        let mut altered = whole.clone();
        altered[byte] ^= 0x40;
        damages.push(("an altered header", replace(altered)));
    }
    for (what, damage) in &damages {
        for last in ["put", "evict", "clear"] {
            place.connector.put(&k, intact(1_000).into(), &PutOptions::default()).await.unwrap();
            damage(&file);
            let connector = &place.connector;
            let kind = |error: Error| error.kind();
            let minute = Duration::from_secs(60);
            assert_eq!(connector.get(&k).await.map_err(kind), Err(ErrorKind::Corrupt), "get: {what}");
            assert_eq!(connector.exists(&k).await.map_err(kind), Err(ErrorKind::Corrupt), "exists: {what}");
            assert_eq!(
                connector.touch(&k, minute).await.map_err(kind),
                Err(ErrorKind::Corrupt),
                "touch: {what}"
            );
            assert_eq!(connector.take(&k).await.map_err(kind), Err(ErrorKind::Corrupt), "take: {what}");
            let create = connector.put(&k, vec![1].into(), &creating()).await;
            assert_eq!(create.map_err(kind), Err(ErrorKind::Exists), "create: {what}");
            assert_eq!(connector.sweep().await.unwrap().objects, 0, "sweep: {what}");
            assert!(fs::symlink_metadata(&file).is_ok(), "{what} was removed unasked");
            match last {
                "put" => connector.put(&k, vec![2].into(), &PutOptions::default()).await.unwrap(),
                "evict" => connector.evict(&k).await.unwrap(),
                _ => connector.clear().await.unwrap(),
            }
            let there = connector.get(&k).await.unwrap().is_some();
            assert_eq!(there, last == "put", "{last} over {what}");
            if last == "clear" {
                connector.put(&other, intact(1_000).into(), &PutOptions::default()).await.unwrap();
            }
        }
    }
    assert_eq!(snapshot(&outside), before);
}

#[tokio::test]
async fn a_directory_in_an_objects_place_is_corrupt_and_stays() {
    let place = Place::new().await;
    let k = key("k");
    place.connector.put(&k, vec![1; 10].into(), &PutOptions::default()).await.unwrap();
    let file = place.file(&k);
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    for (operation, result) in every_operation(&place, &k).await {
        match (operation, result.map_err(|error| error.kind())) {
            ("watch" | "sweep" | "clear", Ok(())) | ("create", Err(ErrorKind::Exists)) => {}
            (_, Err(ErrorKind::Corrupt)) => {}
            (_, result) => panic!("{operation} of a directory gives {result:?}"),
        }
    }
    assert!(file.is_dir());
    assert_eq!(super::temps(&place.root()), 0);
}

#[tokio::test]
async fn a_file_of_any_size_claims_no_memory_by_its_header() {
    let place = Place::new().await;
    let k = key("k");
    place.connector.put(&k, vec![1; 10].into(), &PutOptions::default()).await.unwrap();
    // A sparse file as long as its header says would be read; one whose header lies is not.
    let file = fs::OpenOptions::new().write(true).open(place.file(&k)).unwrap();
    file.set_len(1 << 40).unwrap();
    assert_eq!(place.connector.get(&k).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn clearing_spares_what_is_foreign() {
    let place = Place::new().await;
    let k = key("k");
    place.connector.put(&k, vec![1].into(), &PutOptions::default()).await.unwrap();
    let shard = place.file(&k).parent().unwrap().to_owned();
    for name in ["not a key", "+", "=note", "elsewhere-is-its-place"] {
        fs::write(shard.join(name), "foreign").unwrap();
    }
    fs::write(place.root().join("README"), "foreign").unwrap();
    fs::create_dir(place.root().join("zz")).unwrap();
    fs::write(place.root().join("zz/k"), "foreign").unwrap();
    place.connector.clear().await.unwrap();
    let is_foreign = |file: &&PathBuf| fs::read(file).is_ok_and(|content| content == b"foreign");
    assert_eq!(files(&place.root()).iter().filter(is_foreign).count(), 6);
    assert!(place.get(&k).await.is_none());
}
