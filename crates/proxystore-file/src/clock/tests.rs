#![allow(clippy::unwrap_used, reason = "a failed expectation is what a test reports")]

use std::fs::{File, create_dir, read_dir, read_to_string, remove_file, write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;

use tempfile::TempDir;

use super::*;

const BOOT: &str = "4220ffd8-fae2-4861-862b-106cdba01bcc";
const OTHER: &str = "00000000-0000-4000-8000-000000000000";

fn root() -> (TempDir, File) {
    let directory = tempfile::tempdir().unwrap();
    let root = File::open(directory.path()).unwrap();
    (directory, root)
}

fn wall() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

#[test]
fn a_new_clock_shows_the_time_of_day_and_runs() {
    let (_directory, root) = root();
    let clock = Clock::open(&root).unwrap();
    assert!(clock.now().abs_diff(wall()) < Duration::from_secs(1), "{:?} at {:?}", clock.now(), wall());
    let (start, then) = (std::time::Instant::now(), clock.now());
    thread::sleep(Duration::from_millis(20));
    let passed = clock.now() - then;
    assert!(passed >= Duration::from_millis(19) && passed <= start.elapsed() + Duration::from_millis(1));
}

#[test]
fn who_comes_later_gets_the_first_ones_clock() {
    let (directory, root) = root();
    let first = Clock::open(&root).unwrap();
    let link = read_dir(directory.path()).unwrap().next().unwrap().unwrap();
    let epoch: u64 = link.path().read_link().unwrap().to_str().unwrap().parse().unwrap();
    assert_eq!(Clock::open(&root).unwrap().zero, first.zero);
    // As if the first one's wall clock had been behind by an hour.
    remove_file(link.path()).unwrap();
    symlink((epoch - 3_600_000).to_string(), link.path()).unwrap();
    let behind = Clock::open(&root).unwrap();
    assert_eq!(first.zero - behind.zero, 3_600_000 * NANOS_PER_MILLI);
    assert_eq!(read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn racing_makers_agree() {
    for _ in 0..50 {
        let (_directory, root) = root();
        let start = Barrier::new(8);
        let epochs: Vec<_> = thread::scope(|scope| {
            let make = |reckoned| {
                let (root, start) = (&root, &start);
                scope.spawn(move || {
                    start.wait();
                    agree(root, BOOT, reckoned).unwrap()
                })
            };
            let makers: Vec<_> = (1..=8).map(make).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert_eq!(epochs, [epochs[0]; 8]);
        assert_eq!(agree(&root, BOOT, 9).unwrap(), epochs[0]);
    }
}

#[test]
fn each_boot_has_an_epoch_of_its_own() {
    let (_directory, root) = root();
    assert_eq!(agree(&root, BOOT, 1_000).unwrap(), 1_000);
    assert_eq!(agree(&root, OTHER, 2_000).unwrap(), 2_000);
    assert_eq!(agree(&root, BOOT, 3_000).unwrap(), 1_000);
    assert_eq!(agree(&root, OTHER, 3_000).unwrap(), 2_000);
}

#[test]
fn a_damaged_clock_is_corrupt_and_stays() {
    let latest = LATEST.to_string();
    for target in
        [&latest, "18446744073709551615", "18446744073709551616", "-1", "+1", "01", "1 ", "x", "/etc"]
    {
        let (directory, root) = root();
        symlink(target, directory.path().join(format!("=proxystore-clock-{BOOT}"))).unwrap();
        let error = agree(&root, BOOT, 1_000).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{target}: {error}");
        assert!(error.to_string().contains(BOOT), "{error}");
    }
    for a_directory in [false, true] {
        let (directory, root) = root();
        let place = directory.path().join(format!("=proxystore-clock-{BOOT}"));
        if a_directory { create_dir(place) } else { write(place, "1000") }.unwrap();
        assert_eq!(agree(&root, BOOT, 1_000).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(read_dir(directory.path()).unwrap().count(), 1);
    }
}

#[test]
fn where_no_link_can_be_made_the_clock_is_ones_own() {
    // Nobody makes files there, not even root.
    let root = File::open("/sys").unwrap();
    let clock = Clock::open(&root).unwrap();
    assert!(clock.now().abs_diff(wall()) < Duration::from_secs(1));
}

#[test]
fn a_time_namespace_does_not_matter() {
    let ahead = |offsets| ahead_of_machine(offsets) / NANOS_PER_MILLI;
    assert_eq!(ahead("monotonic           5         0\nboottime        86400  500000000\n"), 86_400_500);
    assert_eq!(ahead("monotonic           0         0\nboottime         -100  250000000\n"), -99_750);
    for nothing in ["", "boottime", "boottime x y", "monotonic 1 1"] {
        assert_eq!(ahead(nothing), 0, "{nothing:?}");
    }
}

#[test]
fn boot_ids_are_names_of_files() {
    assert!(is_boot_id(BOOT));
    let slashes = BOOT.replace('-', "/");
    for text in ["", "..", &BOOT[1..], &slashes] {
        assert!(!is_boot_id(text), "{text:?}");
    }
}

#[test]
fn no_other_file_asks_for_the_time_of_day() {
    fn sources(directory: &Path) -> Vec<PathBuf> {
        let entries = read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
    }
    let asks = |path: &PathBuf| read_to_string(path).unwrap().contains("SystemTime");
    let mut found = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(found.len() > 10);
    found.retain(asks);
    found.sort();
    assert!(
        found.len() == 2 && found[0].ends_with("clock/tests.rs") && found[1].ends_with("clock.rs"),
        "{found:?}"
    );
}
