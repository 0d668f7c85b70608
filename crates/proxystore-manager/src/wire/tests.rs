use futures_util::{SinkExt, StreamExt};
use proptest::prelude::*;

use super::*;
use crate::frame::{Ask, Capability, Item, MAX_ITEMS, Payload};
use crate::id::{MethodId, ObjectId};
use crate::token::Mint;

fn call(bytes: &'static [u8]) -> Request {
    let token = Mint::none();
    let capabilities =
        vec![Capability::Here { object: ObjectId(3), typeid: "t".into(), token: token.clone() }];
    let args = Payload { bytes: Bytes::from_static(bytes), capabilities };
    Request::Call {
        number: 9,
        ask: Ask::Method { object: ObjectId(7), token, method: MethodId::of("add"), args },
    }
}

fn up(request: Request) -> Up {
    Up::Ask { id: 1, deadline_millis: 1000, trace: (0, 0, false), request }
}

fn frame(message: &impl Message) -> BytesMut {
    let mut out = BytesMut::new();
    assert_eq!(put(message, 1 << 20, &mut out).unwrap(), None);
    out
}

#[test]
fn a_frame_comes_out_as_it_went_in_however_it_is_cut() {
    let whole = frame(&up(call(b"\x91\x2a")));
    for cut in 0..whole.len() {
        let mut input = BytesMut::from(&whole[..cut]);
        assert!(take::<Up>(1 << 20, &mut input).unwrap().is_none());
        input.extend_from_slice(&whole[cut..]);
        let Some(Up::Ask { request, .. }) = take::<Up>(1 << 20, &mut input).unwrap() else {
            panic!("a call")
        };
        assert_eq!(request, call(b"\x91\x2a"));
        assert!(input.is_empty());
    }
}

#[test]
fn a_length_above_the_limit_is_an_error_before_anything_is_allocated() {
    let mut input = BytesMut::from(&u32::MAX.to_be_bytes()[..]);
    assert!(take::<Up>(1 << 20, &mut input).is_err());
    assert!(input.capacity() < 1 << 10);
    let mut input = BytesMut::from(&(1u32 << 20).to_be_bytes()[..]);
    assert!(take::<Up>(1 << 20, &mut input).unwrap().is_none());
    assert!(put(&up(call(&[0; 100])), 99, &mut BytesMut::new()).is_err());
}

#[test]
fn lists_that_would_be_large_here_are_refused() {
    let beat = |count| frame(&up(Request::Beat { first: 1, items: vec![Item::End; count] }));
    assert!(take::<Up>(1 << 20, &mut beat(MAX_ITEMS)).unwrap().is_some());
    assert!(take::<Up>(1 << 20, &mut beat(MAX_ITEMS + 1)).is_err());
}

#[test]
fn what_has_no_payload_is_followed_by_nothing() {
    let mut beat = frame(&up(Request::Beat { first: 1, items: vec![Item::Done(1)] }));
    beat.extend_from_slice(b"x");
    let length = beat.len() as u32 - 4;
    beat[..4].copy_from_slice(&length.to_be_bytes());
    assert!(take::<Up>(1 << 20, &mut beat).is_err());
}

/// Bytes of version 1: whoever changes them bumps the version.
#[test]
fn the_bytes_are_those_of_version_1() {
    let call = frame(&up(call(b"\x91\x2a")));
    let expected = "000000390001e807000000010900070000000000000000000000000000000000\
        f4a4e4d90301000301740000000000000000000000000000000000912a";
    assert_eq!(crate::hex::write(&call), expected);
    let items = vec![
        Item::Done(1),
        Item::Cancel(2),
        Item::Release { object: ObjectId(3), count: 4 },
        Item::Close { stream: 5 },
        Item::End,
    ];
    let beat = frame(&up(Request::Beat { first: 6, items }));
    assert_eq!(crate::hex::write(&beat), "000000140001e80700000000060500010102020304040505");
    let reply = frame(&Down { id: 1, reply: Reply::Remote(RemoteErrorKind::ObjectGone.into()) });
    assert_eq!(crate::hex::write(&reply), "00000006010300000000");
}

#[tokio::test]
async fn large_payloads_arrive_in_their_order_among_small_ones() {
    let (near, far) = tokio::io::duplex(1000);
    let mut client = framed::<_, Client>(near, 1 << 20);
    let mut server = framed::<_, Server>(far, 1 << 20);
    let sizes = [3, BESIDE, BESIDE + 1, 0, 1 << 20, 7];
    let send = async {
        for (id, size) in sizes.into_iter().enumerate() {
            let Request::Call { number, ask: Ask::Method { object, token, method, args } } = call(b"") else {
                panic!("a call")
            };
            let bytes = (0..size).map(|i| (i % 251) as u8).collect();
            let ask = Ask::Method { object, token, method, args: Payload { bytes, ..args } };
            let message = Request::Call { number, ask };
            let request = tarpc::Request { context: context::current(), id: id as u64, message };
            client.feed(ClientMessage::Request(request)).await.unwrap();
        }
        SinkExt::<ClientMessage<Request>>::close(&mut client).await.unwrap();
    };
    let receive = async {
        for (id, size) in sizes.into_iter().enumerate() {
            let Some(Ok(ClientMessage::Request(request))) = server.next().await else { panic!("a request") };
            assert_eq!(request.id, id as u64);
            let bytes = &request.message.payload().unwrap().bytes;
            assert!(
                bytes.len() == size && bytes.iter().enumerate().all(|(i, byte)| *byte == (i % 251) as u8)
            );
        }
        assert!(server.next().await.unwrap().is_err(), "its end is one");
    };
    tokio::join!(send, receive);
}

proptest! {
    #[test]
    fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let length = (bytes.len() as u32).to_be_bytes();
        let mut input = BytesMut::from(&[&length[..], &bytes].concat()[..]);
        // An error or a message, and an end.
        let _ = take::<Up>(1 << 20, &mut input.clone());
        let _ = take::<Down>(1 << 20, &mut input);
    }

    #[test]
    fn no_altered_byte_breaks_the_reader(at in 0..200usize, byte in any::<u8>()) {
        let mut input = frame(&up(call(b"\x91\x2a")));
        let at = at % input.len();
        input[at] = byte;
        let _ = take::<Up>(1 << 20, &mut input);
    }
}
