//! Wall clocks that jump by an hour: ttls go on as if nothing had happened.

use std::path::Path;
use std::time::{Duration, SystemTime};

use proxystore_core::{Connector, ConnectorConfig, ErrorKind, Origin, PutOptions};
use proxystore_file::FileConfig;
use proxystore_testkit::cancel::eventually;
use proxystore_testkit::process::{self, Role};
use proxystore_testkit::role;
use proxystore_testkit::wall_clock::WallClock;

use super::{Place, key, open};

const HOUR: i64 = 3_600;
const MINUTE: Duration = Duration::from_secs(60);

fn lasting(ttl: Duration) -> PutOptions {
    PutOptions { ttl: Some(ttl), ..PutOptions::default() }
}

/// Seconds since 1970 by the wall clock.
fn today() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64
}

/// Does what it hears: with an object of that name, whose ttl is in milliseconds.
#[tokio::test]
async fn holder() {
    role!("jumps::holder");
    let connector = open(Path::new(&std::env::var("STORE").unwrap())).await;
    process::say("ready");
    while let Some(line) = process::hear().await {
        let words: Vec<_> = line.split(' ').collect();
        let ttl = |millis: &str| Duration::from_millis(millis.parse().unwrap());
        process::say(&match words[..] {
            ["today"] => today().to_string(),
            ["put", name, millis] => {
                let put = connector.put(&key(name), vec![1; 100].into(), &lasting(ttl(millis))).await;
                put.is_ok().to_string()
            }
            ["touch", name, millis] => connector.touch(&key(name), ttl(millis)).await.unwrap().to_string(),
            ["exists", name] => connector.exists(&key(name)).await.unwrap().to_string(),
            ["sweep"] => connector.sweep().await.unwrap().objects.to_string(),
            _ => panic!("{line:?}"),
        });
    }
}

/// A holder in a process of its own, and its wall clock.
struct Holder {
    clock: WallClock,
    role: Role,
}

impl Holder {
    /// Its wall clock is so many seconds ahead of ours. `None` where that cannot be done.
    async fn start(place: &Place, ahead: i64) -> Option<Self> {
        let clock = WallClock::new()?;
        clock.set(ahead);
        let root = place.root().display().to_string();
        let environment = [&[("STORE", root.as_str())], &clock.environment()[..]].concat();
        let mut role = Role::spawn("jumps::holder", &environment);
        assert_eq!(role.hear().await.as_deref(), Some("ready"));
        let mut holder = Self { clock, role };
        holder.jump(ahead).await;
        Some(holder)
    }

    async fn ask(&mut self, what: &str) -> String {
        self.role.say(what).await;
        self.role.hear().await.unwrap_or_else(|| panic!("the holder ended at {what:?}"))
    }

    /// Sets its wall clock, and sees that it has noticed.
    async fn jump(&mut self, ahead: i64) {
        self.clock.set(ahead);
        let jumped = self.ask("today").await.parse::<i64>().unwrap() - today();
        assert!((jumped - ahead).abs() < 60, "the wall clock is {jumped} s ahead and not {ahead}");
    }
}

#[tokio::test]
async fn a_renewing_holder_loses_nothing_to_jumps_of_an_hour() {
    let place = Place::new().await;
    let Some(mut holder) = Holder::start(&place, 0).await else { return };
    let names: Vec<_> = (0..20).map(|i| format!("k{i}")).collect();
    for name in &names {
        assert_eq!(holder.ask(&format!("put {name} 60000")).await, "true");
    }
    for (round, ahead) in [HOUR, -HOUR, 0, -HOUR, HOUR, 0].into_iter().enumerate() {
        holder.jump(ahead).await;
        // One that sweeps as it opens the store, and begins with the clock that is wrong.
        let mut late = Holder::start(&place, ahead).await.expect("faketime to be here still");
        assert_eq!(late.ask("sweep").await, "0", "swept after the jump to {ahead}");
        for name in &names {
            assert_eq!(late.ask(&format!("exists {name}")).await, "true", "{name} after the jump to {ahead}");
            assert_eq!(holder.ask(&format!("touch {name} 60000")).await, "true", "{name} at {ahead}");
            assert!(place.connector.touch(&key(name), MINUTE).await.unwrap(), "{name} in round {round}");
        }
        assert_eq!(place.connector.sweep().await.unwrap().objects, 0);
        assert!(late.role.wait().await.success());
    }
    assert!(holder.role.wait().await.success());
}

#[tokio::test]
async fn nothing_outlives_its_ttl_by_a_jump() {
    let place = Place::new().await;
    let Some(mut holder) = Holder::start(&place, 0).await else { return };
    for (at, then) in [(0, -HOUR), (HOUR, 0), (HOUR, -HOUR), (-HOUR, 0)] {
        holder.jump(at).await;
        assert_eq!(holder.ask("put short 300").await, "true");
        assert_eq!(holder.ask("put touched 60000").await, "true");
        assert_eq!(holder.ask("touch touched 300").await, "true");
        holder.jump(then).await;
        for name in ["short", "touched"] {
            eventually(Duration::from_secs(10), || async {
                !place.connector.exists(&key(name)).await.unwrap()
            })
            .await;
            assert_eq!(holder.ask(&format!("exists {name}")).await, "false", "{name}: {at}, then {then}");
        }
    }
    assert!(holder.role.wait().await.success());
}

#[tokio::test]
async fn a_damaged_clock_is_reported_and_hurts_nobody_who_is_at_work() {
    let place = Place::new().await;
    place.connector.put(&key("k"), vec![1].into(), &lasting(MINUTE)).await.unwrap();
    let clock = super::files(&place.root()).into_iter().find(|file| file.is_symlink()).unwrap();
    std::fs::remove_file(&clock).unwrap();
    std::fs::write(&clock, "torn").unwrap();
    for origin in [Origin::Program, Origin::Reference] {
        let config = FileConfig { root: place.root(), ..FileConfig::default() };
        let error = config.connect(origin).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("=proxystore-clock-"), "{error}");
    }
    assert!(place.connector.touch(&key("k"), MINUTE).await.unwrap());
    std::fs::remove_file(&clock).unwrap();
    let again = FileConfig { root: place.root(), ..FileConfig::default() };
    assert!(again.connect(Origin::Reference).await.unwrap().exists(&key("k")).await.unwrap());
    assert!(clock.is_symlink(), "a reference makes the clock where there is none");
}
