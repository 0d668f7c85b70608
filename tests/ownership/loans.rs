//! What is lent to other tasks and processes.

use super::*;

#[tokio::test]
async fn what_is_lent_is_read_in_other_processes() {
    for backend in shared().await {
        let store = registered(&backend.uri).await;
        let (mut left, mut right) = (Worker::at(&backend.uri), Worker::at(&backend.uri));
        let mut owned = store.owned_proxy(vec![1u32]).ttl(SHORT).await.unwrap();

        let read = owned.lend(async |lent| {
            let bytes = json(&lent);
            join(left.ask("read", &bytes), right.ask("read", &bytes)).await
        });
        assert_eq!(read.await.unwrap(), ("[1]".into(), "[1]".into()));

        // Both have the old value in their caches.
        owned.update(vec![2]).await.unwrap();
        let read = owned.lend(async |lent| {
            // A borrower that has died is noticed; those that have done their work and dropped it are not missed.
            let said = left.ask("read", json(&lent)).await;
            left.ask("drop", "").await;
            sleep(3 * SHORT).await;
            said
        });
        assert_eq!(read.await.unwrap(), "[2]");
        assert_eq!(owned.lend(async |lent| right.ask("read", json(&lent)).await).await.unwrap(), "[2]");
        assert_eq!(owned.lend(async |lent| lent.resolve_async().await.cloned()).await.unwrap().unwrap(), [2]);
    }
}

#[tokio::test]
async fn what_is_lent_to_be_updated_comes_back() {
    for backend in shared().await {
        let store = registered(&backend.uri).await;
        let (mut left, mut right) = (Worker::at(&backend.uri), Worker::at(&backend.uri));
        let mut owned = store.owned_proxy(vec![1u32]).ttl(SHORT).await.unwrap();
        let first = owned.key().clone();
        let pushed = owned.lend_mut(async |lent| {
            let bytes = json(&lent);
            let pushed = left.ask("push", &bytes).await;
            // Only one process has it, and in that only one copy.
            assert_eq!(right.ask("push", &bytes).await, "conflict");
            assert_eq!(left.ask("push", &bytes).await, "conflict");
            assert_eq!(lent.resolve_async().await.unwrap_err().kind(), ErrorKind::Conflict);
            // The borrower is done; until the task is, the lender keeps the new value alive.
            left.ask("drop", "").await;
            sleep(2 * SHORT).await;
            (pushed, bytes)
        });
        let (pushed, bytes) = pushed.await.unwrap();
        assert_eq!(pushed, "[1, 9]");
        assert_eq!(owned.resolve_async().await.unwrap(), &[1, 9]);
        goes(&store, &first).await;

        // Too late.
        assert_ne!(right.ask("push", &bytes).await, "[1, 9]");
        assert_eq!(owned.lend(async |lent| right.ask("read", json(&lent)).await).await.unwrap(), "[1, 9]");
        let other = owned.lend_mut(async |lent| right.ask("push", json(&lent)).await).await.unwrap();
        assert_eq!(other, "[1, 9, 9]");
        sleep(2 * SHORT).await;
        assert_eq!(owned.borrow().resolve_async().await.unwrap(), &[1, 9, 9]);
    }
}

#[tokio::test]
async fn what_is_lent_to_a_task_is_updated_there() {
    for backend in backends().await {
        let store = backend.store("tasks").await;
        let mut owned = store.owned_proxy(vec![1u32]).await.unwrap();
        let lend = owned.lend_mut(|mut lent| {
            tokio::spawn(async move {
                for number in 2..5 {
                    let mut value = lent.resolve_async().await?.clone();
                    value.push(number);
                    lent.update(value).await?;
                }
                Ok::<_, Error>(())
            })
        });
        lend.await.unwrap().unwrap().unwrap();
        assert_eq!(owned.resolve_async().await.unwrap(), &[1, 2, 3, 4]);
        // A task that updates nothing leaves everything.
        let key = owned.key().clone();
        assert_eq!(
            owned.lend_mut(async |lent| lent.resolve_async().await.cloned()).await.unwrap().unwrap().len(),
            4
        );
        assert_eq!(owned.key(), &key);
    }
}

#[tokio::test]
async fn a_borrower_that_is_killed_frees_the_borrow() {
    for backend in shared().await {
        let store = registered(&backend.uri).await;
        let mut owned = store.owned_proxy(vec![1u32]).ttl(SHORT).await.unwrap();

        let mut worker = Worker::at(&backend.uri);
        let lend = owned.lend(async |lent| {
            assert_eq!(worker.ask("read", json(&lent)).await, "[1]");
            worker.0.kill().await;
            worker.0.hear().await.unwrap_or_default();
            pending::<()>().await;
        });
        let error = lend.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Expired, "{error}");

        // What it has updated before is kept: its update had succeeded.
        let mut worker = Worker::at(&backend.uri);
        let lend = owned.lend_mut(async |lent| {
            assert_eq!(worker.ask("push", json(&lent)).await, "[1, 9]");
            worker.0.kill().await;
            pending::<()>().await;
        });
        assert_eq!(lend.await.unwrap_err().kind(), ErrorKind::Expired);
        assert_eq!(owned.resolve_async().await.unwrap(), &[1, 9]);

        let mut worker = Worker::at(&backend.uri);
        let pushed = owned.lend_mut(async |lent| worker.ask("push", json(&lent)).await).await;
        assert_eq!(pushed.unwrap(), "[1, 9, 9]");
        assert_eq!(owned.resolve_async().await.unwrap(), &[1, 9, 9]);
    }
}

#[tokio::test]
async fn a_mutable_loan_has_one_user_for_as_long_as_it_lasts() {
    for backend in shared().await {
        let store = registered(&backend.uri).await;
        let mut owned = store.owned_proxy(vec![1u32]).ttl(SHORT / 2).await.unwrap();
        let lend = owned.lend_mut(async |lent| {
            let copy = || serde_json::from_str::<LentMut<Numbers>>(&json(&lent)).unwrap();
            let mut first = copy();
            first.update(vec![2]).await.unwrap();
            // As long as it takes for all that nobody renews to be gone.
            sleep(2 * SHORT).await;
            assert_eq!(copy().resolve_async().await.unwrap_err().kind(), ErrorKind::Conflict);
            drop(first);
            sleep(2 * SHORT).await;
            assert_eq!(copy().update(vec![3]).await.unwrap_err().kind(), ErrorKind::Conflict);
        });
        lend.await.unwrap();
        assert_eq!(owned.resolve_async().await.unwrap(), &[2]);
    }
}

#[tokio::test]
async fn a_first_use_that_fails_is_no_death() {
    for backend in backends().await {
        let (store, faulty) = backend.spied("first-use").await;
        let owned = store.owned_proxy(vec![1u32]).ttl(SHORT / 5).await.unwrap();
        let lend = owned.lend(async |lent| {
            // The sign of life is written, and the borrower does not come to renew it.
            faulty.next(Op::Put, Fault::FailAfter(Error::new(ErrorKind::Unavailable, "down")));
            assert_eq!(lent.resolve_async().await.unwrap_err().kind(), ErrorKind::Unavailable);
            sleep(SHORT).await;
            lent.resolve_async().await.cloned()
        });
        assert_eq!(lend.await.unwrap().unwrap(), [1]);
    }
}

#[tokio::test]
async fn a_lender_that_is_killed_leaves_nothing() {
    for backend in shared().await {
        let store = registered(&backend.uri).await;
        let mut worker = Worker::at(&backend.uri);
        let bytes = worker.ask("lend", "7").await;
        let lent: Lent<Numbers> = serde_json::from_str(&bytes).unwrap();
        assert_eq!(lent.resolve_async().await.unwrap(), &[7]);
        worker.0.kill().await;
        let reference: Proxy<Numbers> =
            serde_json::from_value(serde_json::from_str::<Value>(&bytes).unwrap()["reference"].clone())
                .unwrap();
        goes(&store, reference.factory().key()).await;
        eventually(LONG, || {
            let late: Lent<Numbers> = serde_json::from_str(&bytes).unwrap();
            async move { late.resolve_async().await.is_err_and(|error| error.kind() == ErrorKind::Expired) }
        })
        .await;
    }
}

#[tokio::test]
async fn a_lend_that_is_given_up_ends_the_borrow() {
    for backend in shared().await {
        let store = registered(&backend.uri).await;
        let mut owned = store.owned_proxy(vec![1u32]).await.unwrap();
        let mut worker = Worker::at(&backend.uri);
        let mut bytes = String::new();
        let lend = owned.lend_mut(async |lent| {
            bytes = json(&lent);
            assert_eq!(worker.ask("push", &bytes).await, "[1, 9]");
            pending::<()>().await;
        });
        assert!(tokio::time::timeout(Duration::from_secs(2), lend).await.is_err());
        // The owner has what it had, and may do with it what it likes.
        assert_eq!(owned.resolve_async().await.unwrap(), &[1]);
        owned.update(vec![2]).await.unwrap();
        // The borrower is told, as soon as the ticket is gone.
        eventually(LONG, || {
            let late: LentMut<Numbers> = serde_json::from_str(&bytes).unwrap();
            async move { late.resolve_async().await.is_err_and(|error| error.kind() == ErrorKind::Expired) }
        })
        .await;
    }
}

#[tokio::test]
async fn a_task_that_panics_gives_back() {
    let backend = stores::local().await;
    let store = backend.store("panics").await;
    let mut owned = store.owned_proxy(vec![1u32]).await.unwrap();
    let lend = owned.lend_mut(async |_| panic!("as it happens"));
    assert!(AssertUnwindSafe(lend).catch_unwind().await.is_err());
    owned.update(vec![2]).await.unwrap();

    // One that keeps what it was lent can do nothing with it.
    let lend = owned.lend_mut(async |lent| {
        assert_eq!(lent.resolve_async().await.unwrap(), &[2]);
        lent
    });
    let mut kept = lend.await.unwrap();
    assert_eq!(kept.update(vec![3]).await.unwrap_err().kind(), ErrorKind::Expired);
    assert_eq!(kept.resolve_async().await.unwrap(), &[2]);
    assert_eq!(owned.lend(async |lent| lent.resolve_async().await.cloned()).await.unwrap().unwrap(), [2]);
}

#[tokio::test]
async fn a_lend_that_is_leaked_still_counts() {
    let backend = stores::local().await;
    let store = backend.store("leaked").await;
    let mut owned = store.owned_proxy(vec![1u32]).await.unwrap();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let mut lend = Box::pin(owned.lend(async |lent| {
        sender.send(lent).unwrap();
        pending::<()>().await;
    }));
    assert!((&mut lend).now_or_never().is_none());
    std::mem::forget(lend);
    let lent = receiver.await.unwrap();
    assert_eq!(lent.resolve_async().await.unwrap(), &[1]);

    assert_eq!(owned.update(vec![2]).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(owned.lend_mut(async |_| ()).await.unwrap_err().kind(), ErrorKind::Conflict);
    owned.lend(async |_| ()).await.unwrap();
    assert_eq!(owned.hand_over().await.unwrap_err().error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn nothing_is_left_of_what_was_lent() {
    let backend = stores::file().await;
    let (store, _) = backend.spied("tidy").await;
    let objects = || {
        let root: std::path::PathBuf = backend.uri.strip_prefix("file://").unwrap().into();
        let mut dirs = vec![root];
        let mut files = 0;
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
                let name = entry.file_name().into_string().unwrap();
                match entry.file_type().unwrap().is_dir() {
                    true => dirs.push(entry.path()),
                    // An object, or what stands beside one.
                    false => files += usize::from(name.len() >= 26),
                }
            }
        }
        files
    };
    let before = objects();
    let mut owned = store.owned_proxy(vec![1u32]).await.unwrap();
    owned.lend(async |lent| lent.resolve_async().await.cloned()).await.unwrap().unwrap();
    owned.lend_mut(async |mut lent| lent.update(vec![2]).await).await.unwrap().unwrap();
    owned.update(vec![3]).await.unwrap();
    assert!(objects() > before);
    owned.evict().await;
    eventually(LONG, || async { objects() == before }).await;
}
