//! Compression: where it pays, and what hostile frames come to.

use proptest::prelude::*;
use proxystore_core::{Bytes, ErrorKind, Payload};
use proxystore_layers::Compress;
use xxhash_rust::xxh3::xxh3_64;

use super::{At, noise, text};

const STORED: u8 = 0;
const ZSTD: u8 = 1;
const LZ4: u8 = 2;
const HEADER: usize = 24;
/// The length of a store's envelope.
const ENVELOPE: usize = 80;

/// A frame as anyone may write it.
fn frame(algorithm: u8, head: &[u8], body_len: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"PxCm\x01".to_vec();
    bytes.push(algorithm);
    bytes.extend_from_slice(&(head.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&body_len.to_le_bytes());
    bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
    bytes.extend_from_slice(head);
    bytes.extend_from_slice(body);
    bytes
}

fn algorithm(sealed: &Payload) -> u8 {
    sealed.clone().into_bytes()[5]
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(plain, 3).unwrap()
}

#[test]
fn every_size_comes_back() {
    let at = At::new();
    let near = |size: usize| [size - 1, size, size + 1];
    let sizes =
        [1 << 10, 64 << 10, 128 << 10, 1 << 20].into_iter().flat_map(near).chain([0, 1, 2, 79, 80, 81]);
    for len in sizes {
        for body in [text(len), noise(len), vec![0; len]] {
            for head in [0, 1, ENVELOPE, u16::MAX.into(), 1 << 16] {
                let value = Payload::new(noise(head), body.clone());
                let whole = value.clone().into_bytes();
                for compress in [Compress::zstd(), Compress::lz4()] {
                    let sealed = at.seal(&compress, value.clone());
                    assert!(sealed.len() <= whole.len() + HEADER, "{} of {}", sealed.len(), whole.len());
                    assert_eq!(at.open(&compress, sealed.clone()).unwrap().into_bytes(), whole);
                    let joined = sealed.into_bytes(); // as a backend gives it back
                    assert_eq!(at.open(&compress, joined).unwrap().into_bytes(), whole);
                }
            }
        }
    }
}

#[test]
fn only_what_pays_is_compressed() {
    let at = At::new();
    let mut mixed = noise(1 << 20);
    for (compress, its) in [(Compress::zstd(), ZSTD), (Compress::lz4(), LZ4)] {
        assert_eq!(algorithm(&at.seal(&compress, text(1023))), STORED);
        assert_eq!(algorithm(&at.seal(&compress, text(1024))), its);
        assert_eq!(algorithm(&at.seal(&compress, noise(1 << 20))), STORED);
        assert!(at.seal(&compress, text(1 << 20)).len() < 1 << 19);

        mixed[..256 << 10].fill(0); // the sample in the middle does not show it
        assert_eq!(algorithm(&at.seal(&compress, mixed.clone())), STORED);
        mixed[480 << 10..544 << 10].fill(0);
        assert_eq!(algorithm(&at.seal(&compress, mixed.clone())), its);
        mixed[..1 << 18].copy_from_slice(&noise(1 << 18));
        mixed[480 << 10..544 << 10].copy_from_slice(&noise(64 << 10));
    }
    let mut barely = noise(100_000);
    barely[..4_000].fill(0);
    assert_eq!(algorithm(&at.seal(&Compress::zstd(), barely.clone())), STORED);
    barely[..7_000].fill(0);
    assert_eq!(algorithm(&at.seal(&Compress::zstd(), barely)), ZSTD);
}

#[test]
fn what_is_stored_is_not_copied() {
    let at = At::new();
    let body = Bytes::from(noise(10 << 20));
    let value = Payload::new(noise(ENVELOPE), body.clone());
    let sealed = at.seal(&Compress::zstd(), value.clone());
    assert_eq!(sealed.segments().last().unwrap().as_ptr(), body.as_ptr());
    let (_, opened) = at.open(&Compress::zstd(), sealed.clone()).unwrap().split_at(ENVELOPE).unwrap();
    assert_eq!(opened.as_ptr(), body.as_ptr());

    let joined = sealed.into_bytes();
    let (_, opened) = at.open(&Compress::zstd(), joined.clone()).unwrap().split_at(ENVELOPE).unwrap();
    assert_eq!(opened.as_ptr(), joined[HEADER + ENVELOPE..].as_ptr());
}

#[test]
fn what_is_compressed_is_not_joined_again() {
    let at = At::new();
    let value = Payload::new(noise(ENVELOPE), text(1 << 20));
    let opened = at.open(&Compress::zstd(), at.seal(&Compress::zstd(), value)).unwrap();
    let body = opened.segments().last().unwrap().as_ptr();
    assert_eq!(opened.split_at(ENVELOPE).unwrap().1.as_ptr(), body);
}

#[test]
fn each_opens_what_the_other_wrote() {
    let at = At::new();
    let value = text(10_000);
    let (zstd, lz4) = (Compress::zstd(), Compress::lz4());
    assert_eq!(at.open(&lz4, at.seal(&zstd, value.clone())).unwrap().into_bytes(), value);
    assert_eq!(at.open(&zstd, at.seal(&lz4, value.clone())).unwrap().into_bytes(), value);
}

#[test]
fn the_limit_is_of_the_opened_object() {
    let value = Payload::new(noise(ENVELOPE), text(10_000));
    for compress in [Compress::zstd(), Compress::lz4()] {
        let exact = At { max: 10_080, ..At::new() };
        let sealed = exact.seal(&compress, value.clone());
        assert!(exact.open(&compress, sealed.clone()).is_ok());
        let error = At { max: 10_079, ..At::new() }.fail(&compress, sealed);
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.to_string().contains("10080") && error.to_string().contains("max_object"), "{error}");
    }
}

#[test]
fn what_does_not_fit_into_memory_is_too_large() {
    let at = At { max: u64::MAX, ..At::new() };
    for algorithm in [ZSTD, LZ4] {
        let packed = if algorithm == ZSTD { zstd(b"short") } else { lz4_flex::block::compress(b"short") };
        for declared in [1 << 60, u64::MAX - 1] {
            let error = at.fail(&Compress::zstd(), frame(algorithm, b"", declared, &packed));
            assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
        }
    }
}

#[test]
fn lies_are_corrupt() {
    let at = At::new();
    let plain = text(5_000);
    let packed = zstd(&plain);
    let lz4 = lz4_flex::block::compress(&plain);
    let open = |frame: Vec<u8>| at.open(&Compress::zstd(), frame);
    for (algorithm, packed) in [(ZSTD, &packed), (LZ4, &lz4), (STORED, &plain)] {
        assert_eq!(open(frame(algorithm, b"", 5_000, packed)).unwrap().into_bytes(), plain);
        let with_tail = [packed.as_slice(), b"\0"].concat();
        let without_end = &packed[..packed.len() - 1];
        for lie in [
            frame(algorithm, b"", 4_999, packed),
            frame(algorithm, b"", 5_001, packed),
            frame(algorithm, b"", 0, packed),
            frame(algorithm, b"", 5_000, &with_tail),
            frame(algorithm, b"", 5_000, without_end),
            frame(algorithm, b"", 5_000, b""),
            frame(algorithm, b"", 5_000, &noise(300)),
            frame(algorithm, b"", 5_000, packed)[..HEADER - 1].to_vec(),
            [&[0], &frame(algorithm, b"", 5_000, packed)[1..]].concat(),
            b"PxCm\x01\x01\xff\xff\0\0\0\0\0\0\0\0".to_vec(),
            frame(algorithm, &noise(300), 5_000, b"")[..HEADER].to_vec(),
        ] {
            let error = open(lie).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
    }
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7];
    for more in [zstd(b"").as_slice(), &skippable] {
        let two = [packed.as_slice(), more].concat();
        assert_eq!(open(frame(ZSTD, b"", 5_000, &two)).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn what_a_newer_version_wrote_is_unsupported() {
    let at = At::new();
    let mut newer = frame(STORED, b"", 3, b"abc");
    newer[4] = 2;
    let check = xxh3_64(&newer[..16]);
    newer[16..HEADER].copy_from_slice(&check.to_le_bytes());
    assert_eq!(at.fail(&Compress::lz4(), newer).kind(), ErrorKind::Unsupported);
    assert_eq!(at.fail(&Compress::lz4(), frame(3, b"", 3, b"abc")).kind(), ErrorKind::Unsupported);
}

#[test]
fn no_flipped_bit_gives_more_than_was_declared() {
    let at = At { max: 1 << 20, ..At::new() };
    for compress in [Compress::zstd(), Compress::lz4()] {
        let sealed = at.seal(&compress, Payload::new(noise(ENVELOPE), text(2_000))).into_bytes().to_vec();
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match at.open(&compress, flipped) {
                // To see it is the business of the envelope's digest.
                Ok(opened) => assert_eq!(opened.len(), ENVELOPE + 2_000),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}: {error}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_object_comes_back(head: Vec<u8>, seed in 0usize..3, len in 0usize..300_000, zstd: bool) {
        let at = At::new();
        let compress = if zstd { Compress::zstd() } else { Compress::lz4() };
        let body = [text, noise, |len| vec![7; len]][seed](len % if seed == 1 { 3_000 } else { 300_000 });
        let value = Payload::new(head, body);
        let opened = at.open(&compress, at.seal(&compress, value.clone()).into_bytes()).unwrap();
        prop_assert_eq!(opened.into_bytes(), value.into_bytes());
    }

    #[test]
    fn no_bytes_give_more_than_the_limit(
        start in 0usize..4, head: Vec<u8>, len: u16, mut body: Vec<u8>, cut: usize, flips: Vec<(usize, u8)>,
    ) {
        let at = At { max: 10_000, ..At::new() };
        match start {
            0 => {}
            1 => body = frame(ZSTD, &head, len.into(), &zstd(&vec![0; len.into()])),
            2 => body = frame(LZ4, &head, len.into(), &lz4_flex::block::compress(&vec![0; len.into()])),
            _ => body = frame(len as u8 % 4, &head, len.into(), &body),
        }
        for (place, with) in flips {
            let place = place % body.len().max(1);
            body.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= with);
        }
        body.truncate(body.len().saturating_sub(cut % 8));
        if let Ok(opened) = at.open(&Compress::zstd(), body) {
            prop_assert!(opened.len() <= 10_000);
        }
    }
}
