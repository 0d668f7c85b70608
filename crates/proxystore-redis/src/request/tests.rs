use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proxystore_core::{Mode, Payload, PutOptions, Transfer};
use redis::{Pipeline, Value};
use tokio::io::AsyncReadExt;

use super::{APART, Request};

/// What arrives when at most `piece` bytes go at once.
async fn sent(request: &Request, piece: usize) -> Vec<u8> {
    let (mut to, mut from) = tokio::io::duplex(piece);
    let packed = request.pack();
    let transfer = Transfer::new(0);
    let told = transfer.clone();
    let write = tokio::spawn(async move { packed.write(&mut to, &told).await });
    let mut all = Vec::new();
    from.read_to_end(&mut all).await.unwrap();
    write.await.unwrap().unwrap();
    assert_eq!(transfer.progress(), all.len() as u64);
    all
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    /// Both ways of sending say the same, whatever is copied and whatever is not.
    #[test]
    fn ours_is_what_the_crate_sends(
        values in vec((0..2 * APART, 0..2 * APART), 1..5),
        piece in 1usize..100_000,
        create in any::<bool>(),
        ttl in prop::option::of(0u64..u64::MAX),
    ) {
        let mode = if create { Mode::Create } else { Mode::Overwrite };
        let options = PutOptions { mode, ttl: ttl.map(Duration::from_millis), ..PutOptions::default() };
        let payload = |(head, body)| Payload::new(vec![1; head], vec![2; body]);
        let sets = values.into_iter().enumerate().map(|(i, lens)| (format!("app:{i}"), payload(lens)));
        let request = Request::Sets(sets.collect(), options);
        let wanted = request.pipeline().get_packed_pipeline();
        prop_assert_eq!(&request.packed(), &wanted);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        prop_assert_eq!(runtime.block_on(sent(&request, piece)), wanted);
    }
}

#[test]
fn large_values_are_not_copied() {
    let body = proxystore_core::Bytes::from(vec![3; APART]);
    let value = Payload::new(vec![1; 40], body.clone());
    let packed = Request::Sets(vec![("app:k".into(), value)], PutOptions::default()).pack();
    assert!(packed.0.iter().any(|piece| piece.as_ptr() == body.as_ptr() && piece.len() == APART));
    assert_eq!(packed.0.len(), 3);
}

#[test]
fn a_command_is_an_array_of_its_words() {
    let mut commands = Pipeline::new();
    commands.cmd("PEXPIRE").arg("app:k").arg(super::millis(Duration::ZERO));
    let word = |text: &str| Value::BulkString(text.into());
    let wanted = Value::Array(vec![word("PEXPIRE"), word("app:k"), word("1")]);
    assert_eq!(redis::parse_redis_value(&Request::from(commands).packed()).unwrap(), wanted);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn the_same_for_each_is_what_the_crate_sends(names in vec("[a-z]{0,200}", 1..9), few in any::<bool>()) {
        let numbers: &[usize] = if few { &[] } else { &[0, 9, 10, 65_536, usize::MAX] };
        let request = Request::Each("GETRANGE", names, numbers);
        prop_assert_eq!(request.packed(), request.pipeline().get_packed_pipeline());
    }
}
