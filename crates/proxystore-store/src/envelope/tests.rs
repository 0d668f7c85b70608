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
fn golden_bytes_of_a_failure() {
    let bytes = seal_as(
        FAILURE,
        &Header { codec: 0, fingerprint: None, ..header() },
        &Key::parse("k").unwrap(),
        "no".into(),
    );
    let hex: String = bytes.into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    let parts = [
        "50785374",
        "01000101",
        "0200000000000000",
        "00000000000000000000000000000000",
        "09090909090909090909090909090909",
        "2b3c7a3b2657ef65492eb830f67a848a", // digest
        "00000000000000000000000000000000",
        "6e6f",
    ];
    assert_eq!(hex, parts.concat());
}

#[test]
fn a_failure_is_read_as_one_line_of_bounded_length() {
    let key = Key::parse("k").unwrap();
    let read = |reason: &str| open(&key, seal_failure(&key, reason).unwrap()).unwrap_err();
    let error = read("disk\nis full");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Failed, "disk is full"));
    let error = read(&"é".repeat(5000));
    assert_eq!(error.message(), "é".repeat(2048));
    let altered = |at: usize| {
        let mut bytes = seal_failure(&key, "no").unwrap().into_bytes().to_vec();
        bytes[at] ^= 1;
        open(&key, bytes.into()).unwrap_err().kind()
    };
    assert_eq!([altered(6), altered(7), altered(HEADER_LEN)], [ErrorKind::Corrupt; 3]);
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
