//! Encryption: nothing comes out that did not go in, here, under this key.

use std::sync::Arc;

use proptest::prelude::*;
use proxystore_core::{
    Bytes, Connector, ErrorKind, KeyRing, Payload, PutOptions, SecretKey, Uri, WithTransform,
};
use proxystore_layers::Encrypt;
use proxystore_local::LocalConnector;

use super::{At, key, noise, text};

const HEADER: usize = 64;
const CHUNK: usize = 64 << 10;
const TAG: usize = 16;
const SEALED_CHUNK: usize = CHUNK + TAG;

fn secret(id: &str) -> SecretKey {
    SecretKey::new(id, std::array::from_fn(|i| i as u8)).unwrap()
}

fn encrypt() -> Encrypt {
    Encrypt::new(KeyRing::new(secret("k1")))
}

fn sealed(value: impl Into<Payload>) -> Bytes {
    At::new().seal(&encrypt(), value).into_bytes()
}

#[track_caller]
fn assert_corrupt(at: &At, value: impl Into<Payload>) {
    let error = at.fail(&encrypt(), value);
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn every_size_comes_back() {
    let at = At::new();
    let near = |size: usize| [size - 1, size, size + 1];
    for len in [80, CHUNK, 2 * CHUNK, 4 * CHUNK].into_iter().flat_map(near).chain([0, 1, 15, 16, 17]) {
        let plain = noise(len);
        for head in [0, 1, 80, CHUNK, len].into_iter().filter(|head| *head <= len) {
            let (head, body) = plain.split_at(head);
            let sealed = at.seal(&encrypt(), Payload::new(head.to_vec(), body.to_vec()));
            assert_eq!(sealed.len(), HEADER + len + len.div_ceil(CHUNK).max(1) * TAG);
            assert_eq!(at.open(&encrypt(), sealed.clone()).unwrap().into_bytes(), plain);
            let (front, rest) = sealed.split_at(100 % (len + HEADER)).unwrap();
            assert_eq!(at.open(&encrypt(), Payload::new(front, rest)).unwrap().into_bytes(), plain);
        }
    }
}

/// What version 1 wrote is read forever.
#[test]
fn an_object_of_version_1_opens() {
    const OBJECT: &str = "5078456e010102006b310000000000000000000000000000000000000000000000000000000000002d3bb965bbe47eb7\
        76dbf9db708511b2ed22d70003f235f478230e08309abe63c860ff24ff02037fff866f24a47c630f1786a014c775";
    let digit = |at: usize| u8::from_str_radix(&OBJECT[at..at + 2], 16).unwrap();
    let object: Vec<u8> = (0..OBJECT.len()).step_by(2).map(digit).collect();
    assert_eq!(At::new().open(&encrypt(), object).unwrap().into_bytes(), "attack at dawn");
}

#[test]
fn no_two_objects_are_alike() {
    let (one, two) = (sealed(text(100)), sealed(text(100)));
    assert_ne!(one[40..59], two[40..59]);
    assert_ne!(one[HEADER..], two[HEADER..]);
    assert!(!one.windows(4).any(|window| window == b"line"));
}

#[test]
fn each_flipped_bit_is_corrupt() {
    let small = sealed(text(100));
    let large = sealed(text(200_000));
    let of_small = (0..small.len() * 8).map(|bit| (&small, bit));
    let of_large = (0..large.len() * 8).step_by(10_007).map(|bit| (&large, bit));
    for (object, bit) in of_small.chain(of_large) {
        let mut flipped = object.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_corrupt(&At::new(), flipped);
    }
}

#[test]
fn each_truncation_is_corrupt() {
    let small = sealed(text(100));
    let large = sealed(text(3 * CHUNK));
    (0..small.len()).for_each(|len| assert_corrupt(&At::new(), small.slice(..len)));
    for border in (0..=3).map(|chunk| HEADER + chunk * SEALED_CHUNK) {
        for len in [border.saturating_sub(TAG), border - 1, border, border + 1, border + TAG] {
            if len != large.len() {
                assert_corrupt(&At::new(), large.slice(..len.min(large.len() - 1)));
            }
        }
    }
    assert_corrupt(&At::new(), [small.as_ref(), b"\0"].concat());
}

#[test]
fn chunks_stay_where_they_were_sealed() {
    let (one, other) = (sealed(text(3 * CHUNK)), sealed(text(3 * CHUNK)));
    let chunk = |object: &Bytes, n: usize| object[HEADER + n * SEALED_CHUNK..][..SEALED_CHUNK].to_vec();
    let with = |header: &Bytes, chunks: &[Vec<u8>]| [&header[..HEADER], &chunks.concat()].concat();
    let [a, b, c] = [0, 1, 2].map(|n| chunk(&one, n));
    assert!(At::new().open(&encrypt(), with(&one, &[a.clone(), b.clone(), c.clone()])).is_ok());
    for chunks in [
        vec![b.clone(), a.clone(), c.clone()], // swapped
        vec![a.clone(), c.clone(), b.clone()],
        vec![a.clone(), a.clone(), c.clone()], // repeated
        vec![a.clone(), b.clone(), b.clone(), c.clone()],
        vec![a.clone(), b.clone(), c.clone(), c.clone()],
        vec![a.clone(), c.clone()], // left out
        vec![b.clone(), c.clone()],
        vec![a.clone(), b.clone()],
        vec![c.clone()],
        vec![],
        vec![a.clone(), chunk(&other, 1), c.clone()], // from another object
        vec![chunk(&other, 0), chunk(&other, 1), chunk(&other, 2)],
    ] {
        assert_corrupt(&At::new(), with(&one, &chunks));
    }
}

#[test]
fn an_object_stays_at_its_place() {
    let object = sealed(text(100));
    let here = At::new();
    let elsewhere = Uri::new("local").with_host("elsewhere", None);
    assert_corrupt(&At { key: key("some/other"), ..here.clone() }, object.clone());
    assert_corrupt(&At { store: elsewhere.clone(), ..here.clone() }, object.clone());
    let other_user: Uri = "local://me:password@here".parse().unwrap();
    assert!(At { store: other_user, ..here.clone() }.open(&encrypt(), object.clone()).is_ok());

    let label = |label: &str| encrypt().bound_to(label);
    let object = here.seal(&label("images"), text(100));
    let moved = At { store: elsewhere, ..here.clone() };
    assert!(moved.open(&label("images"), object.clone()).is_ok());
    assert_eq!(moved.fail(&label("sounds"), object.clone()).kind(), ErrorKind::Corrupt);
    let other_key = At { key: key("some/other"), ..moved };
    assert_eq!(other_key.fail(&label("images"), object.clone()).kind(), ErrorKind::Corrupt);
    assert_corrupt(&here, object);
}

#[test]
fn plaintext_is_corrupt() {
    for bytes in [vec![], text(10), text(1_000), b"PxCm\x01\0\0\0\x03\0\0\0\0\0\0\0abc".to_vec()] {
        assert_corrupt(&At::new(), bytes);
    }
    let mut envelope = vec![0; 80];
    envelope[..5].copy_from_slice(b"PxSt\x01");
    assert_corrupt(&At::new(), envelope);
}

#[test]
fn rotated_keys_open_old_objects() {
    let at = At::new();
    let fresh = || SecretKey::new("k2", [9; 32]).unwrap();
    let rotated = Encrypt::new(KeyRing::new(fresh()).with_old(secret("k1")));
    let (old, new) = (sealed(text(100)), at.seal(&rotated, text(50)));
    assert_eq!(at.open(&rotated, old).unwrap().into_bytes(), text(100));
    assert_eq!(at.open(&rotated, new.clone()).unwrap().into_bytes(), text(50));
    assert_eq!(at.open(&Encrypt::new(KeyRing::new(fresh())), new).unwrap().into_bytes(), text(50));
}

#[test]
fn an_unknown_key_is_denied_and_a_wrong_one_corrupt() {
    let at = At::new();
    let error = at.fail(&Encrypt::new(KeyRing::new(secret("k2"))), sealed(text(100)));
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("`k1`") && error.to_string().contains("add that key"), "{error}");
    let wrong = Encrypt::new(KeyRing::new(SecretKey::new("k1", [9; 32]).unwrap()));
    assert_eq!(at.fail(&wrong, sealed(text(100))).kind(), ErrorKind::Corrupt);
}

#[test]
fn what_a_newer_version_wrote_is_unsupported() {
    for field in [4, 5] {
        let mut newer = sealed(text(100)).to_vec();
        newer[field] = 2;
        let check = blake3::hash(&newer[..60]);
        newer[60..64].copy_from_slice(&check.as_bytes()[..4]);
        assert_eq!(At::new().fail(&encrypt(), newer).kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn no_id_breaks_an_error_message() {
    for id in [&b"a\nb"[..], b"\x1b[31m", b"\xff\xfe", b"", &[b'a'; 33]] {
        let mut hostile = sealed(text(100)).to_vec();
        hostile[6] = id.len() as u8;
        hostile[8..40].fill(0);
        hostile[8..8 + id.len()].copy_from_slice(id);
        let check = blake3::hash(&hostile[..60]);
        hostile[60..64].copy_from_slice(&check.as_bytes()[..4]);
        assert_corrupt(&At::new(), hostile);
    }
}

#[test]
fn keys_are_never_shown() {
    let canary = [0xc5; 32];
    let encrypt = Encrypt::new(KeyRing::new(SecretKey::new("shown", canary).unwrap()));
    let other = Encrypt::new(KeyRing::new(SecretKey::new("shown", [1; 32]).unwrap()));
    let unknown = Encrypt::new(KeyRing::new(SecretKey::new("another", canary).unwrap()));
    let connector = LocalConnector::new().unwrap();
    let at = At::new();
    let object = at.seal(&encrypt, text(100));
    let shown = [
        format!("{encrypt:?} {encrypt:#?}"),
        format!("{:?}", at.fail(&other, object.clone())),
        format!("{:?}", at.fail(&unknown, object)),
        format!("{:?}", WithTransform::new(Arc::new(connector), vec![Arc::new(encrypt)]).unwrap()),
    ]
    .join("\n");
    assert!(shown.contains("shown"));
    for form in ["c5c5", "C5C5", "197, 197", "0xc5"] {
        assert!(!shown.contains(form), "{shown}");
    }
}

#[tokio::test]
async fn a_take_that_cannot_be_opened_keeps_the_object() {
    let inner = Arc::new(LocalConnector::new().unwrap());
    let with = |id| {
        WithTransform::new(inner.clone(), vec![Arc::new(Encrypt::new(KeyRing::new(secret(id))))]).unwrap()
    };
    let (ours, theirs) = (with("k1"), with("k2"));
    let key = key("taken");
    ours.put(&key, text(100_000).into(), &PutOptions::default()).await.unwrap();
    assert_eq!(theirs.take(&key).await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(ours.take(&key).await.unwrap().unwrap().into_bytes(), text(100_000));
    assert!(ours.take(&key).await.unwrap().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_foreign_bytes_open(
        sane: bool, mut bytes: Vec<u8>, flips in proptest::collection::vec((any::<usize>(), 1u8..), 1..4),
    ) {
        let original = sealed(bytes.clone());
        if sane {
            bytes = original.to_vec();
            for (place, with) in flips {
                let place = place % bytes.len();
                bytes[place] ^= with;
            }
        }
        prop_assume!(bytes != original);
        let error = At::new().fail(&encrypt(), bytes);
        prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}
