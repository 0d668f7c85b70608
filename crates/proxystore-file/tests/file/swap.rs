//! Links that come and go while operations run.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proxystore_core::{Connector, Error, ErrorKind, PutOptions};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::hostile::snapshot;
use super::{Place, creating, files, key};

/// While a shard's directory is exchanged with a link to a directory outside, again and again, operations fail or
/// work inside; what stands outside under the same names is neither got nor changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_swapped_in_is_never_followed() {
    let place = Place::new().await;
    let (k, outside) = (key("k"), place.directory.path().join("outside"));
    fs::create_dir(&outside).unwrap();
    // A perfect object of the same key, outside.
    let decoy = super::open(&place.directory.path().join("decoy")).await;
    decoy.put(&k, b"outside"[..].into(), &PutOptions::default()).await.unwrap();
    let of_decoy =
        files(&place.directory.path().join("decoy")).into_iter().find(|file| file.ends_with("k")).unwrap();
    fs::copy(of_decoy, outside.join("k")).unwrap();
    let before = snapshot(&outside);

    place.connector.put(&k, b"inside"[..].into(), &PutOptions::default()).await.unwrap();
    let shard = place.file(&k).parent().unwrap().to_owned();
    let link = place.directory.path().join("link");
    symlink(&outside, &link).unwrap();
    let (done, start) = (AtomicBool::new(false), Instant::now());
    let (mut swaps, mut inside, mut refused) = (0u64, 0u64, 0u64);
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut swaps = 0;
            // A failed expectation below must not leave it running.
            while !done.load(Ordering::Relaxed) && start.elapsed() < Duration::from_secs(60) {
                renameat_with(CWD, &shard, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                swaps += 1;
            }
            swaps
        });
        let mut check = |result: Result<(), Error>| match result {
            Ok(()) => inside += 1,
            Err(error) if [ErrorKind::Denied, ErrorKind::Corrupt].contains(&error.kind()) => refused += 1,
            // A create where the removal before was refused.
            Err(error) if error.kind() == ErrorKind::Exists => {}
            Err(error) => panic!("{error}"),
        };
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for _ in 0..3_000 {
                    let connector = &place.connector;
                    check(connector.put(&k, b"inside"[..].into(), &PutOptions::default()).await);
                    let got = connector.get(&k).await;
                    check(got.map(|got| assert!(got.is_none_or(|got| got.into_bytes() != "outside"))));
                    check(connector.touch(&k, Duration::from_secs(60)).await.map(drop));
                    check(connector.take(&k).await.map(|got| {
                        assert!(got.is_none_or(|got| got.into_bytes() != "outside"));
                    }));
                    check(connector.put(&k, b"inside"[..].into(), &creating()).await);
                    check(connector.evict(&k).await);
                    check(connector.put(&k, b"inside"[..].into(), &PutOptions::default()).await);
                }
            });
        });
        done.store(true, Ordering::Relaxed);
        swaps = swapper.join().unwrap();
    });
    assert_eq!(snapshot(&outside), before);
    assert!(
        swaps > 1_000 && inside > 100 && refused > 100,
        "{swaps} swaps, {inside} inside, {refused} refused"
    );
}
