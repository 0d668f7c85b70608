use std::io::ErrorKind;

use proptest::collection::vec;
use proptest::prelude::*;
use proxystore_core::Transfer;
use redis::Value;
use tokio::io::AsyncWriteExt;

use super::{AHEAD, ARRAY, DEPTH, Head, LINE, Replies};
use crate::connector::MAX_VALUE;

/// What is read of `bytes`, which come in pieces of this length, before they end or are refused.
async fn read(bytes: &[u8], piece: usize) -> (Vec<Value>, ErrorKind) {
    let (mut server, client) = tokio::io::duplex(piece);
    let bytes = bytes.to_vec();
    let sent = tokio::spawn(async move { server.write_all(&bytes).await });
    let mut replies = Replies::new(client);
    let mut all = Vec::new();
    let end = loop {
        match replies.next().await {
            Ok(value) => all.push(value),
            Err(error) => break error.kind(),
        }
    };
    drop(replies);
    let _ = sent.await;
    (all, end)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A reply that a server can give to a command of ours, as it sends it.
fn reply() -> impl Strategy<Value = Vec<u8>> {
    let flat = prop_oneof![
        Just(b"$-1\r\n".to_vec()),
        Just(b"+OK\r\n".to_vec()),
        "[A-Z]{2,9} [ -~]{0,40}".prop_map(|text| format!("-{text}\r\n").into_bytes()),
        any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
        vec(any::<u8>(), 0..3_000).prop_map(|bytes| {
            let mut reply = format!("${}\r\n", bytes.len()).into_bytes();
            reply.extend(bytes);
            reply.extend(b"\r\n");
            reply
        }),
    ];
    flat.prop_recursive(DEPTH as u32, 16, 4, |inner| {
        vec(inner, 0..4).prop_map(|all| {
            let mut reply = format!("*{}\r\n", all.len()).into_bytes();
            reply.extend(all.concat());
            reply
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Whatever is torn into whatever pieces, it reads as the parser of the `redis` crate does.
    #[test]
    fn replies_read_as_the_crate_reads_them(all in vec(reply(), 1..8), piece in 1usize..200) {
        let wanted: Vec<_> = all.iter().map(|reply| redis::parse_redis_value(reply).unwrap()).collect();
        let (read, end) = run(read(&all.concat(), piece));
        prop_assert_eq!(read, wanted);
        prop_assert_eq!(end, ErrorKind::UnexpectedEof);
    }

    /// Of garbage nothing is taken that the crate's parser would not take, and reading ends.
    #[test]
    fn garbage_is_refused(bytes in vec(prop_oneof![any::<u8>(), prop::sample::select(b"$*+-:\r\n0123456789".to_vec())], 0..200)) {
        let (read, end) = run(read(&bytes, 64));
        prop_assert!(matches!(end, ErrorKind::UnexpectedEof | ErrorKind::InvalidData), "{:?}", end);
        if let Some(first) = read.into_iter().next() {
            prop_assert_eq!(redis::parse_redis_value(&bytes).ok(), Some(first));
        }
    }

    /// A stream that breaks anywhere gives whole replies and then its end: never a part as a whole.
    #[test]
    fn a_part_is_no_reply(all in vec(reply(), 1..4), at in any::<prop::sample::Index>()) {
        let bytes = all.concat();
        let cut = at.index(bytes.len());
        let (read, end) = run(read(&bytes[..cut], 50));
        prop_assert_eq!(end, ErrorKind::UnexpectedEof);
        let mut len = 0;
        let whole = all.iter().take_while(|reply| { len += reply.len(); len <= cut }).count();
        prop_assert_eq!(read.len(), whole);
    }
}

/// What is announced is refused before memory is set aside for it.
#[tokio::test]
async fn what_cannot_be_is_refused() {
    let endless = vec![b'+'; LINE + 1];
    let deep = b"*1\r\n".repeat(DEPTH + 3);
    let mut cases: Vec<Vec<u8>> =
        ["$536870913\r\n", "$99999999999999999999\r\n", "$-2\r\n", "$+1\r\nx\r\n", "$ 1\r\n"]
            .map(|text| text.as_bytes().to_vec())
            .to_vec();
    cases.extend(
        ["*-1\r\n", "$1\r\nxyz", ":1\n", "\r\n", "\n", "%1\r\n", ">1\r\n+x\r\n"].map(|text| text.into()),
    );
    let full = [b"*9\r\n".as_slice(), format!("${ARRAY}\r\n").as_bytes()].concat();
    let line = [b"-ERR ".as_slice(), &[b'x'; LINE - 10], b"\r\n"].concat();
    let lines = [b"*9999\r\n".as_slice(), &line.repeat(ARRAY / LINE + 10)].concat();
    cases.extend([endless, deep, full, lines]);
    for bytes in cases {
        let (read, end) = read(&bytes, 1_000).await;
        let begins = bytes[..bytes.len().min(100)].escape_ascii();
        assert!(read.is_empty() && end == ErrorKind::InvalidData, "{begins:?}: {read:?}");
    }
    // The longest string is announced, and the longest array: nothing comes of them but the end.
    for bytes in [format!("${MAX_VALUE}\r\nshort"), format!("*{}\r\n:1\r\n", u64::MAX)] {
        assert_eq!(read(bytes.as_bytes(), 1_000).await, (Vec::new(), ErrorKind::UnexpectedEof));
    }
}

/// A string is told of as it comes, and lies in a buffer of its own length.
#[tokio::test]
async fn strings_come_into_their_own_buffer() {
    let (mut server, client) = tokio::io::duplex(1 << 20);
    let body = vec![7; 3 * AHEAD];
    server.write_all(format!("${}\r\n", body.len()).as_bytes()).await.unwrap();
    server.write_all(&body).await.unwrap();
    server.write_all(b"\r\n+OK\r\n").await.unwrap();
    let mut replies = Replies::new(client);
    assert_eq!(replies.head().await.unwrap(), Head::Body(body.len()));
    let transfer = Transfer::new(0);
    let read = replies.body(body.len(), &transfer).await.unwrap();
    assert!(read == body && read.capacity() <= body.len() + 2);
    assert_eq!(transfer.progress(), body.len() as u64 + 2);
    assert_eq!(replies.next().await.unwrap(), Value::Okay);
    drop(server);
    assert_eq!(replies.unasked().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

/// What nobody asked for is the end of a connection.
#[tokio::test]
async fn pushes_are_not_taken_for_answers() {
    let (mut server, client) = tokio::io::duplex(100);
    server.write_all(b"+OK\r\n").await.unwrap();
    assert_eq!(Replies::new(client).unasked().await.unwrap_err().kind(), ErrorKind::InvalidData);
}
