//! How long an attempt may take.

use super::*;

#[tokio::test(start_paused = true)]
async fn each_operation_ends() {
    let inner = faulty();
    for op in
        [Op::Put, Op::Get, Op::Exists, Op::Evict, Op::Touch, Op::Take, Op::Watch, Op::GetMany, Op::Close]
    {
        inner.every(op, Fault::Hang);
    }
    let store = around(inner, Timeout::default());
    let (key, second) = (key(), Duration::from_secs(1));
    let start = Instant::now();
    let options = PutOptions::default();
    let ended = [
        store.put(&key, value(), &options).await.unwrap_err(),
        store.evict(&key).await.unwrap_err(),
        store.touch(&key, second).await.unwrap_err(),
        store.take(&key).await.unwrap_err(),
        store.get(&key).await.unwrap_err(),
        store.exists(&key).await.unwrap_err(),
        store.watch(&key).await.unwrap_err(),
        store.get_many(std::slice::from_ref(&key)).await.remove(0).unwrap_err(),
        store.close().await.unwrap_err(),
    ];
    let kinds: Vec<_> = ended.iter().map(Error::kind).collect();
    let (write, read) = (ErrorKind::Ambiguous, ErrorKind::Timeout);
    let wanted = [write, write, write, write, read, read, read, read, read];
    assert_eq!(kinds, wanted);
    assert!(!ended[3].is_transient(), "a take must not be made again");
    let each = start.elapsed() / 9;
    assert!(each >= 15 * second && each < 16 * second, "{each:?}");
}

async fn time(slow: Slow) -> (Duration, bool) {
    let start = Instant::now();
    let got = around(Arc::new(slow), Timeout::default()).get(&key()).await;
    (start.elapsed(), got.is_ok())
}

#[tokio::test(start_paused = true)]
async fn deadlines_grow_with_the_size() {
    // 80 MiB may take 10 s more than the 15.
    let silent = |pause| Slow { reports: false, ..Slow::new(80 << 20, 1, Duration::from_secs(pause)) };
    assert!(time(silent(24)).await.1);
    let (after, arrived) = time(silent(26)).await;
    assert!(!arrived && after.as_secs() == 25, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn what_moves_is_not_cut_off_and_what_stops_is() {
    // 100 seconds for one MiB.
    assert!(time(Slow::new(1 << 20, 10, Duration::from_secs(10))).await.1);
    let (after, arrived) = time(Slow::new(1 << 20, 2, Duration::from_secs(40))).await;
    assert!(!arrived && after.as_secs() == 15, "{after:?}");
}

#[tokio::test]
async fn what_is_too_large_is_not_fetched() {
    let store = around(Arc::new(Slow::new(1 << 30, 1, Duration::from_secs(600))), Timeout::default());
    let limited = Transfer::new(1 << 20);
    let error = limited.scope(store.get(&key())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
}
