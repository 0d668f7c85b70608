//! Encrypted objects, and the keys.

use proxystore_core::{Error, ErrorKind, Key, KeyRing, Payload, Place, Result, SecretKey, Transform, Uri};
use proxystore_layers::Encrypt;

use crate::check::{self, CANARY};

/// Where the key's id, and where the ciphertext begins.
const ID: usize = 8;
const BODY: usize = 64;

/// An object opens only if it is what was sealed, bit by bit, under its key, in its store, and with a key that is
/// known. No error and no ciphertext shows the plaintext, and no error about keys a key.
pub fn unseal(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        ring(text);
    }
    let transform = Encrypt::new(KeyRing::new(secret("active")).with_old(secret("old")));
    let at = ("x", "a/key");
    // Nobody but the holder of a key writes what opens.
    refused(&open(&transform, at, data.to_vec()).unwrap_err());

    let Some((&[how, low, high], plain)) = data.split_first_chunk() else { return };
    let plain = [plain, CANARY.as_bytes()].concat().repeat(if how & 16 == 0 { 1 } else { 40 });
    let writer = Encrypt::new(KeyRing::new(secret(if how & 8 == 0 { "active" } else { "old" })));
    let sealed: Vec<u8> = seal(&writer, at, &plain).unwrap().into();
    assert!(!sealed.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()), "not encrypted");
    assert_eq!(open(&transform, at, sealed.clone()).unwrap(), plain);

    let mut altered = sealed.clone();
    let place = usize::from(u16::from_le_bytes([low, high])) % sealed.len();
    let moved = match how & 7 {
        0 => ("x", "b/key"),
        1 => ("y", "a/key"),
        _ => at,
    };
    match how & 7 {
        0 | 1 => {}
        2 => altered.truncate(place),
        3 => altered.insert(place, high),
        4 => altered.extend_from_slice(&data[..3]),
        5 => drop(altered.splice(ID..ID + 3, *b"old")),
        6 => altered.rotate_left(BODY + place % 16 + 1),
        _ => altered[place] ^= 1 << (high % 8),
    }
    if altered != sealed || moved != at {
        refused(&open(&transform, moved, altered).unwrap_err());
    }
    let stranger = Encrypt::new(KeyRing::new(secret("another")));
    let error = open(&stranger, at, sealed).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    check::teaches(&error);
}

fn secret(id: &str) -> SecretKey {
    SecretKey::new(id, std::array::from_fn(|i| i as u8 ^ id.as_bytes()[0])).unwrap()
}

/// A store is told from another by its name, an object by its key.
fn at<T>((store, key): (&str, &str), call: impl FnOnce(&Place<'_>) -> T) -> T {
    let (store, key) = (Uri::new("local").with_path(&format!("/{store}")), Key::parse(key).unwrap());
    call(&Place { store: &store, key: &key, max: u64::MAX })
}

fn seal(by: &Encrypt, place: (&str, &str), plain: &[u8]) -> Result<proxystore_core::Bytes> {
    at(place, |place| by.seal(place, plain.to_vec().into())).map(Payload::into_bytes)
}

fn open(by: &Encrypt, place: (&str, &str), sealed: Vec<u8>) -> Result<proxystore_core::Bytes> {
    at(place, |place| by.open(place, sealed.into())).map(Payload::into_bytes)
}

fn refused(error: &Error) {
    let known = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::Denied);
    assert!(known, "{error}");
    check::teaches(error);
}

/// A ring shows its ids and nothing of what follows them.
fn ring(text: &str) {
    let shown: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    if shown.contains(CANARY) {
        return;
    }
    let digits = CANARY.repeat(11);
    for text in
        [text.to_owned(), format!("{text}:{}", &digits[..64]), text.replace(':', &format!(":{digits}"))]
    {
        match KeyRing::parse(&text) {
            Ok(ring) => check::hides(&ring),
            Err(error) => check::teaches(&error),
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<_> = (0..32).map(|how| [&[how, 70, how], &b"a plaintext"[..]].concat()).collect();
    let writer = Encrypt::new(KeyRing::new(secret("another")));
    seeds.push(seal(&writer, ("x", "a/key"), b"a plaintext").unwrap().into());
    seeds.push(format!("# mine\nnew:{}\nold:{}", "c4".repeat(32), "00".repeat(32)).into_bytes());
    seeds
}
