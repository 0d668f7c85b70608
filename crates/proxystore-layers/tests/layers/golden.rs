//! What was stored by this version is opened by every later one.

use proxystore_core::{KeyRing, SecretKey, Transform};
use proxystore_layers::{Compress, Encrypt};

use super::At;

const PLAIN: &[u8] = b"what is stored today is opened tomorrow";

fn keys() -> KeyRing {
    KeyRing::new(SecretKey::new("2026-11", std::array::from_fn(|i| i as u8)).unwrap())
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter_map(|c| (c as char).to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Opens what is written here; when it changes, shows what would be written now.
fn opens(transform: &impl Transform, plain: &[u8], stored: &str) {
    let at = At::new();
    let now = hex(&at.seal(transform, plain.to_vec()).into_bytes());
    match at.open(transform, bytes(stored)) {
        Ok(opened) => assert_eq!(opened.into_bytes(), plain),
        Err(error) => panic!("{}: {error}; now it is\n{now}", transform.name()),
    }
}

#[test]
fn stored_frames() {
    opens(
        &Compress::zstd(),
        PLAIN,
        "5078436d010000002700000000000000644f156a33b8c49a776861742069732073746f72656420746f646179206973206f70\
         656e656420746f6d6f72726f77",
    );
}

#[test]
fn zstd_frames() {
    opens(
        &Compress::zstd(),
        &PLAIN.repeat(40),
        "5078436d01010000180600000000000084734db180847a8c28b52ffd601805550100f0776861742069732073746f72656420\
         746f6461796f70656e6d6f72726f770300ee29f50b106282c904",
    );
}

#[test]
fn lz4_frames() {
    opens(
        &Compress::lz4(),
        &PLAIN.repeat(40),
        "5078436d0102000018060000000000008af3beaea16fc127f005776861742069732073746f72656420746f6461791000416f\
         70656e10006f6d6f72726f772700ffffffffffdd606d6f72726f77",
    );
}

#[test]
fn encrypted_objects() {
    opens(
        &Encrypt::new(keys()),
        PLAIN,
        "5078456e01010700323032362d31310000000000000000000000000000000000000000000000000014d9d5cd77d7225de264\
         cf7c55e78b49a3553900041ec9a97c785c2b9640eccaf558b08410db1f917bc8f468402cb890ed73007da1f5a26ed4624ab7\
         f0067d0c1cd8953e376f681ee8e6f3d009f741",
    );
    opens(
        &Encrypt::new(keys()).bound_to("images"),
        PLAIN,
        "5078456e01010700323032362d313100000000000000000000000000000000000000000000000000df3bc63f90cf0c56050c\
         dfa776939b91d351e500f0038642334c5b5c2e82c9d859cf04940f3860c70ff3bb6709c90373ecae3c45fc9793ad9fe21248\
         37357b67184e6795f43b75f8eaa243915bf5da",
    );
}
