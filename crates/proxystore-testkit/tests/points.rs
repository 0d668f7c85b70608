//! Roles that are killed at their points, and nowhere else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod memory;

use std::fs;
use std::path::Path;
use std::time::Duration;

use memory::{Bug, harness};
use proxystore_core::{Connector, PutOptions};
use proxystore_testkit::fault::{Fault, FaultConnector, Op};
use proxystore_testkit::process::{self, Role, point};
use proxystore_testkit::{role, sample};

const LEN: usize = 100_000;

fn environment(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// Puts a file in place, and says so.
#[tokio::test]
async fn putter() {
    role!("putter");
    let (temp, place) = (environment("TEMP"), environment("PLACE"));
    process::say("begins");
    point("before-write");
    fs::write(&temp, sample::make(1, LEN)).unwrap();
    point("before-rename");
    fs::rename(&temp, &place).unwrap();
    point("after-rename");
    process::say("done");
}

fn object(path: &Path) -> Option<u64> {
    let bytes = fs::read(path).ok()?;
    Some(sample::seed(bytes).unwrap())
}

#[tokio::test]
async fn a_role_dies_at_the_point_that_was_named() {
    for (at, temp_there, put) in
        [("before-write", None, None), ("before-rename", Some(1), None), ("after-rename", None, Some(1))]
    {
        let directory = tempfile::tempdir().unwrap();
        let (temp, place) = (directory.path().join("temp"), directory.path().join("place"));
        let (temp_name, place_name) = (temp.display().to_string(), place.display().to_string());
        let environment = [("TEMP", temp_name.as_str()), ("PLACE", &place_name)];
        let mut role = Role::spawn_until("putter", at, &environment);
        role.kill_at_point().await;
        assert_eq!(role.hear().await.as_deref(), Some("begins"), "what was said is still heard");
        assert_eq!(role.hear().await, None, "killed at {at}, it goes no further");
        assert!(!role.wait().await.success());
        assert_eq!((object(&temp), object(&place)), (temp_there, put), "killed at {at}");

        // Points that nobody asked for stop nothing.
        let mut role = Role::spawn("putter", &environment);
        assert_eq!(role.hear().await.as_deref(), Some("begins"));
        assert_eq!(role.hear().await.as_deref(), Some("done"));
        assert!(role.wait().await.success());
        assert_eq!(object(&place), Some(1));
    }
}

#[tokio::test]
#[should_panic(expected = "the role putter ended before it came to its point")]
async fn a_point_that_never_comes_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let name = |name| directory.path().join(name).display().to_string();
    let environment = [("TEMP", &*name("temp")), ("PLACE", &*name("place"))];
    Role::spawn_until("putter", "no-such-point", &environment).kill_at_point().await;
}

/// Puts through a connector with points, and tells what has happened inside of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connected() {
    role!("connected");
    let inner = FaultConnector::new(harness(Bug::None).connector().clone());
    let outer = FaultConnector::new(inner.clone());
    let fault = if environment("WHEN") == "before" { Fault::Point("put") } else { Fault::PointAfter("put") };
    outer.nth(Op::Put, 2, fault);
    for _ in 0..2 {
        let key = outer.new_key(Default::default()).unwrap();
        let put = tokio::spawn({
            let outer = outer.clone();
            async move { outer.put(&key, sample::make(1, 50).into(), &PutOptions::default()).await }
        });
        // The stopped put keeps its thread, so this one tells of it.
        let answered = tokio::time::timeout(Duration::from_secs(1), put).await.is_ok();
        process::say(&format!("{} calls, answered: {answered}", inner.calls(Op::Put)));
    }
}

#[tokio::test]
async fn a_connector_has_points_before_and_after_an_operation() {
    for (when, second) in [("before", "1 calls, answered: false"), ("after", "2 calls, answered: false")] {
        let mut role = Role::spawn_until("connected", "put", &[("WHEN", when)]);
        assert_eq!(role.hear().await.as_deref(), Some("1 calls, answered: true"));
        assert_eq!(role.hear().await.as_deref(), Some(second), "stopped {when} the put");
        role.kill_at_point().await;
    }
    let mut role = Role::spawn("connected", &[("WHEN", "after")]);
    for calls in 1..=2 {
        assert_eq!(role.hear().await, Some(format!("{calls} calls, answered: true")));
    }
}
