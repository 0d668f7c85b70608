use proptest::prelude::*;

use super::*;

fn header() -> Header {
    Header { codec: 1, fingerprint: Some(Fingerprint::from_bytes([7; 16])), nonce: Id::from_bytes([9; 16]) }
}

fn sealed(body: &'static [u8]) -> Vec<u8> {
    seal(&header(), &Key::parse("k").unwrap(), Bytes::from_static(body)).into_bytes().into()
}

#[test]
fn golden_bytes() {
    let hex: String = sealed(b"hello").iter().map(|b| format!("{b:02x}")).collect();
    let parts = [
        "50785374",                         // magic
        "01010001",                         // version, codec, flags, digest algorithm
        "0500000000000000",                 // length
        "07070707070707070707070707070707", // fingerprint
        "09090909090909090909090909090909", // nonce
        "49fc9a39eff5f3722fd0af6e0b6a0cca", // digest
        "00000000000000000000000000000000",
        "68656c6c6f",
    ];
    assert_eq!(hex, parts.concat());
}

#[test]
fn what_is_sealed_opens_without_a_copy() {
    let key = Key::parse("k").unwrap();
    let body = Bytes::from(vec![5; 4096]);
    let payload = seal(&header(), &key, body.clone());
    let (read, same) = open(&key, payload).unwrap();
    assert_eq!(read, header());
    assert_eq!(same.as_ptr(), body.as_ptr());
}

#[test]
fn another_key_is_corrupt() {
    let error = open(&Key::parse("other").unwrap(), sealed(b"hello").into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let key = Key::parse("k").unwrap();
    let whole = sealed(b"hello");
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let kind = open(&key, bytes.into()).unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::Unsupported), "bit {bit}: {kind:?}");
    }
    for length in 0..whole.len() {
        assert_eq!(open(&key, whole[..length].to_vec().into()).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

proptest! {
    #[test]
    fn hostile_bytes_never_open(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(open(&Key::parse("k").unwrap(), bytes.into()).is_err());
    }
}
