//! Owners on their way, and letters that nobody has written.

use super::*;

#[tokio::test]
async fn an_owner_goes_from_process_to_process() {
    for backend in shared().await {
        let store = registered(&backend.uri).await;
        let (mut left, mut right) = (Worker::at(&backend.uri), Worker::at(&backend.uri));
        let owned = store.owned_proxy(vec![1u32, 2]).ttl(SHORT).await.unwrap();
        let key = owned.key().clone();
        let handover = owned.hand_over().await.unwrap();
        let bytes = json(&handover);

        let (one, other) = join(left.ask("claim", &bytes), right.ask("claim", &bytes)).await;
        let (mut owner, outcomes) =
            if one == "[1, 2]" { (left, [one, other]) } else { (right, [other, one]) };
        assert_eq!(outcomes, ["[1, 2]", "conflict"]);
        assert_eq!(handover.claim().await.unwrap_err().kind(), ErrorKind::Conflict);

        // It is renewed by the new owner, and goes with it.
        sleep(2 * SHORT).await;
        assert!(store.exists(&key).await.unwrap());
        assert_eq!(owner.ask("claim", &bytes).await, "conflict");
        owner.0.kill().await;
        goes(&store, &key).await;
    }
}

#[tokio::test]
async fn a_handover_that_is_lost_is_reclaimed() {
    for backend in backends().await {
        let store = backend.store("lost").await;
        let owned = store.owned_proxy(vec![1u32]).await.unwrap();
        let key = owned.key().clone();
        let handover = owned.hand_over_within(SHORT).await.unwrap();
        assert!(store.exists(&key).await.unwrap());
        let sent = Instant::now();
        goes(&store, &key).await;
        assert!(sent.elapsed() < SHORT + Duration::from_secs(1));
        assert_eq!(handover.claim().await.unwrap_err().kind(), ErrorKind::Expired);

        // In time, the sender gets it back.
        let owned = store.owned_proxy(vec![2u32]).await.unwrap();
        let handover = owned.hand_over().await.unwrap();
        let owned = handover.claim().await.unwrap();
        assert_eq!(owned.resolve_async().await.unwrap(), &[2]);
        assert_eq!(handover.claim().await.unwrap_err().kind(), ErrorKind::Conflict);
    }
}

#[tokio::test]
async fn a_claim_that_fails_half_way_is_made_again() {
    for backend in backends().await {
        let (store, faulty) = backend.spied("half-way").await;
        for fault in [
            Fault::FailAfter(Error::new(ErrorKind::Ambiguous, "the answer is lost")),
            Fault::Fail(Error::new(ErrorKind::Unavailable, "down")),
        ] {
            let owned = store.owned_proxy(vec![1u32]).await.unwrap();
            let handover = owned.hand_over().await.unwrap();
            faulty.next(Op::Put, fault);
            let owned = match handover.claim().await {
                Ok(owned) => owned,
                Err(error) if error.kind() == ErrorKind::Unavailable => handover.claim().await.unwrap(),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(owned.resolve_async().await.unwrap(), &[1]);
            assert_eq!(handover.claim().await.unwrap_err().kind(), ErrorKind::Conflict);
        }
        for op in [Op::Exists, Op::Touch] {
            let handover = store.owned_proxy(vec![1u32]).await.unwrap().hand_over().await.unwrap();
            // The reaper looks, too, for what was there before.
            faulty.every(op, Fault::Fail(Error::new(ErrorKind::Unavailable, "down")));
            assert_eq!(handover.claim().await.unwrap_err().kind(), ErrorKind::Unavailable);
            faulty.heal();
            assert_eq!(handover.claim().await.unwrap().resolve_async().await.unwrap(), &[1]);
        }
    }
}

#[tokio::test]
async fn who_cannot_hand_over_keeps() {
    for backend in backends().await {
        let (store, faulty) = backend.spied("kept").await;
        for op in [Op::Put, Op::Touch] {
            let owned = store.owned_proxy(vec![1u32]).await.unwrap();
            faulty.next(op, Fault::Fail(Error::new(ErrorKind::Unavailable, "down")));
            let kept = owned.hand_over().await.unwrap_err();
            assert_eq!(kept.error.kind(), ErrorKind::Unavailable);
            let owned = kept.owner;
            assert_eq!(owned.resolve_async().await.unwrap(), &[1]);
            let handover = owned.hand_over().await.unwrap();
            assert_eq!(handover.claim().await.unwrap().resolve_async().await.unwrap(), &[1]);
        }
    }
}

/// What the letters of others can be put together to gives nobody more than he was given.
#[tokio::test]
async fn forged_letters_do_nothing() {
    for backend in shared().await {
        let store = registered(&backend.uri).await;
        let other = store.owned_proxy(vec![7u32]).await.unwrap();
        let mut owned = store.owned_proxy(vec![1u32]).await.unwrap();
        let forged = |letter: &Value, field: &str, with: &Value| {
            let mut letter = letter.clone();
            letter[field] = with.clone();
            letter.to_string()
        };
        let kind = |letter: &Value, kind: &str| forged(letter, "kind", &kind.into());
        let theirs = other.lend(async |theirs| {
            let theirs = serde_json::to_value(&theirs).unwrap();
            let mine = owned.lend_mut(async |mine| {
                let mine = serde_json::to_value(&mine).unwrap();
                // For another use.
                assert_eq!(update(kind(&theirs, "lent_mut")).await, Err(ErrorKind::Denied));
                assert_eq!(claim(kind(&theirs, "handover")).await, Err(ErrorKind::Denied));
                assert_eq!(claim(kind(&mine, "handover")).await, Err(ErrorKind::Denied));
                // For another object.
                assert_eq!(
                    update(forged(&mine, "reference", &theirs["reference"])).await,
                    Err(ErrorKind::Denied)
                );
                // What is no ticket, and what is none any more.
                let object = &theirs["reference"]["key"];
                assert_eq!(update(forged(&mine, "ticket", object)).await, Err(ErrorKind::Corrupt));
                let nothing = Value::from(Key::random().unwrap().to_string());
                assert_eq!(update(forged(&mine, "ticket", &nothing)).await, Err(ErrorKind::Expired));
            });
            mine.await.unwrap();
        });
        theirs.await.unwrap();
        assert_eq!(owned.resolve_async().await.unwrap(), &[1]);
        assert_eq!(other.resolve_async().await.unwrap(), &[7]);
        assert!(store.exists(owned.key()).await.unwrap() && store.exists(other.key()).await.unwrap());
    }
}

async fn update(letter: String) -> Result<(), ErrorKind> {
    let mut lent: LentMut<Numbers> = serde_json::from_str(&letter).unwrap();
    lent.update(vec![666]).await.map_err(|error| error.kind())
}

async fn claim(letter: String) -> Result<(), ErrorKind> {
    let handover: Handover<Numbers> = serde_json::from_str(&letter).unwrap();
    handover.claim().await.map(drop).map_err(|error| error.kind())
}

#[tokio::test]
async fn borrows_and_owners_ask_for_the_rights() {
    let backend = stores::local().await;
    let keys = KeyRing::new(SecretKey::random("k1").unwrap());
    let build = Store::builder("signed").shared_connector(backend.connector.clone()).sign(keys);
    let store = build.build().await.unwrap();
    let proxy = store.proxy(vec![1u32]).await.unwrap();
    let limited: Proxy<Numbers> = Proxy::new(proxy.factory().limited(Rights::READ, None).unwrap());
    assert_eq!(into_owned(limited).await.unwrap_err().kind(), ErrorKind::Denied);
    let key = proxy.factory().key().clone();
    let wrong: Proxy<String> = serde_json::from_str(&json(&proxy)).unwrap();
    assert_eq!(into_owned(wrong).await.unwrap_err().kind(), ErrorKind::TypeMismatch);
    let mut owned: OwnedProxy<Numbers> = into_owned(proxy).await.unwrap();
    assert_eq!(owned.key(), &key);

    // What is lent to be read gives no right to evict.
    let read = owned.lend(async |lent| {
        assert!(json(&lent).contains(" read "), "{}", json(&lent));
        lent.resolve_async().await.cloned()
    });
    assert_eq!(read.await.unwrap().unwrap(), [1]);
    // Nor does what is lent to be updated: the old object is the owner's to evict.
    let update = owned.lend_mut(async |mut lent| {
        assert!(json(&lent).contains(" read "), "{}", json(&lent));
        lent.update(vec![2]).await
    });
    update.await.unwrap().unwrap();
    assert_eq!(owned.hand_over().await.unwrap().claim().await.unwrap().resolve_async().await.unwrap(), &[2]);
}
