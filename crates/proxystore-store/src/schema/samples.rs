//! The values that are handed to a type until it accepts one, plainest first. They are not part of the fingerprint.

/// For all integers, ascending; those that do not fit are left out.
pub(super) const NUMBERS: &[u32] = &[
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    10,
    11,
    16,
    24,
    60,
    64,
    100,
    127,
    200,
    255,
    1000,
    1024,
    2000,
    4096,
    65_535,
    1_700_000_000,
];

pub(super) const FLOATS: &[f32] = &[0.0, 1.0, 0.5, -1.0, 2.0, 10.0, 100.0, 300.0, 1000.0];

pub(super) const CHARS: &[char] = &['a', 'A', '0', '1', ' ', '/', '-'];

/// For sequences that shall not be empty. Where they may, the first two change places.
pub(super) const LENGTHS: &[usize] = &[1, 0, 2, 3, 4, 5, 6, 8, 12, 16, 20, 24, 32, 64];

pub(super) const TEXTS: &[&str] = &[
    "",
    "a",
    "A",
    "0",
    "1",
    "00000000-0000-0000-0000-000000000000",
    "2000-01-01T00:00:00Z",
    "2000-01-01T00:00:00",
    "2000-01-01",
    "00:00:00",
    "+00:00",
    "UTC",
    "PT1S",
    "1s",
    "http://localhost/",
    "file:///a",
    "127.0.0.1",
    "::1",
    "127.0.0.1:80",
    "[::1]:80",
    "127.0.0.0/8",
    "::/0",
    "1.0.0",
    "^1.0",
    "1.0",
    "true",
    "/",
    "/a",
    "a.b",
    "a@b.c",
    "a/b",
    "a:b",
    "en",
    "en-US",
    "GET",
    "text/plain",
    "#000000",
    "00:00:00:00:00:00",
    "00",
    "0x00",
    "AAAA",
    "00000000",
    "0000000000000000",
    "00000000000000000000000000",
    "00000000000000000000000000000000",
    "0000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0%",
    "1 B",
    "*",
    "{}",
    "aaaaaaaa",
    "USD",
];

/// A proxy's reference by name: the least that `Proxy` decodes.
const REFERENCE: &[u8] = b"\x01\x01\x01\x00\x01a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

const ZEROS: &[u8] = &[0; 128];

pub(super) const BYTES: &[&[u8]] = &[
    ZEROS.split_at(0).0,
    ZEROS.split_at(1).0,
    ZEROS.split_at(16).0,
    ZEROS.split_at(2).0,
    ZEROS.split_at(4).0,
    ZEROS.split_at(6).0,
    ZEROS.split_at(8).0,
    ZEROS.split_at(12).0,
    ZEROS.split_at(20).0,
    ZEROS.split_at(24).0,
    ZEROS.split_at(28).0,
    ZEROS.split_at(32).0,
    ZEROS.split_at(33).0,
    ZEROS.split_at(48).0,
    ZEROS.split_at(64).0,
    ZEROS.split_at(128).0,
    b"a",
    REFERENCE,
];
