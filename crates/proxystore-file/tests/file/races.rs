//! One winner among tasks and among processes, and objects that are never torn.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;
use proxystore_core::{Connector, ErrorKind, PutOptions};
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::{role, sample};

use super::{Place, creating, key, open};

/// Races others to create or take the keys that it hears of.
#[tokio::test]
async fn racer() {
    role!("races::racer");
    let connector = open(Path::new(&std::env::var("STORE").unwrap())).await;
    let seed = u64::from(std::process::id());
    process::say("ready");
    while let Some(line) = process::hear().await {
        let (what, name) = line.split_once(' ').unwrap();
        let won = match what {
            "create" => {
                let created = connector.put(&key(name), sample::make(seed, 5_000).into(), &creating()).await;
                assert!(
                    created
                        .as_ref()
                        .map_err(|error| error.kind())
                        .err()
                        .is_none_or(|kind| kind == ErrorKind::Exists)
                );
                created.is_ok()
            }
            _ => connector.take(&key(name)).await.unwrap().is_some(),
        };
        process::say(if won { "won" } else { "lost" });
    }
}

#[tokio::test]
async fn one_process_wins_each_create_and_each_take() {
    let place = Place::new().await;
    let root = place.root().display().to_string();
    let mut racers: Vec<_> = (0..4).map(|_| Role::spawn("races::racer", &[("STORE", &root)])).collect();
    for racer in &mut racers {
        assert_eq!(racer.hear().await.as_deref(), Some("ready"));
    }
    for round in 0..100 {
        // Every other key is long, and every third holds an expired object.
        let name = format!(
            "k{round}{}",
            if round % 2 == 0 { "x".repeat(190) + "/" + &"y".repeat(190) } else { String::new() }
        );
        if round % 3 == 0 {
            let expired = PutOptions { ttl: Some(Default::default()), ..PutOptions::default() };
            place.connector.put(&key(&name), vec![1].into(), &expired).await.unwrap();
        }
        for what in ["create", "take"] {
            for racer in &mut racers {
                racer.say(&format!("{what} {name}")).await;
            }
            let mut winners = Vec::new();
            for racer in &mut racers {
                if racer.hear().await.as_deref() == Some("won") {
                    winners.push(u64::from(racer.id().unwrap()));
                }
            }
            assert_eq!(winners.len(), 1, "{what} of {name} was won by {winners:?}");
            let holds =
                place.connector.get(&key(&name)).await.unwrap().map(|object| sample::seed(object).unwrap());
            assert_eq!(holds, (what == "create").then_some(winners[0]));
        }
    }
    for racer in &mut racers {
        assert!(racer.wait().await.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_sixteen_takers_wins_and_no_put_is_lost() {
    let place = Place::new().await;
    let (first, second) = (Arc::new(place.again().await), Arc::new(place.again().await));
    let k = key("k");
    for round in 0..100u64 {
        // A put that comes after each take has begun is either taken or still there.
        place.connector.put(&k, sample::make(2 * round, 2_000).into(), &PutOptions::default()).await.unwrap();
        let takers = (0..16).map(|i| {
            let (connector, k) = ([&first, &second][i % 2].clone(), k.clone());
            tokio::spawn(async move { connector.take(&k).await.unwrap() })
        });
        let options = PutOptions::default();
        let put = place.connector.put(&k, sample::make(2 * round + 1, 2_000).into(), &options);
        let (taken, put) = tokio::join!(join_all(takers), put);
        put.unwrap();
        let taken = taken.into_iter().filter_map(|taker| taker.unwrap());
        let mut seeds: Vec<_> = taken.map(|object| sample::seed(object).unwrap()).collect();
        seeds.extend(place.connector.take(&k).await.unwrap().map(|object| sample::seed(object).unwrap()));
        seeds.sort_unstable();
        let replaced = seeds == [2 * round + 1];
        assert!(replaced || seeds == [2 * round, 2 * round + 1], "round {round}: {seeds:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_reads_of_an_object_that_is_replaced_are_whole() {
    let place = Place::new().await;
    let k = key("k");
    let writer = Arc::new(place.again().await);
    writer.put(&k, sample::make(0, 200_000).into(), &PutOptions::default()).await.unwrap();
    let (w, writes_k) = (writer.clone(), k.clone());
    let writes = tokio::spawn(async move {
        for seed in 1u64.. {
            let value = sample::make(seed, 16 + (seed as usize * 104_729) % 400_000);
            w.put(&writes_k, value.into(), &PutOptions::default()).await.unwrap();
        }
    });
    let mut last = 0;
    let mut versions = 0;
    for _ in 0..2_000 {
        let object = place.connector.get(&k).await.unwrap().expect("an object that is only ever replaced");
        let seed = sample::seed(object).unwrap();
        assert!(seed >= last, "an older object came back");
        versions += u64::from(seed != last);
        last = seed;
    }
    writes.abort();
    assert!(versions > 50, "the writer did too little to show anything: {versions}");
}

#[tokio::test]
async fn thousands_of_puts_at_once() {
    let place = Place::new().await;
    let keys: Vec<_> = (0..3_000).map(|i| key(&format!("k/{i}"))).collect();
    let put = async |i: usize| {
        place.connector.put(&keys[i], sample::make(i as u64, 100).into(), &PutOptions::default()).await
    };
    for result in join_all((0..keys.len()).map(put)).await {
        result.unwrap();
    }
    for (i, got) in join_all(keys.iter().map(|k| place.connector.get(k))).await.into_iter().enumerate() {
        assert_eq!(sample::seed(got.unwrap().unwrap()), Ok(i as u64));
    }
}
